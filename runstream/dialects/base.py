"""The contract of a dialect: the decoder of one protocol."""

from __future__ import annotations

from typing import Protocol

from runstream.model.events import Event, Reject
from runstream.model.raw import RawEvent

__all__ = ["Dialect"]


class Dialect(Protocol):
    """The decoder of one protocol; it keeps state, and each source has one of its own.

    A dialect may also offer short ways for its commonest events; messages that they refuse go to :meth:`feed`. Those
    of :mod:`runstream.dialects.assistants_wire` are an example:

    - ``fragments``: a mapping from event names (``None``: the name stands in an envelope) to decoders of data of at
      most ``fragment_bytes``, which give a ``TextFragment`` or ``ArgumentsFragment``;
    - ``split_frame``: gives the bytes around the text in data that were read so;
    - ``deltas`` and ``delta_bytes``: the same for the whole event; ``event_builder`` gives a function that builds the
      event of data that differ in the text alone.
    """

    connection: int

    def feed(self, raw: RawEvent) -> tuple[Event | Reject, ...]:
        """Decode one raw event. Never raises on input."""
