"""Many fragments of one text, as a dialect that decodes them at once returns them."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import repeat

from msgspec import Struct

from runstream.model.fragments import Target

__all__ = ["TextFragments"]


class TextFragments(Struct, frozen=True, gc=False):
    """Many fragments of one text that were decoded at once.

    It stands for as many :class:`~runstream.model.events.TextAppend` events.

    Attributes:
        object_id: The id of the message or step.
        target: The kind of the text.
        index: The index of its part or call.
        texts: The fragments; none is empty.
        run_id: The id of the run, if the dialect knows it.
        name: The name of the event on the wire.
        prefix: The part before the number in the identity of each event.
        number: The number at the end of the identity of the first event; each further one is greater by 1. ``None`` if
            they have no identity.
    """

    object_id: str
    target: Target
    index: int
    texts: list[str]
    run_id: str | None = None
    name: str = ""
    prefix: str = ""
    number: int | None = None

    def ids(self, first: int, count: int) -> Iterable[str | None]:
        """The identities of some of the events.

        Args:
            first: The index of the first one.
            count: Their number.
        """
        if self.number is None:
            return repeat(None, count)
        start = self.number + first
        return [f"{self.prefix}{number}" for number in range(start, start + count)]
