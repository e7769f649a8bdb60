"""Routes each event to its run: finds the run, reduces the event, commits the change."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, Final, TypeVar

from msgspec import structs

from runstream.core.object_deltas import apply_delta, start_text
from runstream.core.object_snapshots import apply_object
from runstream.core.pieces import PieceAge
from runstream.core.reduce import apply_run, count_custom
from runstream.core.registry import RunRegistry, Scope
from runstream.core.request_places import advance, is_further
from runstream.core.run_record import RunRecord
from runstream.core.run_snapshots import Outcome
from runstream.core.state import RunState
from runstream.engine.gap_tracker import report_gap
from runstream.engine.outputs import Outputs
from runstream.engine.replays import (
    get_source_place,
    is_present,
    note_repeat,
    note_skipped,
    note_step_end,
    set_source_place,
)
from runstream.engine.run_bounds import VALUES, RunBounds, value_size
from runstream.engine.source_state import SourceState
from runstream.model.common import error_summary
from runstream.model.events import (
    ActivityEvent,
    CustomEvent,
    DocumentPatch,
    DocumentSnapshot,
    DoneEvent,
    EmptyEvent,
    ErrorEvent,
    Event,
    MessageDeltaEvent,
    MessageEvent,
    Origin,
    Reject,
    RunDetached,
    RunEvent,
    StepDeltaEvent,
    StepEvent,
    TextAppend,
    ThreadEvent,
    UnknownEvent,
)
from runstream.model.frozen import freeze
from runstream.model.limits import Limits
from runstream.model.message import Message
from runstream.model.run import RunStatus
from runstream.model.signals import CustomReceived
from runstream.model.step import RunStep

__all__ = ["EventRouter", "Handler", "HandlerTable"]

Handler = Callable[["EventRouter", SourceState, Any, float], None]

_CHANGED: Final = Outcome.CHANGED
_SAME: Final = Outcome.SAME
_REQUIRES_ACTION: Final = RunStatus.REQUIRES_ACTION
_NO_PIECE: Final = PieceAge.UNKNOWN
_NEW_PIECE: Final = PieceAge.NEW
_EARLIER_PIECE: Final = PieceAge.EARLIER


class HandlerTable(dict[type, Handler]):
    """Handlers by the class of the event. The handler of a base class serves its subclasses."""

    def __missing__(self, kind: type) -> Handler:
        for base in kind.__mro__[1:]:
            if base in self:
                handler = self[kind] = self[base]
                return handler
        raise KeyError(kind)


class EventRouter:
    """The handlers of one engine.

    A handler takes its router, the state of the source, the event, and the time of its arrival (Unix seconds).

    Args:
        outputs: The outputs of the engine.
        registry: Its runs.
        limits: The bounds.
        find: Reads a run that is not in the registry from the store, by scope and id; ``None`` without a store.

    Attributes:
        table: The handlers of all routers, by the class of the event.
        fetched: True while objects are fed that were fetched beside their source.
    """

    table: ClassVar[HandlerTable]

    def __init__(
        self,
        outputs: Outputs,
        registry: RunRegistry,
        limits: Limits,
        find: Callable[[str, str], RunRecord | None] | None = None,
    ) -> None:
        self._outputs = outputs
        self._registry = registry
        self._limits = limits
        self._bounds = RunBounds(limits)
        self.find = find
        self.fetched = False

    @contextmanager
    def fetching(self, source: SourceState) -> Iterator[None]:
        """While objects are fed that were fetched beside a source: they prove nothing about the source's connection."""
        gaps, fetched = source.gaps, self.fetched
        unconfirmed, gaps.unconfirmed = gaps.unconfirmed, {}
        self.fetched = True
        try:
            yield
        finally:
            gaps.unconfirmed = unconfirmed
            self.fetched = fetched

    def _skip(self, source: SourceState, event: Event, at: float) -> None:
        """Events that change no run."""

    def _unknown(self, source: SourceState, event: UnknownEvent, at: float) -> None:
        self._outputs.counts.unknown += 1
        record = source.scope.find(event.run_id)
        if record is not None:
            record.touched = True

    def _custom(self, source: SourceState, event: CustomEvent, at: float) -> None:
        """Handle an event of the server's application: count it in its run, and emit it."""
        scope = source.scope
        run_id = event.run_id or source.continues
        if run_id is None:
            self._outputs.counts.unattached += 1
            return
        record = scope.find(run_id) or self._find(scope, run_id)
        if record is None:
            self._buffer(source, run_id, event, at)
            return
        if record.source is not source:
            source.claim(record)
        record.touched = True
        before = record.state
        after = count_custom(before, event)
        self._commit(record, before, after, _CHANGED, event, at)
        head = after._head
        common = (head.run.id, head.run.thread_id, head.scope, at)
        self._outputs.publish(CustomReceived(*common, event.name, freeze(event.data), head.custom, path=event.path))

    def _value(self, source: SourceState, event: DocumentSnapshot | DocumentPatch | ActivityEvent, at: float) -> None:
        """Handle a change of a document or an activity of a run."""
        scope = source.scope
        run_id = event.run_id or source.continues
        record = source.run_of_thread(None) if run_id is None else scope.find(run_id) or self._find(scope, run_id)
        if record is None:
            if run_id is None:
                self._outputs.counts.unattached += 1
            else:
                self._buffer(source, run_id, event, at)
            return
        if record.source is not source:
            source.claim(record)
            if record.source is not source:  # a snapshot from a poll may be older than the stream
                self._outputs.counts.stale += 1
                return
        record.touched = True
        if event.id is None and not record.unidentified:
            source.mark_unidentified(record)
        before = record.state
        change = self._bounds.change_value(record, source, event)
        if change is None:
            return
        after, error = change
        if self._commit(record, before, after, _SAME if after is before else _CHANGED, event, at):
            record.add_size(VALUES, value_size(after) - value_size(before))
        if error is not None:
            source.refuse_event(event, self._bounds.describe(error))

    def _detach(self, source: SourceState, event: RunDetached, at: float) -> None:
        """Handle the end of a run in its source. A run that another source sends now is that source's."""
        record = source.scope.find(event.run_id)
        if record is None:
            self._outputs.counts.unattached += 1
        elif record.source is source and not record.run.is_terminal:
            source.detach(record, event.data or "its source has no more of it")

    def _reject(self, source: SourceState, reject: Reject, at: float) -> None:
        self._outputs.events -= 1
        source.reject(reject)

    def _error(self, source: SourceState, event: ErrorEvent, at: float) -> None:
        error = event.data
        message = error.message or ""
        reason = message or error_summary(error)
        source.publish_error(reason, error=error, server_message=message, run_id=event.run_id)

    def _run(self, source: SourceState, event: RunEvent, at: float) -> None:
        """Handle a snapshot of a run."""
        if event.origin is not None and event.origin.issues:
            self._count_issues(event)
        scope, id = source.scope, event.data.id
        record = scope.runs.get(id)
        if record is None:
            record = scope.find(id) or self._find(scope, id)
            if record is not None and record.run.id != id:
                event = _with_run(event, record)
        if record is not None:
            self._update_run(record, source, event, at)
        elif scope.is_tombstoned(id):
            self._outputs.counts.late += 1
        elif event.data.is_terminal or self._registry.make_room():
            self._open_run(source, event, at)
        else:
            source.reject_event(event, f"More than {self._registry.open} open runs (max_open_runs)")

    def _update_run(self, record: RunRecord, source: SourceState, event: RunEvent, at: float) -> None:
        """Handle a snapshot of a known run."""
        if record.source is not source:
            source.claim(record)
        before = record.state
        if not self._bounds.admits_run(record, source, event, event.data, before):
            return
        self._note_identity(record, source, event)
        record.touched = True
        head, beside = before._head, self._is_beside(source)
        age = _NO_PIECE if event.piece is None else head.pieces.classify(event.piece)
        if event.created or age is _EARLIER_PIECE:
            note_repeat(record, source, event, head, age)
        place = None if beside else get_source_place(record, source)
        further = place is not None and is_further(place, before)
        after, outcome = apply_run(before, event, at, record.replaying, further=further)
        if after._head.calls.round and not beside:
            connection = source.connection
            place = advance(
                place, event.data, before, after, outcome, begins=event.created, connection=connection, age=age
            )
            set_source_place(record, source, place)
        changed = self._commit(record, before, after, outcome, event, at)
        if age is _NEW_PIECE and (piece := event.piece) is not None and after._head.pieces.ids.last == piece:
            source.scope.add_piece(record, piece)
            self.flush_pending(source.scope, piece)
        if age is not _EARLIER_PIECE and record.replaying and (changed or is_present(place, event.data, after)):
            record.replaying = False  # the replay has reached the present round

    def _open_run(self, source: SourceState, event: RunEvent, at: float) -> None:
        """Handle the first snapshot of a run."""
        outputs, registry, scope = self._outputs, self._registry, source.scope
        registry.intern(event.data)
        state, _ = apply_run(None, event, at, False, scope.name)
        record = registry.add(scope, state, source)
        source.claim(record)
        self._note_identity(record, source, event)
        if state.round and not self._is_beside(source):
            place = advance(None, event.data, None, state, _CHANGED, begins=False, connection=source.connection)
            set_source_place(record, source, place)
        if outputs.on_open is not None:
            outputs.on_open()
        outputs.publish_change(None, state, at)
        if state.is_terminal:
            self._finish(record)
        self.flush_pending(scope, state.run_id)

    def skip_run(self, source: SourceState, event: RunEvent) -> None:
        """Note a snapshot that is skipped as a duplicate."""
        record = source.scope.find(event.data.id)
        if record is not None and not record.run.is_terminal and source.connection and not self._is_beside(source):
            note_skipped(record, source, event)

    def _object(self, source: SourceState, event: MessageEvent | StepEvent, at: float) -> None:
        """Handle a full message or step."""
        if event.origin is not None and event.origin.issues:
            self._count_issues(event)
        scope, data = source.scope, event.data
        run_id = event.run_id or data.run_id
        record = scope.runs.get(run_id) if run_id is not None else None
        if record is None:
            record, run_id = self._find_run_of(source, data, run_id)
            if record is None:
                if run_id is None and type(data) is Message and data.role == "user":
                    self._outputs.counts.unattached += 1  # what a user says, relayed: it is of no run
                else:
                    self._buffer(source, run_id or data.id, event, at)
                return
            if run_id is not None and run_id != record.run.id:
                event = _with_run(event, record)
                data = event.data
        ended = data.is_terminal
        if record.source is not source:
            source.claim(record)
            if record.source is not source and not ended:
                # A snapshot of an object that a stream sends: which of its fragments it contains is unknown.
                self._outputs.counts.stale += 1
                return
        before = record.state
        size = self._bounds.admit_object(record, source, event, before, ended=ended)
        if size is None:
            return
        self._note_identity(record, source, event)
        record.touched = True
        added = source.add_object(record, data.id, ended=ended)
        reset = event.created and source.resets(event)
        after, outcome = apply_object(before, event, at, reset)
        has_ended = ended and after is not before and type(data) is RunStep
        if has_ended and before._head.calls.round and not self._is_beside(source):
            note_step_end(record, source, before, after, data.id)
        if self._commit(record, before, after, outcome, event, at):
            record.add_size(data.id, size)
        if ended:
            source.object_ended(data.id)
        if added:
            self.flush_pending(scope, data.id)
        if type(data) is RunStep:
            # The step names the run's message, before the message itself arrives, or without it.
            message_id = data.message_id
            if message_id is not None and source.add_object(record, message_id, ended=True):
                self.flush_pending(scope, message_id)

    def _find_run_of(
        self, source: SourceState, data: Message | RunStep, run_id: str | None
    ) -> tuple[RunRecord | None, str | None]:
        """Find the run of a full message or step that names none, a piece of one, or one that is not in memory.

        Args:
            source: The state of the source.
            data: The object.
            run_id: The id that it names.

        Returns:
            The run, or ``None`` if it is unknown; and the id of the run that the object belongs to, as it or the
            application says, or ``None``.
        """
        scope = source.scope
        record = scope.find(run_id) if run_id is not None else source.find_unnamed(data)
        of_user = type(data) is Message and data.role == "user"
        if record is not None or (run_id is None and of_user):
            return record, run_id
        if run_id is None and source.continues is not None:
            run_id = source.continues
            record = scope.find(run_id)
        if record is None:
            record = self._find(scope, run_id)
        if record is None and run_id is None:
            record = source.run_of_thread(data.thread_id)
        return record, run_id

    def _append(self, source: SourceState, event: TextAppend, at: float) -> None:
        self.delta(source, event.widen(), at)

    def fragment(self, source: SourceState, event: TextAppend, at: float, origin: Origin | None) -> None:
        """Handle a fragment of another text than the one that grows, or of one that it can't be appended to as it is.

        Args:
            source: The state of the source.
            event: The fragment.
            at: The time of its arrival (Unix seconds).
            origin: The origin of its event, if it has one.
        """
        if event.target != "text" or not self._start_text(source, event, at):
            self.delta(source, event.widen(origin), at)

    def _start_text(self, source: SourceState, event: TextAppend, at: float) -> bool:
        """Begin the text of an empty message of this source's runs, as nearly each message begins.

        Returns:
            False if the fragment is another one; nothing was done then.
        """
        id, text = event.object_id, event.text
        record = source.objects.get(id)
        if (
            record is None
            or record.source is not source
            or (event.run_id is not None and event.run_id != record.run.id)
        ):
            return False
        record.note_growth()
        if record.size + len(text) > self._limits.max_run_size:
            return False
        before = record.state
        after = start_text(before, id, event.index, text, event.name, at, self._limits.max_index)
        if after is None:
            return False
        source.gaps.continued(id)
        if event.id is None and not record.unidentified:
            source.mark_unidentified(record)
        self._commit(record, before, after, _CHANGED, event, at)
        record.add_size(id, len(text))
        return True

    def delta(self, source: SourceState, event: MessageDeltaEvent | StepDeltaEvent, at: float) -> None:
        """Handle a fragment of a message or step."""
        scope, id, run_id = source.scope, event.data.id, event.run_id
        record = source.objects.get(id)
        if record is None or (run_id is not None and run_id != record.run.id):
            known = source.find_object(id) if run_id is None else scope.find(run_id)
            record = known or self._find(scope, run_id)
            if record is None:
                self._buffer(source, run_id or id, event, at)
                return
        size = self._bounds.admit_delta(record, source, event)
        if size is None:
            return
        if record is not source.objects.get(id):
            source.add_object(record, id)
        if record.source is not source:
            source.claim(record)
        source.gaps.continued(id)
        if event.id is None and not record.unidentified:
            source.mark_unidentified(record)
        if event.origin is not None and event.origin.issues:
            self._count_issues(event)
        before = record.state
        after, outcome = apply_delta(before, event, at, self._limits.max_index)
        if self._commit(record, before, after, outcome, event, at):
            record.add_size(id, size)

    def _is_beside(self, source: SourceState) -> bool:
        """True if an event of a source is beside its stream: fetched, or of a poll. It proves nothing about the
        source's connection.
        """
        return self.fetched or source.snapshots

    def _note_identity(self, record: RunRecord, source: SourceState, event: Event) -> None:
        """Note that a source sent a snapshot without an id. One that was fetched beside a stream is no part of it."""
        if event.id is None and not record.unnumbered and not self._is_beside(source):
            source.mark_unnumbered(record)

    def _commit(
        self, record: RunRecord, before: RunState, after: RunState, outcome: Outcome, event: Event, at: float
    ) -> bool:
        """Store the state after an event, and emit the change.

        Returns:
            True if the state changed.
        """
        if record.on_event is not None:
            record.on_event(record)
        if outcome is not _CHANGED and outcome is not _SAME:
            self._count(record, event, outcome)
        if after is before:
            return False
        record.state = after
        run = after._head.run
        if run is not before._head.run and (run.status is _REQUIRES_ACTION or record.waits_under):
            self._registry.scopes[after._head.scope].waiting.update(record)
        self._outputs.publish_change(before, after, at)
        if run.status.is_terminal and not before._head.run.status.is_terminal:
            self._finish(record)
        return True

    def _count(self, record: RunRecord, event: Event, outcome: Outcome) -> None:
        """Count the outcome of an event, or reject the event."""
        counts = self._outputs.counts
        if outcome is Outcome.STALE:
            counts.stale += 1
        elif outcome is Outcome.LATE:
            counts.late += 1
        elif outcome is Outcome.SURPRISING:
            counts.surprising += 1
        elif outcome is Outcome.REFUSED:
            record.source.reject_event(event, f"Index not within 0 and {self._limits.max_index} (max_index)")
        elif outcome is Outcome.UNPLACED:
            record.source.reject_event(event, "An index is no number")
        elif outcome is Outcome.KIND_CONFLICT:
            record.source.reject_event(event, "A message and a step have the same id")

    def _find(self, scope: Scope, run_id: str | None) -> RunRecord | None:
        """A run of the store; ``None`` if it was evicted here."""
        if self.find is None or run_id is None or scope.is_tombstoned(run_id):
            return None
        return self.find(scope.name, run_id)

    def _buffer(self, source: SourceState, id: str, event: Event, at: float) -> None:
        """Keep an event until its run is seen."""
        scope = source.scope
        if scope.is_tombstoned(id):
            self._outputs.counts.late += 1
            return
        for oldest, its_source, _ in scope.orphans.buffer(id, event, source, at):
            reason = "Its run was not seen, and newer events need the room (max_orphans, max_orphan_bytes)"
            its_source.reject_event(oldest, reason)

    def flush_pending(self, scope: Scope, id: str) -> None:
        """Process the events that waited for this run, message or step.

        If their source has reconnected meanwhile, the run has a gap.
        """
        if scope.orphans:
            reconnected: dict[RunRecord, float] = {}
            for event, source, at in scope.orphans.pop(id):
                self.table[type(event)](self, source, event, at)
                id_of_object = getattr(event.data, "id", None)
                if (
                    source.connection
                    and not source.snapshots
                    and (record := source.objects.get(id_of_object)) is not None
                ):
                    reconnected[record] = at
            for record, at in reconnected.items():
                report_gap(self._outputs, record, "it reconnected while events waited for their run", at, fetch=False)

    def _finish(self, record: RunRecord) -> None:
        """Note that a run has ended."""
        source, run_id = record.source, record.run.id
        source.release(record)
        source.object_ended(run_id)
        # By this process's clock: the times of recordings would evict old runs at once, or never.
        self._registry.finish(record, self._outputs.clock())

    def _count_issues(self, event: Any) -> None:
        self._outputs.counts.mistyped += len(event.origin.issues)


