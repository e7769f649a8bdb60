"""The runs that an engine keeps, by scope: which run a message or step belongs to, which runs are open, finished or
interrupted, and which are evicted when a limit is reached.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any

from runstream.core.interning import Interner
from runstream.core.orphans import Orphans, PendingOrder, Tombstones
from runstream.core.run_record import RunRecord
from runstream.core.state import RunState
from runstream.core.waiting_runs import WaitingRuns
from runstream.model.events import Event
from runstream.model.limits import Limits
from runstream.model.run import Run
from runstream.model.step import RunStep

__all__ = ["RunRegistry", "Scope"]


class Scope:
    """The runs of one scope, with their messages and steps.

    Args:
        name: The scope's name.
        pending: The order of the orphans of all scopes.
        tombstones: The ids of all scopes that are done.

    Attributes:
        sources: The number of sources that have not ended.
        runs: The records by run id.
        objects: The owners of each id of a message or step: the record of its run, or the records of several runs.
        orphans: The events whose run was not seen yet.
        pieces: The records by the ids of their pieces, but for those that are ids of runs.
        waiting: The runs that wait for action.
    """

    __slots__ = ("_tombstones", "name", "objects", "orphans", "pieces", "runs", "sources", "waiting")

    def __init__(self, name: str, pending: PendingOrder, tombstones: Tombstones) -> None:
        self.name = name
        self.sources = 0
        self.runs: dict[str, RunRecord] = {}
        self.objects: dict[str, RunRecord | dict[RunRecord, None]] = {}
        self.orphans = Orphans(pending)
        self.pieces: dict[str, RunRecord] = {}
        self.waiting = WaitingRuns()
        self._tombstones = tombstones

    def add_tombstone(self, id: str) -> None:
        """Note that a run, message or step is done."""
        self._tombstones.add((self.name, id))

    def is_tombstoned(self, id: str) -> bool:
        """True if a run, message or step is done."""
        return (self.name, id) in self._tombstones

    def find(self, id: str | None) -> RunRecord | None:
        """The run with this id, or with a piece of this id; ``None`` if there is none.

        A source that does not know the link of a piece to its run takes the piece for a run of its own.
        """
        if id is None:
            return None
        record = self.runs.get(id)
        return record if record is not None else self.pieces.get(id)

    def add_piece(self, record: RunRecord, piece: str) -> None:
        """Note that a run has a piece of this id. One that is a run here, or a piece of another run, stays that."""
        if piece not in self.runs:
            self.pieces.setdefault(piece, record)

    def remove_pieces(self, record: RunRecord, *, tombstones: bool = True) -> None:
        """Remove the pieces of a run; tombstones remain, unless the run is kept elsewhere."""
        for piece in record.state.pieces:
            if self.pieces.get(piece) is record:
                del self.pieces[piece]
                if tombstones:
                    self.add_tombstone(piece)

    def add_object(self, record: RunRecord, id: str) -> bool:
        """Note that a run has a message or step of this id. Servers may use an id again in another run.

        Returns:
            False if this was known.
        """
        owners = self.objects.get(id)
        if owners is None:
            self.objects[id] = record
        elif owners is record:
            return False
        elif isinstance(owners, RunRecord):
            self.objects[id] = {owners: None, record: None}
        elif record in owners:
            return False
        else:
            owners[record] = None
        record.add_object(id)
        return True

    def remove_objects(self, record: RunRecord, *, tombstones: bool = True) -> None:
        """Remove the messages and steps of a run. A tombstone remains for each id that no other run has, unless the run
        is kept elsewhere.
        """
        for id in record.objects:
            owners = self.objects[id]
            if owners is record:
                del self.objects[id]
                if tombstones:
                    self.add_tombstone(id)
            elif isinstance(owners, dict):
                del owners[record]
                if len(owners) == 1:
                    self.objects[id] = next(iter(owners))

    def has_object(self, record: RunRecord, id: str) -> bool:
        """True if a run has a message or step of this id."""
        owners = self.objects.get(id)
        return owners is record or (isinstance(owners, dict) and record in owners)

    def owner(self, id: str) -> RunRecord | None:
        """The run that has a message or step of this id; ``None`` if there is none, or more than one."""
        owners = self.objects.get(id)
        return owners if isinstance(owners, RunRecord) else None

    @property
    def idle(self) -> bool:
        """True if the scope is empty and no source can add to it."""
        return not (self.sources or self.runs or self.orphans)


class RunRegistry:
    """The runs of all scopes, within the limits.

    Args:
        limits: The bounds.

    Attributes:
        scopes: The scopes that are not idle, by name.
        open: The number of runs that have not ended.
        evicted: The number of runs that were evicted.
        on_evict: Called with the scope's name and the run id of each evicted run.
    """

    def __init__(self, limits: Limits) -> None:
        self.scopes: dict[str, Scope] = {}
        self.open = 0
        self.evicted = 0
        self.on_evict: Callable[[str, str], None] | None = None
        self._limits = limits
        self._pending = PendingOrder(limits.max_orphans, limits.max_orphan_bytes)
        self._tombstones = Tombstones(limits.max_tombstones)
        self._interner = Interner()
        self._released: dict[RunRecord, None] = {}  # interrupted runs, the oldest first
        self._finished: OrderedDict[tuple[str, str], tuple[RunRecord, float]] = OrderedDict()
        self._order = 0

    @property
    def finished(self) -> int:
        """The number of runs that have ended and are still kept."""
        return len(self._finished)

    @property
    def released(self) -> int:
        """The number of interrupted runs, which may be evicted."""
        return len(self._released)

    @property
    def orphan_count(self) -> int:
        """The number of events that wait for their run."""
        return len(self._pending.order)

    @property
    def forgotten_tombstones(self) -> int:
        """The number of tombstones that were removed to make room."""
        return self._tombstones.forgotten

    def scope(self, name: str) -> Scope:
        """The scope of this name; it is made if there is none."""
        scope = self.scopes.get(name)
        if scope is None:
            scope = self.scopes[name] = Scope(name, self._pending, self._tombstones)
        return scope

    def remove_idle_scope(self, scope: Scope) -> None:
        """Remove a scope if it is idle."""
        if scope.idle and self.scopes.get(scope.name) is scope:
            del self.scopes[scope.name]

    def record(self, scope: str, run_id: str) -> RunRecord | None:
        """The record of a run; ``None`` if there is none."""
        found = self.scopes.get(scope)
        return found.runs.get(run_id) if found is not None else None

    def records(self) -> list[RunRecord]:
        """The records of all runs, in order of first appearance."""
        found = [record for scope in self.scopes.values() for record in scope.runs.values()]
        return sorted(found, key=lambda record: record.order)

    def open_records(self) -> Iterator[RunRecord]:
        """The records of the runs that have not ended, in no order."""
        for scope in self.scopes.values():
            for record in scope.runs.values():
                if not record.state.is_terminal:
                    yield record

    def orphans(self) -> dict[str, tuple[Event, ...]]:
        """The events whose run was not seen, by the id (of the run, message or step) that they wait for."""
        found: dict[str, tuple[Event, ...]] = {}
        for scope in self.scopes.values():
            for id, events in scope.orphans.events().items():
                found[id] = found.get(id, ()) + events  # two scopes may wait for one id
        return found

    def waiting_run(self, scope: str, id: str) -> str | None:
        """The id of the run that waits for action and that this id names; ``None`` if there is none, or not just one.

        Args:
            scope: The name of its scope.
            id: The run's id, the id of its last piece, or the id of a call that it waits for.
        """
        found = self.scopes.get(scope)
        if found is None:
            return None
        record = found.runs.get(id)
        if record is not None and record.run.requires_action:
            return id
        return found.waiting.find(id)

    def is_tombstoned(self, scope: str, run_id: str) -> bool:
        """True if a run was kept once and was evicted."""
        return (scope, run_id) in self._tombstones

    def make_room(self) -> bool:
        """Make room for one more open run: an interrupted run is evicted if need be.

        Returns:
            True if there is room.
        """
        if self.open >= self._limits.max_open_runs:
            if not self._released:
                return False
            self.evict(next(iter(self._released)))  # it has no source: perhaps no further event of it arrives
        return True

    def add(self, scope: Scope, state: RunState, source: Any) -> RunRecord:
        """Add a run that is seen for the first time.

        Args:
            scope: Its scope.
            state: Its first state.
            source: The state of the source that sent it.
        """
        run = state._head.run
        record = scope.runs[run.id] = RunRecord(state, source, self._order, self._limits.max_run_size)
        self._order += 1
        self.open += 1
        for piece in state.pieces:
            scope.add_piece(record, piece)
        if run.requires_action:
            scope.waiting.update(record)
        return record

    def restore(self, state: RunState, at: float) -> RunRecord:
        """Add a run as an earlier process had stored it; it has no source yet.

        Args:
            state: The run's state.
            at: Unix seconds, from which the age of a finished run counts.
        """
        scope, run = self.scope(state.scope), state.run
        self._interner.intern(run)
        record = self.add(scope, state, None)
        ids = [item.id for item in state._objects]
        ids += [
            item.full.message_id for item in state._objects if isinstance(item.full, RunStep) and item.full.message_id
        ]
        for id in dict.fromkeys(ids):
            scope.add_object(record, id)
        if state.is_terminal:
            self.open -= 1
            self._finished[scope.name, run.id] = (record, at)
        elif not run.requires_action:
            self._released[record] = None
        return record

    def intern(self, run: Run) -> None:
        """Make a new run share equal instructions and tools with another run."""
        self._interner.intern(run)

    def release(self, record: RunRecord) -> None:
        """Note that a run was interrupted: it may be evicted when room is needed."""
        self._released[record] = None

    def reclaim(self, record: RunRecord) -> None:
        """Note that an interrupted run is resumed."""
        self._released.pop(record, None)

    def finish(self, record: RunRecord, at: float) -> None:
        """Note that a run has ended; it is kept for a while.

        Args:
            record: The run.
            at: The time now (Unix seconds).
        """
        head = record.state._head
        self.open -= 1
        self._released.pop(record, None)
        self._finished[head.scope, head.run.id] = (record, at)
        self.evict_finished(at)

    def evict_finished(self, at: float) -> None:
        """Evict finished runs that are too many or too old.

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
        """Remove a finished or interrupted run. Tombstones remain, so that its late events are counted and skipped."""
        scope = self.scopes[record.state.scope]
        self._remove(scope, record, tombstones=True)
        self.evicted += 1
        if self.on_evict is not None:
            self.on_evict(scope.name, record.state.run_id)

    def unload(self, record: RunRecord) -> None:
        """Remove a run in any status that is kept elsewhere, and may be restored from there. No trace of it remains."""
        self._remove(self.scopes[record.state.scope], record, tombstones=False)

    def _remove(self, scope: Scope, record: RunRecord, *, tombstones: bool) -> None:
        run_id = record.state.run_id
        if self._finished.pop((scope.name, run_id), None) is None:
            self.open -= 1
            self._released.pop(record, None)
        del scope.runs[run_id]
        scope.waiting.remove(record)
        if tombstones:
            scope.add_tombstone(run_id)
        scope.remove_pieces(record, tombstones=tombstones)
        scope.remove_objects(record, tombstones=tombstones)
        for source in (record.source, *record.former_sources):
            if source is not None:
                source.forget_run(record)
        self.remove_idle_scope(scope)
