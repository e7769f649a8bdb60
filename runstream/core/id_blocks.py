"""Compact storage of the ids of fragments that count: the ids of consecutive fragments of one text are one block.

A block costs one number a fragment, in memory and in time. Ids of any other kind are no business of this module.
"""

from __future__ import annotations

from array import array
from typing import Final

from runstream.model.events import Target, TextAppend

__all__ = ["DIGITS", "MAX_DIGITS", "IdBlock", "IdBlocks", "hash_fragment", "split_id"]

_PAGE: Final = 64  # a block has at most this number of ids, so that its memory is released soon
DIGITS: Final = "0123456789"
MAX_DIGITS: Final = 18  # a longer number is no counter
_MAX_NUMBER: Final = 10**MAX_DIGITS - _PAGE


class IdBlock:
    """Consecutive ids of fragments of one text.

    Attributes:
        page: The prefix of the ids, ``None`` for integers, and their number divided by the size of a page.
        first: The number of the first id.
        end: The number after the largest one that the block can take.
        object_id: The id of the message or step of the text.
        target: The kind of the text.
        index: Its index.
        hashes: The hash of each fragment.
        ambiguous: The numbers of the ids that came with several contents, and prove no repetition any more.
    """

    __slots__ = ("ambiguous", "end", "first", "hashes", "index", "object_id", "page", "target")

    def __init__(self, page: tuple[str | None, int], first: int, end: int, event: TextAppend) -> None:
        self.page = page
        self.first = first
        self.end = end
        self.object_id = event.object_id
        self.target: Target = event.target
        self.index = event.index
        self.hashes = array("q")
        self.ambiguous: set[int] = set()

    def content(self, number: int) -> int | None:
        """The hash of the content of the event with this number (:func:`hash_fragment`); ``None`` if ambiguous."""
        if number in self.ambiguous:
            return None
        return hash((self.object_id, self.target, self.index, self.hashes[number - self.first]))

    def remove_first(self) -> bool:
        """Remove the first id.

        Returns:
            True if none is left.
        """
        self.ambiguous.discard(self.first)
        del self.hashes[0]
        self.first += 1
        return not self.hashes


class IdBlocks:
    """The blocks of one source, found by id in O(1)."""

    __slots__ = ("_pages",)

    def __init__(self) -> None:
        self._pages: dict[tuple[str | None, int], list[IdBlock]] = {}

    def __bool__(self) -> bool:
        return bool(self._pages)

    def begin(self, event: TextAppend, prefix: str | None, number: int) -> IdBlock | None:
        """An empty block for a fragment and those that follow it.

        Args:
            event: The fragment; its id is in no block.
            prefix: The :func:`split_id` of its id, as the next argument.
            number: The number.

        Returns:
            ``None`` if the number is too large.
        """
        if number > _MAX_NUMBER:
            return None
        page = (prefix, number // _PAGE)
        blocks = self._pages.setdefault(page, [])
        end = min([(number // _PAGE + 1) * _PAGE, *[block.first for block in blocks if block.first > number]])
        block = IdBlock(page, number, end, event)
        blocks.append(block)
        return block

    def find(self, prefix: str | None, number: int) -> IdBlock | None:
        """The block with an id; ``None`` if there is none. The arguments are the :func:`split_id` of the id."""
        for block in self._pages.get((prefix, number // _PAGE), ()):
            if 0 <= number - block.first < len(block.hashes):
                return block
        return None

    def remove(self, block: IdBlock) -> None:
        """Remove a block."""
        blocks = self._pages[block.page]
        blocks.remove(block)
        if not blocks:
            del self._pages[block.page]

    def clear(self) -> None:
        """Remove all blocks."""
        self._pages.clear()


def hash_fragment(event: TextAppend) -> int:
    """The hash of the content of a fragment. Blocks keep the hash of its text alone."""
    return hash((event.object_id, event.target, event.index, hash(event.text)))


def split_id(id: str | int) -> tuple[str | None, int]:
    """Split an id into the part before its number and the number at its end.

    The number has no zeros in front: these belong to the first part. This is ``None`` for integers. The number is -1
    if there is none.
    """
    if isinstance(id, int):
        return None, id
    digits = id[len(id.rstrip(DIGITS)) :]
    if not 0 < len(digits) <= MAX_DIGITS:
        return id, -1
    number = int(digits)
    return id[: len(id) - len(str(number))], number
