"""Canonical events as a dialect builds them that translates another protocol, and a dialect that passes them on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from runstream.core.derive import derive
from runstream.core.reduce import reduce
from runstream.core.state import RunState
from runstream.dialects.base import BaseDialect
from runstream.engine.engine import Engine
from runstream.model.deltas import (
    CodeInterpreterToolCallDelta,
    FunctionToolCallDelta,
    RunStepDelta,
    RunStepDeltaBody,
    ToolCallsDelta,
)
from runstream.model.events import Event, MessageEvent, Reject, RunEvent, StepDeltaEvent, StepEvent, TextAppend
from runstream.model.message import Message
from runstream.model.raw import RawEvent, RawItem
from runstream.model.run import Run, RunStatus
from runstream.model.signals import Signal
from runstream.model.step import ReasoningDetails, RunStep, StepStatus, ToolCallsDetails
from runstream.model.tool_calls import GenericToolCall, ToolCall

__all__ = [
    "ListDialect",
    "append",
    "calls_step",
    "folded",
    "generic",
    "message",
    "named",
    "play",
    "reasoning_step",
    "run",
]


def run(status: str, **fields: Any) -> RunEvent:
    """A snapshot of the run."""
    return RunEvent(Run(id="run_1", status=RunStatus(status), **fields), run_id="run_1", name=f"run.{status}")


def generic(id: str = "call_1", kind: str = "web_search", **fields: Any) -> GenericToolCall:
    """A call of a kind without a class of its own."""
    return GenericToolCall(id=id, type=kind, **fields)


def calls_step(*calls: ToolCall, id: str = "step_1", status: str = "in_progress", created: bool = False) -> StepEvent:
    """A snapshot of a step with these calls."""
    details = ToolCallsDetails(tool_calls=calls)
    step = RunStep(id=id, run_id="run_1", type="tool_calls", status=StepStatus(status), step_details=details)
    return StepEvent(step, run_id="run_1", created=created, name="item")


def reasoning_step(id: str = "step_1", status: str = "in_progress", **fields: Any) -> StepEvent:
    """A snapshot of a step in which the model reasons."""
    details = ReasoningDetails(**fields)
    step = RunStep(id=id, run_id="run_1", type="reasoning", status=StepStatus(status), step_details=details)
    return StepEvent(step, run_id="run_1", name="item")


def message(id: str = "msg_1", **fields: Any) -> MessageEvent:
    """A snapshot of a message."""
    return MessageEvent(Message(id=id, run_id="run_1", role="assistant", **fields), run_id="run_1", name="item")


def append(object_id: str, target: Any, text: str, index: int = 0) -> TextAppend:
    """A fragment."""
    return TextAppend(object_id, target, index, text, run_id="run_1", name="delta")


def named(step_id: str, index: int, call_id: str, *, code: bool = False) -> StepDeltaEvent:
    """A delta that names a call: of a function, or of the code interpreter."""
    kind: Any = CodeInterpreterToolCallDelta if code else FunctionToolCallDelta
    call = kind(index=index, id=call_id)
    body = RunStepDeltaBody(step_details=ToolCallsDelta(tool_calls=(call,)))
    return StepDeltaEvent(RunStepDelta(id=step_id, delta=body), run_id="run_1", name="delta")


def folded(events: Iterable[Event], state: RunState | None = None) -> tuple[RunState, list[Signal]]:
    """The state after these events of one run, by the reducer alone, and the signals."""
    signals: list[Signal] = []
    for event in events:
        after = reduce(state, event, at=1.0)
        assert after is not None
        signals += derive(state, after, 1.0)
        state = after
    assert state is not None
    return state, signals


class ListDialect(BaseDialect):
    """Passes on events that are there already: the raw events are their positions."""

    __slots__ = ("_events",)

    def __init__(self, events: Sequence[Any]) -> None:
        super().__init__()
        self._events = events

    def decode(self, item: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        if not isinstance(item, RawEvent):
            return super().decode(item)
        return self._events[int(item.data)]  # type: ignore[no-any-return]


def play(
    events: Sequence[Any], engine: Engine | None = None, source: str = "server", **options: Any
) -> tuple[Engine, list[Signal]]:
    """Feed events to an engine; the engine and the signals of these events."""
    engine = engine if engine is not None else Engine(clock=lambda: 1.0)
    signals: list[Signal] = []
    engine.on_signal = signals.append
    intake = engine.intake(source, dialect=ListDialect(events), **options)
    intake.feed_all([RawEvent(data=str(place).encode()) for place in range(len(events))])
    return engine, signals
