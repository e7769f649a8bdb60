"""The messages and calls of a run of the LangGraph server as its decoder remembers them, and the place of an event."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import Struct, field

__all__ = ["Call", "LoggedMessage", "Place"]


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
        is_streamed: True if a fragment of the arguments was received.
        is_open: True until its result.
        path: The path of the subgraph.
    """

    id: str
    step_id: str
    message_id: str | None
    name: str | None
    path: tuple[str, ...] = ()
    arguments: str | None = None
    is_streamed: bool = False
    is_open: bool = True


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
