"""How the live view looks: pure, from states to lines, at any width."""

from __future__ import annotations

import io
import random

import pytest
from msgspec import structs
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from runstream import demo
from runstream.engine.engine import Engine
from runstream.model.events import ActivityEvent, DocumentSnapshot, StepEvent
from runstream.model.limits import Stats
from runstream.model.raw import RawEvent
from runstream.model.signals import SourceDisconnected
from runstream.model.step import LabelDetails, RunStep, StepStatus
from runstream.recordings.reader import read_recording
from runstream.sinks.terminal.layout import Screen, duration
from runstream.sinks.terminal.open_runs import OpenRuns
from runstream.testing import script
from runstream.testing.script import Script
from tests.conformance.mutations import mutated
from tests.support.canonical import ListDialect, append, message, run
from tests.support.emulator import CONTROL, EVIL

WIDTHS = (40, 60, 80, 100, 200)


class Shown:
    """Runs that are fed with events, and their screen."""

    def __init__(self, *scripts: Script, unicode: bool = True) -> None:
        self.runs = OpenRuns()
        self.screen = Screen(unicode=unicode)
        self.engine = Engine(clock=lambda: 0.0)
        self.engine.on_state = lambda state: self.runs.update(state, 0.0)
        self.engine.on_signal = self.runs.add_signal
        self.intake = self.engine.intake("test")
        for one in scripts:
            self.intake.feed_all(one.raw_events())

    def frame(self, width: int = 100, height: int = 24, now: float = 1.25) -> list[str]:
        lines = self.screen.frame(self.runs, self.engine.stats(), width=width, height=height, now=now, since=0.0)
        assert len(lines) <= height
        return plain(lines, width)

    def ended(self, width: int = 100) -> list[str]:
        return plain([line for state in self.runs.take_ended() for line in self.screen.ended_run(state, width)], width)


def plain(lines: list[Text], width: int) -> list[str]:
    """What the lines say; none is wider than the terminal, nor holds anything that steers it."""
    for line in lines:
        assert cell_len(line.plain) <= width, line.plain
        assert not CONTROL.search(line.plain)
    return [line.plain.rstrip() for line in lines]


def test_a_run_that_goes_on() -> None:
    """Status, time, step, calls, the end of the text, and the counts."""
    run = script("run_a").start()
    run.run_code("print(1)").open_message().write("It is one.")
    head, call, text, rule, foot = Shown(run).frame()
    assert head.split() == ["⠹", "run_a", "in_progress", "1.2s", "step", "2:", "message"]
    assert call == "  ↳ code_interpreter  print(1)"
    assert text == "  │ It is one."
    assert set(rule) == {"─"}
    assert foot.startswith("1 run · 1 running")
    assert foot.endswith("0 tokens · 0 rejected · 0 duplicates · 1.2s")


def test_a_run_whose_source_has_gone_is_not_counted_as_running() -> None:
    """What the counts say is what the lines say."""
    shown = Shown(script("run_a").start(), script("run_b").start(), script("run_c").call(look_up={}).wait())
    shown.intake.end("gone")
    assert shown.frame()[-1].startswith("3 runs · 1 waiting · 2 interrupted")


def test_a_run_that_waits() -> None:
    """For how many outputs, of which calls."""
    head, call, *_, foot = Shown(script("run_a").call(look_up={"query": "rain"}).wait()).frame()
    assert head.split() == ["?", "run_a", "requires_action", "1.2s", "waits", "for", "1", "output"]
    assert call == '  ↳ look_up  {"query": "rain"}'
    assert foot.startswith("1 run · 1 waiting")


@pytest.mark.parametrize(
    ("status", "sign"), [("completed", "✓"), ("failed", "✗"), ("cancelled", "-"), ("expired", "!"), ("incomplete", "!")]
)
def test_a_run_that_has_ended(status: str, sign: str) -> None:
    """How, after how long, for how many tokens, and what it said."""
    usage = {"prompt_tokens": 1200, "completion_tokens": 34, "total_tokens": 1234}
    shown = Shown(script("run_a").start().say("Hello there.").wait(9).end(status, usage=usage))
    head, *_, text = shown.ended()
    assert head.split()[:3] == [sign, "run_a", status]
    assert head.endswith("1,234 tokens")
    assert text == "  │ Hello there."
    assert f"1 {status}" in shown.frame()[-1]
    assert "1,234 tokens" in shown.frame()[-1]


