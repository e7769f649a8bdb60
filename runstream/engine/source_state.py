"""The state of one source: its place, its ids, its open runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from runstream.core.dedupe import Deduper, Sighting
from runstream.core.registry import RunRegistry, Scope
from runstream.core.run_record import RunRecord
from runstream.engine.gap_tracker import GapTracker, ids_of_reject, in_order, report_gap
from runstream.engine.outputs import Outputs, raw_of
from runstream.model.events import Event, MessageEvent, StepEvent, TextAppend
from runstream.model.raw import RawEvent
from runstream.model.signals import SourceEnded, SourceError, SourceSignal

if TYPE_CHECKING:
    from runstream.model.common import ErrorObject

__all__ = ["SourceState"]

_NEW: Final = Sighting.NEW
_MAX_CANDIDATES: Final = 64  # open runs among which the run of a message without a run id is searched


def _ignore(run_id: str) -> None:
    """For a source whose dialect remembers no runs."""


class SourceState:
    """The state of one source, over its connections.

    Args:
        name: The source's name.
        scope: The scope of its runs.
        outputs: The outputs of the engine.
        registry: The runs of the engine.
        window: The number of ids that are remembered at most.

    Attributes:
        continues: The id of the run that the source continues, as the application said. Objects that name no run
            belong to it.
        last_id: The last event id, for resuming.
        ended: True once the source has ended.
        snapshots: True if the source sends nothing but whole objects, as polling does.
        connection: The number of the connection, from 0.
        open: The runs that this source sent last and that have not ended, by id.
        gaps: The possible gaps.
        signal_counts: The number of signals of each kind of this source.
        forget: Called with the id of each run of this source that is evicted.
    """

    def __init__(self, name: str, scope: Scope, outputs: Outputs, registry: RunRegistry, window: int) -> None:
        self.name = name
        self.scope = scope
        self.continues: str | None = None
        self.last_id: str | None = None
        self.ended = False
        self.snapshots = False
        self.connection = 0
        self.open: dict[str, RunRecord] = {}
        self.gaps = GapTracker(outputs, scope, self.open)
        self.signal_counts: dict[str, int] = {}
        self.forget: Callable[[str], None] = _ignore
        self._outputs = outputs
        self._registry = registry
        self._dedupe = Deduper(window, outputs.counts)
        self._created: set[str] = set()  # objects created in this connection; only from the second connection on

    # identity of events

    def is_duplicate(self, *events: Event) -> bool:
        """Note the id of the events of one raw event.

        Args:
            events: The events, which have one id.

        Returns:
            True if the raw event is a repetition and its events are to be skipped.
        """
        first = events[0]
        sighting = self._dedupe.see(first) if len(events) == 1 else self._dedupe.see_all(events)
        self.gaps.see(first, sighting)
        if sighting is _NEW:
            return False
        if sighting is Sighting.DUPLICATE:
            if any(self._is_replay(event) for event in events):
                return False
            self._outputs.counts.duplicates += 1
            return True
        self._outputs.counts.conflicts += 1
        return False

    def is_new_append(self, event: TextAppend) -> bool:
        """Note the id of a fragment: the hot path of :meth:`is_duplicate` for an id that continues the sequence.

        Returns:
            True if the fragment is to be processed.
        """
        sequence = self.gaps.sequence
        if event.id == sequence.next and self._dedupe.add(event):
            sequence.advance()
            return True
        return not self.is_duplicate(event)

    def _is_replay(self, event: Event) -> bool:
        """True if a known ``created`` resets its object, as a ``created`` without an id does. All must be true:

        - it arrives in a later connection, and is the first one of its object there;
        - the object is open;
        - its fragments would count twice without the reset (some have no id), or some of them are missing.

        In all other cases each repeated fragment is known by its id. To forget the ids then would lose the fragments
        that this connection does not reach before it is lost too.
        """
        if self.connection == 0 or not isinstance(event, MessageEvent | StepEvent):
            return False
        id = event.data.id
        if not event.created or id in self._created or not self._dedupe.has_open(id):
            return False
        record = self.scope.objects.get(id)
        return record is not None and (record.unidentified or id in record.state.partial)

    def resets(self, event: MessageEvent | StepEvent) -> bool:
        """True if a ``created`` starts its object again: once in each later connection, or if the object was known
        from snapshots alone.
        """
        id = event.data.id
        if self.connection == 0:
            return self.gaps.begins(id)
        if id in self._created or (event.origin is not None and event.origin.connection != self.connection):
            return False  # repeated, or sent before the reconnect and buffered until its run was seen
        self._created.add(id)
        # Its fragments may have known ids, though this event has no id or a new one.
        own = event.id is not None
        if self._dedupe.forget(id) > own and (record := self.scope.objects.get(id)) is not None:
            self.mark_unidentified(record)
        if own:
            self._dedupe.see(event)
        return True

    def mark_unidentified(self, record: RunRecord) -> None:
        """Note that the ids of this source prove nothing about a run any more."""
        record.unidentified = True

    # runs

    def claim(self, record: RunRecord) -> None:
        """Make a run this source's run. A source of snapshots leaves a run to an open stream."""
        previous: SourceState | None = record.source
        if previous is not None and previous is not self:
            if self.snapshots and not (previous.snapshots or previous.ended):
                return
            previous.open.pop(record.state.run_id, None)
            if not self.snapshots:
                self.gaps.claimed(record, from_snapshots=previous.snapshots)
        record.source = self
        if record.expired_reason is not None:
            record.expired_reason = None
        self._registry.reclaim(record)
        if not record.state.is_terminal:
            self.open[record.state.run_id] = record

    def release(self, record: RunRecord) -> None:
        """Remove a run that has ended."""
        self.open.pop(record.state.run_id, None)

    def object_ended(self, id: str) -> None:
        """Note that a run, message or step has ended: its event ids may be forgotten."""
        self._dedupe.ended(id)
        self._created.discard(id)
        self.gaps.ended(id)

    def open_records(self) -> list[RunRecord]:
        """The open runs, in order of first appearance."""
        return in_order(self.open.values())

    def run_of_thread(self, thread_id: str | None) -> RunRecord | None:
        """The open run that a message or step without a run id belongs to: the only one on its thread.

        Args:
            thread_id: The thread that the object names; ``None`` if it names none.

        Returns:
            ``None`` if there is no such run or more than one, or if the source has too many open runs.
        """
        if len(self.open) > _MAX_CANDIDATES:
            return None
        found = [
            record for record in self.open.values() if thread_id is None or record.run.thread_id in (None, thread_id)
        ]
        return found[0] if len(found) == 1 else None

    @property
    def live(self) -> bool:
        """True if an open run of this source does not wait for action."""
        return any(not record.state.run.requires_action for record in self.open.values())

    # input that could not be used

    def reject(self, raw: RawEvent, reason: str, path: str = "$") -> None:
        """Emit input that could not be used; the objects that miss it are marked partial.

        These are the objects whose ids the input contains, else all open objects of the source.
        """
        self._outputs.reject(self.name, raw, reason, path)
        ids = ids_of_reject(raw)
        if ids is None:
            return
        known = [record for id in ids if (record := self.scope.objects.get(id)) is not None]
        for record in known or self.open_records():
            report_gap(self._outputs, record, "an event could not be used", self._outputs.clock())

    def reject_event(self, event: Event, reason: str) -> None:
        """Emit an event that could not be used."""
        self.reject(raw_of(event), reason)

    # connections

    def reconnected(self) -> None:
        """Note another connection."""
        self.connection += 1
        self._created.clear()
        if not self.snapshots:  # each snapshot is whole
            self.gaps.reconnected()

    def publish(self, kind: type[SourceSignal], name: str, reason: str, attempt: int) -> None:
        """Emit a signal of this source.

        Args:
            kind: The class of the signal.
            name: The name under which it is counted.
            reason: Its reason; "" for none.
            attempt: The number of the attempt to connect.
        """
        number = self._count(name)
        signal: Any = kind(self.name, self.scope.name, self._outputs.clock(), number, reason, attempt)
        self._outputs.publish(signal)

    def publish_error(self, reason: str, attempt: int = 0, error: ErrorObject | None = None) -> None:
        """Emit ``source.error``: the source failed, or its server sent an error.

        Args:
            reason: The error as text.
            attempt: The number of the attempt to connect.
            error: The server's error.
        """
        number = self._count("error")
        at = self._outputs.clock()
        self._outputs.publish(SourceError(self.name, self.scope.name, at, number, reason, attempt, error))

    def _count(self, name: str) -> int:
        number = self.signal_counts[name] = self.signal_counts.get(name, 0) + 1
        return number

    def end(self, reason: str, last_id: str | None, attempts: int) -> None:
        """End the source: each open run is paused or interrupted, in order of first appearance.

        Args:
            reason: Why it ended.
            last_id: The last event id, if it is another one than that of the events.
            attempts: The number of attempts to connect since the last message.
        """
        self.ended = True
        self.gaps.unconfirmed = {}
        for record in self.open_records():
            if record.state.run.requires_action:
                self._outputs.pause(record)
                continue
            self._registry.release(record)
            self._outputs.interrupt(record, reason, last_id or self.last_id, attempts)
            if self._outputs.on_gap is not None:
                # The text so far is a beginning without a gap, but the server may know how the run ended.
                self._outputs.on_gap(record.state, "its source ended")
        self.open.clear()
        self.publish(SourceEnded, "ended", reason, attempts)
        # Records that are kept refer to this object; they need none of its ids.
        self._dedupe.clear()
        self._created.clear()
        self.scope.sources -= 1
        self._registry.remove_idle_scope(self.scope)
