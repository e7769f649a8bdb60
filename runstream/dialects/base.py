"""What reads one protocol."""

from __future__ import annotations

from typing import Protocol

from runstream.events import Event, Reject
from runstream.raw import RawEvent

__all__ = ["Dialect"]


class Dialect(Protocol):
    """What reads one protocol: a stateful decoder, one a source.

    A dialect may also offer the shortest way for its commonest events: ``fragments``, a mapping of event names
    (``None``: the name stands in an envelope) to what reads data of at most ``fragment_bytes``, as
    :data:`runstream.dialects.fragments.FRAGMENTS` does. What that refuses goes to :meth:`feed`.
    """

    connection: int

    def feed(self, raw: RawEvent) -> tuple[Event | Reject, ...]:
        """The events that a raw event stands for; never raises on input."""
