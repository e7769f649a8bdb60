"""The state of one source: its place, its ids, its open runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs

from runstream.core.dedupe import Deduper, Sighting
from runstream.core.registry import RunRegistry, Scope
from runstream.core.run_record import RunRecord
from runstream.core.sequence import SequenceTracker
from runstream.dialects.base import Dialect
from runstream.dialects.registry import make_dialect
from runstream.engine.gap_tracker import OBJECT_EVENTS, GapTracker, in_order, report_gap
from runstream.engine.outputs import Outputs, raw_of
from runstream.model.events import Event, MessageEvent, Reject, StepEvent, TextAppend
from runstream.model.message import Message
from runstream.model.raw import RawEvent, Request
from runstream.model.signals import SourceEnded, SourceError, SourceSignal
from runstream.model.step import RunStep
from runstream.model.text_fragments import TextFragments

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
        objects: The run of each id of a message or step, as this source sent it last.
        ended_runs: The number of its runs that have ended while they were open here.
        gaps: The possible gaps.
        signal_counts: The number of signals of each kind of this source.
        add_id: Notes the id of a fragment that continues the sequence of ids: the hot path of :meth:`is_duplicate`.
            Returns False if nothing was done.
        latest: The latest raw event, and what was decoded from it; other than fragments.
        forget: Called with the id of each run of this source that is evicted.
        make_decoder: Makes another decoder of the source's dialect; see
            :class:`~runstream.dialects.registry.ResolvedFactory`.
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
        self.objects: dict[str, RunRecord] = {}
        self.ended_runs = 0
        self.gaps = GapTracker(outputs, self.objects, self.open, scope.find)
        self.signal_counts: dict[str, int] = {}
        self.latest: tuple[RawEvent | None, Event | Reject | Sequence[Event | Reject]] = (None, ())
        self.forget: Callable[[str], None] = _ignore
        self.make_decoder: Callable[..., Dialect] = make_dialect
        self._outputs = outputs
        self._registry = registry
        self._dedupe = Deduper(window, outputs.counts)
        self._claimed = False  # True once it has sent an event of a run
        self._sent_run: str | None = None  # the first run that it has sent
        self._sent_several = False  # True once it has sent another one
        self._continued: set[SourceState] = set()  # sources whose runs it has continued
        self.add_id: Callable[[TextAppend, SequenceTracker], bool] = self._dedupe.add
        self._created: set[str] = set()  # objects created in this connection; only from the second connection on

    # identity of events

    def add_ids(self, fragments: TextFragments, first: int) -> int:
        """Note the ids of fragments that were decoded at once, if they continue the sequence of ids and are new.

        Args:
            fragments: The fragments.
            first: The index of the first one.

        Returns:
            The number of fragments whose ids were noted; 0 if :meth:`is_duplicate` must decide.
        """
        sequence = self.gaps.sequence
        assert fragments.number is not None
        if sequence.next is None or sequence.prefix != fragments.prefix or sequence.number != fragments.number + first:
            return 0
        return self._dedupe.add_all(fragments, first, sequence)

    def revoke_ids(self, fragments: TextFragments, first: int, count: int) -> None:
        """Remove the ids that :meth:`add_ids` has noted for fragments that were not processed.

        Args:
            fragments: The fragments.
            first: The index of the first one that was not processed.
            count: Their number: all that were noted from there on.
        """
        assert fragments.number is not None
        self._dedupe.revoke(fragments.number + first, count, self.gaps.sequence)

    def is_duplicate(self, first: Event, *others: Event) -> bool:
        """Note the id of the events of one raw event.

        Args:
            first: The first event.
            others: The others, which have the same id.

        Returns:
            True if the raw event is a repetition and its events are to be skipped.
        """
        sequence = self.gaps.sequence
        expected = sequence if first.id == sequence.next else None
        sighting = self._dedupe.see_all((first, *others)) if others else self._dedupe.see(first, expected)
        if sighting is _NEW:
            if expected is not None:
                sequence.advance()
            else:
                self.gaps.see(first, sighting)
            return False
        self.gaps.see(first, sighting)
        if sighting is Sighting.DUPLICATE:
            if any(self._is_replay(event) for event in (first, *others)):
                return False
            self._outputs.counts.duplicates += 1
            return True
        self._outputs.counts.conflicts += 1
        return False

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
        record = self.objects.get(id)
        return record is not None and (record.unidentified or id in record.state.partial)

    def resets(self, event: MessageEvent | StepEvent) -> bool:
        """True if a ``created`` starts its object again: once in each later connection; in the first one if the object
        was known from snapshots alone, or from a source that has ended.
        """
        id = event.data.id
        if self.connection == 0:
            return self.gaps.begins(id)
        if id in self._created or (event.origin is not None and event.origin.connection != self.connection):
            return False  # repeated, or sent before the reconnect and buffered until its run was seen
        self._created.add(id)
        # Its fragments may have known ids, though this event has no id or a new one.
        own = event.id is not None
        if self._dedupe.forget(id) > own and (record := self.objects.get(id)) is not None:
            self.mark_unidentified(record)
        if own:
            self._dedupe.see(event)
        return True

    def mark_unidentified(self, record: RunRecord) -> None:
        """Note that the ids of this source prove nothing about a run any more."""
        record.unidentified = True

    def mark_unnumbered(self, record: RunRecord) -> None:
        """Note that between two consecutive ids of this source there may be events of a run without one."""
        record.unnumbered = True

    # runs

    def claim(self, record: RunRecord) -> None:
        """Make a run this source's run. A source of snapshots leaves a run to an open stream."""
        previous: SourceState | None = record.source
        self.note_sent(record)
        if previous is not None and previous is not self:
            if self.snapshots and not (previous.snapshots or previous.ended):
                return
            previous.open.pop(record.state.run_id, None)
            self._continued.add(previous)
            has_sent = self in record.former_sources
            record.former_sources = tuple(
                [each for each in (*record.former_sources, previous) if each is not self and not each.ended]
            )
            if not self.snapshots:
                self.gaps.claimed(record, begins=(previous.snapshots or previous.ended) and not has_sent)
        elif previous is None and record.former_sources and self not in record.former_sources and not self.snapshots:
            self._outputs.note_change()
            self.gaps.claimed(record, begins=True)  # the source that has sent it had no more of it
        self._set_source(record)

    def _set_source(self, record: RunRecord) -> None:
        """Note that this source sends a run now."""
        self._claimed = True
        if record.source is not self:
            for id in record.objects:
                self.objects.setdefault(id, record)
        record.source = self
        if record.expired_reason is not None:
            record.expired_reason = None
        self._registry.reclaim(record)
        run = record.run
        if not run.status.is_terminal:
            self.open[run.id] = record

    def note_sent(self, record: RunRecord) -> None:
        """Note that this source has sent an event of a run."""
        if self._sent_run is None:
            self._sent_run = record.run.id
        elif self._sent_run != record.run.id:
            self._sent_several = True

    def find_object(self, id: str) -> RunRecord | None:
        """The run of a message or step that this source sends; ``None`` if it is unknown.

        It is the run that this source sent it for, else the only run of the scope that has it: servers may use an id
        again in another run. A run that another source sends now is another one, unless this source has sent it too,
        has continued a run of that source before, or begins with this fragment.
        """
        record = self.objects.get(id)
        if record is not None:
            return record
        scope = self.scope
        if scope.orphans and scope.orphans.waits(self, id):
            return None
        record = scope.owner(id)
        if record is None:
            return None
        other: SourceState | None = record.source
        if other is None or other is self or other.ended or other.snapshots or self in record.former_sources:
            return record
        return record if other in self._continued or not self._claimed else None

    def find_unnamed(self, data: Message | RunStep) -> RunRecord | None:
        """The run of a full message or step that names none; ``None`` if it is unknown.

        It is the only open run of this source, if the source did not send the object before. A user's message is of a
        run only if that is known.
        """
        id = data.id
        of_user = isinstance(data, Message) and data.role == "user"
        if not of_user and id not in self.objects and self.continues is None and len(self.open) == 1:
            (record,) = self.open.values()
            thread_id = data.thread_id
            if thread_id is None or record.run.thread_id in (None, thread_id):
                return record
        return self.find_object(id)

    def add_object(self, record: RunRecord, id: str, *, ended: bool = False) -> bool:
        """Note that this source sent a message or step of a run.

        Args:
            record: The run.
            id: The id of the message or step.
            ended: True if it has ended: further fragments are rather those of an open one with this id.

        Returns:
            True if the run did not have it before.
        """
        known = self.objects.get(id)
        if known is record:
            if self.scope.objects.get(id) is record:
                return False  # as for most events
        elif not (ended and known is not None and known.is_open(id)):
            self.objects[id] = record
        return self.scope.add_object(record, id)

    def forget_run(self, record: RunRecord) -> None:
        """Note that a run of this source was evicted."""
        for id in record.objects:
            if self.objects.get(id) is record:
                del self.objects[id]
        self.forget(record.state.run_id)

    def release(self, record: RunRecord) -> None:
        """Remove a run that has ended."""
        self.ended_runs += self.open.pop(record.run.id, None) is not None

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

    def reject(self, reject: Reject) -> None:
        """Emit input that could not be used; the open objects of each run that it concerns are marked partial.

        If it concerns objects, but none that is known, this may be each open one: an id may be what was unusable.
        """
        self._outputs.reject(structs.replace(reject, source=self.name))
        ids = reject.object_ids
        if ids == ():
            return
        find, find_run = self.find_object, self.scope.find
        known = {record: None for id in ids or () if (record := find(id) or find_run(id)) is not None}
        for record in known or self.open_records():
            report_gap(self._outputs, record, "an event could not be used", self._outputs.clock())

    def reject_event(self, event: Event, reason: str) -> None:
        """Emit an event that could not be used."""
        ids = (event.data.id,) if isinstance(event, OBJECT_EVENTS) else ()
        self.reject(Reject(raw_of(event), reason, object_ids=ids))

    def refuse_event(self, event: Event, reason: str) -> None:
        """Emit an event that could not be used, of a run whose open objects are marked already."""
        self._outputs.reject(Reject(raw_of(event, *self.latest), reason, source=self.name))

    # connections

    def requested(self, request: Request) -> None:
        """Note the run that a request continues, as the application said where the request was sent."""
        run_id = request.continues
        if run_id is None or self.continues is not None:
            return
        record = self.scope.find(run_id)
        if record is None or not record.run.is_terminal:
            self.continues = run_id

    def reconnected(self) -> None:
        """Note another connection."""
        self.connection += 1
        self._created.clear()
        if not self.snapshots:  # each snapshot is whole
            self.gaps.reconnected()

    def publish(self, kind: type[SourceSignal], name: str, reason: str, attempt: int, server_message: str = "") -> None:
        """Emit a signal of this source.

        Args:
            kind: The class of the signal.
            name: The name under which it is counted.
            reason: Its reason; "" for none.
            attempt: The number of the attempt to connect.
            server_message: The server's words about it.
        """
        number = self._count(name)
        at = self._outputs.clock()
        signal: Any = kind(self.name, self.scope.name, at, number, reason, attempt, server_message)
        self._outputs.publish(signal)

    def publish_error(
        self,
        reason: str,
        attempt: int = 0,
        error: ErrorObject | None = None,
        server_message: str = "",
        run_id: str | None = None,
    ) -> None:
        """Emit ``source.error``: the source failed, or its server sent an error.

        Args:
            reason: The error, in words of this library.
            attempt: The number of the attempt to connect.
            error: The server's error.
            server_message: The server's words about it.
            run_id: The id of the run that it concerns, or of a piece of it, if that is known.
        """
        number = self._count("error")
        at = self._outputs.clock()
        run_id = self._run_of_error(run_id, is_failure=error is None)
        self._outputs.publish(
            SourceError(self.name, self.scope.name, at, number, reason, attempt, server_message, error, run_id)
        )

    def _run_of_error(self, run_id: str | None, *, is_failure: bool) -> str | None:
        """The id of the run that an error concerns; ``None`` if that is unknown."""
        if run_id is None and is_failure and len(self.open) == 1:
            return next(iter(self.open))  # the failure interrupts it
        if run_id is None and not self._sent_several:
            run_id = self._sent_run or self.continues
        record = self.scope.find(run_id)
        return run_id if record is None else record.run.id

    def _count(self, name: str) -> int:
        number = self.signal_counts[name] = self.signal_counts.get(name, 0) + 1
        return number

    def detach(self, record: RunRecord, reason: str) -> None:
        """Note that this source has no further event of an open run: it is paused or interrupted.

        The run has no source until its next event, which resumes it.

        Args:
            record: The run.
            reason: Why.
        """
        self.release(record)
        record.source = None
        if self not in record.former_sources:
            record.former_sources = (*record.former_sources, self)
        self._leave(record, reason, "its source has no more of it", self.last_id, 0, "")

    def _leave(
        self, record: RunRecord, reason: str, gap: str, last_id: str | None, attempts: int, server_message: str
    ) -> None:
        """Pause or interrupt a run that gets no further event from this source."""
        if record.state.run.requires_action:
            self._outputs.pause(record)
            return
        self._registry.release(record)
        self._outputs.interrupt(record, reason, last_id, attempts, server_message)
        if self._outputs.on_gap is not None:
            # The text so far is a beginning without a gap, but the server may know how the run ended.
            self._outputs.on_gap(record.state, gap)

    def end(self, reason: str, last_id: str | None, attempts: int, server_message: str = "") -> None:
        """End the source: each open run is paused or interrupted, in order of first appearance.

        Args:
            reason: Why it ended.
            last_id: The last event id, if it is another one than that of the events.
            attempts: The number of attempts to connect since the last message.
            server_message: The server's words about it.
        """
        self.ended = True
        unconfirmed, self.gaps.unconfirmed = self.gaps.unconfirmed, {}
        for record in self.open_records():
            if record.state.run_id in unconfirmed and record.state.run.requires_action:
                # Its last events may have been lost with the connection before.
                report_gap(self._outputs, record, "its source ended", self._outputs.clock(), fetch=False)
            self._leave(record, reason, "its source ended", last_id or self.last_id, attempts, server_message)
        self.open.clear()
        self.publish(SourceEnded, "ended", reason, attempts, server_message)
        # Records that are kept refer to this object; they need none of its ids.
        self._dedupe.clear()
        self._created.clear()
        self.objects.clear()
        self._continued.clear()
        self.scope.sources -= 1
        self._registry.remove_idle_scope(self.scope)
