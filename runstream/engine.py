"""The whole pipeline in one pass: raw events in; events, states, signals and rejects out, through callbacks.

No I/O, no loop, no threads: whoever feeds it has everything done when the call returns.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec
from msgspec import structs

from runstream.core.derive import derive, progress_signal
from runstream.core.fulls import apply_object
from runstream.core.growth import append, apply_delta, grown, plain_text
from runstream.core.limits import Limits, Stats
from runstream.core.reduce import apply_run
from runstream.core.registry import RunRecord, Scope, Tombstones, Waiting
from runstream.core.shared import Shared
from runstream.core.signals import RunInterrupted, RunPaused, RunStalled, Signal, TextDelta
from runstream.core.snapshots import Outcome, asks_again
from runstream.core.state import Live, RunState
from runstream.damage import mark_damaged
from runstream.dialects.assistants import AssistantsDialect
from runstream.dialects.base import Dialect
from runstream.dialects.fragments import ArgumentsFragment
from runstream.events import (
    EVENT_TYPES,
    DoneEvent,
    ErrorEvent,
    Event,
    MessageDeltaEvent,
    MessageEvent,
    Reject,
    RunEvent,
    StepDeltaEvent,
    StepEvent,
    ThreadEvent,
    UnknownEvent,
)
from runstream.intake import Intake
from runstream.model.base import wire_form
from runstream.model.deltas import MessageDelta
from runstream.model.run import RunStatus
from runstream.model.step import RunStep
from runstream.raw import RawEvent
from runstream.store.base import StateStore
from runstream.store.intake import JournaledIntake
from runstream.store.journal import Journal

__all__ = ["Engine"]

_CHANGED: Final = Outcome.CHANGED
_SAME: Final = Outcome.SAME
_QUEUED: Final = RunStatus.QUEUED


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
        self.limits = limits or Limits()
        self.clock = clock
        self.on_progress: Callable[[Signal], None] | None = None  # on_signal, where progress is wanted
        self._progress = progress
        self._on_signal: Callable[[Signal], None] | None = None
        self.on_event: Callable[[Event], None] | None = None
        self.on_state: Callable[[RunState], None] | None = None
        self.on_change: Callable[[RunState | None, RunState, float], None] | None = None
        self.on_reject: Callable[[Reject], None] | None = None
        self.on_open: Callable[[], None] | None = None  # for watchdogs: a run was seen for the first time
        self.on_missed: Callable[[RunState, str], None] | None = None  # a run may miss something, and why
        self.on_evict: Callable[[str, str], None] | None = None  # scope and id of a run that was forgotten
        self.counts = Stats()
        self.events = 0
        self.signals = 0
        self.told = 0  # events that gave one signal, of progress: the hot path counts both as one
        self.handlers = self._table()
        self._scopes: dict[str, Scope] = {}
        self._waiting = Waiting(self.limits.max_orphans)
        self._tombstones = Tombstones(self.limits.max_tombstones)
        self._shared = Shared()
        self._left: dict[RunRecord, None] = {}  # runs that were interrupted, the oldest first
        self._finished: OrderedDict[tuple[str, str], tuple[RunRecord, float]] = OrderedDict()
        self._open = 0
        self._order = 0
        self.journal = Journal(store, self) if store is not None else None

    @property
    def on_signal(self) -> Callable[[Signal], None] | None:
        """Takes every signal."""
        return self._on_signal

    @on_signal.setter
    def on_signal(self, call: Callable[[Signal], None] | None) -> None:
        self._on_signal = call
        self.on_progress = call if self._progress else None

    @property
    def progress(self) -> bool:
        """Whether to give ``message.text`` and ``tool_call.arguments``."""
        return self._progress

    @progress.setter
    def progress(self, wanted: bool) -> None:
        self._progress = wanted
        self.on_progress = self._on_signal if wanted else None

    def _table(self) -> dict[type, Callable[[Intake, Any, float], None]]:
        by_kind: dict[type, Callable[[Intake, Any, float], None]] = {
            RunEvent: self._run,
            MessageEvent: self._object,
            StepEvent: self._object,
            MessageDeltaEvent: self.delta,
            StepDeltaEvent: self.delta,
            ErrorEvent: self._error,
            DoneEvent: self._nothing,
            ThreadEvent: self._nothing,
        }
        table = {kind: by_kind[kind.__mro__[1]] for kind in EVENT_TYPES.values()}
        return {**table, UnknownEvent: self._unknown, Reject: self._rejected}

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
        held = self._scope(scope)
        held.intakes += 1
        if self.journal is not None:
            return JournaledIntake(self, name, held, dialect, limits.dedupe_window, self.journal)
        return Intake(self, name, held, dialect, limits.dedupe_window)

    def _scope(self, name: str) -> Scope:
        held = self._scopes.get(name)
        if held is None:
            held = self._scopes[name] = Scope(name, self._waiting, self._tombstones)
        return held

    def leave(self, scope: Scope) -> None:
        """Forget a scope of which nothing is held any more."""
        if scope.idle and self._scopes.get(scope.name) is scope:
            del self._scopes[scope.name]

    def states(self) -> tuple[RunState, ...]:
        """The states of all held runs, in order of appearance."""
        records = [record for scope in self._scopes.values() for record in scope.runs.values()]
        return tuple(record.state for record in sorted(records, key=lambda record: record.order))

    def state(self, run_id: str, scope: str = "") -> RunState | None:
        """The latest state of a run, ``None`` if it is not held."""
        record = self.record(scope, run_id)
        return record.state if record is not None else None

    def open_records(self) -> Iterator[RunRecord]:
        """The records of the runs that have not ended, in no order."""
        for scope in self._scopes.values():
            for record in scope.runs.values():
                if not record.state.is_terminal:
                    yield record

    def given_up(self, run_id: str, scope: str = "") -> str | None:
        """Why a watchdog ended this run; ``None`` if none did, or the run was heard of since."""
        record = self.record(scope, run_id)
        return record.given_up if record is not None else None

    def forgot(self, run_id: str, scope: str = "") -> bool:
        """Whether a run was held once and is done with."""
        return (scope, run_id) in self._tombstones

    def record(self, scope: str, run_id: str) -> RunRecord | None:
        """What is held of a run, beside its state."""
        held = self._scopes.get(scope)
        return held.runs.get(run_id) if held is not None else None

    def hold(self, state: RunState) -> RunRecord:
        """Hold a run that an earlier process knew, as it was; no source has taken it up yet."""
        scope, run = self._scope(state.scope), state.run
        self._shared.share(run)
        record = scope.runs[run.id] = RunRecord(state, None, self._order)
        self._order += 1
        ids = [item.id for item in state._objects]
        ids += [
            item.full.message_id for item in state._objects if isinstance(item.full, RunStep) and item.full.message_id
        ]
        for id in dict.fromkeys(ids):
            record.own(id)
        scope.objects.update(dict.fromkeys(ids, record))
        if state.is_terminal:
            self._finished[scope.name, run.id] = (record, self.clock())
        else:
            self._open += 1
            if not run.requires_action:
                self._left[record] = None
            if self.on_open is not None:
                self.on_open()
        for id in (run.id, *record.objects):
            self._adopt(scope, id)
        return record

    def orphans(self) -> dict[str, tuple[Event, ...]]:
        """Events of runs that were never seen, by the id (of the run, message or step) that they speak of."""
        found: dict[str, tuple[Event, ...]] = {}
        for scope in self._scopes.values():
            for id, events in scope.orphans.events().items():
                found[id] = found.get(id, ()) + events  # two scopes may speak of one id
        return found

    def stats(self) -> Stats:
        """What happened so far, in counts."""
        return structs.replace(
            self.counts,
            events=self.events + self.told,
            signals=self.signals + self.told,
            orphans=len(self._waiting.order),
            forgotten_tombstones=self._tombstones.forgotten,
            open_runs=self._open,
            finished_runs=len(self._finished),
        )

    def reject(self, intake: Intake, raw: RawEvent, reason: str, path: str = "$") -> None:
        """Give out input that could not be used."""
        self.counts.rejected += 1
        if self.on_reject is not None:
            self.on_reject(Reject(raw, reason, path, intake.name))
        mark_damaged(self, intake, raw)

    def _refuse(self, intake: Intake, event: Event, reason: str) -> None:
        """Give out an event that could not be used."""
        payload = event.origin.payload if event.origin is not None else msgspec.json.encode(wire_form(event.data))
        self.reject(intake, RawEvent(event.event, payload), reason)

    def abandon(self, record: RunRecord, reason: str, last_id: str | None, attempts: int) -> None:
        """Say that a run's source has ended while the run has not."""
        state = record.state
        head = (state.run_id, state.thread_id, state.scope, self.clock())
        if state.run.requires_action:
            if record.paused != state.round:
                record.paused = state.round
                self.emit(RunPaused(*head, state.run, state.round))
        else:
            self._left[record] = None
            record.interrupted += 1
            self.emit(RunInterrupted(*head, state.run, reason, last_id, attempts, record.interrupted))
            if self.on_missed is not None:
                # Its text so far is a beginning and misses nothing in between; its end may be known elsewhere.
                self.on_missed(record.state, "its source ended")

    def stalled(self, record: RunRecord, idle: float, limit: str) -> None:
        """Say that a run has passed a limit of the watchdogs."""
        state = record.state
        record.stalled += 1
        self.counts.stalled += 1
        head = (state.run_id, state.thread_id, state.scope, self.clock())
        self.emit(RunStalled(*head, state.run, idle, limit, record.stalled))

    def give_up(self, record: RunRecord, reason: str) -> None:
        """End a run that a watchdog found wanting: it belongs to no source until it is heard of again."""
        state, intake = record.state, record.intake
        if intake is not None:
            intake.drop(record)
            record.intake = None
        record.given_up = reason
        self._left[record] = None
        record.interrupted += 1
        last_id = intake.last_id if intake is not None else None
        head = (state.run_id, state.thread_id, state.scope, self.clock())
        self.emit(RunInterrupted(*head, state.run, reason, last_id, 0, record.interrupted))

    def taken_up(self, record: RunRecord) -> None:
        """A run that was interrupted is heard of again."""
        self._left.pop(record, None)

    def emit(self, signal: Signal) -> None:
        """Give out a signal."""
        if self._on_signal is None:
            return
        if self.journal is None:
            self.signals += 1
            self._on_signal(signal)
        elif self.journal.deliver(signal, self._on_signal):
            self.signals += 1

    def _nothing(self, intake: Intake, event: Event, at: float) -> None:
        """Events that concern no run."""

    def _unknown(self, intake: Intake, event: UnknownEvent, at: float) -> None:
        self.counts.unknown += 1

    def _rejected(self, intake: Intake, reject: Reject, at: float) -> None:
        self.events -= 1
        self.reject(intake, reject.raw, reject.reason, reject.path)

    def _error(self, intake: Intake, event: ErrorEvent, at: float) -> None:
        error = event.data
        intake.failed(error.message or error.code or "the server sent an error", error=error)

    def _run(self, intake: Intake, event: RunEvent, at: float) -> None:
        self._count_issues(event)
        scope, id = intake._scope, event.data.id
        record = scope.runs.get(id) or self._find(scope, id)
        if record is not None:
            if record.intake is not intake:
                intake.take(record)
            record.heard = True
            before = record.state
            if event.event == "thread.run.created" and (before.round or before.status is not _QUEUED):
                record.replaying = True
                record.saved = None  # a store must know of it, though the state is the same
            after, outcome = apply_run(before, event, at, record.replaying)
            changed = self._became(record, before, after, outcome, event, at)
            if record.replaying and (changed or asks_again(record.state, event.data)):
                record.replaying = False  # it is told again no more, or has come to the present round
            return
        if scope.forgot(id):
            self.counts.late += 1
            return
        if self._open >= self.limits.max_open_runs and not event.data.is_terminal:
            if not self._left:
                self._refuse(intake, event, f"More than {self._open} open runs (max_open_runs)")
                return
            self._evict(next(iter(self._left)))  # nobody may ever speak of it again
        self._shared.share(event.data)
        state, _ = apply_run(None, event, at, False, scope.name)
        record = scope.runs[id] = RunRecord(state, intake, self._order)
        self._order += 1
        self._open += 1
        intake.take(record)
        if self.on_open is not None:
            self.on_open()
        self._tell(None, state, at)
        if state.is_terminal:
            self._finish(record, at)
        self._adopt(scope, id)

    def _object(self, intake: Intake, event: MessageEvent | StepEvent, at: float) -> None:
        origin = event.origin
        if origin is not None and origin.issues:
            self.counts.mistyped += len(origin.issues)
        scope, data = intake._scope, event.data
        run_id = data.run_id or (origin.run_id if origin is not None else None)
        record = scope.runs.get(run_id) if run_id is not None else scope.objects.get(data.id)
        if record is None:
            record = self._find(scope, run_id)
        if record is None:
            self._hold(intake, run_id or data.id, event, at)
            return
        if record.intake is not intake:
            intake.take(record)
            if record.intake is not intake and not data.is_terminal:
                # A snapshot of what a stream is telling: nobody knows which fragments are in it.
                self.counts.stale += 1
                return
        record.heard = True
        owner = scope.objects.get(data.id)
        if owner is not record:
            record.own(data.id)
            scope.objects[data.id] = record
        before = record.state
        restart = intake.restarts(event)
        after, outcome = apply_object(before, event, at, restart)
        self._became(record, before, after, outcome, event, at)
        if data.is_terminal:
            intake.object_ended(data.id)
        if owner is None:
            self._adopt(scope, data.id)
        if type(data) is RunStep:
            # The step says whose the message is, before or even without the message itself.
            message_id = data.message_id
            if message_id is not None and message_id not in scope.objects:
                record.own(message_id)
                scope.objects[message_id] = record
                self._adopt(scope, message_id)

    def delta(self, intake: Intake, event: MessageDeltaEvent | StepDeltaEvent, at: float) -> None:
        """Take a fragment; the hot path of it all."""
        record = intake._scope.objects.get(event.data.id)
        if record is None:
            run_id = event.origin.run_id if event.origin is not None else None
            record = intake._scope.runs.get(run_id) if run_id is not None else None
            if record is None:
                record = self._find(intake._scope, run_id)
            if record is None:
                self._hold(intake, run_id or event.data.id, event, at)
                return
            record.own(event.data.id)
            intake._scope.objects[event.data.id] = record
        if record.intake is not intake:
            intake.take(record)
        live, data = record.live, event.data
        if live is not None and live.object_id == data.id and type(data) is MessageDelta:
            text = plain_text(data, live.part)
            if text and live.buffer.length == record.length:
                self._grow_text(record, live, text, at)
                return
        before = record.state
        after = append(before, data)
        if after is None:
            self._count_issues(event)
            after, outcome = apply_delta(before, event, at, self.limits.max_index)
            self._became(record, before, after, outcome, event, at)
        else:
            self._grew(record, before, after, at)

    def _grow_text(self, record: RunRecord, live: Live, text: str, at: float) -> None:
        """Append to the text that grows right now; :mod:`runstream.feeding` has it written out."""
        buffer, offset = live.buffer, record.length
        before = record.state if self.on_change is not None else None
        buffer.write(text)
        buffer.last = text
        record.length = buffer.length = offset + len(text)
        if self.on_state is not None:
            self.on_state(record.state)
        if self.on_change is not None:
            self.on_change(before, record.state, at)
        if self.on_progress is not None:
            self.signals += 1
            self.on_progress(
                TextDelta(live.run_id, live.thread_id, live.scope, at, live.object_id, live.part, offset, text)
            )

    def grow_arguments(self, record: RunRecord, fragment: ArgumentsFragment, at: float) -> bool:
        """Take a plain fragment of the arguments that grow right now; whether it was one."""
        call = fragment.delta.step_details.tool_calls[0]
        before = record.state
        after = grown(before, fragment.id, False, call.index, call.function.arguments)
        if after is None:
            return False
        self.events += 1
        self._grew(record, before, after, at)
        return True

    def _grew(self, record: RunRecord, before: RunState, after: RunState, at: float) -> None:
        record.state = after
        if self.on_state is not None:
            self.on_state(after)
        if self.on_change is not None:
            self.on_change(before, after, at)
        if self.on_progress is not None:
            self.signals += 1
            self.on_progress(progress_signal(after, before._length, at))

    def _became(
        self, record: RunRecord, before: RunState, after: RunState, outcome: Outcome, event: Event, at: float
    ) -> bool:
        """Keep and tell what came of an event; whether anything changed."""
        if outcome is not _CHANGED and outcome is not _SAME:
            self._count(record, event, outcome)
        if after is before:
            return False
        record.state = after
        self._tell(before, after, at)
        if after._core.run.status.is_terminal and not before._core.run.status.is_terminal:
            self._finish(record, at)
        return True

    def _count(self, record: RunRecord, event: Event, outcome: Outcome) -> None:
        counts = self.counts
        if outcome is Outcome.STALE:
            counts.stale += 1
        elif outcome is Outcome.LATE:
            counts.late += 1
        elif outcome is Outcome.SURPRISING:
            counts.surprising += 1
        elif outcome is Outcome.REFUSED:
            self._refuse(record.intake, event, f"Index not within 0 and {self.limits.max_index} (max_index)")
        elif outcome is Outcome.CONFUSED:
            self._refuse(record.intake, event, "A message and a step have the same id")

    def _tell(self, before: RunState | None, after: RunState, at: float) -> None:
        if self.on_state is not None:
            self.on_state(after)
        if self.on_change is not None:
            self.on_change(before, after, at)
        if self._on_signal is not None:
            for signal in derive(before, after, at, progress=self._progress):
                self.emit(signal)

    def _find(self, scope: Scope, run_id: str | None) -> RunRecord | None:
        """A run that is not held, from the store, unless it was forgotten here."""
        if self.journal is None or run_id is None or scope.forgot(run_id):
            return None
        return self.journal.find(scope.name, run_id)

    def _hold(self, intake: Intake, id: str, event: Event, at: float) -> None:
        scope = intake._scope
        data: Any = event.data
        if scope.forgot(id) or scope.forgot(data.id):
            self.counts.late += 1
            return
        dropped = scope.orphans.hold(id, event, intake, at)
        if dropped is not None:
            old, source, _ = dropped
            self._refuse(source, old, "Its run was not seen, and newer events need the room (max_orphans)")

    def _adopt(self, scope: Scope, id: str) -> None:
        """Take in the events that waited for this run, message or step."""
        if scope.orphans:
            for event, intake, at in scope.orphans.adopt(id):
                self.handlers[type(event)](intake, event, at)

    def _finish(self, record: RunRecord, at: float) -> None:
        state = record.state
        self._open -= 1
        self._left.pop(record, None)
        record.intake.drop(record)
        record.intake.object_ended(state.run_id)
        self._finished[state.scope, state.run_id] = (record, at)
        self.forget_finished(at)

    def forget_finished(self, at: float) -> None:
        """Forget ended runs that are too many or too old."""
        limits = self.limits
        while self._finished:
            oldest, since = next(iter(self._finished.values()))
            if len(self._finished) <= limits.max_finished_runs and at - since <= limits.max_finished_age:
                break
            self._evict(oldest)

    def _evict(self, record: RunRecord) -> None:
        """Forget a run, leaving tombstones that keep its late events quiet."""
        state = record.state
        scope = self._scopes[state.scope]
        if self._finished.pop((state.scope, state.run_id), None) is None:
            self._open -= 1
            del self._left[record]
        del scope.runs[state.run_id]
        scope.forget(state.run_id)
        for id in record.objects:
            if scope.objects.get(id) is record:  # else another run has claimed it since
                del scope.objects[id]
                scope.forget(id)
        self.counts.evicted_runs += 1
        self.leave(scope)
        if self.on_evict is not None:
            self.on_evict(scope.name, state.run_id)

    def _count_issues(self, event: Event) -> None:
        if event.origin is not None and event.origin.issues:
            self.counts.mistyped += len(event.origin.issues)
