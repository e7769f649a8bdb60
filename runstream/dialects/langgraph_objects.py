"""The messages and calls of a run of the LangGraph server as its decoder remembers them, and the events with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct, field

from runstream.model.events import MessageEvent, StepEvent
from runstream.model.frozen import ABSENT_LIST
from runstream.model.message import Message, MessageStatus, TextContent, TextPart
from runstream.model.step import ReasoningDetails, ReasoningPart, RunStep, StepStatus, ToolCallsDetails
from runstream.model.tool_calls import FunctionCall, FunctionToolCall

__all__ = ["Call", "LoggedMessage", "Place", "call_event", "message_event", "reasoning_event", "reasoning_id"]


class Place(NamedTuple):
    """What all events of one raw event have in common.

    Attributes:
        id: The identity of the raw event.
        run_id: The id of the run.
        name: The name of the event.
        path: The path of the subgraph.
    """

    id: str | None
    run_id: str
    name: str
    path: tuple[str, ...] = ()


class Call(Struct):
    """A tool call of a message.

    Attributes:
        id: The id of the call.
        step_id: The id of its step.
        message_id: The id of its message.
        name: The name of the tool.
        arguments: The arguments, if they were received whole.
        fragments: The fragments of the arguments, until they were received whole.
        is_created: True once it was announced in this repetition of its message.
        is_open: True until its result.
        path: The path of the subgraph.
    """

    id: str
    step_id: str
    message_id: str | None
    name: str | None
    path: tuple[str, ...] = ()
    arguments: str | None = None
    fragments: list[str] = field(default_factory=list)
    is_open: bool = True
    is_created: bool = True


class LoggedMessage(Struct):
    """A message of the model.

    Attributes:
        id: Its id.
        run_id: The id of its run.
        path: The path of the subgraph.
        part: The index of the text part that grows; -1 before the first one.
        parts: The index of each text part, by the index of its block (-1 for a text without one).
        reasoning: The same for the parts of the reasoning.
        has_reasoning: True once some reasoning of it was received.
        calls: The ids of its calls, by the index of their fragments.
        last_call: The id of the call whose arguments grow.
        usage: Its tokens; see :func:`~runstream.dialects.langgraph_wire.usage_of`.
        is_created: True once a text of it was received.
        mode: The mode that brings its text: ``chunks``, or ``partial`` with the whole text so far; "" before the first
            text. A stream may have both.
        is_finished: True once the model said why it stopped.
        is_unclear: True if some of its texts may be those of another message.
        is_open: True until its end.
        may_lack: True if a part of it may not have been received, until it is received whole.
        is_whole: True once it was received whole. What nodes write under its id then is another text.
    """

    id: str
    run_id: str
    path: tuple[str, ...] = ()
    part: int = -1
    parts: dict[int, int] = field(default_factory=dict)
    reasoning: dict[int, int] = field(default_factory=dict)
    has_reasoning: bool = False
    calls: dict[int, str] = field(default_factory=dict)
    last_call: str | None = None
    usage: tuple[int, ...] | None = None
    is_created: bool = False
    is_finished: bool = False
    is_unclear: bool = False
    is_open: bool = True
    mode: str = ""
    may_lack: bool = False
    is_whole: bool = False


def reasoning_id(message_id: str) -> str:
    """The id of the step with the reasoning of a message."""
    return f"{message_id}:reasoning"


def message_event(
    message: LoggedMessage,
    status: str,
    texts: Iterable[str],
    place: Place,
    *,
    created: bool = False,
    partial: bool = False,
    corrects: bool = False,
) -> MessageEvent:
    """The event with a message.

    Args:
        message: The message.
        status: Its status.
        texts: Its texts; none if those that were received stay.
        place: The place of the event.
        created: True if it begins with this event.
        partial: True if a part of it may be missing.
        corrects: True if its texts replace those of a message that has ended.
    """
    data = Message(
        id=message.id,
        run_id=message.run_id,
        role="assistant",
        status=MessageStatus(status),
        content=tuple([TextPart(text=TextContent(value=text)) for text in texts]) or ABSENT_LIST,
    )
    return MessageEvent(
        data,
        place.id,
        run_id=message.run_id,
        created=created,
        name=place.name,
        path=message.path,
        partial=partial,
        corrects=corrects,
    )


def reasoning_event(
    message: LoggedMessage,
    status: StepStatus,
    texts: Iterable[str],
    summaries: Iterable[str],
    place: Place,
    *,
    created: bool = False,
    partial: bool = False,
    corrects: bool = False,
) -> StepEvent:
    """The event with the reasoning of a message; the arguments are those of :func:`message_event`, with the summaries
    of its reasoning.
    """
    details = ReasoningDetails(
        content=tuple([ReasoningPart(text=text) for text in texts]) or ABSENT_LIST,
        summary=tuple([ReasoningPart(text=text) for text in summaries]) or ABSENT_LIST,
    )
    step = RunStep(
        id=reasoning_id(message.id), run_id=message.run_id, type=details.type, status=status, step_details=details
    )
    return _step_event(step, message.path, place, created=created, partial=partial, corrects=corrects)


def call_event(
    call: Call,
    place: Place,
    *,
    status: StepStatus = StepStatus.IN_PROGRESS,
    output: str | None = None,
    created: bool = False,
    partial: bool = False,
    corrects: bool = False,
) -> StepEvent:
    """The event with a call as it is known; the arguments are those of :func:`message_event`, with its output."""
    function = FunctionCall(name=call.name, arguments=call.arguments, output=output)
    details = ToolCallsDetails(tool_calls=(FunctionToolCall(id=call.id, function=function),))
    step = RunStep(id=call.step_id, run_id=place.run_id, type=details.type, status=status, step_details=details)
    return _step_event(step, call.path, place, created=created, partial=partial, corrects=corrects)


def _step_event(
    step: RunStep, path: tuple[str, ...], place: Place, *, created: bool, partial: bool, corrects: bool
) -> StepEvent:
    return StepEvent(
        step,
        place.id,
        run_id=step.run_id,
        created=created,
        name=place.name,
        path=path,
        partial=partial,
        corrects=corrects,
    )
