"""The runs that a pipeline holds, by scope: which run a message or step belongs to, which have ended, which were
forgotten, and the events of runs that were not seen yet.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any, TypeAlias

from runstream.core.state import GrowingText, RunState
from runstream.model.events import Event
from runstream.model.run import Run
from runstream.model.step import RunStep

# An event, the intake that it came by, and when (Unix seconds).
Held: TypeAlias = tuple[Event, Any, float]

__all__ = ["Orphans", "PendingOrder", "RunRecord", "Scope", "Tombstones"]


class RunRecord:
    """One run: its latest state, and what is no part of the state.

    Attributes:
        live: The text of the state that grows right now, if one does.
        length: How long it is by now (characters). The hot path moves this alone; the state follows when asked for.
        unidentified: Whether a fragment of it came without an id, or ids of its fragments were forgotten because their
            object began again: then the ids that are known say nothing of what lies between them.
    """

    # What few runs need costs nothing where it is not set.
    __slots__ = ("__dict__", "_objects", "_state", "heard", "intake", "length", "live", "order", "unidentified")

    replaying = False  # its source tells it from its start again
    paused = -1  # the round for which `run.paused` was given
    interrupted = 0
    stalled = 0
    watch: Any = None  # the watchdogs' own notes
    expired_reason: str | None = None  # why a watchdog ended it; until it is heard of again
    saved: RunState | None = None  # the state that a store has, or is about to get

    def __init__(self, state: RunState, intake: Any, order: int) -> None:
        self._state = state
        self.live: GrowingText | None = state._live
        self.length: int = state._length
        self.intake = intake  # the source that spoke of it last; None once a watchdog gave it up
        self.order = order  # of appearance
        self.heard = False  # of a snapshot, or of a message or step, since the last look of a watchdog
        self.unidentified = False
        self._objects: list[str] | None = None

    @property
    def objects(self) -> Sequence[str]:
        """The ids by which its scope knows it, beside its own."""
        return self._objects or ()

    def own(self, id: str) -> None:
        """Note that its scope knows it by this id too."""
        if self._objects is None:
            self._objects = [id]
        else:
            self._objects.append(id)

    @property
    def run(self) -> Run:
        """The run as it is now, at no cost: growing text is no part of it."""
        return self._state._core.run

    @property
    def state(self) -> RunState:
        """The latest state; the same object until something changes."""
        return self._state if self.length == self._state._length else self.grow()

    @state.setter
    def state(self, state: RunState) -> None:
        self._state = state
        self.live = state._live
        self.length = state._length

    def grow(self) -> RunState:
        """The state once the text has grown; it is the latest from now on."""
        held = self._state
        state = self._state = RunState(held._core, held._objects, held._live, self.length)
        return state


class Tombstones:
    """Ids that are done with, in bounded memory: two generations of hashes; when both are full the older one goes.

    A collision makes a new object look old, at odds of about one in 10^13 with a million ids.
    """

    __slots__ = ("_limit", "_new", "_old", "forgotten")

    def __init__(self, limit: int) -> None:
        self.forgotten = 0  # ids that went to make room
        self._limit = max(1, limit // 2)
        self._new: set[int] = set()
        self._old: set[int] = set()

    def add(self, key: Hashable) -> None:
        """Remember what has this key."""
        if len(self._new) >= self._limit:
            self.forgotten += len(self._old)
            self._old, self._new = self._new, set()
        self._new.add(hash(key))

    def __contains__(self, key: Hashable) -> bool:
        return (found := hash(key)) in self._new or found in self._old


class PendingOrder:
    """The order of arrival of all held events, of every scope; what goes over its limit gives way."""

    __slots__ = ("limit", "next", "order")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.next = 0
        self.order: OrderedDict[int, tuple[Orphans, str]] = OrderedDict()  # whose it is, and what it waits for


class Orphans:
    """Events of one scope held until their run is seen, by the id that they speak of; bounded over all scopes."""

    __slots__ = ("_held", "_owners", "_waiting")

    def __init__(self, waiting: PendingOrder) -> None:
        self._waiting = waiting
        self._held: dict[str, dict[int, Held]] = {}
        self._owners: dict[str, str] = {}  # the run that a message or step waits for, as a held event has it

    @property
    def count(self) -> int:
        """How many events are held."""
        return sum(len(items) for items in self._held.values())

    def hold(self, id: str, event: Event, intake: Any, at: float) -> Held | None:
        """Hold an event; returns the oldest one if it had to give way."""
        data: Any = event.data
        if id == data.id:
            id = self._owners.get(id, id)  # a fragment waits with its message or step, in order
        else:
            self._owners[data.id] = id
            if isinstance(data, RunStep) and data.message_id is not None:
                self._owners[data.message_id] = id
        waiting = self._waiting
        self._held.setdefault(id, {})[waiting.next] = (event, intake, at)
        waiting.order[waiting.next] = (self, id)
        waiting.next += 1
        if len(waiting.order) <= waiting.limit:
            return None
        number, (whose, oldest) = waiting.order.popitem(last=False)
        return whose._give_way(oldest, number)

    def _give_way(self, id: str, number: int) -> Held:
        held = self._held[id].pop(number)
        if not self._held[id]:
            del self._held[id]
        self._disown(held)
        return held

    def adopt(self, id: str) -> list[Held]:
        """The events that waited for this id, in order; they are held no more."""
        items = self._held.pop(id, {})
        for number, held in items.items():
            del self._waiting.order[number]
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
    """The runs of one scope, and their messages and steps.

    Args:
        name: Its name.
        waiting: The order of the held events of all scopes.
        tombstones: What was forgotten in any scope.
    """

    __slots__ = ("_tombstones", "intakes", "name", "objects", "orphans", "runs")

    def __init__(self, name: str, waiting: PendingOrder, tombstones: Tombstones) -> None:
        self.name = name
        self.intakes = 0  # sources that have not ended
        self.runs: dict[str, RunRecord] = {}
        self.objects: dict[str, RunRecord] = {}
        self.orphans = Orphans(waiting)
        self._tombstones = tombstones

    def forget(self, id: str) -> None:
        """Note that a run, message or step is done with."""
        self._tombstones.add((self.name, id))

    def is_tombstoned(self, id: str) -> bool:
        """Whether a run, message or step was done with."""
        return (self.name, id) in self._tombstones

    @property
    def idle(self) -> bool:
        """Whether nothing is held, and nothing is left that could give anything."""
        return not (self.intakes or self.runs or self.orphans)
