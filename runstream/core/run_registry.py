"""All runs that a pipeline holds: which are open, which have ended, which nobody speaks of any more, and which give
way to others.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from runstream.core.interning import Interner
from runstream.core.registry import PendingOrder, RunRecord, Scope, Tombstones
from runstream.core.state import RunState
from runstream.model.events import Event
from runstream.model.limits import Limits
from runstream.model.run import Run
from runstream.model.step import RunStep

__all__ = ["RunRegistry"]


class RunRegistry:
    """The runs of all scopes, within the limits.

    Attributes:
        scopes: The scopes of which anything is held, or whose sources may still give something.
        open: How many runs have not ended.
        evicted: How many were forgotten.
        on_evict: Called with scope and id of each run that was forgotten.
    """

    def __init__(self, limits: Limits) -> None:
        self.scopes: dict[str, Scope] = {}
        self.open = 0
        self.evicted = 0
        self.on_evict: Callable[[str, str], None] | None = None
        self._limits = limits
        self._waiting = PendingOrder(limits.max_orphans)
        self._tombstones = Tombstones(limits.max_tombstones)
        self._shared = Interner()
        self._left: dict[RunRecord, None] = {}  # runs that were interrupted, the oldest first
        self._finished: OrderedDict[tuple[str, str], tuple[RunRecord, float]] = OrderedDict()
        self._order = 0

    @property
    def finished(self) -> int:
        """How many runs have ended and are still kept."""
        return len(self._finished)

    @property
    def waiting(self) -> int:
        """How many events wait for their run."""
        return len(self._waiting.order)

    @property
    def forgotten_tombstones(self) -> int:
        """How many tombstones went to make room."""
        return self._tombstones.forgotten

    def scope(self, name: str) -> Scope:
        """A scope, made if need be."""
        held = self.scopes.get(name)
        if held is None:
            held = self.scopes[name] = Scope(name, self._waiting, self._tombstones)
        return held

    def leave(self, scope: Scope) -> None:
        """Forget a scope of which nothing is held any more."""
        if scope.idle and self.scopes.get(scope.name) is scope:
            del self.scopes[scope.name]

    def record(self, scope: str, run_id: str) -> RunRecord | None:
        """What is held of a run."""
        held = self.scopes.get(scope)
        return held.runs.get(run_id) if held is not None else None

    def records(self) -> list[RunRecord]:
        """What is held of all runs, in order of appearance."""
        found = [record for scope in self.scopes.values() for record in scope.runs.values()]
        return sorted(found, key=lambda record: record.order)

    def open_records(self) -> Iterator[RunRecord]:
        """What is held of the runs that have not ended, in no order."""
        for scope in self.scopes.values():
            for record in scope.runs.values():
                if not record.state.is_terminal:
                    yield record

    def orphans(self) -> dict[str, tuple[Event, ...]]:
        """Events of runs that were never seen, by the id (of the run, message or step) that they speak of."""
        found: dict[str, tuple[Event, ...]] = {}
        for scope in self.scopes.values():
            for id, events in scope.orphans.events().items():
                found[id] = found.get(id, ()) + events  # two scopes may speak of one id
        return found

    def is_tombstoned(self, scope: str, run_id: str) -> bool:
        """Whether a run was held once and is done with."""
        return (scope, run_id) in self._tombstones

    def make_room(self) -> bool:
        """Make room for another open run, if there is none; whether there is now."""
        if self.open >= self._limits.max_open_runs:
            if not self._left:
                return False
            self.evict(next(iter(self._left)))  # nobody may ever speak of it again
        return True

    def add(self, scope: Scope, state: RunState, intake: Any) -> RunRecord:
        """Hold a run that is seen for the first time."""
        record = scope.runs[state.run_id] = RunRecord(state, intake, self._order)
        self._order += 1
        self.open += 1
        return record

    def restore(self, state: RunState, at: float) -> RunRecord:
        """Hold a run that an earlier process knew, as it was; no source has taken it up yet.

        Args:
            state: The run's state.
            at: Unix seconds, from which an ended run is kept.
        """
        scope, run = self.scope(state.scope), state.run
        self._shared.share(run)
        record = self.add(scope, state, None)
        ids = [item.id for item in state._objects]
        ids += [
            item.full.message_id for item in state._objects if isinstance(item.full, RunStep) and item.full.message_id
        ]
        for id in dict.fromkeys(ids):
            record.own(id)
            scope.objects[id] = record
        if state.is_terminal:
            self.open -= 1
            self._finished[scope.name, run.id] = (record, at)
        elif not run.requires_action:
            self._left[record] = None
        return record

    def share(self, run: Run) -> None:
        """Let a run that is seen for the first time have the equal instructions and tools of another one."""
        self._shared.share(run)

    def left(self, record: RunRecord) -> None:
        """A run was interrupted: should room be needed, it gives way."""
        self._left[record] = None

    def taken_up(self, record: RunRecord) -> None:
        """A run that was interrupted is heard of again."""
        self._left.pop(record, None)

    def ended(self, record: RunRecord, at: float) -> None:
        """A run has ended: it is kept for a while.

        Args:
            record: The run.
            at: When (Unix seconds).
        """
        state = record.state
        self.open -= 1
        self._left.pop(record, None)
        self._finished[state.scope, state.run_id] = (record, at)
        self.forget(at)

    def forget(self, at: float) -> None:
        """Forget ended runs that are too many or too old.

        Args:
            at: The time now (Unix seconds).
        """
        limits = self._limits
        while self._finished:
            oldest, since = next(iter(self._finished.values()))
            if len(self._finished) <= limits.max_finished_runs and at - since <= limits.max_finished_age:
                break
            self.evict(oldest)

    def evict(self, record: RunRecord) -> None:
        """Forget a run, leaving tombstones that keep its late events quiet."""
        state = record.state
        scope = self.scopes[state.scope]
        if self._finished.pop((state.scope, state.run_id), None) is None:
            self.open -= 1
            del self._left[record]
        del scope.runs[state.run_id]
        scope.forget(state.run_id)
        for id in record.objects:
            if scope.objects.get(id) is record:  # else another run has claimed it since
                del scope.objects[id]
                scope.forget(id)
        self.evicted += 1
        self.leave(scope)
        if self.on_evict is not None:
            self.on_evict(scope.name, state.run_id)
