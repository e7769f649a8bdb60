"""The whole pipeline in one pass: raw events in; events, states, signals and rejects out, through callbacks.

No I/O, no loop, no threads: whoever feeds it has everything done when the call returns.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import structs

from runstream.core.derive import derive
from runstream.core.registry import RunRecord
from runstream.core.run_registry import RunRegistry
from runstream.core.state import RunState
from runstream.dialects.assistants import AssistantsDialect
from runstream.dialects.base import Dialect
from runstream.engine.damage import mark_damaged
from runstream.engine.intake import Intake
from runstream.engine.journal import Journal
from runstream.engine.recovery import RecoveringIntake
from runstream.engine.routing import EventRouter
from runstream.model.base import to_wire
from runstream.model.events import Event, Reject
from runstream.model.limits import Limits, Stats
from runstream.model.raw import RawEvent
from runstream.model.signals import RunInterrupted, RunPaused, RunStalled, Signal
from runstream.store.base import StateStore

__all__ = ["Engine"]

_LIMITS: Final = Limits()  # checked once


class Engine:
    """Decodes, deduplicates, reduces and derives for any number of sources and runs.

    The callbacks ``on_event``, ``on_state``, ``on_change`` (before, after, Unix seconds), ``on_signal`` and
    ``on_reject`` may be set at any time; what nobody listens to is not built. What they raise comes through to
    whoever feeds.

    Args:
        limits: The bounds.
        clock: Gives the time in Unix seconds, for raw events without a time of arrival.
        progress: Whether to give ``message.text`` and ``tool_call.arguments``.
        store: Where states and delivered keys are kept, to go on from after a restart. A signal counts as
            delivered when ``on_signal`` returns. A failing store raises :class:`~runstream.errors.StoreError`.
    """

    def __init__(
        self,
        *,
        limits: Limits | None = None,
        clock: Callable[[], float] = time.time,
        progress: bool = True,
        store: StateStore | None = None,
    ) -> None:
        self.limits = limits or _LIMITS
        self.clock = clock
        self._on_progress: Callable[[Signal], None] | None = None
        self._progress = progress
        self._on_signal: Callable[[Signal], None] | None = None
        self.on_event: Callable[[Event], None] | None = None
        self._on_state: Callable[[RunState], None] | None = None
        self._on_change: Callable[[RunState | None, RunState, float], None] | None = None
        self.watched = False  # whether anybody takes states or changes
        self.on_reject: Callable[[Reject], None] | None = None
        self.on_open: Callable[[], None] | None = None  # for watchdogs: a run was seen for the first time
        self.on_gap: Callable[[RunState, str], None] | None = None  # a run may miss something, and why
        self.counts = Stats()
        self.events = 0
        self.signals = 0
        self.told = 0  # events that gave one signal, of progress: the hot path counts both as one
        self.registry = RunRegistry(self.limits)
        self.handling = EventRouter(self)
        self.journal = Journal(store, self) if store is not None else None

    @property
    def on_signal(self) -> Callable[[Signal], None] | None:
        """Takes every signal."""
        return self._on_signal

    @on_signal.setter
    def on_signal(self, call: Callable[[Signal], None] | None) -> None:
        self._on_signal = call
        self._on_progress = call if self._progress else None
        self._rewire()

    @property
    def on_state(self) -> Callable[[RunState], None] | None:
        """Takes the latest state of each run, after each change."""
        return self._on_state

    @on_state.setter
    def on_state(self, call: Callable[[RunState], None] | None) -> None:
        self._on_state = call
        self._rewire()

    @property
    def on_change(self) -> Callable[[RunState | None, RunState, float], None] | None:
        """Takes each change of a state: before, after, when (Unix seconds)."""
        return self._on_change

    @on_change.setter
    def on_change(self, call: Callable[[RunState | None, RunState, float], None] | None) -> None:
        self._on_change = call
        self._rewire()

    @property
    def progress(self) -> bool:
        """Whether to give ``message.text`` and ``tool_call.arguments``."""
        return self._progress

    @progress.setter
    def progress(self, wanted: bool) -> None:
        self._progress = wanted
        self._on_progress = self._on_signal if wanted else None
        self._rewire()

    @property
    def on_progress(self) -> Callable[[Signal], None] | None:
        """Takes the signals of progress: ``on_signal``, or what stands in for it."""
        return self._on_progress

    @on_progress.setter
    def on_progress(self, call: Callable[[Signal], None] | None) -> None:
        self._on_progress = call
        self._rewire()

    def _rewire(self) -> None:
        self.watched = self._on_state is not None or self._on_change is not None

    def intake(self, name: str, *, scope: str = "", dialect: Dialect | None = None) -> Intake:
        """A way in for one source.

        Args:
            name: The source's name, for signals and rejects.
            scope: Runs are told apart by (scope, id).
            dialect: Reads the source's protocol; the Assistants wire by default. It is the source's own.
        """
        limits = self.limits
        if dialect is None:
            dialect = AssistantsDialect(max_message_bytes=limits.max_message_bytes, max_nesting=limits.max_nesting)
        held = self.registry.scope(scope)
        held.intakes += 1
        if self.journal is not None:
            return RecoveringIntake(self, name, held, dialect, limits.dedupe_window, self.journal)
        return Intake(self, name, held, dialect, limits.dedupe_window)

    def states(self) -> tuple[RunState, ...]:
        """The states of all held runs, in order of appearance."""
        return tuple(record.state for record in self.registry.records())

    def state(self, run_id: str, scope: str = "") -> RunState | None:
        """The latest state of a run, ``None`` if it is not held."""
        record = self.registry.record(scope, run_id)
        return record.state if record is not None else None

    def expired_reason(self, run_id: str, scope: str = "") -> str | None:
        """Why a watchdog ended this run; ``None`` if none did, or the run was heard of since."""
        record = self.registry.record(scope, run_id)
        return record.expired_reason if record is not None else None

    def is_tombstoned(self, run_id: str, scope: str = "") -> bool:
        """Whether a run was held once and is done with."""
        return self.registry.is_tombstoned(scope, run_id)

    def restore(self, state: RunState) -> RunRecord:
        """Hold a run that an earlier process knew, as it was; no source has taken it up yet."""
        record = self.registry.restore(state, self.clock())
        if self.on_open is not None and not state.is_terminal:
            self.on_open()
        for id in (state.run_id, *record.objects):
            self.handling.adopt(self.registry.scope(state.scope), id)
        return record

    def orphans(self) -> dict[str, tuple[Event, ...]]:
        """Events of runs that were never seen, by the id (of the run, message or step) that they speak of."""
        return self.registry.orphans()

    def stats(self) -> Stats:
        """What happened so far, in counts."""
        return structs.replace(
            self.counts,
            events=self.events + self.told,
            signals=self.signals + self.told,
            orphans=self.registry.waiting,
            forgotten_tombstones=self.registry.forgotten_tombstones,
            open_runs=self.registry.open,
            finished_runs=self.registry.finished,
            evicted_runs=self.registry.evicted,
        )

    def reject(self, intake: Intake, raw: RawEvent, reason: str, path: str = "$") -> None:
        """Give out input that could not be used."""
        self.counts.rejected += 1
        if self.on_reject is not None:
            self.on_reject(Reject(raw, reason, path, intake.name))
        mark_damaged(self, intake, raw)

    def refuse(self, intake: Intake, event: Event, reason: str) -> None:
        """Give out an event that could not be used."""
        payload = event.origin.payload if event.origin is not None else msgspec.json.encode(to_wire(event.data))
        self.reject(intake, RawEvent(event.event, payload), reason)

    def source_ended(self, record: RunRecord, reason: str, last_id: str | None, attempts: int) -> None:
        """Say that a run's source has ended while the run has not."""
        state = record.state
        head = (state.run_id, state.thread_id, state.scope, self.clock())
        if state.run.requires_action:
            if record.paused != state.round:
                record.paused = state.round
                self.emit(RunPaused(*head, state.run, state.round))
        else:
            self.registry.left(record)
            record.interrupted += 1
            self.emit(RunInterrupted(*head, state.run, reason, last_id, attempts, record.interrupted))
            if self.on_gap is not None:
                # Its text so far is a beginning and misses nothing in between; its end may be known elsewhere.
                self.on_gap(record.state, "its source ended")

    def stalled(self, record: RunRecord, idle: float, limit: str) -> None:
        """Say that a run has passed a limit of the watchdogs."""
        state = record.state
        record.stalled += 1
        self.counts.stalled += 1
        head = (state.run_id, state.thread_id, state.scope, self.clock())
        self.emit(RunStalled(*head, state.run, idle, limit, record.stalled))

    def expire(self, record: RunRecord, reason: str) -> None:
        """End a run that a watchdog found wanting: it belongs to no source until it is heard of again."""
        state, intake = record.state, record.intake
        if intake is not None:
            intake.drop(record)
            record.intake = None
        record.expired_reason = reason
        self.registry.left(record)
        record.interrupted += 1
        last_id = intake.last_id if intake is not None else None
        head = (state.run_id, state.thread_id, state.scope, self.clock())
        self.emit(RunInterrupted(*head, state.run, reason, last_id, 0, record.interrupted))

    def emit(self, signal: Signal) -> None:
        """Give out a signal."""
        if self._on_signal is None:
            return
        if self.journal is None:
            self.signals += 1
            self._on_signal(signal)
        elif self.journal.deliver(signal, self._on_signal):
            self.signals += 1

    def show(self, before: RunState | None, after: RunState, at: float) -> None:
        """Give out a change of state."""
        if self._on_state is not None:
            self._on_state(after)
        if self._on_change is not None:
            self._on_change(before, after, at)

    def tell(self, before: RunState | None, after: RunState, at: float) -> None:
        """Give out a change of state, and the signals that it makes."""
        if self.watched:
            self.show(before, after, at)
        if self._on_signal is None:
            return
        for signal in derive(before, after, at, progress=self._progress):
            if self.journal is None:
                self.signals += 1
                self._on_signal(signal)
            else:
                self.emit(signal)
