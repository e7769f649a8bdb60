"""What an engine does with each kind of event: find its run, reduce, and tell what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from runstream.core.derive import progress_signal
from runstream.core.object_deltas import append, apply_delta, grown, plain_text
from runstream.core.object_snapshots import apply_object
from runstream.core.reduce import apply_run
from runstream.core.registry import RunRecord, Scope
from runstream.core.run_snapshots import Outcome, asks_again
from runstream.core.state import GrowingText, RunState
from runstream.dialects.assistants_wire import ArgumentsFragment
from runstream.engine.gap_tracker import mark_missed
from runstream.engine.intake import Intake
from runstream.model.deltas import MessageDelta
from runstream.model.events import (
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
from runstream.model.run import RunStatus
from runstream.model.signals import TextDelta
from runstream.model.step import RunStep

if TYPE_CHECKING:
    from runstream.engine.engine import Engine

__all__ = ["EventRouter"]

_KINDS: Final = tuple((kind, kind.__mro__[1]) for kind in EVENT_TYPES.values())
_CHANGED: Final = Outcome.CHANGED
_SAME: Final = Outcome.SAME
_QUEUED: Final = RunStatus.QUEUED


class EventRouter:
    """The handlers of one engine. Each takes the intake that an event came by, the event, and when it came (Unix
    seconds); ``table`` has them by the class of the event.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._held = engine.registry
        self.table = self._table()

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
        table = {kind: by_kind[of] for kind, of in _KINDS}
        return {**table, UnknownEvent: self._unknown, Reject: self._rejected}

    def _nothing(self, intake: Intake, event: Event, at: float) -> None:
        """Events that concern no run."""

    def _unknown(self, intake: Intake, event: UnknownEvent, at: float) -> None:
        self._engine.counts.unknown += 1

    def _rejected(self, intake: Intake, reject: Reject, at: float) -> None:
        self._engine.events -= 1
        self._engine.reject(intake, reject.raw, reject.reason, reject.path)

    def _error(self, intake: Intake, event: ErrorEvent, at: float) -> None:
        error = event.data
        intake.failed(error.message or error.code or "the server sent an error", error=error)

    def _run(self, intake: Intake, event: RunEvent, at: float) -> None:
        engine, held = self._engine, self._held
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
        if scope.is_tombstoned(id):
            engine.counts.late += 1
            return
        if not (event.data.is_terminal or held.make_room()):
            engine.refuse(intake, event, f"More than {held.open} open runs (max_open_runs)")
            return
        held.share(event.data)
        state, _ = apply_run(None, event, at, False, scope.name)
        record = held.add(scope, state, intake)
        intake.take(record)
        if engine.on_open is not None:
            engine.on_open()
        engine.tell(None, state, at)
        if state.is_terminal:
            self._finish(record)
        self.adopt(scope, id)

    def _object(self, intake: Intake, event: MessageEvent | StepEvent, at: float) -> None:
        self._count_issues(event)
        origin = event.origin
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
                self._engine.counts.stale += 1
                return
        record.heard = True
        owner = scope.objects.get(data.id)
        if owner is not record:
            record.own(data.id)
            scope.objects[data.id] = record
        before = record.state
        restart = event.begins and intake.restarts(event)
        after, outcome = apply_object(before, event, at, restart)
        self._became(record, before, after, outcome, event, at)
        if data.is_terminal:
            intake.object_ended(data.id)
        if owner is None:
            self.adopt(scope, data.id)
        if type(data) is RunStep:
            # The step says whose the message is, before or even without the message itself.
            message_id = data.message_id
            if message_id is not None and message_id not in scope.objects:
                record.own(message_id)
                scope.objects[message_id] = record
                self.adopt(scope, message_id)

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
        if event.id is None and not record.unidentified:
            intake.unidentify(record)
        live, data = record.live, event.data
        if live is not None and live.object_id == data.id and type(data) is MessageDelta:
            text = plain_text(data, live.part)
            if text and live.is_message and live.buffer.length == record.length:
                self.grow_text(record, live, text, at)
                return
        before = record.state
        after = append(before, data)
        if after is None:
            self._count_issues(event)
            after, outcome = apply_delta(before, event, at, self._engine.limits.max_index)
            self._became(record, before, after, outcome, event, at)
        else:
            self._grew(record, before, after, at)

    def grow_text(self, record: RunRecord, live: GrowingText, text: str, at: float) -> None:
        """Append to the text that grows right now; :mod:`runstream.engine.feed` has it written out."""
        engine = self._engine
        buffer, offset = live.buffer, record.length
        shown, changed = engine._on_state, engine._on_change
        before = record.state if changed is not None else None
        buffer.tail.write(text)
        buffer.last = text
        record.length = buffer.length = offset + len(text)
        if shown is not None:
            after = record.grow()
            shown(after)  # which may feed more of it, or set the other callbacks
            if changed is not None and (changed := engine._on_change) is not None:
                changed(before, after, at)
        elif changed is not None:
            changed(before, record.grow(), at)
        tell = engine._on_progress
        if tell is not None:
            engine.signals += 1
            tell(TextDelta(live.run_id, live.thread_id, live.scope, at, live.object_id, live.part, offset, text))

    def grow_arguments(self, record: RunRecord, fragment: ArgumentsFragment, at: float) -> bool:
        """Take a plain fragment of the arguments that grow right now; whether it was one."""
        call = fragment.delta.step_details.tool_calls[0]
        before = record.state
        after = grown(before, fragment.id, False, call.index, call.function.arguments)
        if after is None:
            return False
        self._engine.events += 1
        if not record.unidentified:
            record.intake.unidentify(record)
        self._grew(record, before, after, at)
        return True

    def _grew(self, record: RunRecord, before: RunState, after: RunState, at: float) -> None:
        engine = self._engine
        record.state = after
        if engine.watched:
            engine.show(before, after, at)
        if engine.on_progress is not None:
            engine.signals += 1
            engine.on_progress(progress_signal(after, before._length, at))

    def _became(
        self, record: RunRecord, before: RunState, after: RunState, outcome: Outcome, event: Event, at: float
    ) -> bool:
        """Keep and tell what came of an event; whether anything changed."""
        if outcome is not _CHANGED and outcome is not _SAME:
            self._count(record, event, outcome)
        if after is before:
            return False
        record.state = after
        self._engine.tell(before, after, at)
        if after._core.run.status.is_terminal and not before._core.run.status.is_terminal:
            self._finish(record)
        return True

    def _count(self, record: RunRecord, event: Event, outcome: Outcome) -> None:
        counts = self._engine.counts
        if outcome is Outcome.STALE:
            counts.stale += 1
        elif outcome is Outcome.LATE:
            counts.late += 1
        elif outcome is Outcome.SURPRISING:
            counts.surprising += 1
        elif outcome is Outcome.REFUSED:
            self._engine.refuse(
                record.intake, event, f"Index not within 0 and {self._engine.limits.max_index} (max_index)"
            )
        elif outcome is Outcome.CONFUSED:
            self._engine.refuse(record.intake, event, "A message and a step have the same id")

    def _find(self, scope: Scope, run_id: str | None) -> RunRecord | None:
        """A run that is not held, from the store, unless it was forgotten here."""
        if self._engine.journal is None or run_id is None or scope.is_tombstoned(run_id):
            return None
        return self._engine.journal.find(scope.name, run_id)

    def _hold(self, intake: Intake, id: str, event: Event, at: float) -> None:
        scope = intake._scope
        data: Any = event.data
        if scope.is_tombstoned(id) or scope.is_tombstoned(data.id):
            self._engine.counts.late += 1
            return
        dropped = scope.orphans.hold(id, event, intake, at)
        if dropped is not None:
            old, source, _ = dropped
            self._engine.refuse(source, old, "Its run was not seen, and newer events need the room (max_orphans)")

    def adopt(self, scope: Scope, id: str) -> None:
        """Take in the events that waited for this run, message or step. Where their source has reconnected, nobody
        knows what was missed, or will be told again, since they came.
        """
        if scope.orphans:
            doubtful: dict[RunRecord, float] = {}
            for event, intake, at in scope.orphans.adopt(id):
                self.table[type(event)](intake, event, at)
                data: Any = event.data
                if intake.connection and not intake.snapshots and (record := scope.objects.get(data.id)) is not None:
                    doubtful[record] = at
            for record, at in doubtful.items():
                mark_missed(self._engine, record, "it reconnected while events waited for their run", at, ask=False)

    def _finish(self, record: RunRecord) -> None:
        record.intake.drop(record)
        record.intake.object_ended(record.state.run_id)
        # By one clock, whatever times recordings have: else those of long ago go at once, or never.
        self._held.ended(record, self._engine.clock())

    def _count_issues(self, event: Event) -> None:
        if event.origin is not None and event.origin.issues:
            self._engine.counts.mistyped += len(event.origin.issues)