def test_why_a_run_ended() -> None:
    """In the server's words, on lines that fit."""
    error = {"code": "rate_limit_exceeded", "message": "Too many tokens per minute. " * 3}
    lines = Shown(script("run_a").start().end("failed", last_error=error)).ended(40)
    assert lines[1] == "  rate_limit_exceeded: Too many tokens"
    assert len(lines) > 3
    incomplete = script("run_a").start().end("incomplete", incomplete_details={"reason": "max_prompt_tokens"})
    assert Shown(incomplete).ended()[1:] == ["  max_prompt_tokens"]


def test_only_the_end_of_a_long_text_is_left() -> None:
    """With a line that says so; a text that is one line too long is shown whole instead."""
    lines = [f"line {number}" for number in range(30)]
    found = Shown(script("run_a").start().say("\n".join(lines)).end()).ended()
    assert found[1] == "  │ … the last 8 lines of 229 characters"
    assert found[2:] == [f"  │ {line}" for line in lines[-8:]]
    found = Shown(script("run_a").start().say("\n".join(lines[:9])).end()).ended()
    assert found[1:] == [f"  │ {line}" for line in lines[:9]]


def test_arguments_that_grow_show_their_end() -> None:
    """Those that are whole show their beginning."""
    words = "word " * 100
    run = script("run_a").start()
    run.open_calls().open(0, "function", name="look_up").grow(0, '{"query": "' + words + "the end")
    assert Shown(run).frame()[1].startswith("  ↳ look_up  …")
    assert Shown(run).frame()[1].endswith("word the end")
    whole = Shown(script("run_b").call(look_up={"query": words})).frame()[1]
    assert whole.startswith('  ↳ look_up  {"query": "word word')
    assert whole.endswith("…")


def test_no_run_yet() -> None:
    """It says that it waits, and shows the counts."""
    first, rule, foot = Shown().frame()
    assert first == "waiting for a run"
    assert set(rule) == {"─"}
    assert foot.startswith("0 runs")


def test_rejected_and_repeated_input_is_counted() -> None:
    shown = Shown()
    events = script("run_a").start().raw_events(ids=True)
    shown.intake.feed_all([*events, events[0], RawEvent("thread.run.created", b"{}")])
    assert "1 rejected · 1 duplicates" in shown.frame()[-1]


def test_a_source_in_trouble_is_named() -> None:
    shown = Shown(script("run_a").start())
    shown.runs.add_signal(SourceDisconnected(f"ws://h/{EVIL}", "", 0.0, 1, "the connection broke off", 2))
    assert "disconnected, attempt 2: the connection broke off" in "\n".join(shown.frame(200))


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("height", [3, 10, 24, 60])
def test_two_hundred_runs(width: int, height: int) -> None:
    """Each has a line, as many as there is room for; the rest is counted."""
    shown = Shown(*(script(f"run_number_{n:04}").start().say("Some words of it. " * 9) for n in range(200)))
    frame = shown.frame(width, height)
    (rest,) = [line for line in frame if line.startswith("…")]
    runs = [line for line in frame if "in_progress" in line and not line.startswith("…")]
    assert rest == f"… and {200 - len(runs)} more: {200 - len(runs)} in_progress"[:width]
    if height > 6:
        assert len(runs) >= height - 6
    if width >= 100:
        assert all("words of it." in line for line in runs)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_state_of_the_demo_fits_every_width(width: int) -> None:
    """Live and ended, from its first event to its last."""
    shown = Shown()
    for name in demo.recordings():
        for item in read_recording(demo.load(name)):
            shown.intake.feed(item) if isinstance(item, RawEvent) else None
            shown.frame(width, 12)
            shown.ended(width)
    assert "4 completed" in " ".join(shown.frame(width))


@pytest.mark.parametrize("width", [40, 120])
def test_nothing_steers_the_terminal_and_no_markup_is_read(width: int) -> None:
    """In names, text, arguments, errors and statuses: it is shown as it is, by Rich too."""
    evil = f"[red]markup[/red] :smile: {EVIL}"
    say = script(f"run_{evil}").start().say(evil).call(**{evil: {evil: evil}})
    failed = script("run_b").start().end("failed", last_error={"code": evil, "message": evil})
    odd = script("run_c").change(evil)
    shown = Shown(say, failed, odd)
    lines = [*shown.screen.ended_run(shown.runs.take_ended()[0], width)]
    lines += shown.screen.frame(shown.runs, Stats(), width=width, height=24, now=0.0, since=0.0)
    plain(lines, width)
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system="standard")
    for line in lines:
        console.print(line)
    written = console.file.getvalue()  # type: ignore[attr-defined]
    assert "[red]markup[/red] :smile:" in written
    assert "\x1b]" not in written
    assert "\x1b[2J" not in written


