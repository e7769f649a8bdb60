"""Notes which runs a source sends again, and the place of each source in their requests for action.

The rules are in :mod:`runstream.core.request_places`. This module applies them to the records and sources of an engine.
"""

from __future__ import annotations

from typing import Final

from runstream.core.action_requests import is_request, request_pairs
from runstream.core.pieces import PieceAge
from runstream.core.request_places import RequestPlace, advance, get_place, set_place, step_ended
from runstream.core.requested_arguments import fill_arguments
from runstream.core.run_record import RunRecord
from runstream.core.run_snapshots import Outcome
from runstream.core.state import RunHead, RunState
from runstream.engine.source_state import SourceState
from runstream.model.events import RunEvent
from runstream.model.run import Run, RunStatus

__all__ = ["get_source_place", "is_present", "note_repeat", "note_skipped", "note_step_end", "set_source_place"]

_SAME: Final = Outcome.SAME
_QUEUED: Final = RunStatus.QUEUED
_NEW: Final = PieceAge.NEW
_EARLIER: Final = PieceAge.EARLIER


def note_repeat(record: RunRecord, source: SourceState, event: RunEvent, head: RunHead, age: PieceAge) -> None:
    """Note that a source sends a run from its beginning again, if a snapshot shows that.

    Args:
        record: The run.
        source: The state of the source.
        event: The snapshot.
        head: The head of the run's state before the snapshot.
        age: The age of the snapshot's piece.
    """
    repeats = event.created and age is not _NEW and (head.calls.round or head.run.status is not _QUEUED)
    if repeats or (age is _EARLIER and not head.run.status.is_terminal):
        record.replaying = True
        record.saved = None  # the flag must reach the store, though the state is the same
        if event.created:
            record.replayed_by = (source.name, source.connection)


def note_skipped(record: RunRecord, source: SourceState, event: RunEvent) -> None:
    """Note a snapshot that is skipped as a duplicate: in a later connection it shows how far its source is.

    Args:
        record: The run, which has not ended.
        source: The state of the source.
        event: The snapshot.
    """
    state, connection = record.state, source.connection
    age = state._head.pieces.classify(event.piece)
    known = record.places.get(source.name)
    begins = event.created and (known is None or known.connection != connection)
    if begins:
        record.replayed_by = (source.name, connection)
        if state.round or state.status is not _QUEUED:
            record.replaying = True
            record.saved = None
    if not state.round or record.replayed_by != (source.name, connection):
        return  # where the source is between the known events is unknown
    place = get_source_place(record, source)
    place = advance(place, event.data, state, state, _SAME, begins=begins, connection=connection, age=age)
    set_source_place(record, source, place)
    if record.replaying and age is not _EARLIER and is_present(place, event.data, state):
        record.replaying = False


def note_step_end(record: RunRecord, source: SourceState, before: RunState, after: RunState, step_id: str) -> None:
    """Note that a step has ended: if the run waits for one of its calls, the run went on.

    Args:
        record: The run.
        source: The state of the source.
        before: The state before the step ended.
        after: The state after.
        step_id: The id of the step.
    """
    if not before.run.requires_action:
        return
    item = after._find(step_id)
    if item is not None and not set(item.calls).isdisjoint(after._head.calls.names):
        set_source_place(record, source, step_ended(get_source_place(record, source), after, source.connection))


def get_source_place(record: RunRecord, source: SourceState) -> RequestPlace | None:
    """The place of a source in the requests of a run; ``None`` if it is unknown."""
    if not record.places:
        return None
    return get_place(record.places, source.name, source.connection, resumes=source.last_id is not None)


def set_source_place(record: RunRecord, source: SourceState, place: RequestPlace | None) -> None:
    """Note the place of a source in the requests of a run."""
    places = set_place(record.places, source.name, place)
    if places is not record.places:
        record.places = places
        record.saved = None  # the place must reach the store, though the state may be the same


def is_present(place: RequestPlace | None, run: Run, state: RunState) -> bool:
    """True if a snapshot repeats the last request of its run, and its source has sent all requests before."""
    if not is_request(run) or set(request_pairs(fill_arguments(state, run))) != set(state._head.calls.pairs):
        return False
    return place is None or place.requests >= state.round
