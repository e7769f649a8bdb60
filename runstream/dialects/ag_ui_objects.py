"""The objects of an AG-UI run as canonical events: messages, and steps for calls, reasoning, labels and subagents.

Ids of messages are those of the wire. Steps have ids made of the wire's, so that no message has the same.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from runstream.dialects.ag_ui_state import Growing, Piece
from runstream.dialects.ag_ui_waiting import is_whole
from runstream.model.common import ErrorObject, LastError
from runstream.model.events import Event, MessageEvent, RunEvent, StepEvent, Target, TextAppend
from runstream.model.frozen import ABSENT_LIST
from runstream.model.message import Message, MessageStatus, TextContent, TextPart
from runstream.model.run import Run
from runstream.model.step import (
    LabelDetails,
    ReasoningDetails,
    ReasoningPart,
    RunStep,
    StepStatus,
    SubagentDetails,
    ToolCallsDetails,
)
from runstream.model.tool_calls import FunctionCall, FunctionToolCall

__all__ = [
    "Frame",
    "call_event",
    "close_objects",
    "label_event",
    "message_event",
    "reasoning_event",
    "rest_of",
    "result_event",
    "run_event",
    "subagent_event",
]


class Frame(Struct, frozen=True):
    """What all events of one raw event have in common.

    Attributes:
        name: The type of the raw event.
        id: Its identity.
        line: Its line in the stream.
    """

    name: str
    id: str | None = None
    line: int = 0


def run_event(piece: Piece, run: Run, frame: Frame, *, created: bool = False) -> RunEvent:
    """A snapshot of the run."""
    return RunEvent(run, frame.id, run_id=piece.run_id, created=created, name=frame.name, piece=piece.id)


def message_event(
    piece: Piece,
    message: Growing,
    status: str,
    frame: Frame,
    text: str = "",
    *,
    created: bool = False,
    corrects: bool = False,
) -> MessageEvent:
    """A message. A text that is empty is absent: it erases nothing."""
    content = (TextPart(text=TextContent(value=text, annotations=())),) if text else ABSENT_LIST
    found = Message(
        id=message.id, run_id=piece.run_id, role=message.role, status=MessageStatus(status), content=content
    )
    return MessageEvent(
        found,
        frame.id,
        run_id=piece.run_id,
        created=created,
        name=frame.name,
        path=message.path,
        partial=message.is_damaged,
        corrects=corrects,
    )


def reasoning_event(
    piece: Piece, reasoning: Growing, status: str, frame: Frame, text: str = "", *, created: bool = False
) -> StepEvent:
    """A step of reasoning."""
    details = ReasoningDetails(content=(ReasoningPart(text=text),) if text else ABSENT_LIST)
    partial = reasoning.is_damaged
    return _step_event(piece, reasoning.id, details, status, reasoning.path, frame, created=created, partial=partial)


def call_event(
    piece: Piece,
    call: Growing,
    status: str,
    frame: Frame,
    *,
    output: str | None = None,
    arguments: str | None = None,
    created: bool = False,
) -> StepEvent:
    """The step of a call. Arguments that are absent keep those that were streamed."""
    has_whole = status != "in_progress" and bool(call.whole)
    if has_whole:
        arguments = call.whole
    function = FunctionCall(name=call.name, arguments=arguments, output=output)
    details = ToolCallsDetails(tool_calls=(FunctionToolCall(id=call.wire_id, function=function),))
    partial = call.is_damaged and not has_whole
    return _step_event(piece, call.id, details, status, call.path, frame, created=created, partial=partial)


def result_event(piece: Piece, call: Growing, output: str, frame: Frame) -> StepEvent:
    """The step of a call that has its result."""
    call.answered, call.is_open, call.is_closed = True, False, True
    return call_event(piece, call, "completed", frame, output=output)


def rest_of(piece: Piece, found: Growing, target: Target, frame: Frame) -> list[Event]:
    """The end of a text whose last character is half of a surrogate pair: U+FFFD, since the other half did not come."""
    if not found.half:
        return []
    found.half = 0
    if found.repeats:
        return []
    if target == "arguments":
        found.arguments.append("\ufffd")
    else:
        found.take("\ufffd")
    return [TextAppend(found.id, target, 0, "\ufffd", frame.id, piece.run_id, frame.name)]


def label_event(
    piece: Piece, id: str, name: str, path: tuple[str, ...], status: str, frame: Frame, *, created: bool = False
) -> StepEvent:
    """A step that is a label."""
    return _step_event(piece, id, LabelDetails(name=name or None), status, path, frame, created=created)


def subagent_event(
    piece: Piece,
    id: str,
    name: str | None,
    status: str,
    frame: Frame,
    *,
    description: str | None = None,
    error: ErrorObject | None = None,
    created: bool = False,
) -> StepEvent:
    """The step of a subagent, at the path of its parent."""
    details = SubagentDetails(name=name, description=description)
    path = piece.subagents.get(id, (id,))[:-1]
    failure = LastError(code=error.code, message=error.message) if error is not None else None
    return _step_event(piece, f"subagent/{id}", details, status, path, frame, created=created, error=failure)


def _step_event(
    piece: Piece,
    id: str,
    details: Any,
    status: str,
    path: tuple[str, ...],
    frame: Frame,
    *,
    created: bool = False,
    partial: bool = False,
    error: LastError | None = None,
) -> StepEvent:
    step = RunStep(
        id=id,
        run_id=piece.run_id,
        type=details.type,
        status=StepStatus(status),
        step_details=details,
        last_error=error,
    )
    return StepEvent(step, frame.id, run_id=piece.run_id, created=created, name=frame.name, path=path, partial=partial)


def close_objects(piece: Piece, status: str, frame: Frame, *, waits: bool = False) -> list[Event]:
    """The ends of all objects that are open, as the run ends or waits.

    Args:
        piece: The run of the wire.
        status: The status of the steps: ``completed``, ``failed`` or ``cancelled``.
        frame: The event that ends it.
        waits: True if the run waits: its subagents go on later.
    """
    ok = status == "completed"
    events: list[Event] = []
    for reasoning in piece.reasoning.values():
        if not reasoning.is_closed:
            events += rest_of(piece, reasoning, "reasoning", frame)
            reasoning.is_open, reasoning.is_closed = False, True
            events.append(reasoning_event(piece, reasoning, status, frame))
    for message in piece.messages.values():
        if not message.is_closed:
            events += rest_of(piece, message, "text", frame)
            ending = "completed" if ok or not message.is_open else "incomplete"
            message.is_open, message.is_closed = False, True
            events.append(message_event(piece, message, ending, frame, message.final_text()))
    for call in piece.calls.values():
        if not call.is_closed and call.piece == piece.id:
            events += rest_of(piece, call, "arguments", frame)
            ending = "completed" if call.answered else status if not ok or is_whole(call) else "failed"
            call.is_closed = True
            events.append(call_event(piece, call, ending, frame))
    for key, ids in piece.labels.items():
        owner, _, name = key.partition("\n")
        path = piece.subagents.get(owner, ())
        events += [label_event(piece, id, name, path, status, frame) for id in ids]
    piece.labels.clear()
    for id in piece.subagents:
        if id not in piece.closed_subagents and not waits:
            piece.closed_subagents.add(id)
            events.append(subagent_event(piece, id, None, status, frame))
    piece.lanes.clear()
    return events
