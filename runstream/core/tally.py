"""An immutable multiset of strings whose versions share one log: adding costs O(1), and each older version stays."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

__all__ = ["NO_TALLY", "Tally"]


class Tally:
    """Strings in order of addition, and how often each was added."""

    __slots__ = ("_log", "_places", "_size")

    def __init__(self, keys: Iterable[str] = ()) -> None:
        self._log: list[str] = []
        self._places: dict[str, list[int]] = {}  # for each string its positions in the log
        for key in keys:
            self._append(key)
        self._size = len(self._log)

    def _append(self, key: str) -> None:
        self._places.setdefault(key, []).append(len(self._log))
        self._log.append(key)

    def add(self, key: str) -> Tally:
        """A version with one string more."""
        if not self._size or len(self._log) != self._size:
            return Tally([*self.keys(), key])  # another string was added to this version before: fork
        found = Tally.__new__(Tally)
        found._log, found._places = self._log, self._places
        found._append(key)
        found._size = self._size + 1
        return found

    def count(self, key: str) -> int:
        """How often a string was added."""
        places = self._places.get(key)
        if places is None:
            return 0
        # Later versions share the log; their strings are not in this version.
        return len(places) if places[-1] < self._size else bisect_left(places, self._size)

    @property
    def last(self) -> str | None:
        """The string that was added last; ``None`` if there is none."""
        return self._log[self._size - 1] if self._size else None

    def keys(self) -> list[str]:
        """The strings, in order of addition."""
        return self._log[: self._size]

    def place(self, key: str, k: int) -> int:
        """The place of the k-th addition of a string, from 0; -1 if there was none."""
        places = self._places.get(key, ())
        return places[k] if k < len(places) and places[k] < self._size else -1

    def __getitem__(self, place: int) -> str:
        if not 0 <= place < self._size:
            raise IndexError(place)
        return self._log[place]

    def __contains__(self, key: str) -> bool:
        places = self._places.get(key)
        return places is not None and places[0] < self._size

    def __len__(self) -> int:
        return self._size

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Tally) and self.keys() == other.keys())

    def __hash__(self) -> int:
        return hash(self._size)

    def __repr__(self) -> str:
        return f"Tally({self.keys()!r})"


NO_TALLY: Final = Tally()
