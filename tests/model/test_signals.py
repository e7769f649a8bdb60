"""The signals themselves: the design's table row by row, types, keys and JSON."""

from __future__ import annotations

import json
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.model import signals
from runstream.model.common import ErrorObject
from runstream.model.frozen import FrozenMap
from runstream.model.keys import call_key
from runstream.model.message import Message
from runstream.model.run import Run, RunStatus
from runstream.model.signals import SIGNAL_TYPES, AwaitedCall, Signal
from runstream.model.step import RunStep
from runstream.model.tool_calls import FunctionToolCall
from tests.support.wire import function_call, required_action

ACTION = required_action(function_call("b", "f", "{}"), function_call("a", "g", "[]"))
RUN = Run.from_json({"id": "run_1", "status": "queued", "required_action": ACTION, "unknown": {"x": 1}})
MESSAGE, STEP = Message(id="msg_1"), RunStep(id="step_1")
CALL = FunctionToolCall.from_json(function_call("call_1", "f", '{"a":1}'))
AWAITED = AwaitedCall("call_1", "f", "{", None, "bad", CALL, "run_1/call/call_1")
HEAD: tuple[Any, ...] = ("run_1", "thread_1", "", 5.0)
SOURCE: tuple[Any, ...] = ("file.sse", "", 5.0, 2, "why", 1)

# The table: type -> (the fields after the common ones, the key).
TABLE: dict[str, tuple[tuple[Any, ...], str]] = {
    "run.created": ((RUN,), "run_1/created"),
    "run.status_changed": ((None, RunStatus("generating"), 2), "run_1/status/generating/2"),
    "run.action_required": ((RUN, RUN.required_action, (AWAITED,), "a,b~2"), "run_1/action_required/a,b~2"),
    **{
        f"run.{status}": ((RUN, 1.5), f"run_1/{status}")
        for status in ("completed", "failed", "cancelled", "expired", "incomplete")
    },
    "run.paused": ((RUN, 3), "run_1/paused/3"),
    "run.interrupted": ((RUN, "gone", "id_9", 4, 2), "run_1/interrupted/2"),
    "run.stalled": ((RUN, 30.0, "idle", 1), "run_1/stalled/1"),
    **{
        f"message.{what}": ((MESSAGE,), f"run_1/message/msg_1/{what}")
        for what in ("created", "completed", "incomplete")
    },
    "message.text": (("msg_1", 1, 7, "Hi"), "run_1/message/msg_1/text/1/7"),
    "message.refusal": (("msg_1", 1, 7, "No"), "run_1/message/msg_1/refusal/1/7"),
    "reasoning.text": (("step_1", 1, 7, "Hm", "summary"), "run_1/step/step_1/summary/1/7"),
    "message.text_replaced": (("msg_1", 1, "Hi", 3), "run_1/message/msg_1/text_replaced/3/25858690f35e980f"),
    **{
        f"step.{what}": ((STEP,), f"run_1/step/step_1/{what}")
        for what in ("created", "completed", "failed", "cancelled", "expired")
    },
    "tool_call.arguments": (("call_1", 7, "{}", "run_1/call/call_1~2"), "run_1/call/call_1~2/arguments/7"),
    "tool_call.completed": (("call_1", CALL, "run_1/call/call_1"), "run_1/call/call_1/completed"),
    "tool_call.output": (("call_1", 7, "42", "run_1/call/call_1~2"), "run_1/call/call_1~2/output/7"),
    "tool_call.result": (("call_1", CALL, "42", "run_1/call/call_1"), "run_1/call/call_1/result"),
    "document.changed": ((3, FrozenMap({"a": 1}), None, 7, False), "run_1/document/3"),
    "activity.changed": (("plan/1", "PLAN", 2, FrozenMap({"a": 1}), None, 7, False), "run_1/activity/plan%2F1/2"),
    "custom": (("progress", 0.5, 3), "run_1/custom/3"),
    **{
        f"source.{what}": ((), f"file.sse/{what}/2")
        for what in ("connected", "disconnected", "resumed", "ended", "error")
    },
}


def made(type: str) -> Any:
    """A signal of this type."""
    head = SOURCE if type.startswith("source.") else HEAD
    return SIGNAL_TYPES[type](*head, *TABLE[type][0])


