"""What reaches the terminal: nothing that steers it, colours for people alone, texts in reading order."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Callable

import pytest

from runstream.cli.exit_codes import ExitCode, Tally
from runstream.cli.lines import JsonView, PlainView
from runstream.cli.stdio import Output, clip, escape, escape_json
from runstream.model.common import ErrorObject
from runstream.model.message import Message
from runstream.model.run import Run
from runstream.model.signals import (
    ArgumentsDelta,
    MessageCompleted,
    RunCompleted,
    RunCreated,
    RunInterrupted,
    SourceConnected,
    SourceEnded,
    SourceError,
    TextDelta,
    TextReplaced,
)
from tests.support.emulator import CONTROL, EVIL
from tests.support.scripts import LabelledScript, stream_of

SENTENCE = "The quick brown fox jumps over the lazy dog, and then over the fence, and is gone for good."


class Tty(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


def text(run: str, delta: str, at: float = 0.0, message: str = "") -> TextDelta:
    return TextDelta(f"run_{run}", None, "", at, message or f"msg_{run}", 0, 0, delta)


def arguments(run: str, delta: str, at: float = 0.0) -> ArgumentsDelta:
    return ArgumentsDelta(f"run_{run}", None, "", at, f"call_{run}", 0, delta, f"run_{run}/call/call_{run}")


def done(run: str, at: float = 0.0) -> MessageCompleted:
    message = Message.from_json({"id": f"msg_{run}", "status": "completed"})
    return MessageCompleted(f"run_{run}", None, "", at, message)


def shown(*signals: object, stream: io.StringIO | None = None) -> list[str]:
    out = stream or io.StringIO()
    view = PlainView(Output(out))
    view.times = False
    for signal in signals:
        view.show(signal)  # type: ignore[arg-type]
    view.close()
    return out.getvalue().splitlines()


def texts(found: list[str]) -> list[str]:
    return [line[41:] for line in found]


def test_escape() -> None:
    """What a terminal obeys is made visible; what it shows is left."""
    assert not CONTROL.search(escape(EVIL + "\n\t").replace("\n", ""))
    assert escape("\x1b[31m") == "\\x1b[31m"
    assert escape("\u202e") == "\\u202e"
    assert escape("\ud800") == "\\ud800"
    assert escape("Grüße, 世界 👋 …") == "Grüße, 世界 👋 …"


def test_escape_json() -> None:
    """Escaped JSON means the same."""
    line = json.dumps({"a": EVIL}, ensure_ascii=False)
    assert CONTROL.search(line)
    assert not CONTROL.search(escape_json(line))
    assert json.loads(escape_json(line)) == {"a": EVIL}


def test_clip() -> None:
    """One line, of bounded length."""
    assert clip("a\n b\tc") == "a b c"
    assert clip("x" * 100, 10) == "x" * 9 + "…"


@pytest.mark.parametrize("json_args", [(), ("--json",)], ids=["plain", "json"])
@pytest.mark.parametrize("command", ["replay", "fold"])
def test_nothing_from_the_wire_steers_the_terminal(
    cli: Callable, recording: Callable, command: str, json_args: tuple[str, ...]
) -> None:
    """Control characters in ids, texts, names, errors, statuses: none comes out as it is."""
    waits = LabelledScript("evil" + EVIL, model=EVIL).write_message(EVIL, prompt=1)
    waits.require(waits.call_functions((f"fn{EVIL}", {"key": EVIL})))
    failed = LabelledScript("failed" + EVIL)
    failed.change(f"odd{EVIL}")
    failed.finish("failed", last_error={"code": EVIL, "message": EVIL})
    found = cli(command, *json_args, recording(stream_of(waits), stream_of(failed)))
    assert "evil" in found.out
    assert not CONTROL.search(found.out)
    assert not CONTROL.search(found.err)


@pytest.mark.parametrize("error", ["boom", 7, ["a"], {"code": 7, "message": {"a": 1}}])
def test_an_error_of_another_form_is_no_fault(cli: Callable, recording: Callable, error: object) -> None:
    """A run fails with whatever its server calls an error."""
    path = recording(stream_of(LabelledScript("odd").finish("failed", last_error=error)))
    for command in (("replay", "--plain"), ("fold",)):
        found = cli(*command, path)
        assert found.code == 1, found
        assert "failed" in found.out


def test_nor_from_file_names_and_rejects(cli: Callable, recording: Callable) -> None:
    """The same for what is reported on standard error."""
    path = recording(name="bad\x1b[2J.sse")
    with open(path, "w", encoding="utf-8") as file:
        file.write("event: \x1b[31mthread.run.created\ndata: {}\n\nevent: thread.run.created\ndata: \x1b[2J\n\n")
    found = cli("replay", path)
    assert "rejected" in found.err
    assert not CONTROL.search(found.out + found.err)


def test_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal; not in a pipe, not if NO_COLOR is set, not in JSON, not on a dumb terminal."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Output(Tty()).paint("good", "x") == "\x1b[32mx\x1b[0m"
    assert Output(Tty(), json=True).paint("good", "x") == "x"
    assert Output(io.StringIO()).paint("good", "x") == "x"
    monkeypatch.setenv("TERM", "dumb")
    assert Output(Tty()).paint("good", "x") == "x"
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    assert Output(Tty()).paint("good", "x") == "x"


def test_colours_do_not_shift_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the colours, a terminal shows what a pipe gets."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    signals = [text("a", "one "), text("b", "two "), text("a", "three"), done("a"), done("b")]
    coloured = shown(*signals, stream=Tty())
    assert any("\x1b[" in line for line in coloured)
    assert [re.sub("\x1b\\[[0-9;]*m", "", line) for line in coloured] == shown(*signals)


def test_one_text_grows_in_place() -> None:
    """Each fragment of a lone text is written at once, on one line."""
    out = Tty()
    view = PlainView(Output(out))
    written = []
    for delta in ("Hel", "lo,", " you"):
        view.show(text("a", delta))
        written.append(out.getvalue())
    assert [now.endswith(end) for now, end in zip(written, ("Hel", "Hello,", "Hello, you"), strict=True)] == [
        True,
        True,
        True,
    ]
    assert "\n" not in written[-1]


def test_long_text_is_wrapped_at_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines keep within the width, continue under the text, and lose no word."""
    monkeypatch.setenv("COLUMNS", "80")
    words = [f"word{n} " for n in range(40)]
    found = shown(*(text("a", word) for word in words))
    assert len(found) > 5
    assert max(map(len, found)) <= 80
    assert all(line.startswith(" " * 41) for line in found[1:])
    assert " ".join(texts(found)).split() == "".join(words).split()


