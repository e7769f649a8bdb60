"""Names of calls and rounds: a repeated id is another call at another index, in another step, in another round."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.core.derive import awaited_calls
from runstream.core.reduce import apply, reduce
from runstream.core.run_snapshots import Outcome
from runstream.core.state import RunState, stepless_calls
from runstream.core.step_calls import step_calls
from runstream.model.raw import RawEvent
from runstream.model.signals import ActionRequired, ToolCallCompleted
from runstream.store.codec import decode_state, encode_state
from tests.core.support import RUN, at, decoded, ev, keys, signals_of, state_of
from tests.support.wire import (
    Json,
    function_call,
    function_call_delta,
    required_action,
    step_delta,
    step_object,
    tool_calls,
)

STARTED = [at("in_progress", 110)]


def request(*calls: Json, started_at: int | None = 110, **fields: Any) -> RawEvent:
    """A snapshot that requires these calls."""
    return at("requires_action", started_at, required_action=required_action(*calls), **fields)


def call(id: str, arguments: str = "{}", name: str = "f") -> Json:
    """A function call."""
    return function_call(id, name, arguments)


def step(id: str, *calls: Json, status: str = "in_progress") -> RawEvent:
    """A full step with these calls."""
    return ev(f"run.step.{status}", step_object(id, RUN, tool_calls(*calls), status=status))


def grows(id: str, *deltas: Json) -> RawEvent:
    """A delta of a step."""
    return ev("run.step.delta", step_delta(id, *deltas))


def names(state: RunState, step_id: str) -> list[str]:
    """The names of the calls of a step."""
    item = state._find(step_id)
    assert item is not None
    return [known.name for known in step_calls(item)]


def requested(state: RunState) -> list[str]:
    """The keys of the calls that a run waits for."""
    return [awaited.key for awaited in awaited_calls(state)]


# numbers


def test_another_index_step_and_round() -> None:
    """The k-th call of an id has the number k, and its request has the name of its step."""
    state = state_of([*STARTED, step("step_1", call("c", "1"), call("c", "2"))])
    assert names(state, "step_1") == ["c", "c~2"]
    state = state_of([request(call("c", "1"), call("c", "2"))], state)
    assert requested(state) == ["run_1/call/c", "run_1/call/c~2"]
    state = state_of([step("step_1", call("c", "1"), call("c", "2"), status="completed"), at("queued", 110)], state)
    state = state_of([at("in_progress", 120), step("step_2", call("c", "3"))], state)
    assert names(state, "step_2") == ["c~3"]
    state = state_of([request(call("c", "3"), started_at=120)], state)
    assert requested(state) == ["run_1/call/c~3"]
    assert (state.round, state._head.calls.request, tuple(state._head.calls.open)) == (2, "c~3", ())


def test_a_request_before_its_step() -> None:
    """As a poll brings them: the step gets the names of the request, by its arguments where there are two."""
    state = state_of([*STARTED, request(call("c", "1")), at("queued", 110), at("in_progress", 120)])
    state = state_of([request(call("c", "2"), started_at=120)], state)
    assert requested(state) == ["run_1/call/c~2"]
    state = state_of([step("step_2", call("c", "2")), step("step_1", call("c", "1"), status="completed")], state)
    assert (names(state, "step_1"), names(state, "step_2")) == (["c"], ["c~2"])
    assert not state._head.calls.open


def test_of_two_open_steps_the_one_with_the_arguments() -> None:
    """The end of the first step, or its request, was missed."""
    steps = [step("step_1", call("c", '{"a": 1}')), step("step_2", call("c", '{"a": 2}'))]
    for text, name in (('{"a":2}', "c~2"), ('{"a":1}', "c"), ('{"a":3}', "c~2")):
        assert requested(state_of([*STARTED, *steps, request(call("c", text))])) == [f"run_1/call/{name}"]


def test_a_step_that_ended_before_its_request() -> None:
    """An equal request is for its call, another one is for a call of its own."""
    ended = [*STARTED, step("step_1", call("c", "1"), status="completed")]
    assert requested(state_of([*ended, request(call("c", "1"))])) == ["run_1/call/c"]
    assert requested(state_of([*ended, request(call("c", "2"))])) == ["run_1/call/c~2"]


def test_growing_calls_of_one_id() -> None:
    """Fragments of two calls with one id keep their own offsets, and no key comes twice."""
    story = [*STARTED, step("step_1"), grows("step_1", function_call_delta(0, "{", id="c", name="f"))]
    story += [grows("step_1", function_call_delta(1, "[", id="c", name="f"))]
    story += [grows("step_1", function_call_delta(index, text)) for index, text in ((1, "]"), (0, "}"), (0, " "))]
    story += [step("step_1", call("c", "{} "), call("c", "[]"), status="completed")]
    found = keys(signals_of(story))
    assert [key for key in found if "/call/" in key] == [
        "run_1/call/c/arguments/0",
        "run_1/call/c~2/arguments/0",
        "run_1/call/c~2/arguments/1",
        "run_1/call/c/arguments/1",
        "run_1/call/c/arguments/2",
        "run_1/call/c/completed",
        "run_1/call/c~2/completed",
    ]


def test_a_call_of_a_repeated_id_keeps_its_name() -> None:
    """Its name stays with its index once a call with a smaller index has come, in a store, and in the whole step."""
    story = [*STARTED, step("step_1"), grows("step_1", function_call_delta(5, "[5]", id="c", name="f"))]
    story += [grows("step_1", function_call_delta(2, "[2]", id="c", name="f"))]
    state = state_of(story)
    assert names(state, "step_1") == ["c~2", "c"]
    assert names(decode_state(encode_state(state)), "step_1") == ["c~2", "c"]
    ended = step("step_1", call("c", "[2]"), call("c", "[5]"), status="completed")
    assert names(state_of([*story, ended]), "step_1") == ["c~2", "c"]


def test_ids_are_encoded() -> None:
    """An id that looks like a name, a number or a path is none."""
    state = state_of([*STARTED, request(call("c"), call("c~2"), call("a/b,%:"))])
    assert requested(state) == [f"run_1/call/{name}" for name in ("c", "c%7E2", "a%2Fb%2C%25%3A")]
    assert state._head.calls.request == "a%2Fb%2C%25%3A,c,c%7E2"


def test_calls_without_ids() -> None:
    """They are named by a digest, and so is a request without ids; equal ones are numbered."""
    pay = {"type": "pay", "pay": {"tool_calls": [{"n": 1}, {"n": 1}, {"n": 2}]}}
    state = state_of([*STARTED, at("requires_action", 110, required_action=pay)])
    first, second, third = requested(state)
    assert first.startswith("run_1/call/digest:")
    assert (second, third[:18]) == (f"{first}~2", "run_1/call/digest:")
    assert state._head.calls.request.startswith("digest:")
    bare = {"type": "confirm", "confirm": {}}
    state = state_of([*STARTED, at("requires_action", 110, required_action=bare)])
    name = state._head.calls.request
    assert name.startswith("digest:")
    again = state_of([at("requires_action", 120, required_action=bare)], state)
    assert (again._head.calls.request, again.round) == (f"{name}~2", 2)


def test_awaited_calls_of_no_step_are_calls_of_the_state() -> None:
    """A call that has the id of a call in an earlier step is listed too."""
    state = state_of([*STARTED, step("step_1", call("c", "1"), status="completed"), request(call("c", "2"))])
    assert [known.arguments for known in state.tool_calls] == ["1", "2"]
    assert [known.arguments for known, _ in stepless_calls(state)] == ["2"]


# rounds


def test_other_arguments_are_a_round() -> None:
    """Ids that are numbered anew: other arguments, or another function, were not asked for before."""
    story = [*STARTED, request(call("c", "1")), at("queued", 110)]
    for again in (call("c", "2"), call("c", "1", name="g")):
        found = signals_of([request(again)], state_of(story))
        assert keys(found) == ["run_1/call/c~2/completed", "run_1/action_required/c~2"]
    assert apply(state_of(story), decoded(request(call("c", " 1 "))))[1] is Outcome.STALE


def test_a_call_more_is_the_same_round() -> None:
    """It is emitted once more with all calls, and those from before keep their keys."""
    state = state_of([*STARTED, request(call("a"))])
    found = signals_of([request(call("b"), call("a"))], state)
    assert [signal.type for signal in found] == ["tool_call.completed", "run.action_required"]
    assert isinstance(found[1], ActionRequired)
    assert found[1].key == "run_1/action_required/a,b"
    assert [awaited.key for awaited in found[1].calls] == ["run_1/call/b", "run_1/call/a"]
    state = state_of([request(call("b"), call("a"))], state)
    assert state.round == 1
    for old in (request(call("a")), request(call("b"))):
        assert apply(state, decoded(old))[1] is Outcome.STALE
    found = signals_of([request(call("b"), call("c"))], state)
    assert keys(found) == ["run_1/call/c/completed", "run_1/action_required/b,c"]


def test_the_same_calls_in_another_order() -> None:
    """They are the same request, and each call keeps its key."""
    state = state_of([*STARTED, request(call("a"), call("b")), request(call("b"), call("a"))])
    assert (state.round, requested(state)) == (1, ["run_1/call/b", "run_1/call/a"])
    assert signals_of([request(call("b"), call("a"), model="x")], state) == []


@pytest.mark.parametrize("waits", [True, False])
def test_the_same_calls_with_a_later_start_are_a_round(waits: bool) -> None:
    """The server's clock says that the run went on, whether it was seen or not."""
    state = state_of([*STARTED, request(call("a")), *([] if waits else [at("queued", 110), at("in_progress", 120)])])
    found = signals_of([request(call("a"), started_at=120)], state)
    assert keys(found) == ["run_1/call/a~2/completed", "run_1/action_required/a~2"]
    assert apply(state, decoded(request(call("a"))))[1] in (Outcome.STALE, Outcome.SAME)


def test_a_further_request_is_a_round() -> None:
    """Without times the source's own order says so."""
    state = state_of([at("in_progress"), request(call("a"), started_at=None), at("queued"), at("in_progress")])
    again = decoded(request(call("a"), started_at=None))
    assert reduce(state, again) is state
    after = reduce(state, again, further=True)
    assert after is not None
    assert (after.round, requested(after)) == (2, ["run_1/call/a~2"])
    assert reduce(after, again) is after
    third = reduce(after, again, further=True)
    assert third is not None
    assert requested(third) == ["run_1/call/a~3"]


def test_a_call_is_completed_once() -> None:
    """By its request or by its step, whichever comes first."""
    story = [*STARTED, step("step_1", call("a")), request(call("a")), step("step_1", call("a"), status="completed")]
    found = [signal for signal in signals_of(story) if isinstance(signal, ToolCallCompleted)]
    assert [signal.call_key for signal in found] == ["run_1/call/a"]
