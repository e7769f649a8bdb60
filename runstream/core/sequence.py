"""Whether a source has told everything, as far as the ids of its events show it.

The Assistants wire has no sequence numbers, but relays add ids, and many of them count: 17, "17", "evt-17". No relay
says that its ids leave nothing out, so that has to be seen: ids are taken for a sequence once several have followed
one another without a gap. From then on one that skips is a gap, and after a reconnect the next one says that nothing
was missed. So does an event that came before, whatever its id: the server tells again from there. Anything else
proves nothing.
"""

from __future__ import annotations

import enum
from typing import Final

from runstream.core.dedupe import Sighting

__all__ = ["SequenceStatus", "SequenceTracker", "split_number"]

RESUME_STREAK: Final = 3
"""Ids that must have followed one another for the next one, after a reconnect, to prove that nothing was missed."""

GAP_STREAK: Final = 8
"""Ids that must have followed one another for a skip to be a gap. More, because ids that leave much out (those of one
run among many) follow one another for a while by chance."""

_MAX_DIGITS: Final = 18  # more are no count


class SequenceStatus(enum.Enum):
    """What an event's id says of the time before it."""

    NOTHING = "nothing"
    RESUMED = "resumed"
    GAP = "gap"


class SequenceTracker:
    """Watches the ids of one source, over its reconnects. Pure: no clock, no I/O; holds two numbers and a prefix.

    Attributes:
        in_doubt: Whether the source has reconnected, and no id since has come.
    """

    __slots__ = ("_last", "_prefix", "_streak", "after_reconnect")

    def __init__(self) -> None:
        self.after_reconnect = False
        self._prefix = ""
        self._last: int | None = None
        self._streak = 0

    def reconnected(self) -> None:
        """Note that the connection was lost, and there is another."""
        self.after_reconnect = True

    def restored(self, id: str) -> None:
        """Note the last id that an earlier process had of this source, and that there is another connection.

        That one's ids are not known any more. If this one counts far enough, the next one is still a proof: whoever
        numbers each connection anew begins below.
        """
        self._prefix, self._last = split_number(id)
        self._streak = RESUME_STREAK if self._last is not None and self._last >= RESUME_STREAK else 0
        self.after_reconnect = True

    def see(self, id: str | int, sighting: Sighting) -> SequenceStatus:
        """Note an id, and say what it proves.

        Args:
            id: The id of an event.
            sighting: What deduplication made of it.
        """
        after_reconnect, self.after_reconnect = self.after_reconnect, False
        prefix, number = split_number(id)
        last, streak = self._last, self._streak
        comparable = number is not None and last is not None and prefix == self._prefix
        self._prefix, self._last = prefix, number
        if sighting is Sighting.DUPLICATE:
            # Told again: what is new is to follow the furthest that came before.
            self._streak = streak if comparable else 0
            if comparable:
                assert number is not None
                assert last is not None
                self._last = max(number, last)
            return SequenceStatus.RESUMED if after_reconnect else SequenceStatus.NOTHING
        if not comparable or sighting is Sighting.CONFLICT:
            self._streak = 0  # another numbering
            return SequenceStatus.NOTHING
        assert number is not None
        assert last is not None
        if number == last + 1:
            self._streak = streak + 1
            return SequenceStatus.RESUMED if after_reconnect and streak >= RESUME_STREAK else SequenceStatus.NOTHING
        self._streak = 0
        return SequenceStatus.GAP if number > last and streak >= GAP_STREAK else SequenceStatus.NOTHING


def split_number(id: str | int) -> tuple[str, int | None]:
    """An id as what stands before its count, and its count; ``None`` if it counts nothing."""
    if isinstance(id, int):
        return "", id
    digits = len(id)
    while digits and "0" <= id[digits - 1] <= "9" and len(id) - digits < _MAX_DIGITS + 1:
        digits -= 1
    if not 0 < len(id) - digits <= _MAX_DIGITS:
        return id, None
    return id[:digits], int(id[digits:])
