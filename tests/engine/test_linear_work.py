"""The work on a run is in proportion to its events, however many parts, calls, messages or rounds it has.

Work is counted, not timed: the instructions of the interpreter while the engine is fed.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest

from runstream.engine.engine import Engine
from runstream.model.limits import Limits
from runstream.model.raw import RawEvent
from tests.core.support import RUN, at, ev
from tests.support.wire import (
    file_citation,
    function_call,
    function_call_delta,
    message_delta,
    message_object,
    required_action,
    step_delta,
    step_object,
    text_part,
    tool_calls,
)

pytestmark = pytest.mark.slow

MESSAGE = ev("message.created", message_object("msg", RUN))
STEP = ev("run.step.created", step_object("step", RUN, tool_calls()))


def call_delta(index: int, text: str, **fields: Any) -> RawEvent:
    """A fragment of a call."""
    return ev("run.step.delta", step_delta("step", function_call_delta(index, text, **fields)))


def parts(n: int) -> list[RawEvent]:
    """Fragments of as many content parts, one after the other, then all again in turn."""
    deltas = [ev("message.delta", message_delta("msg", "x", index=index)) for index in range(n // 2)]
    return [MESSAGE, *deltas, *deltas]


def annotations(n: int) -> list[RawEvent]:
    """Annotations of one part, each in a fragment of its own."""
    found = [MESSAGE]
    for index in range(n):
        delta = message_delta("msg", "x", annotations=[file_citation("[1]", 0, "file")], first_annotation=index)
        found.append(ev("message.delta", delta))
    return found


def calls(n: int) -> list[RawEvent]:
    """The calls of one step, and a request for all of them."""
    deltas = [call_delta(index, "{}", id=f"call_{index}", name="f") for index in range(n)]
    action = required_action(*[function_call(f"call_{index}", "f", "{}") for index in range(n)])
    return [STEP, *deltas, at("requires_action", required_action=action)]


def fragments_of_calls(n: int) -> list[RawEvent]:
    """The fragments of the calls of one step, in turn."""
    named = [call_delta(index, "", id=f"call_{index}", name="f") for index in range(n // 4)]
    texts = [call_delta(index, "x") for index in range(n // 4)]
    return [STEP, *named, *texts, *texts, *texts]


def calls_with_one_id(n: int) -> list[RawEvent]:
    """Calls of one step that have one id, their fragments in turn, and a request for all of them."""
    named = [call_delta(index, "[", id="call", name="f") for index in range(n // 3)]
    texts = [call_delta(index, f"{index}]") for index in range(n // 3)]
    action = required_action(*[function_call("call", "f", f"[{index}]") for index in range(n // 3)])
    return [STEP, *named, *texts, at("requires_action", required_action=action)]


def requested_with_one_id(n: int) -> list[RawEvent]:
    """A request for calls that have one id; then their step, call by call."""
    action = required_action(*[function_call("call", "f", f"[{index}]") for index in range(n // 2)])
    deltas = [call_delta(index, f"[{index}]", id="call", name="f") for index in range(n // 2)]
    return [at("requires_action", required_action=action), STEP, *deltas]


def _ask(n: int) -> RawEvent:
    """A request for as many calls."""
    action = required_action(*[function_call(f"call_{index}", "f", "{}") for index in range(n)])
    return at("requires_action", required_action=action)


def requested_in_another_order(n: int) -> list[RawEvent]:
    """A request for calls; then their step, call by call, the last one first."""
    order = reversed(range(n))
    deltas = [call_delta(place, "{}", id=f"call_{index}", name="f") for place, index in enumerate(order)]
    return [_ask(n), STEP, *deltas]


def requested_before_their_steps(n: int) -> list[RawEvent]:
    """A request for calls; then a step for each, the last one first."""
    found = [_ask(n // 2)]
    for index in reversed(range(n // 2)):
        id, call = f"step_{index}", function_call(f"call_{index}", "f", "{}")
        found.append(ev("run.step.created", step_object(id, RUN, tool_calls(call))))
        found.append(ev("run.step.completed", step_object(id, RUN, tool_calls(call), status="completed")))
    return found


def steps_that_end_together(n: int) -> list[RawEvent]:
    """Steps of one call each, all open at once; then they end, the last one first."""
    calls = [function_call(f"call_{index}", "f", "{}") for index in range(n // 2)]
    begun = [
        ev("run.step.created", step_object(f"step_{index}", RUN, tool_calls(call))) for index, call in enumerate(calls)
    ]
    ended = [
        ev("run.step.completed", step_object(f"step_{index}", RUN, tool_calls(call), status="completed"))
        for index, call in enumerate(calls)
    ]
    return [*begun, *reversed(ended)]


def steps_with_one_id(n: int) -> list[RawEvent]:
    """A step that completes with calls that have one id, before and after a request for them."""
    calls = [function_call("call", "f", f"[{index}]") for index in range(n // 2)]
    whole = step_object("step", RUN, tool_calls(*calls), status="completed")
    action = required_action(*calls)
    return [ev("run.step.completed", whole), at("requires_action", required_action=action)]


def steps(n: int) -> list[RawEvent]:
    """Steps of one call each, none of which ends."""
    found = []
    for index in range(n):
        id = f"step_{index}"
        found.append(ev("run.step.created", step_object(id, RUN, tool_calls())))
        found.append(ev("run.step.delta", step_delta(id, function_call_delta(0, "x", id=f"call_{index}", name="f"))))
    return found


def messages(n: int) -> list[RawEvent]:
    """Whole messages."""
    found = []
    for index in range(n):
        id = f"msg_{index}"
        whole = message_object(id, RUN, status="completed", content=[text_part("x")])
        found += [ev("message.created", message_object(id, RUN)), ev("message.delta", message_delta(id, "x"))]
        found.append(ev("message.completed", whole))
    return found


def statuses(n: int) -> list[RawEvent]:
    """Statuses that nobody knows."""
    return [at(f"status_{number}") for number in range(n)]


def rounds(n: int) -> list[RawEvent]:
    """Requests under the same id, of calls that are in no step."""
    found = []
    for number in range(n):
        action = required_action(function_call("call", "f", f"[{number}]"))
        found += [at("in_progress"), at("requires_action", required_action=action)]
    return found


def work(events: list[RawEvent]) -> int:
    """The number of instructions that the engine executes for these events."""
    count = 0

    def trace(frame: FrameType, kind: str, argument: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count += kind == "opcode"
        return trace

    engine = Engine(clock=lambda: 1.0, limits=Limits(max_statuses=10_000))
    engine.on_signal = lambda signal: None
    intake = engine.intake("server")
    intake.feed(at("queued"))
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        intake.feed_all(events)
    finally:
        sys.settrace(before)
    assert engine.stats().rejected == 0
    return count


KINDS = [
    parts,
    annotations,
    calls,
    fragments_of_calls,
    calls_with_one_id,
    requested_with_one_id,
    requested_in_another_order,
    requested_before_their_steps,
    steps_that_end_together,
    steps_with_one_id,
    steps,
    messages,
    statuses,
    rounds,
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_four_times_as_many_events_are_four_times_the_work(kind: Callable[[int], list[RawEvent]]) -> None:
    """And what is left of the difference is no share of the square."""
    work(kind(100))  # caches
    small, large = work(kind(200)), work(kind(800))
    assert large < 4.4 * small