def test_lines_of_the_text_are_kept() -> None:
    """A line end in the text is one on the screen, indentation included."""
    found = shown(text("a", "if x:\n"), text("a", "    y()\n"), text("a", "\tz"))
    assert texts(found) == ["if x:", "    y()", "    z"]


def test_two_texts_take_turns_by_the_line() -> None:
    """Interleaved tokens are collected, so that each line can be read; order and content are kept."""
    one = SENTENCE.split()
    two = [word.upper() for word in one]
    signals = [s for a, b in zip(one, two, strict=True) for s in (text("a", f"{a} "), text("b", f"{b} "))]
    found = shown(*signals, done("a"), done("b"))
    for run, words in (("a", one), ("b", two)):
        said = [line[41:] for line in found if line.startswith(f"run_{run} ") and "message.text" in line]
        assert " ".join(said).split() == " ".join(words).split()
        assert len(said) <= 4


def test_a_text_that_is_left_alone_goes_on_in_order() -> None:
    """What was collected comes before what is then written at once."""
    found = shown(text("a", "one"), text("b", "X"), text("a", " two"), done("b"), text("a", " three"))
    said = [line[41:].strip() for line in found if line.startswith("run_a ") and "message.text" in line]
    assert " ".join(said) == "one two three"


def test_patience() -> None:
    """Collected text is shown when it has waited long, though its line is not full; a half word waits on."""
    signals = [text("a", "one", 0), text("b", "x ", 0.1), text("a", " two th", 0.2), text("b", "y ", 5)]
    out = io.StringIO()
    view = PlainView(Output(out))
    for signal in signals:
        view.show(signal)
    assert re.search(r"5\.00s  run_a +message\.text +two$", out.getvalue(), re.MULTILINE)
    view.show(text("a", "ree", 5.1))
    view.close()
    assert re.search(r"run_a +message\.text +three$", out.getvalue(), re.MULTILINE)


def test_replaced_text_begins_anew() -> None:
    """A healed text is shown whole, under its own name."""
    replaced = TextReplaced("run_a", None, "", 0.0, "msg_a", 0, "Right.", 1)
    found = shown(text("a", "Wrnog"), replaced, text("a", " More."))
    assert texts(found) == ["Wrnog", "Right.", " More."]
    assert "message.text_replaced" in found[1]


