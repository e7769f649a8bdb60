"""The place of each source in the requests of a run: it distinguishes a new request from a repeated one.

A source that begins a run again, or lags behind another source, sends requests that the run has left behind. The place
of a source is the number of requests that it has sent, and how far it has shown that the run went on since.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from runstream.core.action_requests import is_request
from runstream.core.pieces import PieceAge
from runstream.core.run_snapshots import Outcome
from runstream.core.state import RunState
from runstream.model.run import Run, RunStatus

__all__ = [
    "NO_PLACES",
    "RequestPlace",
    "RequestPlaces",
    "advance",
    "get_place",
    "is_further",
    "set_place",
    "step_ended",
]

_MAX_PLACES: Final = 8  # sources of one run; of those that send it at once

# Values of `RequestPlace.went_on`. The second: the run was queued again, or the step of the calls has ended, while
# `started_at` was as before. Both may be repetitions; `in_progress` with the same `started_at` is then none.
_NO: Final = 0
_PERHAPS: Final = 1
_YES: Final = 2


class RequestPlace(NamedTuple):
    """The place of a source in the requests of a run.

    Attributes:
        requests: The number of the last request that it has sent, among the rounds of the run.
        went_on: How far it has shown that the run went on since: 0 not, 1 perhaps, 2 certainly.
        connection: The number of its connection.
    """

    requests: int
    went_on: int
    connection: int = 0


RequestPlaces: TypeAlias = Mapping[str, RequestPlace]
"""The places by the names of the sources; never changed in place."""

NO_PLACES: Final[RequestPlaces] = {}


def get_place(places: RequestPlaces, source: str, connection: int, *, resumes: bool) -> RequestPlace | None:
    """The place of a source.

    Args:
        places: The places of the run.
        source: The name of the source.
        connection: The number of its connection.
        resumes: True if its events have ids, so that a later connection continues the one before.

    Returns:
        Its place; ``None`` if it is unknown.
    """
    place = places.get(source)
    if place is None or place.connection == connection:
        return place
    return place._replace(connection=connection) if resumes else None


def set_place(places: RequestPlaces, source: str, place: RequestPlace | None) -> RequestPlaces:
    """The places with that of one source; the same object if it is known."""
    if place is None or places.get(source) == place:
        return places
    found = {name: known for name, known in places.items() if name != source}
    while len(found) >= _MAX_PLACES:
        del found[next(iter(found))]
    found[source] = place
    return found


def is_further(place: RequestPlace | None, state: RunState) -> bool:
    """True if the next request of a source is a further one: it has sent all so far, and the run went on since."""
    return place is not None and place.went_on == _YES and place.requests >= state.round


def advance(
    place: RequestPlace | None,
    run: Run,
    before: RunState | None,
    after: RunState,
    outcome: Outcome,
    *,
    begins: bool,
    connection: int,
    age: PieceAge = PieceAge.UNKNOWN,
) -> RequestPlace | None:
    """The place of a source after a snapshot of the run.

    Args:
        place: Its place before; ``None`` if it is unknown.
        run: The snapshot.
        before: The state before; ``None`` for the first one.
        after: The state after.
        outcome: The outcome of the snapshot.
        begins: True if the source begins the run again.
        connection: The number of the source's connection.
        age: The age of its piece; a piece that it begins again has the rounds before it behind itself.

    Returns:
        Its place; ``None`` if it is unknown.
    """
    rounds = after.round
    if not rounds:
        return None
    if begins and before is not None and before.round:
        place = RequestPlace(after._head.pieces.rounds, _YES, connection)
    if age is PieceAge.EARLIER:
        return place
    stale = outcome is Outcome.STALE or outcome is Outcome.LATE
    if is_request(run):
        if before is None or rounds > before.round or (place is None and not stale):
            return RequestPlace(rounds, _NO, connection)
        if place is not None and place.went_on == _YES:
            return RequestPlace(min(place.requests + 1, rounds), _NO, connection)
        return place
    if run.status.is_terminal:
        return place
    if place is None:
        if before is None or not before.run.requires_action or after.run.requires_action:
            return None  # whether its events are older than the request is unknown
        place = RequestPlace(rounds, _NO, connection)
    if place.requests < rounds:
        return place._replace(went_on=_YES)
    start = after._head.calls.started_at if age is PieceAge.UNKNOWN else None
    if start is None or (run.started_at is None and not stale):
        return place if stale else place._replace(went_on=_YES)
    if run.started_at is None or run.started_at < start:
        # It is older than the last request: the source sends the run again, and may repeat each request.
        return place._replace(requests=0, went_on=_YES)
    if run.started_at > start:
        return place._replace(went_on=_YES)
    if run.status is RunStatus.QUEUED:
        return place._replace(went_on=max(place.went_on, _PERHAPS))
    if run.status is RunStatus.IN_PROGRESS and place.went_on:
        return place._replace(went_on=_YES)
    return place


def step_ended(place: RequestPlace | None, after: RunState, connection: int) -> RequestPlace | None:
    """The place of a source after it has ended the step of a call that the run waits for."""
    rounds = after.round
    if not rounds or (place is not None and place.requests < rounds):
        return place
    shown = _YES if after._head.calls.started_at is None else _PERHAPS
    return RequestPlace(rounds, max(shown, place.went_on if place is not None else _NO), connection)
