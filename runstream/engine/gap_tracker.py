"""What a source may have missed: after a reconnect, at a skip in its ids, where another source goes on with a run.

Such a run's open messages and steps are marked partial. A full object heals them, or their being told again from
their start; and whoever wants to can fetch the run (``Engine.on_gap``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runstream.core.dedupe import Sighting
from runstream.core.gaps import missed
from runstream.core.registry import RunRecord
from runstream.core.sequence import SequenceTracker, Verdict
from runstream.model.events import Event, MessageDeltaEvent, MessageEvent, Reject, RunEvent, StepDeltaEvent, StepEvent

if TYPE_CHECKING:
    from runstream.engine.engine import Engine
    from runstream.engine.intake import Intake

__all__ = ["GapTracker", "mark_missed"]

_OF_OBJECTS = (MessageDeltaEvent, StepDeltaEvent, MessageEvent, StepEvent)


class GapTracker:
    """The doubts of one source.

    Attributes:
        runs: The runs that were open when it reconnected and were not heard of since, by id. While there are any,
            each event is looked at (:meth:`settle`).
    """

    __slots__ = ("_continuity", "_engine", "_intake", "_polled", "runs")

    def __init__(self, engine: Engine, intake: Intake) -> None:
        self.runs: dict[str, RunRecord] = {}
        self._engine = engine
        self._intake = intake
        self._continuity = SequenceTracker()
        self._polled: set[str] = set()

    def reconnected(self) -> None:
        """The source has another connection: what was told between the two?"""
        if self._intake.snapshots:
            return  # each tells the whole
        self._continuity.reconnected()
        self.runs = {record.state.run_id: record for record in self._intake._ordered()}
        for record in self.runs.values():
            record.state = record.state  # what the hot path has added
            record.live = None  # its next fragment goes the long way, on which it is looked at

    def restored(self, last_id: str) -> None:
        """The source was asked to go on after this id, where an earlier process was: does it?"""
        self.reconnected()
        self._continuity.restored(last_id)

    def see(self, event: Event, sighting: Sighting) -> None:
        """An event has an id; it may settle the doubts of all runs whose fragments all have one, or raise some."""
        verdict = self._continuity.see(event.id, sighting)  # type: ignore[arg-type]
        if self.runs and sighting is Sighting.DUPLICATE and event.event == "thread.run.created":
            self.runs.pop(event.data.id, None)  # type: ignore[union-attr]  # it is told from its start
        if verdict is Verdict.RESUMED:
            self.runs = {id: record for id, record in self.runs.items() if record.unidentified}
        elif verdict is Verdict.GAP:
            self.runs = {}
            at = self._engine.clock()
            for record in self._intake._ordered():
                mark_missed(self._engine, record, "ids were skipped", at)

    def settle(self, event: Event | Reject, at: float) -> None:
        """The first event of a run since the reconnect: it may miss something, unless it is told from its start."""
        if isinstance(event, Reject):
            return
        record = self._record_of(event)
        if record is None or self.runs.pop(record.state.run_id, None) is None:
            return
        if event.event != "thread.run.created":
            mark_missed(self._engine, record, "it reconnected", at)

    def taken_from(self, held: Intake, record: RunRecord) -> None:
        """This source goes on with a run that another one told of."""
        if self._intake.snapshots:
            return
        if held.snapshots:
            # Should it tell of them from their start, it is no repetition of what snapshots showed.
            self._polled.update(item.id for item in record.state._objects if not item.is_terminal)
        mark_missed(self._engine, record, "another source went on", self._engine.clock(), ask=False)

    def starts(self, id: str) -> bool:
        """Whether a message or step that is told from its start was known from snapshots alone; once."""
        if id not in self._polled:
            return False
        self._polled.discard(id)
        return True

    def ended(self, id: str) -> None:
        """A message or step has ended."""
        self._polled.discard(id)

    def _record_of(self, event: Event) -> RunRecord | None:
        data: Any = event.data
        if isinstance(event, RunEvent):
            return self.runs.get(data.id)
        if not isinstance(event, _OF_OBJECTS):
            return None
        run_id = getattr(data, "run_id", None) or (event.origin.run_id if event.origin is not None else None)
        return self.runs.get(run_id) if run_id is not None else self._intake._scope.objects.get(data.id)


def mark_missed(engine: Engine, record: RunRecord, why: str, at: float, *, ask: bool = True) -> None:
    """Mark what is open of a run as partial, and tell whoever may fetch it.

    Args:
        engine: Whose run it is.
        record: The run.
        why: What happened, for whoever fetches it.
        at: When (Unix seconds).
        ask: Whether it should be fetched though nothing was marked.
    """
    before = record.state
    after = missed(before)
    if after is not before:
        record.state = after
        engine.tell(before, after, at)
    if ask or after is not before:
        engine.counts.gaps += 1
        if engine.on_gap is not None:
            engine.on_gap(record.state, why)
