"""Compact storage of the ids of fragments that count: the ids of consecutive fragments of one text are one block.

A block costs a few bytes a fragment in memory, and little in time. Other ids are stored by
:class:`~runstream.core.dedupe.Deduper`.
"""

from __future__ import annotations

from array import array
from typing import Final

from runstream.model.counted_ids import MAX_DIGITS
from runstream.model.events import Target, TextAppend
from runstream.model.text_fragments import TextFragments

__all__ = ["PAGE", "IdBlock", "IdBlocks", "hash_fragment"]

PAGE: Final = 128
"""The largest number of ids in a block, so that its memory is released soon."""
_SEPARATOR: Final = "\0"
_SHORT: Final = 16  # characters of a text, on average: texts cost up to twice the memory of their hashes, and no time
_MAX_NUMBER: Final = 10**MAX_DIGITS - PAGE


class IdBlock:
    """Consecutive ids of fragments of one text.

    Attributes:
        page: The prefix of the ids, ``None`` for integers, and their number divided by the size of a page.
        first: The number of the first id.
        end: The number after the largest one that the block can take.
        object_id: The id of the message or step of the text.
        target: The kind of the text.
        index: Its index.
        texts: The text of each fragment, while the block may be extended; empty afterwards.
        ambiguous: The numbers of the ids that came with several contents, and prove no repetition any more.
    """

    __slots__ = (
        "_hashes",
        "_joined",
        "_size",
        "ambiguous",
        "end",
        "first",
        "index",
        "object_id",
        "page",
        "target",
        "texts",
    )

    def __init__(self, page: tuple[str | None, int], first: int, end: int, event: TextAppend | TextFragments) -> None:
        self.page = page
        self.first = first
        self.end = end
        self.object_id = event.object_id
        self.target: Target = event.target
        self.index = event.index
        self.texts: list[str] = []
        self.ambiguous: set[int] = set()
        # Of a closed block: its size, and the texts as one, until a hash of them is needed for the first time.
        self._size = -1
        self._joined: str | None = None
        self._hashes: array[int] | None = None

    def __len__(self) -> int:
        return len(self.texts) if self._size < 0 else self._size

    def close(self) -> None:
        """Note that the block is not extended any more: it keeps a few bytes a fragment from now on."""
        if self._size >= 0:
            return
        joined, size = _SEPARATOR.join(self.texts), len(self.texts)
        # Few ids are ever compared, so short texts are kept, which costs less than their hashes.
        if len(joined) <= _SHORT * size and joined.isascii() and joined.count(_SEPARATOR) == size - 1:
            self._joined = joined
        else:
            self._hashes = _hash_all(self.texts)
        self._size = size
        self.texts = []

    def content(self, number: int) -> int | None:
        """The hash of the content of the event with this number (:func:`hash_fragment`); ``None`` if ambiguous."""
        if number in self.ambiguous:
            return None
        place = number - self.first
        hashed = hash(self.texts[place]) if self._size < 0 else self._hashed()[place]
        return hash((self.object_id, self.target, self.index, hashed))

    def truncate(self, length: int) -> int:
        """Keep the first ids alone.

        Args:
            length: How many.

        Returns:
            The number of ids that were removed.
        """
        removed = len(self) - length
        self._remove(slice(length, None), removed)
        self.ambiguous.difference_update(range(self.first + length, self.first + length + removed))
        return removed

    def remove_first(self) -> bool:
        """Remove the first id.

        Returns:
            True if none is left.
        """
        self.ambiguous.discard(self.first)
        self._remove(slice(1), 1)
        self.first += 1
        return not len(self)

    def _remove(self, places: slice, count: int) -> None:
        if self._size < 0:
            del self.texts[places]
        else:
            del self._hashed()[places]
            self._size -= count

    def _hashed(self) -> array[int]:
        """The hashes of the texts of a closed block."""
        if self._hashes is None:
            assert self._joined is not None
            self._hashes = _hash_all(self._joined.split(_SEPARATOR))
            self._joined = None
        return self._hashes


def _hash_all(texts: list[str]) -> array[int]:
    return array("q", map(hash, texts))


class IdBlocks:
    """The blocks of one source, found by id in O(1).

    Attributes:
        pages: The blocks by their page; empty if there are none.
    """

    __slots__ = ("pages",)

    def __init__(self) -> None:
        self.pages: dict[tuple[str | None, int], list[IdBlock]] = {}

    def begin(self, event: TextAppend | TextFragments, prefix: str | None, number: int) -> IdBlock | None:
        """An empty block for a fragment and those that follow it.

        Args:
            event: The fragment, or the first of several; its id is in no block.
            prefix: The part of its id before the number; ``None`` for integers.
            number: The number.

        Returns:
            ``None`` if the number is too large.
        """
        if number > _MAX_NUMBER:
            return None
        page = (prefix, number // PAGE)
        blocks = self.pages.setdefault(page, [])
        end = min([(number // PAGE + 1) * PAGE, *[block.first for block in blocks if block.first > number]])
        block = IdBlock(page, number, end, event)
        blocks.append(block)
        return block

    def find(self, prefix: str | None, number: int) -> IdBlock | None:
        """The block with an id; ``None`` if there is none. Its arguments are the prefix and the number of the id."""
        for block in self.pages.get((prefix, number // PAGE), ()):
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
    """The hash of the content of a fragment. A block stores the other three once, and each text or its hash."""
    return hash((event.object_id, event.target, event.index, hash(event.text)))