def test_ascii_terminals_get_ascii() -> None:
    shown = Shown(script("run_a").start().say("Grüße").call(look_up={}), unicode=False)
    shown.intake.feed_all(script("run_b").start().say("é").end().raw_events())
    for line in [*shown.frame(), *shown.ended()]:
        assert line.isascii(), line
    assert "Gr\\xfc\\xdfe" in "\n".join(Shown(script("run_a").start().say("Grüße"), unicode=False).frame())


@pytest.mark.parametrize("seed", range(60))
def test_whatever_servers_send_is_drawn(seed: int) -> None:
    """Values of unexpected types in any place end nothing."""
    choose = random.Random(seed)
    events = [item for name in demo.recordings() for item in read_recording(demo.load(name))]
    shown = Shown()
    for raw in mutated([item for item in events if isinstance(item, RawEvent)], choose):
        shown.intake.feed(raw)
        if choose.random() < 0.05:
            shown.frame(choose.choice(WIDTHS), 20)
    shown.ended()
    shown.frame()


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0, "0.0s"), (9.96, "10.0s"), (99.9, "99.9s"), (100, "1m40s"), (3599.6, "60m00s"), (7200, "2h00m")],
)
def test_durations(seconds: float, told: str) -> None:
    assert duration(seconds) == told
    assert len(told) <= 6


def test_reasoning_is_shown_until_there_is_an_answer() -> None:
    """While a run has no text, its reasoning stands in the place of the text; the text replaces it."""
    told = script("run_1").reason("Hard to say.")
    assert any("Hard to say." in line for line in Shown(told).frame())
    told.say("42")
    lines = Shown(told).frame()
    assert any("42" in line for line in lines)
    assert not any("Hard to say." in line for line in lines)


def test_a_run_that_waits_for_an_approval() -> None:
    """A call that needs no output waits for an answer."""
    told = script("run_1").start()
    step = told.open_calls()
    step.open(0, "mcp", name="delete")
    told.require(step)
    assert any("waits for 1 answer" in line for line in Shown(told).frame())


def feed_values(shown: Shown, *events: object) -> None:
    """Feed canonical events to the engine of a screen."""
    intake = shown.engine.intake("values", dialect=ListDialect(events))
    intake.feed_all([RawEvent(data=str(place).encode()) for place in range(len(events))])


def test_a_document_and_an_activity_have_a_line_each() -> None:
    """Names and sizes, and no value."""
    shown = Shown()
    document = DocumentSnapshot({"todo": ["SECRET"], "ow\x1bner": 1}, run_id="run_1")
    plan = ActivityEvent({"steps": ["SECRET"]}, run_id="run_1", activity_id="p1", kind="PLAN")
    failed = ActivityEvent(run_id="run_1", activity_id="p1", operations=[{"op": "no"}])
    feed_values(shown, run("in_progress"), document, plan, failed)
    lines = shown.frame()
    assert lines[1].startswith("  ▪ document  version 1, ")
    assert "todo, ow" in lines[1]
    assert lines[2].startswith("  ▪ PLAN  version 1, ")
    assert lines[2].endswith("bytes, a change is missing")
    assert "SECRET" not in "\n".join(lines)
    assert Shown(unicode=False).frame()


def test_a_step_of_a_subagent_has_its_path_and_its_name() -> None:
    """The text is that of the run itself."""
    shown = Shown()
    label = RunStep(id="s1", type="label", status=StepStatus.IN_PROGRESS, step_details=LabelDetails(name="search"))
    inner = structs.replace(message("msg_2"), path=("helper",))
    events = [run("in_progress"), message(), append("msg_1", "text", "outer"), inner, append("msg_2", "text", "inner")]
    feed_values(shown, *events, StepEvent(label, run_id="run_1", path=("helper", "deep")))
    lines = shown.frame(width=120)
    assert lines[0].endswith("step 1: helper › deep › label search")
    assert lines[1].strip() == "│ outer"
