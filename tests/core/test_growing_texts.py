"""Every kind of text grows: in its place, in both forms alike, with the signals of its kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.core.growing_texts import fit_calls, path_of
from runstream.core.state import RunState
from runstream.model.deltas import GenericToolCallDelta, RunStepDelta, RunStepDeltaBody, ToolCallsDelta
from runstream.model.events import Event, StepDeltaEvent, TextAppend
from runstream.model.tool_calls import (
    CodeInterpreterCall,
    CodeInterpreterToolCall,
    ConnectedAgentCall,
    ConnectedAgentToolCall,
    FunctionCall,
    FunctionToolCall,
    GenericToolCall,
    McpToolCall,
    ToolCall,
)
from runstream.store.codec import decode_state, encode_state
from tests.support.canonical import append, calls_step, folded, generic, message, named, play, reasoning_step, run

FUNCTION = FunctionToolCall(id="call_1", function=FunctionCall(name="look_up"))
MCP = McpToolCall(id="call_1", name="search")
AGENT = ConnectedAgentToolCall(id="call_1", connected_agent=ConnectedAgentCall(name="agent"))
CODE = CodeInterpreterToolCall(id="call_1", code_interpreter=CodeInterpreterCall())
START = (run("queued"), run("in_progress"))

# The name of a case: the object that is there before, the target, the reader of the text, the start of the keys.
CASES: dict[str, tuple[Event, str, Callable[[RunState], str | None], str]] = {
    "text": (message(), "text", lambda state: state.text, "message/obj/text/0"),
    "refusal": (message(), "refusal", lambda state: state.messages[0].refusal, "message/obj/refusal/0"),
    "reasoning": (reasoning_step(), "reasoning", lambda state: state.reasoning, "step/obj/reasoning/0"),
    "summary": (reasoning_step(), "summary", lambda state: state.reasoning, "step/obj/summary/0"),
    **{
        f"arguments of {call.type}": (
            calls_step(call),
            "arguments",
            lambda state: state.tool_calls[0].arguments,
            "call/call_1/arguments",
        )
        for call in (FUNCTION, MCP, AGENT, generic())
    },
    **{
        f"output of {call.type}": (
            calls_step(call),
            "output",
            lambda state: state.tool_calls[0].output,
            "call/call_1/output",
        )
        for call in (FUNCTION, MCP, AGENT, generic())
    },
    "code": (calls_step(CODE), "code", lambda state: state.tool_calls[0].arguments, "call/call_1/arguments"),
}


def _object_id(event: Any) -> str:
    return str(event.data.id)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("known", [True, False])
def test_a_text_grows_in_its_place(case: str, known: bool) -> None:
    """The fragments are joined, whether or not the object was announced, and each is one signal with its offset."""
    announced, target, read, start = CASES[case]
    id = _object_id(announced)
    events: list[Event] = [*START, *([announced] if known else [])]
    if not known and start.startswith("call/"):
        events.append(named(id, 0, "call_1", code=target == "code"))
    before = len(folded(events)[1])
    events += [append(id, target, text) for text in ("one ", "two ", "three")]
    state, signals = folded(events)
    assert read(state) == "one two three"
    start = start.replace("obj", id)
    assert [signal.key for signal in signals[before:]] == [f"run_1/{start}/{offset}" for offset in (0, 4, 8)]
    assert [signal.delta for signal in signals[before:]] == ["one ", "two ", "three"]  # type: ignore[union-attr]
    engine, played = play(events)
    assert engine.states() == (state,)
    assert [signal.to_dict() for signal in played] == [signal.to_dict() for signal in signals]


fragments = st.lists(
    st.tuples(
        st.sampled_from(["step_1", "step_2", "step_3", "msg_1"]),
        st.sampled_from(["text", "refusal", "arguments", "output", "code", "reasoning", "summary"]),
        st.integers(0, 2),
        st.sampled_from(["a", "bc", "🙂", " "]),
    ),
    max_size=25,
)
_OBJECTS: Sequence[Event] = (
    *START,
    message(),
    calls_step(FUNCTION, generic("call_2"), MCP.replace(id="call_3")),
    reasoning_step("step_2"),
)


def _fits(id: str, target: str) -> bool:
    return (id == "msg_1") == (target in ("text", "refusal"))


@given(fragments)
def test_both_forms_of_a_fragment_fold_alike(found: list[tuple[str, str, int, str]]) -> None:
    """Appends, their full events, and any mixture give equal states, equal signals and equal stored bytes."""
    appends: list[TextAppend] = [
        append(id, target, text, index) for id, target, index, text in found if _fits(id, target)
    ]
    forms = [
        [*_OBJECTS, *appends],
        [*_OBJECTS, *(event.widen() for event in appends)],
        [*_OBJECTS, *(event.widen() if place % 2 else event for place, event in enumerate(appends))],
    ]
    results = []
    for events in forms:
        state, signals = folded(events)
        engine, played = play(events)
        assert engine.states() == (state,)
        assert [signal.to_json() for signal in played] == [signal.to_json() for signal in signals]
        keys = [signal.key for signal in signals]
        assert len(set(keys)) == len(keys)
        results.append(
            (state.to_dict(), state.reasoning, [signal.to_json() for signal in signals], encode_state(state))
        )
    assert results[0] == results[1] == results[2]


@given(fragments, st.integers(0, 25))
def test_a_stored_state_goes_on(found: list[tuple[str, str, int, str]], cut: int) -> None:
    """A state that was written and read between two fragments gives the same state and the same further signals."""
    appends = [append(id, target, text, index) for id, target, index, text in found if _fits(id, target)]
    before, _ = folded([*_OBJECTS, *appends[:cut]])
    stored = decode_state(encode_state(before))
    assert stored == before
    if appends[cut:]:
        one, other = folded(appends[cut:], before), folded(appends[cut:], stored)
        assert one[0] == other[0]
        assert [signal.to_json() for signal in one[1]] == [signal.to_json() for signal in other[1]]


def test_a_delta_of_a_generic_call_grows_it_too() -> None:
    """A delta may name the kind and the status beside its pieces; the kind is set once."""
    pieces = [
        GenericToolCallDelta(index=0, id="call_1", kind="shell", arguments="[", status="in_progress"),
        GenericToolCallDelta(index=0, kind="shell", arguments="]", output="done", status="completed"),
    ]
    bodies = [RunStepDeltaBody(step_details=ToolCallsDelta(tool_calls=(piece,))) for piece in pieces]
    events = [StepDeltaEvent(RunStepDelta(id="step_1", delta=body), run_id="run_1") for body in bodies]
    state, signals = folded([*START, *events, append("step_1", "output", "!")])
    (call,) = state.tool_calls
    assert isinstance(call, GenericToolCall)
    assert (call.type, call.arguments, call.output, call.status) == ("shell", "[]", "done!", "completed")
    assert [signal.key for signal in signals[-4:]] == [
        "run_1/call/call_1/arguments/0",
        "run_1/call/call_1/arguments/1",
        "run_1/call/call_1/output/0",
        "run_1/call/call_1/output/4",
    ]


def test_a_fragment_goes_where_its_call_has_it() -> None:
    """A fragment that names no type is moved to the place that the known call has; other deltas stay as they are."""
    kinds: dict[int, ToolCall] = {0: generic(), 1: AGENT, 2: FUNCTION}
    parts = {"step_details": {"tool_calls": {index: {"type": call.type} for index, call in kinds.items()}}}
    parts["step_details"]["tool_calls"][0]["type"] = "generic"
    delta = {
        "step_details": {
            "tool_calls": [{"index": index, "type": "function", "function": {"output": "x"}} for index in range(4)]
        }
    }
    assert fit_calls(delta, parts)["step_details"]["tool_calls"] == [
        {"index": 0, "output": "x"},
        {"index": 1, "connected_agent": {"output": "x"}},
        {"index": 2, "type": "function", "function": {"output": "x"}},
        {"index": 3, "type": "function", "function": {"output": "x"}},
    ]
    assert fit_calls({"step_details": {"tool_calls": [{"index": 2}]}}, parts) == {
        "step_details": {"tool_calls": [{"index": 2}]}
    }
    assert path_of(parts, "output", 1) == ("step_details", "tool_calls", 1, "connected_agent", "output")
    assert path_of(parts, "output", 3) == ("step_details", "tool_calls", 3, "function", "output")