def test_the_table_is_the_designs() -> None:
    """These are all signals that there are, and each is in the union that `match` is checked against."""
    assert set(SIGNAL_TYPES) == set(TABLE)
    assert set(typing.get_args(Signal)) == set(SIGNAL_TYPES.values())
    assert {kind.__name__ for kind in SIGNAL_TYPES.values()} <= set(signals.__all__)


@pytest.mark.parametrize("type", TABLE)
def test_type_and_key(type: str) -> None:
    """The type is the tag; the key is the one of the table, and the same for an equal signal."""
    signal = made(type)
    assert signal.type == type
    assert signal.key == TABLE[type][1]
    assert made(type) == signal


@pytest.mark.parametrize("type", TABLE)
def test_json(type: str) -> None:
    """One line of JSON: type first, then who, then the key; wire objects as they came."""
    signal = made(type)
    written = json.loads(signal.to_json())
    assert written == signal.to_dict()
    assert (written["type"], written["key"]) == (type, signal.key)
    names = list(written)
    assert names[:4] == (
        ["type", "source", "key", "scope"] if "source" in written else ["type", "run_id", "thread_id", "key"]
    )
    if "run" in written:
        assert written["run"]["unknown"] == {"x": 1}


@pytest.mark.parametrize("type", TABLE)
def test_frozen(type: str) -> None:
    """Nobody can change a signal for those that get it next."""
    signal = made(type)
    with pytest.raises(AttributeError):
        signal.at = 6.0
    assert isinstance(hash(signal), int)


def test_awaited_calls_in_json() -> None:
    """Each call with its arguments, parsed or with the reason why not."""
    (call,) = made("run.action_required").to_dict()["calls"]
    assert call == {
        "id": "call_1",
        "name": "f",
        "arguments": "{",
        "parsed": None,
        "error": "bad",
        "key": "run_1/call/call_1",
        "kind": "function",
    }


def test_reasoning_has_a_key_of_its_kind() -> None:
    """A reasoning and its summary are two texts with two keys."""
    assert SIGNAL_TYPES["reasoning.text"](*HEAD, "step_1", 1, 7, "Hm").key == "run_1/step/step_1/reasoning/1/7"


def test_a_server_error_in_json() -> None:
    """`source.error` carries the server's own error, if it was one."""
    signal = SIGNAL_TYPES["source.error"](*SOURCE, "no", ErrorObject(message="no", code="server_error"))
    assert signal.to_dict()["server_message"] == "no"
    assert signal.to_dict()["error"] == {"message": "no", "code": "server_error"}
    assert made("source.error").to_dict()["error"] is None


def test_the_scope_is_in_every_key() -> None:
    """The key of a run or a source in a scope begins with the scope; ids of both are encoded."""
    for type in TABLE:
        fields = list(TABLE[type][0])
        head = ("s:/1", "t,", 5.0, 2, "why", 1) if type.startswith("source.") else ("r/~1", "thread_1", "t,", 5.0)
        if type.startswith("tool_call."):
            fields[-1] = call_key("t,", "r/~1", "call_1")
        start = "t%2C:s%3A%2F1/" if type.startswith("source.") else "t%2C:r%2F%7E1/"
        assert SIGNAL_TYPES[type](*head, *fields).key.startswith(start)


@given(st.lists(st.text("%/:,~a", max_size=4), min_size=4, max_size=4), st.data())
def test_keys_of_odd_ids_differ(ids: list[str], data: st.DataObject) -> None:
    """Whatever characters ids have, keys are equal only where all ids are."""
    types = [type for type in TABLE if type.startswith(("run.c", "message.", "step."))]
    type = data.draw(st.sampled_from(types))
    other = data.draw(st.lists(st.text("%/:,~a", max_size=4), min_size=4, max_size=4) | st.just(ids))

    def key(scope: str, run: str, id: str, status: str) -> str:
        first: Any = TABLE[type][0][0]
        if type.startswith("step."):
            first = RunStep(id=id)
        elif isinstance(first, Message):
            first = Message(id=id)
        elif isinstance(first, str):
            first = id
        return str(SIGNAL_TYPES[type](run, None, scope, 5.0, first, *TABLE[type][0][1:]).key)

    same = ids[:2] == other[:2] and (type.startswith("run.") or ids[2] == other[2])
    assert (key(*ids) == key(*other)) is same
