"""Actions of calls of any kind: one request, rounds, names of calls, and nothing offered that nobody may execute."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.core.derive import awaited_calls
from runstream.model.actions import ActionCall, CallsAction
from runstream.model.signals import ActionRequired, Signal
from runstream.model.tool_calls import FunctionCall, FunctionToolCall
from runstream.store.codec import decode_state, encode_state
from tests.support.canonical import append, calls_step, generic, play, run

START = (run("queued"), run("in_progress"))


def call(id: str = "call_1", kind: str = "function", arguments: str | None = '{"a":1}', **fields: Any) -> ActionCall:
    """A call of an action."""
    return ActionCall(id=id, kind=kind, name="look_up", arguments=arguments, **fields)


def asks(*calls: ActionCall, piece: str | None = None) -> Any:
    """A snapshot of the run that waits for these calls."""
    event = run("requires_action", required_action=CallsAction(calls=calls))
    return type(event)(event.data, run_id="run_1", name=event.name, piece=piece)


def requests(signals: list[Signal]) -> list[ActionRequired]:
    """The requests for action."""
    return [signal for signal in signals if isinstance(signal, ActionRequired)]


def test_a_request_has_its_calls_with_kind_and_arguments() -> None:
    """Arguments are parsed where they are JSON by their kind; the text of a custom tool is the text."""
    calls = (
        call(),
        call("call_2", "custom", "rm -rf {"),
        call("call_3", "shell", '["ls"]', data={"timeout": 1}),
        call("call_4", "approval", None),
        call("call_5", "function", "{"),
    )
    _, signals = play([*START, asks(*calls)])
    (request,) = requests(signals)
    assert request.key == "run_1/action_required/call_1,call_2,call_3,call_4,call_5"
    assert [awaited.kind for awaited in request.calls] == ["function", "custom", "shell", "approval", "function"]
    assert [awaited.parsed for awaited in request.calls] == [{"a": 1}, "rm -rf {", ["ls"], None, None]
    assert [awaited.error is None for awaited in request.calls] == [True, True, True, True, False]
    assert [awaited.key for awaited in request.calls] == [f"run_1/call/call_{n}" for n in range(1, 6)]
    assert isinstance(request.calls[0].call, FunctionToolCall)
    assert request.calls[2].call.data == {"timeout": 1}  # type: ignore[union-attr]
    assert request.to_dict()["calls"][2]["kind"] == "shell"


def test_a_call_has_one_name_in_its_step_and_in_its_request() -> None:
    """The arguments that grow in a step are of the call that the request names; it is complete once."""
    step = calls_step(FunctionToolCall(id="call_1", function=FunctionCall(name="look_up", arguments="")))
    events = [*START, step, append("step_1", "arguments", '{"a":1}'), asks(call())]
    events += [run("in_progress"), calls_step(step.data.tool_calls[0], status="completed")]
    _, signals = play(events)
    assert [signal.key for signal in signals if signal.type.startswith("tool_call.")] == [
        "run_1/call/call_1/arguments/0",
        "run_1/call/call_1/completed",
    ]


def test_a_custom_call_in_a_step_and_in_its_request() -> None:
    """A generic call keeps its name too: its request is for the call of the step."""
    step = calls_step(generic("call_1", "custom", name="look_up", arguments="text"), status="completed")
    _, signals = play([*START, step, asks(call("call_1", "custom", "text"))])
    (request,) = requests(signals)
    assert request.calls[0].key == "run_1/call/call_1"
    assert [signal.key for signal in signals if signal.type == "tool_call.completed"] == ["run_1/call/call_1/completed"]


def test_an_interrupt_is_not_the_call_that_it_asks_about() -> None:
    """It may have the id of a call, and the name of its tool: it has a key of its own and completes no call."""
    step = calls_step(FunctionToolCall(id="call_1", function=FunctionCall(name="look_up", arguments='{"a":1}')))
    engine, signals = play([*START, step, asks(call("call_1", "interrupt", None, data="really?"))])
    (request,) = requests(signals)
    assert (request.calls[0].kind, request.calls[0].key) == ("interrupt", "run_1/call/call_1~2")
    assert "tool_call.completed" not in [signal.type for signal in signals]
    (state,) = engine.states()
    assert awaited_calls(decode_state(encode_state(state))) == awaited_calls(state)


def test_rounds_of_actions() -> None:
    """A repeated request is the same round; one more call is the same round again; others are a new round."""
    more = (call(), call("call_2"))
    events = [*START, asks(call()), asks(call()), asks(*more), run("in_progress"), asks(call("call_3"))]
    engine, signals = play(events)
    assert [request.request for request in requests(signals)] == ["call_1", "call_1,call_2", "call_3"]
    assert engine.states()[0].round == 2


def test_equal_ids_in_two_pieces_are_two_calls() -> None:
    """A server that counts its ids in each piece: the second call of an id has a name of its own."""
    events = [*START, asks(call(), piece="a"), run("in_progress"), asks(call(), piece="b")]
    _, signals = play(events)
    keys = [awaited.key for request in requests(signals) for awaited in request.calls]
    assert keys == ["run_1/call/call_1", "run_1/call/call_1~2"]


@pytest.mark.parametrize("status", ["failed", "cancelled", "incomplete", "expired"])
def test_no_call_of_a_run_that_ended_early_is_offered(status: str) -> None:
    """Whatever stands in its last snapshot or in a late step: no request, and no call whose arguments are complete."""
    late = [
        calls_step(generic("call_1", "shell", arguments="[]"), status="completed"),
        calls_step(
            FunctionToolCall(id="call_2", function=FunctionCall(name="f", arguments="{}")), id="s2", status="completed"
        ),
    ]
    engine, signals = play([*START, run(status, required_action=CallsAction(calls=(call(),))), *late])
    assert [signal.type for signal in signals if "action" in signal.type or signal.type.startswith("tool_call.c")] == []
    (state,) = engine.states()
    assert awaited_calls(state) == ()


def test_a_call_that_the_server_ran_is_complete_after_an_early_end() -> None:
    """An output shows that the call was executed: its facts are emitted, though the run has failed."""
    step = calls_step(generic("call_1", "web_search", arguments="{}", output="found"), status="completed")
    _, signals = play([*START, run("failed"), step])
    assert [signal.type for signal in signals[-3:]] == ["tool_call.completed", "tool_call.result", "step.completed"]


def test_a_result_is_emitted_once() -> None:
    """When the output is first complete: by the status of the call itself, or by the end of its step."""
    open_call = generic(arguments="{}", output="fou", status="in_progress")
    ended = generic(arguments="{}", output="found", status="completed")
    events = [
        *START,
        calls_step(open_call),
        calls_step(ended),
        calls_step(ended),
        calls_step(ended, status="completed"),
        calls_step(ended, status="completed"),
    ]
    _, signals = play(events)
    results = [signal for signal in signals if signal.type == "tool_call.result"]
    assert [(signal.key, signal.output) for signal in results] == [("run_1/call/call_1/result", "found")]  # type: ignore[union-attr]


@pytest.mark.parametrize("status", ["cancelled", "expired", "in_progress"])
def test_an_output_that_is_cut_off_is_no_result(status: str) -> None:
    """A step that was cancelled or expired, or has not ended, may have half an output."""
    _, signals = play([*START, calls_step(generic(output="half"), status=status)])
    assert "tool_call.result" not in [signal.type for signal in signals]
