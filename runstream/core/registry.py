"""The runs that a pipeline holds, by scope: which run a message or step belongs to, which have ended, which were
forgotten, and the events of runs that were not seen yet.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, TypeAlias

from runstream.core.state import RunState
from runstream.events import Event
from runstream.model.step import RunStep

# An event, the intake that it came by, and when (Unix seconds).
Held: TypeAlias = tuple[Event, Any, float]

__all__ = ["Orphans", "RunRecord", "Scope", "Tombstones"]


class RunRecord:
    """One run: its latest state, and what is no part of the state."""

    __slots__ = (
        "given_up",
        "heard",
        "intake",
        "interrupted",
        "order",
        "paused",
        "replaying",
        "stalled",
        "state",
        "watch",
    )

    def __init__(self, state: RunState, intake: Any, order: int) -> None:
        self.state = state
        self.intake = intake  # the source that spoke of it last; None once a watchdog gave it up
        self.order = order  # of appearance
        self.replaying = False
        self.paused = -1  # the round for which `run.paused` was given
        self.interrupted = 0
        self.stalled = 0
        self.heard = False  # of a snapshot, or of a message or step, since the last look of a watchdog
        self.watch: Any = None  # the watchdogs' own notes
        self.given_up: str | None = None  # why a watchdog ended it; until it is heard of again


class Tombstones:
    """Ids that are done with, in bounded memory: two generations of hashes; when both are full the older one goes.

    A collision makes a new object look old, at odds of about one in 10^13 with a million ids.
    """

    __slots__ = ("_limit", "_new", "_old")

    def __init__(self, limit: int) -> None:
        self._limit = max(1, limit // 2)
        self._new: set[int] = set()
        self._old: set[int] = set()

    def add(self, id: str) -> None:
        """Remember an id."""
        if len(self._new) >= self._limit:
            self._old, self._new = self._new, set()
        self._new.add(hash(id))

    def __contains__(self, id: str) -> bool:
        return (found := hash(id)) in self._new or found in self._old


class Orphans:
    """Events held until their run is seen, by the id that they speak of; bounded over all of them."""

    __slots__ = ("_held", "_limit", "_next", "_order", "_owners")

    def __init__(self, limit: int) -> None:
        self._held: dict[str, dict[int, Held]] = {}
        self._order: OrderedDict[int, str] = OrderedDict()  # of arrival: what each event waits for
        self._owners: dict[str, str] = {}  # the run that a message or step waits for, as a held event has it
        self._limit = limit
        self._next = 0

    @property
    def count(self) -> int:
        """How many events are held."""
        return len(self._order)

    def hold(self, id: str, event: Event, intake: Any, at: float) -> Held | None:
        """Hold an event; returns the oldest one if it had to give way."""
        data: Any = event.data
        if id == data.id:
            id = self._owners.get(id, id)  # a fragment waits with its message or step, in order
        else:
            self._owners[data.id] = id
            if isinstance(data, RunStep) and data.message_id is not None:
                self._owners[data.message_id] = id
        self._held.setdefault(id, {})[self._next] = (event, intake, at)
        self._order[self._next] = id
        self._next += 1
        if len(self._order) <= self._limit:
            return None
        number, oldest = self._order.popitem(last=False)
        held = self._held[oldest].pop(number)
        if not self._held[oldest]:
            del self._held[oldest]
        self._disown(held)
        return held

    def adopt(self, id: str) -> list[Held]:
        """The events that waited for this id, in order; they are held no more."""
        items = self._held.pop(id, {})
        for number, held in items.items():
            del self._order[number]
            self._disown(held)
        return list(items.values())

    def _disown(self, held: Held) -> None:
        data: Any = held[0].data
        self._owners.pop(data.id, None)
        if isinstance(data, RunStep) and data.message_id is not None:
            self._owners.pop(data.message_id, None)

    def __bool__(self) -> bool:
        return bool(self._held)

    def events(self) -> dict[str, tuple[Event, ...]]:
        """What is held, by the id that it speaks of."""
        return {id: tuple(event for event, _, _ in items.values()) for id, items in self._held.items()}


class Scope:
    """The runs of one scope, and their messages and steps."""

    __slots__ = ("name", "objects", "orphans", "runs", "tombstones")

    def __init__(self, name: str, max_orphans: int, max_tombstones: int) -> None:
        self.name = name
        self.runs: dict[str, RunRecord] = {}
        self.objects: dict[str, RunRecord] = {}
        self.orphans = Orphans(max_orphans)
        self.tombstones = Tombstones(max_tombstones)
