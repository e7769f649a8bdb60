"""Detects repeated events by their ids, within one source.

The ids of an object are kept while the object is open, because a server may send all of it again after a reconnect.
Once an object has ended, its state absorbs repetitions. Its ids are the first to be removed when the window is full.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from runstream.model.events import Event, TextAppend, content_of
from runstream.model.limits import Stats

__all__ = ["Deduper", "Sighting"]


_LONG: Final = 128
"""A longer id is kept as a digest (characters)."""


class Sighting(enum.Enum):
    """The result of deduplication: an id is new, or known with the same content, or known with other content."""

    NEW = "new"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


class Deduper:
    """The ids of one source, over its reconnects.

    Args:
        window: The number of ids that are kept at most.
        counts: The counts whose ``forgotten_ids`` grows with each id that is removed to make room.
    """

    __slots__ = ("_by_object", "_counts", "_expendable", "_seen", "_window")

    def __init__(self, window: int = 65_536, counts: Stats | None = None) -> None:
        self._counts = counts or Stats()
        self._seen: OrderedDict[str | int, tuple[int, str | None]] = OrderedDict()
        self._by_object: dict[str, dict[str | int, None]] = {}
        self._expendable: deque[str | int] = deque()
        self._window = window

    def __len__(self) -> int:
        return len(self._seen)

    def see(self, event: Event) -> Sighting:
        """Note the id of an event.

        Returns:
            NEW for a new id and for no id. DUPLICATE for a known id with the same content. CONFLICT for a known id
            with other content: such an event is processed.
        """
        return self._note(event.id, _hash_content(event), _object_id(event))

    def add(self, event: TextAppend) -> bool:
        """Note the id of a fragment, if it is new.

        Returns:
            False if the id is known, or long; nothing was done then.
        """
        id, object_id = event.id, event.object_id
        seen = self._seen
        if id in seen or (type(id) is str and len(id) > _LONG):
            return False
        seen[id] = (hash((object_id, event.target, event.index, event.text)), object_id)  # type: ignore[index]
        ids = self._by_object.get(object_id)
        if ids is None:
            ids = self._by_object[object_id] = {}
        ids[id] = None  # type: ignore[index]
        if len(seen) > self._window:
            self._evict_one()
        return True

    def see_all(self, events: Sequence[Event]) -> Sighting:
        """Note the id of the events of one raw event: they are compared as one."""
        first = events[0]
        return self._note(first.id, hash(tuple(map(_hash_content, events))), _object_id(first))

    def _note(self, id: str | int | None, content: int, object_id: str | None) -> Sighting:
        if id is None:
            return Sighting.NEW
        if type(id) is str and len(id) > _LONG:
            id = blake2b(id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        known = self._seen.get(id)
        if known is not None:
            if known[0] == content:
                return Sighting.DUPLICATE
            self._seen[id] = (content, known[1])
            return Sighting.CONFLICT
        self._seen[id] = (content, object_id)
        if object_id is None:
            self._expendable.append(id)
        else:
            ids = self._by_object.get(object_id)
            if ids is None:
                ids = self._by_object[object_id] = {}
            ids[id] = None
        if len(self._seen) > self._window:
            self._evict_one()
        return Sighting.NEW

    def clear(self) -> None:
        """Forget all ids."""
        self._seen.clear()
        self._by_object.clear()
        self._expendable.clear()

    def _evict_one(self) -> None:
        self._counts.forgotten_ids += 1
        if self._expendable:
            del self._seen[self._expendable.popleft()]
            return
        id, (_, object_id) = self._seen.popitem(last=False)
        if object_id is not None:
            ids = self._by_object[object_id]
            del ids[id]
            if not ids:
                del self._by_object[object_id]

    def ended(self, object_id: str) -> None:
        """Note that a run, step or message has ended."""
        ids = self._by_object.pop(object_id, None)
        if ids is not None:
            self._expendable.extend(ids)

    def has_open(self, object_id: str) -> bool:
        """True if the object has not ended and has known ids."""
        return object_id in self._by_object

    def forget(self, object_id: str) -> int:
        """Remove the ids of an open object that the server sends again from its beginning: its events are new again.

        Returns:
            The number of ids that were removed.
        """
        ids = self._by_object.pop(object_id, {})
        for id in ids:
            del self._seen[id]
        return len(ids)


def _object_id(event: Event) -> str | None:
    return event.object_id if isinstance(event, TextAppend) else getattr(event.data, "id", None)


def _hash_content(event: Event) -> int:
    # The decoded content, not the bytes: an envelope may contain a time of arrival, a relay may change white space.
    content = content_of(event)
    try:
        return hash(content)
    except TypeError:
        return hash(repr(content))
