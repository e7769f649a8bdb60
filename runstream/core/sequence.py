"""Infers from the ids of a source whether events are missing.

The Assistants wire has no sequence numbers. Relays add ids, and many of these count: 17, "17", "evt-17". No relay
states that its ids are consecutive. Ids count as a sequence once several of them were consecutive. From then on:

- an id that skips a number is a gap;
- after a reconnect, the next number proves that nothing is missing;
- after a reconnect, a repeated event proves the same, whatever its id: the server sends again from there.

All else proves nothing.
"""

from __future__ import annotations

import enum
from typing import Final

from runstream.core.sighting import Sighting
from runstream.model.counted_ids import DIGITS, MAX_DIGITS, split_id

__all__ = ["SequenceStatus", "SequenceTracker", "split_number"]

RESUME_STREAK: Final = 3
"""The number of consecutive ids after which the next one, after a reconnect, proves that nothing is missing."""

GAP_STREAK: Final = 8
"""The number of consecutive ids after which a skip is a gap. It is larger, because ids with many skips (those of one
run among many) are consecutive for a while by chance."""


class SequenceStatus(enum.Enum):
    """The meaning of an id for the time before it: nothing, a resume without loss, or a gap."""

    NOTHING = "nothing"
    RESUMED = "resumed"
    GAP = "gap"


class SequenceTracker:
    """The state of the ids of one source, over its reconnects: two numbers and a prefix. Pure: no clock, no I/O.

    Attributes:
        after_reconnect: True if the source has reconnected and no id has arrived since.
        next: The id that continues the sequence; ``None`` if there is none, or after a reconnect.
        number: The number at its end.
        prefix: The part before it, with the zeros of a number of fixed width; ``None`` for integers.
    """

    __slots__ = ("_begin", "_last", "_prefix", "_streak", "after_reconnect", "next", "number", "prefix")

    def __init__(self) -> None:
        self.after_reconnect = False
        self._prefix = ""
        self._last: int | None = None
        self._streak = 0
        self._begin = 0  # the number for which the streak is 0, while there is a next id
        self.next: str | int | None = None
        self.number = 0
        self.prefix: str | None = None

    def reconnected(self) -> None:
        """Note that the connection was lost and replaced by another."""
        self.after_reconnect = True
        self._end()

    def restored(self, id: str) -> None:
        """Note the last id that an earlier process received from this source, and that the connection is another.

        The ids before it are unknown. If its number is large enough, the next number is still a proof: a server that
        numbers each connection from the start begins below it.
        """
        self._prefix, self._last = split_number(id)
        self._streak = RESUME_STREAK if self._last is not None and self._last >= RESUME_STREAK else 0
        self.after_reconnect = True
        self.next = None

    def see(self, id: str | int, sighting: Sighting) -> SequenceStatus:
        """Note an id.

        Args:
            id: The id of an event.
            sighting: The result of deduplication.

        Returns:
            What the id proves.
        """
        if id == self.next and sighting is Sighting.NEW:
            self.advance()
            return SequenceStatus.NOTHING
        self._end()
        after_reconnect, self.after_reconnect = self.after_reconnect, False
        prefix, number = split_number(id)
        last, streak = self._last, self._streak
        comparable = number is not None and last is not None and prefix == self._prefix
        self._prefix, self._last = prefix, number
        if sighting is Sighting.DUPLICATE:
            # A repetition: the next new number must follow the largest one so far.
            self._streak = streak if comparable else 0
            if comparable:
                assert number is not None
                assert last is not None
                self._last = max(number, last)
            return SequenceStatus.RESUMED if after_reconnect else SequenceStatus.NOTHING
        if not comparable or sighting is Sighting.CONFLICT:
            self._streak = 0  # another sequence of numbers
            return SequenceStatus.NOTHING
        assert number is not None
        assert last is not None
        if number == last + 1:
            self._streak = streak + 1
            self._set_next(id)
            return SequenceStatus.RESUMED if after_reconnect and streak >= RESUME_STREAK else SequenceStatus.NOTHING
        self._streak = 0
        return SequenceStatus.GAP if number > last and streak >= GAP_STREAK else SequenceStatus.NOTHING

    @property
    def streak(self) -> int:
        """The number of consecutive ids before the next one."""
        return self._streak if self.next is None else self.number - self._begin

    def advance(self, count: int = 1) -> None:
        """Note the id ``next``. While a sequence goes on, its ids are compared, not parsed.

        Args:
            count: The number of ids that are noted, ``next`` and those after it; less than 0 to forget the last ones.
        """
        self.number = number = self.number + count
        self.next = number if self.prefix is None else f"{self.prefix}{number}"

    def _set_next(self, id: str | int) -> None:
        self.prefix, number = split_id(id)
        self.number = number = number + 1
        self._begin = number - self._streak
        self.next = number if self.prefix is None else f"{self.prefix}{number}"

    def _end(self) -> None:
        """Leave the fast path: the next id is parsed and compared."""
        if self.next is not None:
            self._streak = self.streak
            self._last = self.number - 1
            self.next = None


def split_number(id: str | int) -> tuple[str, int | None]:
    """Split an id into the prefix and the number at its end; the number is ``None`` if there is none.

    Zeros in front of the number belong to neither: ``evt-09`` and ``evt-10`` have one prefix. This is the difference to
    :func:`~runstream.model.counted_ids.split_id`.
    """
    if isinstance(id, int):
        return "", id
    prefix = id.rstrip(DIGITS)
    if not 0 < len(id) - len(prefix) <= MAX_DIGITS:
        return id, None
    return prefix, int(id[len(prefix) :])
