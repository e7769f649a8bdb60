"""Compact storage of the ids of fragments that count: the ids of consecutive fragments of one text are one block.

A block costs one number a fragment in memory, and little in time. Ids of any other kind are no business of this module.
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
        texts: The text of each fragment, while the block may be extended; afterwards it keeps their hashes alone.
        ambiguous: The numbers of the ids that came with several contents, and prove no repetition any more.
    """

    __slots__ = ("_hashes", "ambiguous", "end", "first", "index", "object_id", "page", "target", "texts")

    def __init__(self, page: tuple[str | None, int], first: int, end: int, event: TextAppend) -> None:
        self.page = page
        self.first = first
        self.end = end
        self.object_id = event.object_id
        self.target: Target = event.target
        self.index = event.index
        self.texts: list[str] = []
        self.ambiguous: set[int] = set()
        self._hashes: array[int] | None = None

    def __len__(self) -> int:
        return len(self.texts if self._hashes is None else self._hashes)

    def close(self) -> None:
        """Note that the block is not extended any more: it keeps one number a fragment from now on."""
        if self._hashes is None:
            self._hashes = array("q", map(hash, self.texts))
            self.texts = []

    def content(self, number: int) -> int | None:
        """The hash of the content of the event with this number (:func:`hash_fragment`); ``None`` if ambiguous."""
        if number in self.ambiguous:
            return None
        place = number - self.first
        hashed = hash(self.texts[place]) if self._hashes is None else self._hashes[place]
        return hash((self.object_id, self.target, self.index, hashed))

    def remove_first(self) -> bool:
        """Remove the first id.

        Returns:
            True if none is left.
        """
        self.ambiguous.discard(self.first)
        if self._hashes is None:
            del self.texts[0]
        else:
            del self._hashes[0]
        self.first += 1
        return not len(self)


class IdBlocks:
    """The blocks of one source, found by id in O(1).

    Attributes:
        pages: The blocks by their page; empty if there are none.
    """

    __slots__ = ("pages",)

    def __init__(self) -> None:
        self.pages: dict[tuple[str | None, int], list[IdBlock]] = {}

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
        blocks = self.pages.setdefault(page, [])
        end = min([(number // _PAGE + 1) * _PAGE, *[block.first for block in blocks if block.first > number]])
        block = IdBlock(page, number, end, event)
        blocks.append(block)
        return block

    def find(self, prefix: str | None, number: int) -> IdBlock | None:
        """The block with an id; ``None`` if there is none. The arguments are the :func:`split_id` of the id."""
        for block in self.pages.get((prefix, number // _PAGE), ()):
            if 0 <= number - block.first < len(block):
                return block
        return None

    def remove(self, block: IdBlock) -> None:
        """Remove a block."""
        blocks = self.pages[block.page]
        blocks.remove(block)
        if not blocks:
            del self.pages[block.page]

    def clear(self) -> None:
        """Remove all blocks."""
        self.pages.clear()


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
