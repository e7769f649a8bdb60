"""A full object replaces what was streamed; what it leaves out or empties erases nothing."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.core.state import RunState
from runstream.model.events import Event
from runstream.model.message import MessageStatus, RefusalPart, TextContent, TextPart
from runstream.model.step import ReasoningPart
from runstream.model.tool_calls import FunctionCall, FunctionToolCall
from tests.core.support import RUN, at, ev, state_of
from tests.support.canonical import append, calls_step, folded, generic, message, reasoning_step, run
from tests.support.wire import message_object, step_object, text_part

START = (run("queued"), run("in_progress"))


def text(value: str | None) -> TextPart:
    """A content part."""
    return TextPart(text=TextContent(value=value))


def grown(id: str, target: str, *pieces: str, index: int = 0) -> list[Event]:
    """Fragments of one text."""
    return [append(id, target, piece, index) for piece in pieces]


STREAMED: dict[str, tuple[Event, ...]] = {
    "message": (
        message(status=MessageStatus.IN_PROGRESS),
        *grown("msg_1", "text", "He", "llo"),
        *grown("msg_1", "refusal", "N", "o", index=1),
    ),
    "reasoning": (
        reasoning_step(),
        *grown("step_1", "reasoning", "th", "ink"),
        *grown("step_1", "summary", "sh", "ort"),
    ),
    "call": (
        calls_step(generic()),
        *grown("step_1", "arguments", "{", "}"),
        *grown("step_1", "output", "fo", "und"),
    ),
}


def ended(kind: str, end: Event) -> RunState:
    """The state after a streamed object has ended with this snapshot."""
    state, _ = folded([*START, *STREAMED[kind], end])
    return state


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("message", message(status=MessageStatus.COMPLETED)),
        ("message", message(status=MessageStatus.COMPLETED, content=())),
        ("message", message(status=MessageStatus.COMPLETED, content=(text(""), RefusalPart(refusal="")))),
        ("message", message(status=MessageStatus.COMPLETED, content=(text(None), RefusalPart()))),
        ("reasoning", reasoning_step(status="completed")),
        ("reasoning", reasoning_step(status="completed", summary=(), content=())),
        (
            "reasoning",
            reasoning_step(status="completed", summary=(ReasoningPart(),), content=(ReasoningPart(text=""),)),
        ),
        ("call", calls_step(status="completed")),
        ("call", calls_step(generic(), status="completed")),
        ("call", calls_step(generic(arguments="", output=""), status="completed")),
    ],
)
def test_what_an_end_leaves_out_stays(kind: str, end: Event) -> None:
    """Absent, null or empty: the streamed text is still there, in the object that has ended."""
    state = ended(kind, end)
    if kind == "message":
        (found,) = state.messages
        assert (found.text, found.refusal) == ("Hello", "No")
        assert found.is_terminal
    elif kind == "reasoning":
        (step,) = state.steps
        details: Any = step.step_details
        assert (details.content, details.summary) == ((ReasoningPart(text="think"),), (ReasoningPart(text="short"),))
        assert step.is_terminal
    else:
        (call,) = state.tool_calls
        assert (call.type, call.arguments, call.output) == ("web_search", "{}", "found")


@pytest.mark.parametrize(
    ("kind", "end", "expected"),
    [
        ("message", message(status=MessageStatus.COMPLETED, content=(text("Hi"),)), ("Hi", "")),
        ("message", message(status=MessageStatus.COMPLETED, content=(RefusalPart(refusal="Nope"),)), ("", "Nope")),
        ("reasoning", reasoning_step(status="completed", content=(ReasoningPart(text="thought"),)), "thought"),
        ("call", calls_step(generic(arguments="[]"), status="completed"), ("[]", "found")),
        ("call", calls_step(generic("call_9"), status="completed"), (None, None)),
    ],
)
def test_what_an_end_has_replaces(kind: str, end: Event, expected: Any) -> None:
    """A list with items is the whole list; a text in it replaces the streamed one."""
    state = ended(kind, end)
    if kind == "message":
        assert (state.messages[0].text, state.messages[0].refusal) == expected
    elif kind == "reasoning":
        assert state.reasoning == expected
        assert state.steps[0].step_details.summary == (ReasoningPart(text="short"),)  # type: ignore[union-attr]
    else:
        (call,) = state.tool_calls
        assert (call.arguments, call.output) == expected


def test_a_snapshot_in_between_erases_nothing() -> None:
    """A snapshot of an open object, without content, leaves the streamed texts and lets them grow on."""
    for kind, between, target, place in (
        ("message", message(status=MessageStatus.IN_PROGRESS, content=()), "text", "msg_1"),
        ("reasoning", reasoning_step(content=(), summary=()), "reasoning", "step_1"),
        ("call", calls_step(generic(output="")), "output", "step_1"),
    ):
        state, _ = folded([*START, *STREAMED[kind], between, append(place, target, "!")])
        whole = {
            "message": state.text,
            "reasoning": state.reasoning,
            "call": state.tool_calls and state.tool_calls[0].output,
        }
        assert whole[kind] in ("Hello!", "think!", "found!")


def test_a_kept_text_is_no_replacement() -> None:
    """No signal says that a text was replaced, and the end of the message is emitted with the text."""
    _, signals = folded([*START, *STREAMED["message"], message(status=MessageStatus.COMPLETED, content=())])
    assert [signal.type for signal in signals[-2:]] == ["message.refusal", "message.completed"]
    assert "message.text_replaced" not in [signal.type for signal in signals]
    assert signals[-1].message.text == "Hello"  # type: ignore[union-attr]


def test_content_that_an_assistants_server_empties() -> None:
    """On this wire too an empty list erases nothing: text and refusal stay."""
    parts = [{"index": 0, **text_part("Hello")}, {"index": 1, "type": "refusal", "refusal": "No"}]
    done = message_object("msg_1", RUN, status="completed", content=[])
    started = [at("queued"), at("in_progress", 110), ev("message.created", message_object("msg_1", RUN))]
    deltas = [ev("message.delta", {"id": "msg_1", "delta": {"content": [part]}}) for part in parts]
    state = state_of([*started, *deltas, ev("message.completed", done)])
    assert (state.text, state.messages[0].refusal) == ("Hello", "No")


def test_an_output_after_the_end_of_its_step() -> None:
    """An output that follows the call is added to the step, though the step has ended; it is a result, once."""
    call = FunctionToolCall(id="call_1", function=FunctionCall(name="f", arguments="{}"))
    answered = call.replace(function=call.function.replace(output="42"))
    other = call.replace(function=call.function.replace(output="43", arguments="[]"))
    state, signals = folded([*START, calls_step(call, status="completed")])
    assert "tool_call.result" not in [signal.type for signal in signals]
    state, signals = folded([calls_step(answered, status="completed")] * 2, state)
    assert state.tool_calls == (answered,)
    assert [signal.key for signal in signals] == ["run_1/call/call_1/output/0", "run_1/call/call_1/result"]
    state, signals = folded([calls_step(other, status="completed"), calls_step(call, status="failed")], state)
    assert (state.tool_calls, signals) == ((answered,), [])


def test_a_step_of_another_status_adds_nothing() -> None:
    """Terminal absorbs: a snapshot with another status is late, output or not."""
    state, _ = folded([*START, calls_step(generic(), status="completed")])
    assert folded([calls_step(generic(output="x"), status="failed")], state)[0] is state


def test_an_assistants_step_that_completes_without_its_streamed_output() -> None:
    """A null output in the full step erases no output that deltas brought."""
    call = {
        "index": 0,
        "id": "call_1",
        "type": "function",
        "function": {"name": "f", "arguments": "{}", "output": "42"},
    }
    delta = {"id": "step_1", "delta": {"step_details": {"type": "tool_calls", "tool_calls": [call]}}}
    bare = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}", "output": None}}
    whole = step_object("step_1", RUN, {"type": "tool_calls", "tool_calls": [bare]}, status="completed")
    state = state_of(
        [at("queued"), at("in_progress", 110), ev("run.step.delta", delta), ev("run.step.completed", whole)]
    )
    assert state.tool_calls[0].output == "42"
