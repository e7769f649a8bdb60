"""Deduplication by identity: the event ids of one source, remembered as long as they can matter.

Ids are kept while the object that they speak of is open: a reconnect may tell all of it again. Once it has ended,
the state itself absorbs repetitions, so its ids are the first to go when the window is full.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque

from runstream.model.events import Event
from runstream.model.limits import Stats

__all__ = ["Deduper", "Sighting"]


class Sighting(enum.Enum):
    """What an event's id says."""

    NEW = "new"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


class Deduper:
    """Remembers the ids of one source, over its reconnects.

    Args:
        window: How many ids are remembered at most.
        counts: Where to count those that went to make room.
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
        """Note an event; the same id with other content is a conflict, and passes. Events without id are new."""
        id = event.id
        if id is None:
            return Sighting.NEW
        content = _hash_content(event)
        known = self._seen.get(id)
        if known is not None:
            if known[0] == content:
                return Sighting.DUPLICATE
            self._seen[id] = (content, known[1])
            return Sighting.CONFLICT
        object_id = getattr(event.data, "id", None)
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
        """Say that a run, step or message has ended."""
        ids = self._by_object.pop(object_id, None)
        if ids is not None:
            self._expendable.extend(ids)

    def has_open(self, object_id: str) -> bool:
        """Whether ids of an object are known that has not ended."""
        return object_id in self._by_object

    def forget(self, object_id: str) -> int:
        """Say that an object that is open is told again from its start: what came of it counts anew.

        Returns:
            How many ids are forgotten by that.
        """
        ids = self._by_object.pop(object_id, {})
        for id in ids:
            del self._seen[id]
        return len(ids)


def _hash_content(event: Event) -> int:
    # The decoded content, not the bytes: an envelope may carry a time of arrival, a relay other white space.
    try:
        return hash((type(event), event.data))
    except TypeError:
        return hash((type(event), repr(event.data)))
