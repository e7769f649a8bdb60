"""The items of a long array in pieces: a change copies one short piece and the list of pieces, not the array."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, Final, TypeAlias

__all__ = ["Pieces"]

_WINDOW: Final = 512
_MAX_PIECE: Final = 2 * _WINDOW

_Piece: TypeAlias = tuple[list[Any], int, int]  # the items of a list from one index up to another; never empty


class Pieces:
    """An immutable sequence in pieces. The pieces of a new one are ranges of the given list, which must not change.

    Args:
        items: The items.
    """

    __slots__ = ("_pieces", "_starts", "count")

    def __init__(self, items: list[Any]) -> None:
        self._pieces: list[_Piece] = [(items, 0, len(items))] if items else []
        self._starts = [0] if items else []
        self.count = len(items)

    def __getitem__(self, index: int) -> Any:
        number = bisect_right(self._starts, index) - 1
        items, start, _ = self._pieces[number]
        return items[start + index - self._starts[number]]

    def __iter__(self) -> Iterator[Any]:
        for items, start, stop in self._pieces:
            yield from items if stop - start == len(items) else items[start:stop]

    def replace(self, index: int, item: Any) -> Pieces:
        """A copy with the item at an index replaced, which must exist."""
        number, before, window, place, after = self._cut(index)
        window[place] = item
        return self._with(number, before, [window], after, 0)

    def insert(self, index: int, item: Any) -> Pieces:
        """A copy with an item before an index; at the end if the index is the number of items."""
        if not self.count:
            return Pieces([item])
        number, before, window, place, after = self._cut(index)
        window.insert(place, item)
        if len(window) <= _MAX_PIECE:
            return self._with(number, before, [window], after, 1)
        return self._with(number, before, [window[:_WINDOW], window[_WINDOW:]], after, 1)

    def remove(self, index: int) -> Pieces:
        """A copy without the item at an index, which must exist."""
        number, before, window, place, after = self._cut(index)
        del window[place]
        return self._with(number, before, [window], after, -1)

    def _cut(self, index: int) -> tuple[int, list[_Piece], list[Any], int, list[_Piece]]:
        """Cut a window out of the piece that has an index.

        Returns:
            The number of the piece; its part before the window, the items of the window, the place of the index in it;
            the part of the piece behind it.
        """
        number = bisect_right(self._starts, index) - 1
        items, start, stop = self._pieces[number]
        place = index - self._starts[number]
        if stop - start <= _MAX_PIECE:
            return number, [], items[start:stop], place, []
        first = min(start + place // _WINDOW * _WINDOW, stop - 1)
        last = min(first + _WINDOW, stop)
        before = [(items, start, first)] if first > start else []
        after = [(items, last, stop)] if last < stop else []
        return number, before, items[first:last], start + place - first, after

    def _with(
        self, number: int, before: list[_Piece], windows: list[list[Any]], after: list[_Piece], change: int
    ) -> Pieces:
        """A copy with other pieces in place of one.

        Args:
            number: The number of the piece.
            before: The pieces before the changed ones.
            windows: The items of the changed ones.
            after: The pieces behind them.
            change: The change of the number of items.
        """
        pieces = self._pieces.copy()
        changed = [*before, *[(window, 0, len(window)) for window in windows if window], *after]
        pieces[number : number + 1] = changed
        new = object.__new__(Pieces)
        new._pieces = pieces
        new.count = self.count + change
        if len(changed) == 1 and not change:
            new._starts = self._starts
        else:
            first = self._starts[number]
            sizes = [stop - start for _, start, stop in pieces[number:-1]]
            new._starts = [*self._starts[:number], *accumulate(sizes, initial=first)][: len(pieces)]
        return new