def test_arguments_and_text_do_not_mix() -> None:
    """A call's arguments are a text of their own."""
    found = shown(text("a", "hm"), arguments("a", '{"x":'), text("a", " ok"), arguments("a", "1}"))
    assert [line[18:].split() for line in found] == [
        ["message.text", "hm"],
        ["message.text", "ok"],
        ["tool_call.arguments", '{"x":1}'],
    ]


def test_short_ids_are_told_apart() -> None:
    """Two runs whose short ids are equal get a number."""
    found = shown(text("abcd_0123456789abcdef", "x"), text("efgh_0123456789abcdef", "y"))
    names = {line.split()[0] for line in found}
    assert len(names) == 2
    assert any(name.endswith("~2") for name in names)


def test_json_goes_out_by_the_line() -> None:
    """A JSON view writes whole lines, in UTF-8 whatever the locale says."""
    raw = io.BytesIO()
    view = JsonView(Output(io.TextIOWrapper(raw, encoding="ascii"), json=True))
    view.show(text("a", "Grüße\n"))
    assert json.loads(raw.getvalue().decode())["delta"] == "Grüße\n"
    assert raw.getvalue().endswith(b"}\n")


def test_an_encoding_that_lacks_a_character() -> None:
    """Plain text goes out in the terminal's encoding, with escapes for what it lacks."""
    raw = io.BytesIO()
    view = PlainView(Output(io.TextIOWrapper(raw, encoding="ascii")))
    view.show(text("a", "Grüße"))
    view.show(SourceEnded("file", "", 0.0, 1, "done"))
    view.close()
    assert b"Gr\\xfc\\xdfe" in raw.getvalue()
    assert b"file \\xb7 done" in raw.getvalue()


def test_durations_are_by_the_clock_of_the_first_column() -> None:
    """The server's times are those of another clock; they count only where no time of arrival is known."""
    run = Run.from_json({"id": "run_a", "status": "completed", "created_at": 1000, "completed_at": 1005})
    out = io.StringIO()
    for times in (True, False):
        view = PlainView(Output(out))
        view.show(RunCreated("run_a", None, "", 100.0, run))
        view.times = times
        view.show(RunCompleted("run_a", None, "", 112.5, run, 5.0))
    ends = [line for line in out.getvalue().splitlines() if "run.completed" in line]
    assert ends[0].split() == ["12.50s", "run_a", "run.completed", "12.5s"]
    assert ends[1].split() == ["run_a", "run.completed", "5.0s"]


@pytest.mark.parametrize("reasons", [True, False])
def test_a_reason_that_is_reported_elsewhere_is_left_out(reasons: bool) -> None:
    """Of the source that failed and of what ends by it; another reason, and the server's own error, stay."""
    run = Run.from_json({"id": "run_a", "status": "in_progress"})
    out = io.StringIO()
    view = PlainView(Output(out))
    view.reasons = reasons
    view.show(SourceError("gateway", "", 0.0, 1, "no route", 1))
    view.show(RunInterrupted("run_a", None, "", 0.0, run, "no route", None, 1, 1))
    view.show(RunInterrupted("run_a", None, "", 0.0, run, "idle", None, 1, 2))
    view.show(SourceEnded("gateway", "", 0.0, 1, "no route", 1))
    view.show(SourceError("gateway", "", 0.0, 2, "busy", 0, error=ErrorObject(code="busy")))
    assert out.getvalue().count("no route") == (3 if reasons else 0)
    assert "left in_progress: idle" in out.getvalue()
    assert out.getvalue().count("busy") == 1


@pytest.mark.parametrize(
    ("kinds", "code"),
    [
        ("error ended", ExitCode.NO_CONNECTION),
        ("connected error ended", ExitCode.NOT_COMPLETED),
        ("connected ended", ExitCode.NOT_COMPLETED),
        ("said ended", ExitCode.NOT_COMPLETED),
    ],
)
def test_only_a_source_that_never_connected_has_no_connection(kinds: str, code: ExitCode) -> None:
    """An error that the server has sent is no failure of the connection."""
    tally = Tally()
    made = {
        "connected": SourceConnected("gateway", "", 0.0, 1),
        "error": SourceError("gateway", "", 0.0, 1, "no route", 1),
        "said": SourceError("gateway", "", 0.0, 1, "busy", 0, error=ErrorObject(code="busy")),
        "ended": SourceEnded("gateway", "", 0.0, 1, "no route", 1),
    }
    for kind in kinds.split():
        tally.add(made[kind])
    assert tally.code(()) is code
