"""The whole pipeline in one pass: raw items in; events, states, signals and rejects out, through callbacks.

No I/O, no event loop, no threads: all work is done when a call returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

from msgspec import structs

from runstream.core.registry import RunRegistry
from runstream.core.run_record import RunRecord
from runstream.core.state import RunState
from runstream.dialects.base import Dialect, KnownIds
from runstream.dialects.registry import DEFAULT_DIALECT, DialectLike, make_dialect, resolve_dialect
from runstream.engine.feed import Feeder
from runstream.engine.intake import Intake
from runstream.engine.journal import Journal
from runstream.engine.outputs import Outputs
from runstream.engine.recovery import RecoveringIntake, RecoveringState
from runstream.engine.routing import EventRouter
from runstream.engine.source_state import SourceState
from runstream.model.events import Event
from runstream.model.limits import Limits, Stats, check_limits
from runstream.model.raw_input import RawInput
from runstream.model.validation import check_instances
from runstream.store.base import StateStore, check_store

__all__ = ["Engine"]

_LIMITS: Final = Limits()  # checked once


class Engine(Outputs):
    """Decodes, deduplicates, reduces and derives for any number of sources and runs.

    The callbacks ``on_event``, ``on_state``, ``on_change`` (before, after, Unix seconds), ``on_signal`` and
    ``on_reject`` may be set at any time; values that no callback takes are not built. Exceptions of callbacks pass
    through to the caller of ``feed``.

    Args:
        limits: The bounds.
        clock: The time in Unix seconds, for raw events without a time of arrival.
        progress: True to emit progress: texts, arguments and outputs as they grow.
        store: Stores states and delivered keys, so that a later process can continue. A signal counts as delivered when
            ``on_signal`` returns. A store that fails raises :class:`~runstream.errors.StoreError`.

    Raises:
        TypeError: An argument has another type.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
        progress: bool = True,
        store: StateStore | None = None,
    ) -> None:
        check_limits(limits)
        check_instances(Callable, "a function that returns Unix seconds", clock=clock)
        super().__init__(clock, progress=progress)
        self.limits = limits or _LIMITS
        self.registry = RunRegistry(self.limits)
        self.router = EventRouter(self, self.registry, self.limits)
        self.journal: Journal | None = None
        if store is not None:
            check_store(store)
            self.journal = Journal(store, self, self.registry, self.restore)
            self.deliver = self.journal.deliver
            self.router.find = self.journal.find

    def intake(
        self,
        name: str,
        *,
        scope: str = "",
        dialect: DialectLike | Dialect | None = None,
        continues: str | None = None,
    ) -> Intake:
        """Make the entry of one source.

        Args:
            name: The source's name, for signals and rejects.
            scope: The scope of its runs. Runs are identified by scope and id.
            dialect: The decoder of the source: the name of a registered dialect, a factory, or a decoder for this
                source alone; ``"auto"`` by default.
            continues: The id of the run that the source continues, if the application knows it. Objects of the source
                that name no run belong to this run. A run that was not seen yet is permitted.

        Raises:
            ValueError: The dialect is not registered, or the run can't be continued because it has ended.
            TypeError: The factory can't be called as a factory is.
        """
        if continues is not None and (reason := self.ended_reason(continues, scope)) is not None:
            raise ValueError(reason)
        limits = self.limits
        stored = self.journal.source(scope, name) if self.journal is not None else None
        factory = resolve_dialect(dialect)
        known = KnownIds(partial(self._has_piece, scope), partial(self._has_object, scope))
        find_run = partial(self.waiting_run, scope=scope)
        make = partial(make_dialect, dialect=factory, find_run=find_run, limits=limits, known=known)
        decoder = make(continues=continues, memory=stored.memory if stored is not None else None)
        scope_runs = self.registry.scope(scope)
        scope_runs.sources += 1
        if self.journal is None:
            state = SourceState(name, scope_runs, self, self.registry, limits.dedupe_window)
            state.continues = continues
            state.make_decoder = make
            intake = Intake(state, self, self.router, decoder)
        else:
            recovering = RecoveringState(name, scope_runs, self, self.registry, limits, self.journal, stored)
            recovering.continues = continues
            recovering.make_decoder = make
            intake = RecoveringIntake(recovering, self, self.router, decoder, self.journal)
        if factory.name != DEFAULT_DIALECT:  # else it is found later
            intake.dialect = factory.name
        return intake

    def states(self) -> tuple[RunState, ...]:
        """The states of all runs that are kept, in order of first appearance."""
        return tuple(record.state for record in self.registry.records())

    def state(self, run_id: str, scope: str = "") -> RunState | None:
        """The latest state of a run; ``None`` if it is not kept."""
        record = self.registry.record(scope, run_id)
        return record.state if record is not None else None

    def expired_reason(self, run_id: str, scope: str = "") -> str | None:
        """Why a watchdog expired this run; ``None`` if none did, or if the run had an event since."""
        record = self.registry.record(scope, run_id)
        return record.expired_reason if record is not None else None

    def ended_reason(self, run_id: str, scope: str = "") -> str | None:
        """Why a source can't continue this run: it has ended, or is not kept any more; ``None`` if it can.

        With a store, a run that is not kept is read from there.
        """
        record = self.registry.record(scope, run_id)
        if record is None:
            if self.registry.is_tombstoned(scope, run_id):
                return f"run {run_id} is not kept any more (see Limits) and can't be continued"
            if self.journal is not None:
                record = self.journal.read(scope, run_id)
        if record is None or not record.state.is_terminal:
            return None
        return f"run {run_id} has ended ({record.state.status}) and can't be continued"

    def waiting_run(self, id: str, scope: str = "") -> str | None:
        """The id of the run that waits for action and that this id names; ``None`` if there is none, or not just one.

        With a store, a run that is not kept is found there by its own id.

        Args:
            id: The run's id, the id of its last piece, or the id of a call that it waits for.
            scope: Its scope.
        """
        found = self.registry.waiting_run(scope, id)
        if found is not None or self.journal is None:
            return found
        if self.registry.record(scope, id) is not None or self.registry.is_tombstoned(scope, id):
            return None
        record = self.journal.find(scope, id)
        return id if record is not None and record.run.requires_action else None

    def _has_piece(self, scope: str, run_id: str, piece: str) -> bool:
        """True if a run has a piece of this id."""
        record = self._find_run(scope, run_id)
        return record is not None and self.registry.scope(scope).find(piece) is record

    def _has_object(self, scope: str, run_id: str, id: str) -> bool:
        """True if a run has a message or step of this id."""
        record = self._find_run(scope, run_id)
        return record is not None and self.registry.scope(scope).has_object(record, id)

    def _find_run(self, scope: str, run_id: str) -> RunRecord | None:
        """The run of this id, or with a piece of this id; with a store a run may be kept there alone."""
        record = self.registry.scope(scope).find(run_id)
        if record is None and self.journal is not None and not self.registry.is_tombstoned(scope, run_id):
            record = self.journal.find(scope, run_id)
        return record

    def is_tombstoned(self, run_id: str, scope: str = "") -> bool:
        """True if a run was kept once and was evicted."""
        return self.registry.is_tombstoned(scope, run_id)

    def restore(self, state: RunState) -> RunRecord:
        """Add a run as an earlier process had stored it; it has no source yet."""
        record = self.registry.restore(state, self.clock())
        if self.on_open is not None and not state.is_terminal:
            self.on_open()
        for id in (state.run_id, *record.objects):
            self.router.flush_pending(self.registry.scope(state.scope), id)
        return record

    def orphans(self) -> dict[str, tuple[Event, ...]]:
        """The events whose run was not seen, by the id (of the run, message or step) that they wait for."""
        return self.registry.orphans()

    def stats(self) -> Stats:
        """The counts so far."""
        self.settle_now()
        return structs.replace(
            self.counts,
            events=self.events + self.progress_count,
            signals=self.signals + self.progress_count,
            orphans=self.registry.orphan_count,
            forgotten_tombstones=self.registry.forgotten_tombstones,
            open_runs=self.registry.open,
            finished_runs=self.registry.finished,
            evicted_runs=self.registry.evicted,
            violations=self._violations_with(*self.dialects.values()),
        )

    def apply_snapshots(self, source: SourceState, items: Iterable[RawInput], dialect: Dialect) -> None:
        """Process fetched snapshots of a source's runs. They prove nothing about the source's own connection.

        Args:
            source: The source of the runs.
            items: The snapshots.
            dialect: Their decoder, which may be another one than the source's.
        """
        feed_all = Feeder(source, self, self.router, dialect).feed_all
        with self.router.fetching(source):
            if self.journal is not None and isinstance(source, RecoveringState):
                self.journal.run(source, feed_all, items)
            else:
                feed_all(items)

    def expire(self, record: RunRecord, reason: str) -> None:
        """Interrupt a run after a limit of a watchdog. It has no source until its next event, which resumes it."""
        self.note_change()
        source = record.source
        if source is not None:
            source.release(record)
            record.source = None
        record.expired_reason = reason
        self.registry.release(record)
        self.interrupt(record, reason, source.last_id if source is not None else None, 0)
