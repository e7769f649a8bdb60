"""Detects repeated events by their ids, within one source.

The ids of an object are kept while the object is open, because a server may send all of it again after a reconnect.
Once an object has ended, its state absorbs repetitions. Its ids are the first to be removed when the window is full.

Ids of consecutive fragments of one text that count up are stored as blocks (:mod:`runstream.core.id_blocks`).
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import msgspec

from runstream.core.id_blocks import PAGE, IdBlock, IdBlocks, hash_fragment
from runstream.core.sequence import SequenceTracker
from runstream.core.sighting import Sighting
from runstream.model.counted_ids import MAX_DIGITS, split_id
from runstream.model.events import Event, MessageEvent, RunEvent, StepEvent, TextAppend, content_of
from runstream.model.frozen import unfreeze
from runstream.model.limits import Stats
from runstream.model.text_fragments import TextFragments

__all__ = ["Deduper", "Sighting"]


_LONG: Final = 128
"""Longer ids are stored as a digest (characters)."""
# A lookup of a member in its class costs more than most operations here.
_NEW: Final = Sighting.NEW
_DUPLICATE: Final = Sighting.DUPLICATE
_CONFLICT: Final = Sighting.CONFLICT

_NONE: Final = (0, -1)
_encode: Final = msgspec.msgpack.Encoder(enc_hook=unfreeze, order="deterministic").encode
_SNAPSHOTS: Final = (RunEvent, MessageEvent, StepEvent)

_Key: TypeAlias = str | int | IdBlock


class Deduper:
    """The ids of one source, over its reconnects.

    Args:
        window: The number of ids that are kept at most.
        counts: The counts whose ``forgotten_ids`` grows with each id that is removed to make room.
    """

    __slots__ = (
        "_block",
        "_blocks",
        "_by_object",
        "_counts",
        "_expendable",
        "_hashed",
        "_last",
        "_seen",
        "_singles",
        "_size",
        "_window",
    )

    def __init__(self, window: int = 65_536, counts: Stats | None = None) -> None:
        self._counts = counts or Stats()
        # The ids and blocks, the oldest first, with the hash of the content (0 for a block) and the object. The hash is
        # `None` if the id came with several contents: it proves no repetition any more.
        self._seen: OrderedDict[_Key, tuple[int | None, str | None]] = OrderedDict()
        self._by_object: dict[str, dict[_Key, None]] = {}
        self._expendable: deque[_Key] = deque()
        self._window = window
        self._size = 0
        # Of the ids that are in no block and count: their number and the largest one, by prefix and page.
        self._singles: dict[tuple[str | None, int], tuple[int, int]] = {}
        self._blocks = IdBlocks()
        self._block: IdBlock | None = None  # that of the last id, which the next one may extend
        self._last: TextAppend | TextFragments | None = None  # the fragment with the last id
        self._hashed: tuple[Any, int] = (None, 0)

    def __len__(self) -> int:
        return self._size

    def see(self, event: Event, sequence: SequenceTracker | None = None) -> Sighting:
        """Note the id of an event.

        Args:
            event: The event.
            sequence: The sequence that its id continues, if it does.

        Returns:
            NEW for a new id and for no id. DUPLICATE for a known id with the same content. CONFLICT for a known id
            with other content, and for every later event with that id: such an event is processed.
        """
        id = event.id
        if id is None:
            return _NEW
        return self._note(id, self._hash_content(event), _object_id(event), sequence)

    def see_all(self, events: Sequence[Event]) -> Sighting:
        """Note the id of the events of one raw event: they are compared as one."""
        first = events[0]
        if first.id is None:
            return _NEW
        return self._note(first.id, hash(tuple(map(self._hash_content, events))), _object_id(first))

    def add(self, event: TextAppend, sequence: SequenceTracker) -> bool:
        """Note the id of a fragment, if it is new, and advance the sequence: the hot path of :meth:`see`.

        Args:
            event: The fragment.
            sequence: The sequence of ids, whose ``next`` is the id of the fragment.

        Returns:
            False if the id is known, or long; nothing was done then.
        """
        block, number = self._block, sequence.number
        if (
            block is None
            or block.object_id != event.object_id
            or number == block.end
            or block.index != event.index
            or block.target != event.target
        ):
            if not self._add_first(event, sequence):
                return False
        elif event.id in self._seen:
            return False
        else:
            block.texts.append(event.text)
            self._size = size = self._size + 1
            if size > self._window:
                self._evict_one()
        # Here and not in a method of the sequence: this is done for each fragment.
        sequence.number = number = number + 1
        prefix = sequence.prefix
        sequence.next = number if prefix is None else f"{prefix}{number}"
        return True

    def _add_first(self, event: TextAppend, sequence: SequenceTracker) -> bool:
        """:meth:`add` where no block is extended: the second fragment of a text begins a block."""
        id: Any = event.id
        prefix, number = sequence.prefix, sequence.number
        if id in self._seen or (type(id) is str and len(id) > _LONG) or self._blocks.find(prefix, number) is not None:
            return False
        last, object_id = self._last, event.object_id
        block = None
        if (
            last is not None
            and last.object_id == object_id
            and last.index == event.index
            and last.target == event.target
        ):
            block = self._blocks.begin(event, prefix, number)
        self._extend(block)
        self._last = event  # before the insertion, which may evict it
        if block is None:
            self._insert(id, hash_fragment(event), object_id, (prefix, number))
        else:
            block.texts.append(event.text)
            self._insert(block, 0, object_id)
        return True

    def add_all(self, fragments: TextFragments, first: int, sequence: SequenceTracker) -> int:
        """Note the ids of fragments that were decoded at once, if they are new, and advance the sequence.

        :meth:`revoke` must follow, when the fragments are processed.

        Args:
            fragments: The fragments.
            first: The index of the first one; its id is the ``next`` of the sequence.
            sequence: The sequence of ids.

        Returns:
            The number of fragments whose ids were noted, the first ones; the next one needs :meth:`add`.
        """
        last: Any = self._block if self._block is not None else self._last
        if (
            last is None
            or last.object_id != fragments.object_id
            or last.index != fragments.index
            or last.target != fragments.target
        ):
            return 0
        prefix, begin, count = sequence.prefix, sequence.number, len(fragments.texts) - first
        if prefix is not None and len(prefix) + MAX_DIGITS >= _LONG:
            return 0
        number = begin
        while number < begin + count:
            page = (prefix, number // PAGE)
            if page in self._singles and self._singles[page][1] >= number:
                break  # an id that is stored alone may be one of these
            block = self._block
            if block is None or number == block.end:
                block = None if self._blocks.find(prefix, number) else self._blocks.begin(fragments, prefix, number)
                if block is None:
                    break
                self._extend(block)
                self._last = fragments
                self._store(block, 0, fragments.object_id)
            texts = fragments.texts[first + number - begin : first + block.end - begin]
            block.texts += texts
            number += len(texts)
        if number != begin:
            self._size += number - begin
            sequence.advance(number - begin)
        return number - begin

    def revoke(self, first: int, count: int, sequence: SequenceTracker) -> None:
        """Remove the last ids that :meth:`add_all` has noted, and those beyond the window, which it may pass.

        Args:
            first: The number of the first id to remove.
            count: The number of ids to remove: all from there on. Their fragments were not processed.
            sequence: The sequence of ids.
        """
        end = first + count
        while first < end:
            block = self._blocks.find(sequence.prefix, first)
            if block is None:
                break  # a callback has removed them
            first, kept = block.first + len(block), first - block.first
            self._size -= block.truncate(kept)
            if not kept:
                self._drop(block)
        if count and sequence.number == end and sequence.next is not None:
            sequence.advance(-count)
        while self._size > self._window:
            self._evict_one()

    def _drop(self, block: IdBlock) -> None:
        """Remove a block that has no ids any more."""
        self._seen.pop(block, None)
        ids = self._by_object.get(block.object_id)
        if ids is not None:
            ids.pop(block, None)
            if not ids:
                del self._by_object[block.object_id]
        if block in self._expendable:
            self._expendable.remove(block)
        self._remove_block(block)

    def _extend(self, block: IdBlock | None) -> None:
        """Extend another block from now on, or none; the last id is no fragment's."""
        if self._block is not None:
            self._block.close()
        self._block, self._last = block, None

    def _note(
        self, id: str | int, content: int, object_id: str | None, sequence: SequenceTracker | None = None
    ) -> Sighting:
        if type(id) is str and len(id) > _LONG:
            id = blake2b(id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        known = self._seen.get(id)
        if known is not None:
            if known[0] == content:
                return _DUPLICATE
            self._seen[id] = (None, known[1])
            return _CONFLICT
        place = prefix, number = split_id(id) if sequence is None else (sequence.prefix, sequence.number)
        if self._blocks.pages:
            block = self._blocks.find(prefix, number)
            if block is not None:
                if block.content(number) == content:
                    return _DUPLICATE
                block.ambiguous.add(number)
                return _CONFLICT
        if self._last is not None:
            self._extend(None)
        self._insert(id, content, object_id, place)
        return _NEW

    def _insert(
        self, key: _Key, content: int, object_id: str | None, place: tuple[str | None, int] | None = None
    ) -> None:
        """Store one more id, or a block with its first one.

        Args:
            key: The id or the block.
            content: The hash of its content.
            object_id: The id of the message or step of its event.
            place: The :func:`split_id` of the id; ``None`` for a block.
        """
        if place is not None and place[1] >= 0:
            page = (place[0], place[1] // PAGE)
            count, largest = self._singles.get(page, _NONE)
            self._singles[page] = (count + 1, place[1] if place[1] > largest else largest)
        self._store(key, content, object_id)
        self._size += 1
        if self._size > self._window:
            self._evict_one()

    def _store(self, key: _Key, content: int, object_id: str | None) -> None:
        """Store an id or a block, which is not counted here."""
        self._seen[key] = (content, object_id)
        if object_id is None:
            self._expendable.append(key)
        else:
            ids = self._by_object.get(object_id)
            if ids is None:
                ids = self._by_object[object_id] = {}
            ids[key] = None

    def clear(self) -> None:
        """Forget all ids."""
        self._seen.clear()
        self._singles.clear()
        self._by_object.clear()
        self._expendable.clear()
        self._blocks.clear()
        self._block = self._last = None
        self._size = 0

    def _evict_one(self) -> None:
        self._counts.forgotten_ids += 1
        self._size -= 1
        key = self._expendable[0] if self._expendable else next(iter(self._seen))
        if isinstance(key, IdBlock):
            if not key.remove_first():
                return  # the next ids of the block follow
            self._remove_block(key)
        else:
            self._remove_single(key)
        if self._expendable:
            self._expendable.popleft()
            del self._seen[key]
            return
        object_id = self._seen.pop(key)[1]
        if object_id is not None:
            ids = self._by_object[object_id]
            del ids[key]
            if not ids:
                del self._by_object[object_id]

    def _remove_single(self, id: str | int) -> None:
        """Note that an id that is in no block is removed."""
        prefix, number = split_id(id)
        page = (prefix, number // PAGE)
        known = self._singles.get(page)
        if known is not None and known[0] > 1:
            self._singles[page] = (known[0] - 1, known[1])
        elif known is not None:
            del self._singles[page]

    def _remove_block(self, block: IdBlock) -> None:
        self._blocks.remove(block)
        if block is self._block:
            self._extend(None)

    def ended(self, object_id: str) -> None:
        """Note that a run, step or message has ended."""
        ids = self._by_object.pop(object_id, None)
        if ids is not None:
            self._expendable.extend(ids)
            self._extend(None)

    def has_open(self, object_id: str) -> bool:
        """True if the object has not ended and has known ids."""
        return object_id in self._by_object

    def forget(self, object_id: str) -> int:
        """Remove the ids of an open object that the server sends again from its beginning: its events are new again.

        Returns:
            The number of ids that were removed.
        """
        before = self._size
        for key in self._by_object.pop(object_id, ()):
            del self._seen[key]
            if isinstance(key, IdBlock):
                self._size -= len(key)
                self._remove_block(key)
            else:
                self._size -= 1
                self._remove_single(key)
        return before - self._size

    def _hash_content(self, event: Event) -> int:
        # The decoded content, not the bytes: an envelope may contain a time of arrival, a relay may change white space.
        if isinstance(event, _SNAPSHOTS):
            return hash((type(event), self._hash_data(event.data)))
        if type(event) is TextAppend:
            return hash_fragment(event)
        content = content_of(event)
        if len(content) == 4:  # a fragment
            return hash((*content[:3], hash(content[3])))
        return hash((content[0], self._hash_data(content[1])))

    def _hash_data(self, data: Any) -> int:
        known, hashed = self._hashed
        if data is not known or data is None:  # servers repeat a snapshot under another name
            try:
                hashed = hash(_encode(data))  # a third of the time of the hash of all fields
            except (TypeError, ValueError, OverflowError, RecursionError):  # a surrogate, a long number, another value
                hashed = _hash_fields(data)
            self._hashed = (data, hashed)
        return hashed


def _hash_fields(data: Any) -> int:
    try:
        return hash(data)
    except TypeError:
        return hash(repr(data))


def _object_id(event: Event) -> str | None:
    return event.object_id if isinstance(event, TextAppend) else getattr(event.data, "id", None)
