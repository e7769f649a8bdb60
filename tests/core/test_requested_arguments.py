"""A request that leaves out the arguments of its calls: what was streamed counts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runstream import ActionRequired, ToolCallCompleted, fold

RUN = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1"}
ARGUMENTS = '{"amount":12}'


def event(name: str, data: dict[str, Any]) -> bytes:
    return json.dumps({"event": f"thread.run.{name}", "data": data}).encode()


def step() -> bytes:
    details: dict[str, Any] = {"type": "tool_calls", "tool_calls": []}
    data = {
        "id": "step_1",
        "object": "thread.run.step",
        "run_id": "run_1",
        "status": "in_progress",
        "type": "tool_calls",
    }
    return event("step.created", {**data, "step_details": details})


def delta(text: str, *, id: str | None = None, **function: Any) -> bytes:
    call = {"index": 0, "type": "function", "function": {"arguments": text, **function}}
    details = {"type": "tool_calls", "tool_calls": [call if id is None else {**call, "id": id}]}
    return event("step.delta", {"id": "step_1", "object": "thread.run.step.delta", "delta": {"step_details": details}})


def requested(*calls: dict[str, Any]) -> bytes:
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": list(calls)}}
    return event("requires_action", {**RUN, "status": "requires_action", "required_action": action})


BEGIN = [event("in_progress", {**RUN, "status": "in_progress"}), step()]
STREAMED = [
    delta("", id="c1", name="transfer"),
    delta('{"amount":'),
    delta("12}"),
]
WAYS: dict[str, dict[str, Any]] = {
    "empty": {"id": "c1", "type": "function", "function": {"name": "transfer", "arguments": ""}},
    "absent": {"id": "c1", "type": "function", "function": {"name": "transfer"}},
    "null": {"id": "c1", "type": "function", "function": {"name": "transfer", "arguments": None}},
    "the id alone": {"id": "c1"},
    "id and type": {"id": "c1", "type": "function"},
}


@pytest.mark.parametrize("way", WAYS)
def test_streamed_arguments_are_requested(way: str) -> None:
    found = fold([*BEGIN, *STREAMED, requested(WAYS[way])])
    (signal,) = [each for each in found.signals if isinstance(each, ActionRequired)]
    (call,) = signal.calls
    assert (call.id, call.name, call.arguments, call.error) == ("c1", "transfer", ARGUMENTS, None)
    assert call.parsed == {"amount": 12}
    assert call.key == "run_1/call/c1"
    assert [each.key for each in found.signals if isinstance(each, ToolCallCompleted)] == ["run_1/call/c1/completed"]
    (pending,) = found.runs[0].run.pending_tool_calls
    assert pending.arguments == ARGUMENTS


@pytest.mark.parametrize("way", WAYS)
def test_a_request_that_is_repeated_is_the_same(way: str) -> None:
    """Whole or without arguments, in any order."""
    whole = {"id": "c1", "type": "function", "function": {"name": "transfer", "arguments": ARGUMENTS}}
    for requests in ([WAYS[way]] * 2, [WAYS[way], whole], [whole, WAYS[way]]):
        found = fold([*BEGIN, *STREAMED, *map(requested, requests)])
        assert sum(isinstance(each, ActionRequired) for each in found.signals) == 1
        assert found.runs[0].round == 1


def test_a_call_without_arguments_has_none() -> None:
    """Nothing was streamed."""
    found = fold([*BEGIN, requested(WAYS["empty"])])
    (signal,) = [each for each in found.signals if isinstance(each, ActionRequired)]
    assert (signal.calls[0].arguments, signal.calls[0].error) == ("", None)


def test_arguments_with_a_gap_are_an_error() -> None:
    """They are not whole, and the request leaves them out: a tool without arguments would be another call."""
    broken = b'{"event":"thread.run.step.delta","data":{"id":"step_1",'
    found = fold([*BEGIN, *STREAMED[:2], broken, requested(WAYS["empty"])])
    assert found.runs[0].partial == {"step_1"}
    (signal,) = [each for each in found.signals if isinstance(each, ActionRequired)]
    assert signal.calls[0].error == "Arguments were not received whole"


@pytest.mark.parametrize("arguments", ["", None])
@pytest.mark.parametrize("place", ["item", "output", "both"])
def test_the_end_of_a_call_of_responses_may_leave_them_out(arguments: str | None, place: str) -> None:
    call = {"id": "fc", "type": "function_call", "call_id": "c1", "name": "transfer", "arguments": ""}
    response = {"id": "resp_1", "object": "response", "output": []}
    left_out = {**call, "arguments": arguments, "status": "completed"}
    if arguments is None:
        del left_out["arguments"]
    whole = {**left_out, "arguments": ARGUMENTS}
    end = {"status": "completed", "output": [whole if place == "item" else left_out]}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**response, "status": "in_progress"}},
        {"type": "response.output_item.added", "output_index": 0, "item": call},
        *(
            {"type": "response.function_call_arguments.delta", "item_id": "fc", "output_index": 0, "delta": text}
            for text in ('{"amount":', "12}")
        ),
        {"type": "response.output_item.done", "output_index": 0, "item": whole if place == "output" else left_out},
        {"type": "response.completed", "response": {**response, **end}},
    ]
    found = fold([json.dumps(each).encode() for each in events])
    (signal,) = [each for each in found.signals if isinstance(each, ActionRequired)]
    assert [(each.key, each.arguments) for each in signal.calls] == [("resp_1/call/c1", ARGUMENTS)]
    assert [each.key for each in found.signals if isinstance(each, ToolCallCompleted)] == ["resp_1/call/c1/completed"]
