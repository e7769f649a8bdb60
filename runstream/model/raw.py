"""What a transport delivers: raw events, and what became of its connection. No JSON has been read yet."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

__all__ = ["ConnectionEvent", "Malformed", "Oversized", "RawEvent", "RawItem"]


class RawEvent(Struct, frozen=True, gc=False):
    """One event as a transport delivered it.

    Args:
        event: Event name where the framing carries it (the SSE ``event:`` field), else ``None``: the name then
            stands in the JSON envelope inside ``data``.
        data: The payload, undecoded.
        id: An id written in that very block or envelope; it is the event's identity and serves deduplication.
            A sticky SSE id is not one (see ``last_id``).
        last_id: The last event id in force after this block (WHATWG "last event ID buffer"); serves resuming only.
        at: Time of arrival in Unix seconds, ``None`` where unknown.
        line: Line number (from 1) at which the event starts in its file, or in the body of its response; 0 where there
            are no lines (WebSocket messages, polls).
    """

    event: str | None = None
    data: bytes = b""
    id: str | None = None
    last_id: str | None = None
    at: float | None = None
    line: int = 0


class ConnectionEvent(Struct, frozen=True, kw_only=True, gc=False):
    """A connection was made or lost at this place of a recording.

    Where a stream is told again from its beginning after a reconnect, this is what tells that from a server that
    repeats itself.

    Args:
        connected: Whether it was made; else it was lost.
        attempt: Number of the attempt since the last message; 0 for a first connection.
        reason: Why it was lost, in words, without credentials.
        at: When, in Unix seconds, ``None`` where unknown.
        line: Line number (from 1) in a file.
    """

    connected: bool
    attempt: int = 0
    reason: str = ""
    at: float | None = None
    line: int = 0


class Oversized(Struct, frozen=True, kw_only=True, gc=False):
    """A block (or line of JSON) over the size limit, dropped without being held in memory.

    Args:
        line: Line number (from 1) at which it starts.
        size: Bytes in the block's fields, without line ends and comments.
        limit: The limit it exceeds, in bytes.
        event: Name of the event, where it was read.
    """

    line: int
    size: int
    limit: int
    event: str | None = None

    @property
    def reason(self) -> str:
        """Why it was dropped, in one phrase that shows nothing of the content."""
        return f"{self.size} bytes, more than the limit of {self.limit}"


class Malformed(Struct, frozen=True, kw_only=True, gc=False):
    """A line of a recording that belongs to no event (lenient mode only; a live stream ignores such lines).

    Args:
        line: Its line number, from 1.
        reason: What is wrong with it, in one phrase that shows nothing of the content.
        data: The line as it came, without its end.
        event: Name of the event in whose block it stands, if any.
    """

    line: int
    reason: str
    data: bytes
    event: str | None = None


RawItem: TypeAlias = RawEvent | Oversized | Malformed | ConnectionEvent
