"""What a transport delivers: one raw event. No JSON has been read yet."""

from __future__ import annotations

from msgspec import Struct

__all__ = ["RawEvent"]


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
        line: Line number (from 1) at which the event starts in a file; 0 for live transports.
    """

    event: str | None = None
    data: bytes = b""
    id: str | None = None
    last_id: str | None = None
    at: float | None = None
    line: int = 0