_Named = TypeVar("_Named", RunEvent, MessageEvent | StepEvent)


def _with_run(event: _Named, record: RunRecord) -> _Named:
    """An event that names its run by a piece, with the id of the run."""
    id = record.run.id
    data: Any = event.data
    named = data.replace(id=id) if isinstance(event, RunEvent) else data.replace(run_id=id)
    return structs.replace(event, data=named, run_id=id)


# One table for all engines: the class of an event is looked up in its bases once.
EventRouter.table = HandlerTable(
    {
        RunEvent: EventRouter._run,
        MessageEvent: EventRouter._object,
        StepEvent: EventRouter._object,
        TextAppend: EventRouter._append,
        MessageDeltaEvent: EventRouter.delta,
        StepDeltaEvent: EventRouter.delta,
        ErrorEvent: EventRouter._error,
        DoneEvent: EventRouter._skip,
        EmptyEvent: EventRouter._skip,
        ThreadEvent: EventRouter._skip,
        CustomEvent: EventRouter._custom,
        DocumentSnapshot: EventRouter._value,
        DocumentPatch: EventRouter._value,
        ActivityEvent: EventRouter._value,
        UnknownEvent: EventRouter._unknown,
        RunDetached: EventRouter._detach,
        Reject: EventRouter._reject,
    }
)
