"""Required actions of runs whose protocol has none: calls of any kind, and the same words for both forms."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.model.actions import (
    ActionCall,
    CallsAction,
    SubmitToolApprovalAction,
    SubmitToolOutputsAction,
    kind_of_call,
)
from runstream.model.base import decoder
from runstream.model.run import Run, RunStatus
from runstream.model.signal_base import AwaitedCall
from runstream.model.tool_calls import FunctionCall, FunctionToolCall, GenericToolCall
from tests.support.wire import function_call, required_action

CALLS = (
    ActionCall(id="call_1", kind="function", name="look_up", arguments='{"a":1}'),
    ActionCall(id="call_2", kind="shell", arguments='["ls"]', data={"environment": {"type": "local"}}),
    ActionCall(id="call_3", kind="interrupt", name="look_up", data=["which?", 1]),
)
ACTION = CallsAction(calls=CALLS)


def run_of(action: Any, status: str = "requires_action") -> Run:
    """A run with this action."""
    return Run(id="run_1", status=RunStatus(status), required_action=action)


def test_calls_of_both_forms_are_tool_calls() -> None:
    """A function call is one of the seed's class, whichever protocol asks for it; the other kinds are generic."""
    function, shell, interrupt = run_of(ACTION).pending_tool_calls
    (seed,) = run_of(
        SubmitToolOutputsAction.from_json(required_action(function_call("call_1", "look_up", '{"a":1}')))
    ).pending_tool_calls
    assert function == seed
    assert isinstance(function, FunctionToolCall)
    assert isinstance(shell, GenericToolCall)
    assert (shell.id, shell.type, shell.name, shell.arguments) == ("call_2", "shell", None, '["ls"]')
    assert shell.data == {"environment": {"type": "local"}}
    assert (interrupt.type, interrupt.name) == ("interrupt", "look_up")


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "incomplete", "expired"])
def test_no_call_waits_once_the_run_has_ended(status: str) -> None:
    """Whatever stands in the action, nothing is offered."""
    assert run_of(ACTION, status).pending_tool_calls == ()


def test_the_action_survives_json() -> None:
    """A run with the action is the same after it was written and read, by either reader."""
    run = run_of(ACTION)
    assert run.to_dict()["required_action"] == {
        "type": "action",
        "calls": [
            {"id": "call_1", "kind": "function", "name": "look_up", "arguments": '{"a":1}'},
            {"id": "call_2", "kind": "shell", "arguments": '["ls"]', "data": {"environment": {"type": "local"}}},
            {"id": "call_3", "kind": "interrupt", "name": "look_up", "data": ["which?", 1]},
        ],
    }
    again = Run.from_json(run.to_json())
    assert again == run
    assert hash(again) == hash(run) == hash(decoder(Run).decode(run.to_json()))
    assert Run.from_json({**run.to_dict(), "x": 1}).required_action == ACTION


def test_the_data_of_a_call_are_read_only() -> None:
    """A caller's value is copied; nobody can change it afterwards."""
    data: Any = {"a": [1]}
    calls = [
        ActionCall(id="c", kind="shell", data=data),
        ActionCall.from_json({"id": "c", "kind": "shell", "data": data}),
        GenericToolCall(id="c", type="shell", data=data),
    ]
    data["a"].append(2)
    for call in calls:
        assert call.data == {"a": [1]}
        with pytest.raises(AttributeError):
            call.data["a"].append(2)


@pytest.mark.parametrize("value", [0, "text", False, 1.5, [1, {"b": None}], {"a": {}}])
def test_data_are_any_json(value: Any) -> None:
    """An interrupt may ask with any value."""
    call = ActionCall(id="c", kind="interrupt", data=value)
    assert ActionCall.from_json(call.to_json()) == call
    assert call.to_dict()["data"] == value


def test_a_call_without_id_or_kind_is_read() -> None:
    """What is missing is empty, and is not written."""
    (call,) = CallsAction.from_json({"type": "action", "calls": [{"name": "f"}]}).calls
    assert (call.id, call.kind, call.name) == ("", "", "f")
    assert call.to_dict() == {"name": "f"}


def test_kinds_of_the_seeds_actions() -> None:
    """An output of a function, an approval of an MCP call, and the kinds of an action."""
    outputs = SubmitToolOutputsAction.from_json(required_action(function_call("call_1", "f", "{}")))
    approval = SubmitToolApprovalAction.from_json(
        {"type": "submit_tool_approval", "submit_tool_approval": {"tool_calls": [{"id": "c", "type": "mcp"}]}}
    )
    for action, kinds in (
        (outputs, ["function"]),
        (approval, ["approval"]),
        (ACTION, ["function", "shell", "interrupt"]),
    ):
        assert [kind_of_call(action, call) for call in action.tool_calls] == kinds  # type: ignore[arg-type,attr-defined]


def test_a_repr_shows_no_arguments() -> None:
    """Calls and actions are shown without what the model wrote."""
    secret = {"arguments": "secret", "data": "secret"}
    shown = [
        CallsAction(calls=(ActionCall(id="c", kind="shell", **secret),)),  # type: ignore[arg-type]
        GenericToolCall(id="c", type="shell", output="secret", **secret),  # type: ignore[arg-type]
    ]
    for value in shown:
        assert "secret" not in repr(value)
        assert "'c'" in repr(value)


def test_the_schema_of_an_answer() -> None:
    """It is read-only, is part of the generic call, and of the call that a run waits for."""
    schema = {"type": "object", "required": ["name"]}
    call = ActionCall(id="c", kind="interrupt", response_schema=schema)
    assert call.response_schema == call.tool_call.response_schema  # type: ignore[union-attr]
    assert call.to_dict()["response_schema"] == schema
    with pytest.raises(TypeError):
        call.response_schema["type"] = "string"
    awaited = AwaitedCall("c", None, None, None, None, call.tool_call, "run_1/call/c", "interrupt")
    assert awaited.response_schema["required"] == ("name",)
    function = ActionCall(id="c", kind="function", name="f").tool_call
    assert AwaitedCall("c", "f", None, None, None, function, "run_1/call/c").response_schema is None


def test_an_awaited_call_has_the_further_fields_of_its_call() -> None:
    """Those of a call without any are None, whatever its class."""
    asked = ActionCall(id="c", kind="interrupt", data={"question": "Sure?"}).tool_call
    assert AwaitedCall("c", None, None, None, None, asked, "run_1/call/c", "interrupt").data == {"question": "Sure?"}
    call = FunctionToolCall(id="c", function=FunctionCall(name="f"))
    assert AwaitedCall("c", "f", None, None, None, call, "run_1/call/c").data is None
