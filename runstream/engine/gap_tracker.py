"""Detects possible gaps: after a reconnect, a skipped id, a change of source, or an event that could not be used.

The open messages and steps of such a run are marked partial. A full object repairs them, and so does a replay from
their beginning. The callback ``on_gap`` can fetch the run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from runstream.core.dedupe import Sighting
from runstream.core.partial import mark_partial
from runstream.core.run_record import RunRecord
from runstream.core.sequence import SequenceStatus, SequenceTracker
from runstream.engine.outputs import Outputs
from runstream.model.events import (
    ActivityEvent,
    CustomEvent,
    DocumentPatch,
    DocumentSnapshot,
    EmptyEvent,
    Event,
    MessageDeltaEvent,
    MessageEvent,
    Reject,
    RunEvent,
    StepDeltaEvent,
    StepEvent,
    TextAppend,
)

__all__ = ["OBJECT_EVENTS", "VALUE_EVENTS", "GapTracker", "in_order", "report_gap"]

OBJECT_EVENTS: Final = (MessageDeltaEvent, StepDeltaEvent, MessageEvent, StepEvent)
"""The classes of the events of messages and steps."""
VALUE_EVENTS: Final = (DocumentSnapshot, DocumentPatch, ActivityEvent)
"""The classes of the events of documents and activities."""
_OF_RUNS: Final = (*VALUE_EVENTS, CustomEvent, EmptyEvent)  # the last one says nothing new of its run


class GapTracker:
    """The possible gaps of one source.

    Args:
        outputs: The outputs of the engine.
        objects: The runs of the messages and steps of the source, by id; the source changes this mapping.
        open_runs: The open runs of the source, by id; the source changes this mapping.
        find_run: Finds a run of the scope by its id, or by that of a piece.

    Attributes:
        unconfirmed: The runs that were open at the last reconnect and had no event since, by id. While there are any,
            :meth:`confirm` sees each event.
        sequence: The sequence of its ids.
        note: Called with the id of a run that has a gap, and the first event behind it: ``note_gap`` of the decoder.
    """

    __slots__ = ("_beginnings", "_find_run", "_objects", "_open", "_outputs", "note", "sequence", "unconfirmed")

    def __init__(
        self,
        outputs: Outputs,
        objects: dict[str, RunRecord],
        open_runs: dict[str, RunRecord],
        find_run: Callable[[str], RunRecord | None],
    ) -> None:
        self.unconfirmed: dict[str, RunRecord] = {}
        self._outputs = outputs
        self._objects = objects
        self._open = open_runs
        self._find_run = find_run
        self.sequence = SequenceTracker()
        self.note: Callable[[str | None, Event | None], None] | None = None
        # Open messages and steps that a `created` begins again: from snapshots, or from a source that has ended.
        self._beginnings: set[str] = set()

    def reconnected(self) -> None:
        """Note another connection of the source: events that were sent in between may be lost."""
        self.sequence.reconnected()
        self.unconfirmed = {record.state.run_id: record for record in in_order(self._open.values())}
        for record in self.unconfirmed.values():
            record.state = record.state  # with the text that the hot path has appended
            record.growing = None  # so that its next fragment leaves the hot path and is seen here

    def restored(self, last_id: str) -> None:
        """Note that the server was asked to continue after this id, the last one of an earlier process."""
        self.reconnected()
        self.sequence.restored(last_id)

    def see(self, event: Event, sighting: Sighting) -> None:
        """Note the id of an event. It may prove that nothing is missing, or that something is.

        Args:
            event: An event with an id.
            sighting: The result of deduplication.
        """
        status = self.sequence.see(event.id, sighting)  # type: ignore[arg-type]
        if self.unconfirmed and sighting is Sighting.DUPLICATE and isinstance(event, RunEvent) and event.created:
            self.unconfirmed.pop(event.data.id, None)  # the server sends it from its beginning
        if status is SequenceStatus.RESUMED:
            # The ids prove nothing about runs some of whose fragments have no id; the next number proves nothing either
            # about a run some of whose snapshots have none: what was lost may have had none.
            repeats = sighting is Sighting.DUPLICATE
            self.unconfirmed = {
                id: record
                for id, record in self.unconfirmed.items()
                if record.unidentified or (record.unnumbered and not repeats)
            }
        elif status is SequenceStatus.GAP:
            self.unconfirmed = {}
            at = self._outputs.clock()
            for record in in_order(self._open.values()):
                self.report(record, event, "ids were skipped", at)

    def confirm(self, event: Event | Reject, at: float) -> None:
        """Note the first event of a run since the reconnect. Unless it is the run's first event, the run has a gap.

        Args:
            event: The event.
            at: The time of its arrival (Unix seconds).
        """
        if isinstance(event, Reject):
            return
        record = self._record_of(event)
        if record is None or self.unconfirmed.pop(record.state.run_id, None) is None:
            return
        if not (isinstance(event, RunEvent) and event.created):
            self.report(record, event, "it reconnected", at)

    def report(self, record: RunRecord, event: Event | None, reason: str, at: float) -> None:
        """Report a gap before an event, also to the decoder: the request for a call is made of several events there.

        Args:
            record: The run.
            event: The event; ``None`` if it is not known yet.
            reason: The reason.
            at: The time (Unix seconds).
        """
        if self.note is not None:
            self.note(record.state.run_id, event)
        report_gap(self._outputs, record, reason, at)

    def answered(self, events: Iterable[Event | Reject]) -> None:
        """Note the events of an answer of the server, before they are applied.

        A run that the answer ends, or says to wait, had its last event on this stream. If that was before the
        reconnect, what was lost with the connection does not come any more.
        """
        for event in events:
            if not isinstance(event, RunEvent) or not (event.data.is_terminal or event.data.requires_action):
                continue
            record = self._find_run(event.data.id)
            if record is None or record.state.run_id not in self.unconfirmed:
                continue
            waits = event.data.requires_action
            if not waits:
                del self.unconfirmed[record.state.run_id]
            at = self._outputs.clock()
            report_gap(self._outputs, record, "it reconnected", at, fetch=False, waits=waits)

    def claimed(self, record: RunRecord, *, begins: bool) -> None:
        """Note that this source, which sends fragments, continues a run of another source.

        Args:
            record: The run.
            begins: True if a `created` of an open object begins it again, unless fragments precede it: this source has
                not sent the run before, and the other one has ended, or sends snapshots alone, as polling does.
        """
        if begins:
            record.state = record.state  # with the text that the hot path has appended
            record.growing = None  # so that its next fragment leaves the hot path, and is seen by `continued`
            self._beginnings.update(item.id for item in record.state._objects if not item.is_terminal)
        report_gap(self._outputs, record, "another source went on", self._outputs.clock(), fetch=False)

    def begins(self, id: str) -> bool:
        """True, once, if a ``created`` begins a message or step again, though this source has one connection."""
        if id not in self._beginnings:
            return False
        self._beginnings.discard(id)
        return True

    def continued(self, id: str) -> None:
        """Note a fragment of a message or step: a ``created`` behind it begins nothing."""
        self._beginnings.discard(id)

    def ended(self, id: str) -> None:
        """Note that a message or step has ended."""
        self._beginnings.discard(id)

    def _record_of(self, event: Event) -> RunRecord | None:
        if isinstance(event, TextAppend):
            if event.run_id is not None:
                return self._find_run(event.run_id)
            return self._objects.get(event.object_id)
        data: Any = event.data
        if isinstance(event, RunEvent):
            return self._find_run(data.id)
        if isinstance(event, _OF_RUNS):
            if event.run_id is not None:
                return self._find_run(event.run_id)
            # A value without a run is that of the only open run.
            return next(iter(self._open.values())) if len(self._open) == 1 and isinstance(event, VALUE_EVENTS) else None
        if not isinstance(event, OBJECT_EVENTS):
            return None
        run_id = event.run_id or getattr(data, "run_id", None)
        return self._find_run(run_id) if run_id is not None else self._objects.get(data.id)


def in_order(records: Iterable[RunRecord]) -> list[RunRecord]:
    """Records in order of first appearance."""
    return sorted(records, key=lambda record: record.order)


def report_gap(
    outputs: Outputs, record: RunRecord, reason: str, at: float, *, fetch: bool = True, waits: bool = False
) -> None:
    """Mark the open objects of a run as partial, and call ``on_gap``.

    Args:
        outputs: The outputs of the engine.
        record: The run.
        reason: The reason, for the code that fetches the run.
        at: The time (Unix seconds).
        fetch: False to call ``on_gap`` only if an object was marked.
        waits: True if the run waits, as an event says that is not applied yet: its calls are whole.
    """
    before = record.state
    after = mark_partial(before, waits=waits)
    if after is not before:
        record.state = after
        outputs.publish_change(before, after, at)
    if fetch or after is not before:
        outputs.counts.gaps += 1
        if outputs.on_gap is not None:
            outputs.on_gap(record.state, reason)
