"""The names of the calls of a step: an immutable sequence whose versions share one log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from runstream.core.tally import Tally

__all__ = ["NO_NAMES", "CallNames", "base_of"]

UNKNOWN_INDEX: Final = -1  # of a call of a state that an older release stored


class CallNames:
    """The names of calls in the order in which the calls were seen. To add one, or to look one up, is O(1).

    Args:
        names: The names.
        indices: The index of each call in its step, as far as it is known.
    """

    __slots__ = ("_bases", "_indices", "_names")

    def __init__(self, names: Iterable[str] = (), indices: Sequence[int] = ()) -> None:
        self._names = Tally(names)
        self._bases = Tally([base_of(name) for name in self])
        known = indices if len(indices) == len(self._names) else [UNKNOWN_INDEX] * len(self._names)
        self._indices = Tally(map(str, known))

    def add(self, name: str, index: int) -> CallNames:
        """The names with one more.

        Args:
            name: The name.
            index: The index of the call in its step.
        """
        found = CallNames.__new__(CallNames)
        found._names = self._names.add(name)
        found._bases = self._bases.add(base_of(name))
        found._indices = self._indices.add(str(index))
        return found

    @property
    def indices(self) -> tuple[int, ...]:
        """The index of each call; -1 where it is unknown."""
        return tuple(map(int, self._indices.keys()))

    def count(self, base: str) -> int:
        """The number of calls with an id.

        Args:
            base: The encoded id.
        """
        return self._bases.count(base)

    def at(self, index: int, base: str) -> str | None:
        """The name of the call at an index; ``None`` if none is known there, or a call with another id.

        Args:
            index: The index.
            base: The encoded id.
        """
        place = self._indices.place(str(index), 0)
        name = self._names[place] if place >= 0 else None
        return name if name is not None and base_of(name) == base else None

    def of_id(self, base: str) -> list[str]:
        """The names of the calls with an id, in the order of their indices.

        Args:
            base: The encoded id.
        """
        places = [self._bases.place(base, k) for k in range(self._bases.count(base))]
        if len(places) > 1:
            places.sort(key=lambda place: int(self._indices[place]))
        return [self._names[place] for place in places]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names.keys())

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name in self._names

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, CallNames) and self._names == other._names)

    def __hash__(self) -> int:
        return hash(self._names)

    def __repr__(self) -> str:
        return f"CallNames({self._names.keys()!r})"


def base_of(name: str) -> str:
    """The encoded id in a name."""
    return name.partition("~")[0]


NO_NAMES: Final = CallNames()
