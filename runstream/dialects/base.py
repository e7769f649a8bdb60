"""The contract of a dialect: the decoder of one protocol."""

from __future__ import annotations

from typing import Protocol

from runstream.model.events import Event, Reject
from runstream.model.raw import RawEvent

__all__ = ["Dialect"]


class Dialect(Protocol):
    """The decoder of one protocol. It keeps state, so each source has an instance of its own.

    A dialect may also have faster decoders for its commonest events; messages that these refuse go to :meth:`feed`.
    The decoders of :mod:`runstream.dialects.assistants_wire` are an example:

    - ``fragments``: a mapping from event names (``None``: the name is in an envelope) to decoders of data of at most
      ``fragment_bytes``, which return a ``TextFragment`` or ``ArgumentsFragment``;
    - ``split_frame``: returns the bytes before and after the text in the data of a fragment;
    - ``deltas`` and ``delta_bytes``: the same for the whole event; ``event_builder`` returns a function that builds
      the event of data that differ in the text alone.

    Attributes:
        connection: The number of the source's connection, from 0; set by the engine.
    """

    connection: int

    def feed(self, raw: RawEvent) -> tuple[Event | Reject, ...]:
        """Decode one raw event into events or rejects. Never raises on input."""
