"""The keys of the terminal view, and what they show."""

from __future__ import annotations

import pytest

from runstream import fold
from runstream.model.limits import Stats
from runstream.sinks.terminal.controls import Controls, split_keys
from runstream.sinks.terminal.layout import Screen
from runstream.sinks.terminal.open_runs import OpenRuns
from runstream.testing import script


@pytest.fixture
def runs() -> OpenRuns:
    """Three open runs of two models; the first has said forty lines."""
    made = OpenRuns()
    for number in range(3):
        text = "\n".join(f"line {line}" for line in range(40)) if number == 0 else f"word{number}"
        run = script(f"run_{number}", model=f"model-{number % 2}").start().say(text)
        made.update(fold(run.raw_events()).runs[0], 0.0)
    return made


def press(controls: Controls, runs: OpenRuns, text: str) -> None:
    for key in split_keys(text):
        controls.press(key, runs)


def lines(controls: Controls, runs: OpenRuns) -> list[str]:
    frame = Screen().frame(runs, Stats(), width=80, height=20, now=1.0, since=0.0, controls=controls)
    return [line.plain for line in frame]


@pytest.mark.parametrize(
    ("sent", "keys"),
    [("q", ["q"]), ("\x1b[A\x1b[6~j", ["up", "page down", "j"]), ("\x1b", ["\x1b"]), ("ü/", ["ü", "/"])],
)
def test_what_a_terminal_sends_becomes_keys(sent: str, keys: list[str]) -> None:
    """Arrows and page keys are one key each; Escape alone is a key."""
    assert split_keys(sent) == keys


@pytest.mark.parametrize(
    ("words", "found"), [("model-1", 1), ("run_", 3), ("WORD2", 1), ("model-0 word", 1), ("zz", 0)]
)
def test_runs_are_filtered_by_words(runs: OpenRuns, words: str, found: int) -> None:
    """All words must be in the id, model, status or text of a run; the number found is shown."""
    controls = Controls()
    press(controls, runs, f"/{words}\r")
    assert not controls.typing
    assert len(controls.shown(runs)) == found
    assert f"{found} of 3" in lines(controls, runs)[-1]
    press(controls, runs, "\x1b")
    assert controls.words == ""


def test_letters_are_words_while_they_are_typed(runs: OpenRuns) -> None:
    """q does not quit there; a backspace takes the last letter away; Escape ends it."""
    controls = Controls()
    press(controls, runs, "/qp\x7f")
    assert controls.words == "q"
    assert not controls.quit
    press(controls, runs, "\x1b")
    assert (controls.typing, controls.words) == (False, "")
    press(controls, runs, "q")
    assert controls.quit


def test_a_run_is_selected_and_shown_in_full(runs: OpenRuns) -> None:
    """j marks, Enter shows one run alone, arrows scroll within its lines, Escape goes back."""
    controls = Controls()
    press(controls, runs, "jjjj")
    assert controls.selected == ("", "run_2")
    press(controls, runs, "kk\r")
    assert controls.selected == ("", "run_0")
    shown = lines(controls, runs)
    assert "line 39" in "\n".join(shown)
    assert "line 2 " not in "\n".join(shown)
    assert not any("run_1" in line for line in shown)
    press(controls, runs, "\x1b[5~" * 9)
    assert "line 0" in "\n".join(lines(controls, runs))
    press(controls, runs, "\x1b[B")
    assert "lines below" in lines(controls, runs)[-1]
    press(controls, runs, "\x1b")
    assert not controls.full
    assert any("run_1" in line for line in lines(controls, runs))


def test_the_keys_are_listed_and_a_pause_is_shown(runs: OpenRuns) -> None:
    """Without a choice the line has the keys."""
    controls = Controls()
    assert "q quit" in lines(controls, runs)[-1]
    press(controls, runs, "p")
    assert lines(controls, runs)[-1].startswith("paused")
    press(controls, runs, "p?")
    assert not controls.paused


def test_a_run_that_ends_while_it_is_shown_alone(runs: OpenRuns) -> None:
    """The others are shown again."""
    controls = Controls()
    press(controls, runs, "j\r")
    runs.update(fold(script("run_0").say("a").end().raw_events()).runs[0], 2.0)
    assert any("run_1" in line for line in lines(controls, runs))
