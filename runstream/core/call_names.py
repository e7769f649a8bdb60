"""The names of the calls of a step: an immutable sequence whose versions share one log."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from runstream.core.tally import Tally

__all__ = ["NO_NAMES", "CallNames", "base_of"]


class CallNames:
    """The names of calls in the order in which the calls were seen. To add one, or to look one up, is O(1).

    Args:
        names: The names.
    """

    __slots__ = ("_bases", "_names")

    def __init__(self, names: Iterable[str] = ()) -> None:
        self._names = Tally(names)
        self._bases = Tally([base_of(name) for name in self])

    def add(self, name: str) -> CallNames:
        """The names with one more."""
        found = CallNames.__new__(CallNames)
        found._names = self._names.add(name)
        found._bases = self._bases.add(base_of(name))
        return found

    def count(self, base: str) -> int:
        """The number of calls with an id.

        Args:
            base: The encoded id.
        """
        return self._bases.count(base)

    def name(self, base: str, k: int) -> str | None:
        """The name of the k-th call with an id, from 0; ``None`` if there is none.

        Args:
            base: The encoded id.
            k: The number of calls with this id before it.
        """
        place = self._bases.place(base, k)
        return None if place < 0 else self._names[place]

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
