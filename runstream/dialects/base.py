"""What reads one protocol."""

from __future__ import annotations

from typing import Protocol

from runstream.model.events import Event, Reject
from runstream.model.raw import RawEvent

__all__ = ["Dialect"]


class Dialect(Protocol):
    """What reads one protocol: a stateful decoder, one a source.

    A dialect may also offer short ways for its commonest events; what they refuse goes to :meth:`feed`. Those of
    :mod:`runstream.dialects.assistants_wire` are an example:

    - ``fragments``: a mapping of event names (``None``: the name stands in an envelope) to what reads data of at most
      ``fragment_bytes`` as a ``TextFragment`` or ``ArgumentsFragment``;
    - ``framed``: tells what stands around the text in data that was read so;
    - ``deltas`` and ``delta_bytes``: likewise for those who want the whole event; ``retold`` makes the event of data
      that differ in the text alone.
    """

    connection: int

    def feed(self, raw: RawEvent) -> tuple[Event | Reject, ...]:
        """The events that a raw event stands for; never raises on input."""
