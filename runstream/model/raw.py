"""The items that a source delivers, in one order: raw events and the facts beside the stream. No JSON is decoded."""

from __future__ import annotations

from typing import Final, TypeAlias

from msgspec import Struct

__all__ = [
    "TIMED",
    "Answer",
    "ConnectionEvent",
    "Idle",
    "Malformed",
    "Oversized",
    "RawEvent",
    "RawItem",
    "Request",
    "ResponseHead",
]


class RawEvent(Struct, frozen=True, gc=False):
    """One event as a transport delivered it.

    Args:
        event: The event name if the framing contains it (the SSE ``event:`` field), else ``None``: the name is then in
            the JSON envelope inside ``data``.
        data: The payload, not decoded.
        id: The id in this block or envelope. It is the identity of the event, for deduplication. An SSE id that
            persists from an earlier block is not one (see ``last_id``).
        last_id: The last event id after this block (WHATWG "last event ID buffer"), for resuming only.
        at: Time of arrival (Unix seconds), ``None`` if unknown.
        line: Line number (from 1) at which the event starts in its file, or in the body of its response; 0 if there
            are no lines (WebSocket messages, polls).
    """

    event: str | None = None
    data: bytes = b""
    id: str | None = None
    last_id: str | None = None
    at: float | None = None
    line: int = 0


class ConnectionEvent(Struct, frozen=True, kw_only=True, gc=False):
    """A connection was established or lost at this place of a recording.

    If a stream is repeated from its beginning, this item distinguishes a replay after a reconnect from a server that
    repeats events.

    Args:
        connected: True if it was established, false if it was lost.
        attempt: Number of the attempt since the last message; 0 for a first connection.
        reason: The cause of the loss, in words of this library, without credentials.
        at: Time of the change (Unix seconds), ``None`` if unknown.
        line: Line number (from 1) in a file.
        server_message: The server's words about the loss, without credentials; "" if there are none.
    """

    connected: bool
    attempt: int = 0
    reason: str = ""
    at: float | None = None
    line: int = 0
    server_message: str = ""


class Oversized(Struct, frozen=True, kw_only=True, gc=False):
    """A block (or line of JSON) over the size limit, dropped without being kept in memory.

    Args:
        line: Line number (from 1) at which it starts.
        size: Size of the block's fields (bytes), without line ends and comments.
        limit: The exceeded limit (bytes).
        event: Name of the event, if it was read.
    """

    line: int
    size: int
    limit: int
    event: str | None = None

    @property
    def reason(self) -> str:
        """The reason for dropping it, in one phrase without any of the content."""
        return f"{self.size} bytes, more than the limit of {self.limit}"


class Malformed(Struct, frozen=True, kw_only=True, gc=False):
    """A line of a recording that belongs to no event (lenient mode only; a live stream ignores such lines).

    Args:
        line: Its line number, from 1.
        reason: The error, in one phrase without any of the content.
        data: The line as received, without its line end.
        event: Name of the event whose block contains the line, if any.
    """

    line: int
    reason: str
    data: bytes
    event: str | None = None


class Request(Struct, frozen=True, kw_only=True, gc=False):
    """A request that was sent to the server, and that the raw events after it answer.

    Args:
        body: The body as sent (bytes of JSON), without credentials; empty if there is none.
        continues: The id of the run that it continues, as the application knows it.
        at: Time of sending (Unix seconds), ``None`` if unknown.
        line: Line number (from 1) in a file.
    """

    body: bytes = b""
    continues: str | None = None
    at: float | None = None
    line: int = 0


class ResponseHead(Struct, frozen=True, kw_only=True, gc=False):
    """The head of the response to a request.

    Args:
        status: The HTTP status.
        headers: Names in lower case with their values; only names that a protocol needs, and no credentials.
        at: Time of arrival (Unix seconds), ``None`` if unknown.
        line: Line number (from 1) in a file.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    at: float | None = None
    line: int = 0


class Answer(Struct, frozen=True, kw_only=True, gc=False):
    """The answer to a question beside the stream: an object that a poll or a repair fetched, or that it is gone.

    Args:
        data: The body (bytes of JSON).
        status: The HTTP status; 404 says that the object does not exist.
        at: Time of arrival (Unix seconds), ``None`` if unknown.
        line: Line number (from 1) in a file.
    """

    data: bytes = b""
    status: int = 200
    at: float | None = None
    line: int = 0


class Idle(Struct, frozen=True, kw_only=True, gc=False):
    """The source was silent for its grace time: a dialect that waits for a further event need not wait any longer.

    Args:
        seconds: The length of the silence (seconds).
        at: The end of the silence (Unix seconds), ``None`` if unknown.
        line: Line number (from 1) in a file.
    """

    seconds: float = 0.0
    at: float | None = None
    line: int = 0


RawItem: TypeAlias = RawEvent | Oversized | Malformed | ConnectionEvent | Request | ResponseHead | Answer | Idle
"""What a source delivers: an event of the wire, or a fact about its connection, requests and answers."""

TIMED: Final = (RawEvent, Request, ResponseHead, Answer, Idle)
"""The classes of the items that a source may give a time of arrival."""
