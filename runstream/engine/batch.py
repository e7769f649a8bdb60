"""Many items that are fed at once: a position in a list, from which a part can be taken ahead."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from operator import length_hint
from typing import Any

__all__ = ["Batch"]


class Batch:
    """Items that are fed one after another, or several at once.

    Args:
        items: The items; a list, if the batch may be interrupted.

    Attributes:
        rest: The items that were not taken yet; each can be taken by ``next`` or a loop.
        interrupted: True if the feeding is to end after the item that is processed now.
    """

    __slots__ = ("_items", "_on_interrupt", "interrupted", "rest")

    def __init__(self, items: Sequence[Any]) -> None:
        self._items = items
        self._on_interrupt: Callable[[], None] | None = None  # while some items are processed ahead
        self.rest: Iterator[Any] = iter(items)
        self.interrupted = False

    def __iter__(self) -> Iterator[Any]:
        """The items that were not taken yet, taken one by one."""
        return self.rest

    def __len__(self) -> int:
        """The number of all items, without those that were removed by :meth:`interrupt`."""
        return len(self._items)

    def ahead(self, count: int, on_interrupt: Callable[[], None]) -> Sequence[Any]:
        """The next items, which are processed before :meth:`advance`.

        Args:
            count: The largest number of them.
            on_interrupt: Called by :meth:`interrupt` meanwhile.
        """
        self._on_interrupt = on_interrupt
        at = len(self._items) - length_hint(self.rest)
        return self._items[at : at + count]

    def advance(self, count: int) -> None:
        """Note that so many of the items that :meth:`ahead` has returned were processed; 0 if none was."""
        self._on_interrupt = None
        if count:
            next(islice(self.rest, count - 1, count))
        if self.interrupted:
            self._cut()

    def interrupt(self) -> None:
        """End the feeding after the item that is processed now: the items behind it are removed from the list."""
        self.interrupted = True
        if self._on_interrupt is not None:
            self._on_interrupt()
        else:
            self._cut()

    def _cut(self) -> None:
        """Remove what was not taken, at no cost for each of the others."""
        if isinstance(self._items, list):
            del self._items[len(self._items) - length_hint(self.rest) :]
