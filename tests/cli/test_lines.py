"""Lines for people: each kind of growing text on lines of its own, results with their size, the server's words."""

from __future__ import annotations

import io
from typing import Any

from runstream.cli.lines import PlainView
from runstream.cli.signal_text import format_signal
from runstream.cli.stdio import Output
from runstream.model.actions import ActionCall, CallsAction
from runstream.model.common import ErrorObject
from runstream.model.events import ActivityEvent, CustomEvent, DocumentPatch, DocumentSnapshot, ErrorEvent
from runstream.model.message import MessageStatus
from runstream.model.signals import CustomReceived, Signal
from tests.support.canonical import append, calls_step, generic, message, play, reasoning_step, run


def shown(events: list[Any]) -> list[str]:
    """The lines of the signals of these events, without the columns before type and facts."""
    _, signals = play(events)
    return [" ".join(line.split()[1:]) for line in drawn(signals)]


def drawn(signals: list[Signal]) -> list[str]:
    """The lines of these signals."""
    stream = io.StringIO()
    view = PlainView(Output(stream))
    view.times = False
    for signal in signals:
        view.show(signal)
    view.close()
    return stream.getvalue().splitlines()


def test_each_text_grows_on_lines_of_its_own() -> None:
    """Reasoning, summary, text, refusal, arguments and output: each on one line, with its own type."""
    events = [
        run("in_progress"),
        reasoning_step("step_0"),
        *(append("step_0", "reasoning", piece) for piece in ("I ", "think")),
        *(append("step_0", "summary", piece) for piece in ("in ", "short")),
        reasoning_step("step_0", "completed"),
        calls_step(generic(name="search")),
        *(append("step_1", "arguments", piece) for piece in ("[", "1]")),
        *(append("step_1", "output", piece) for piece in ("two ", "hits")),
        calls_step(generic(name="search", status="completed"), status="completed"),
        message(),
        *(append("msg_1", "text", piece) for piece in ("It ", "is")),
        *(append("msg_1", "refusal", piece, 1) for piece in ("I ", "won't")),
        message(status=MessageStatus.COMPLETED),
    ]
    assert shown(events) == [
        "run.created",
        "run.status_changed in_progress",
        "step.created reasoning",
        "reasoning.text I think",
        "reasoning.text in short",
        "step.completed reasoning",
        "step.created tool_calls · search",
        "tool_call.arguments [1]",
        "tool_call.output two hits",
        "tool_call.completed search ([1]) as call_1",
        "tool_call.result search gave 8 characters: two hits",
        "step.completed tool_calls · search",
        "message.created assistant · msg_1",
        "message.text It is",
        "message.refusal I won't",
        "message.completed 5 characters · a refusal",
    ]


def test_a_request_names_the_kinds_of_its_calls() -> None:
    """Functions as ever; of the others the kind comes first."""
    calls = (
        ActionCall(id="c1", kind="function", name="f", arguments="{}"),
        ActionCall(id="c2", kind="approval", name="rm"),
    )
    _, signals = play([run("requires_action", required_action=CallsAction(calls=calls))])
    assert format_signal(signals[-1]) == "f {} as c1, approval: rm () as c2"


def test_a_custom_event_and_the_servers_words() -> None:
    """Both may contain anything: they are clipped and safe to print."""
    events = [
        run("in_progress"),
        CustomEvent({"a": "\x1b[31m" + "x" * 500}, run_id="run_1", name="progress"),
        CustomEvent("half", run_id="run_1", name="progress"),
        ErrorEvent(ErrorObject(message="busy\x1b[31m", code="overloaded")),
    ]
    lines = shown(events)[2:]
    assert lines[0].startswith('custom progress · {"a":"')
    assert len(lines[0]) < 250
    assert lines[1] == "custom progress · half"
    assert "overloaded: busy" in lines[2]
    assert "\x1b" not in "".join(lines)


def test_a_document_an_activity_and_a_path() -> None:
    """Versions, operations and sizes, safe to print; the path stands before them."""
    operations = [{"op": "add", "path": f"/k\x1b{n}", "value": "SECRET"} for n in range(5)]
    events = [
        run("in_progress"),
        DocumentSnapshot({"a": 1}, run_id="run_1"),
        DocumentPatch(operations, run_id="run_1"),
        ActivityEvent(1, run_id="run_1", activity_id="p1", kind="PLAN", path=("helper", "search\x1b")),
    ]
    lines = shown(events)[2:]
    assert lines[0] == "document.changed version 1 · whole value · 7 bytes"
    assert lines[1].startswith("document.changed version 2 · add /k")
    assert ", … · " in lines[1]
    assert lines[2].startswith("activity.changed [helper › search")
    assert lines[2].endswith("] PLAN · p1 · version 1 · whole value · 1 byte")
    assert "\x1b" not in "".join(lines)
    assert "SECRET" not in "".join(lines)


def test_a_long_path_is_cut_with_a_mark() -> None:
    """The inner names are shown; a mark stands for the others."""
    custom = CustomReceived("run_1", None, "", 0.0, "step", 1, 1, path=("a", "b", "c", "d"))
    assert format_signal(custom).startswith("[a › b › c › d] ")
    longer = CustomReceived("run_1", None, "", 0.0, "step", 1, 1, path=("a", "b", "c", "d", "e"))
    assert format_signal(longer).startswith("[… › b › c › d › e] ")
