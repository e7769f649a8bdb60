"""Events that arrive before their run, and ids of objects that are done: both in bounded memory."""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Hashable
from typing import Any, TypeAlias

import msgspec

from runstream.model.base import to_wire
from runstream.model.events import Event, TextAppend
from runstream.model.message import Message
from runstream.model.step import RunStep

__all__ = ["Orphans", "PendingEvent", "PendingOrder", "Tombstones"]

# An event, the state of its source, and the time of its arrival (Unix seconds).
PendingEvent: TypeAlias = tuple[Event, Any, float]


class Tombstones:
    """Ids of objects that are done, in two generations of hashes. When both are full, the older generation is removed.

    A collision makes a new object look like an old one; with a million ids the odds are about one in 10^13.

    Args:
        limit: The number of ids that are kept at most.

    Attributes:
        forgotten: The number of ids that were removed to make room.
    """

    __slots__ = ("_limit", "_new", "_old", "forgotten")

    def __init__(self, limit: int) -> None:
        self.forgotten = 0
        self._limit = max(1, limit // 2)
        self._new: set[int] = set()
        self._old: set[int] = set()

    def add(self, key: Hashable) -> None:
        """Remember the key of an object that is done."""
        if len(self._new) >= self._limit:
            self.forgotten += len(self._old)
            self._old, self._new = self._new, set()
        self._new.add(hash(key))

    def __contains__(self, key: Hashable) -> bool:
        return (digest := hash(key)) in self._new or digest in self._old


def _size_of(event: Event) -> int:
    """The size of an event (bytes, roughly): of its message, else of its text."""
    if event.origin is not None:
        return len(event.origin.payload)
    if isinstance(event, TextAppend):
        return len(event.text)
    return len(msgspec.json.encode(event.data, enc_hook=to_wire))


class PendingOrder:
    """The order of arrival of the orphans of all scopes; over the limit the oldest one is removed.

    Args:
        limit: The number of orphans that are kept at most, over all scopes.
        max_bytes: Their size (bytes).

    Attributes:
        next: The number of the next orphan.
        order: For the number of each orphan its table, the id that it waits for, and its size (bytes).
        size: The size of all orphans (bytes).
    """

    __slots__ = ("limit", "max_bytes", "next", "order", "size")

    def __init__(self, limit: int, max_bytes: int = sys.maxsize) -> None:
        self.limit = limit
        self.max_bytes = max_bytes
        self.next = 0
        self.size = 0
        self.order: OrderedDict[int, tuple[Orphans, str, int]] = OrderedDict()

    def remove(self, number: int) -> None:
        """Remove an orphan from the order."""
        self.size -= self.order.pop(number)[2]


class Orphans:
    """The orphans of one scope: events whose run was not seen yet, by the id that they name.

    Args:
        pending: The order of the orphans of all scopes.
    """

    __slots__ = ("_events", "_owners", "_pending")

    def __init__(self, pending: PendingOrder) -> None:
        self._pending = pending
        self._events: dict[str, dict[int, PendingEvent]] = {}
        # For a message or step of a source the id that it waits for, as an orphan names it.
        self._owners: dict[tuple[Any, str], str] = {}

    @property
    def count(self) -> int:
        """The number of orphans."""
        return sum(len(events) for events in self._events.values())

    def buffer(self, id: str, event: Event, source: Any, at: float) -> list[PendingEvent]:
        """Keep an event until its run is seen.

        Args:
            id: The id of the run, message or step that it waits for.
            event: The event.
            source: The state of its source.
            at: The time of its arrival (Unix seconds).

        Returns:
            The oldest orphans that were removed to make room, the oldest first.
        """
        data: Any = event.data
        own_id = getattr(data, "id", None)  # the value of a custom event has none
        if id == own_id:
            id = self._owners.get((source, id), id)  # a fragment waits with its message or step, in order
        if isinstance(data, Message | RunStep) or (own_id is not None and id != own_id):
            self._owners[source, data.id] = id
            if isinstance(data, RunStep) and data.message_id is not None:
                self._owners[source, data.message_id] = id
        pending = self._pending
        self._events.setdefault(id, {})[pending.next] = (event, source, at)
        size = _size_of(event)
        pending.order[pending.next] = (self, id, size)
        pending.size += size
        pending.next += 1
        removed = []
        while len(pending.order) > pending.limit or pending.size > pending.max_bytes:
            number, (orphans, oldest, _) = next(iter(pending.order.items()))
            pending.remove(number)
            removed.append(orphans._remove(oldest, number))
        return removed

    def _remove(self, id: str, number: int) -> PendingEvent:
        removed = self._events[id].pop(number)
        if not self._events[id]:
            del self._events[id]
        self._remove_owner(removed)
        return removed

    def pop(self, id: str) -> list[PendingEvent]:
        """Remove and return the events that wait for this id, in the order of arrival."""
        events = self._events.pop(id, {})
        for number, pending in events.items():
            self._pending.remove(number)
            self._remove_owner(pending)
        return list(events.values())

    def waits(self, source: Any, id: str) -> bool:
        """True if a message or step of a source waits for its run: its fragments wait too."""
        return (source, id) in self._owners

    def _remove_owner(self, pending: PendingEvent) -> None:
        event, source, _ = pending
        data: Any = event.data
        self._owners.pop((source, getattr(data, "id", "")), None)
        if isinstance(data, RunStep) and data.message_id is not None:
            self._owners.pop((source, data.message_id), None)

    def __bool__(self) -> bool:
        return bool(self._events)

    def events(self) -> dict[str, tuple[Event, ...]]:
        """The orphans by the id that they wait for."""
        return {id: tuple(event for event, _, _ in events.values()) for id, events in self._events.items()}
