"""The place of a source in the requests of a run: what tells a further request from an old one sent again."""

from __future__ import annotations

import pytest

from runstream.core.reduce import apply
from runstream.core.request_places import (
    NO_PLACES,
    RequestPlace,
    RequestPlaces,
    advance,
    get_place,
    is_further,
    set_place,
    step_ended,
)
from runstream.core.state import RunState
from runstream.model.events import RunEvent
from runstream.model.raw import RawEvent
from tests.core.support import asking, at, decoded, state_of


def replay(*raws: RawEvent, place: RequestPlace | None = None, state: RunState | None = None) -> tuple[int, RunState]:
    """Feed snapshots of one source: the rounds they gave, and the last state."""
    for raw in raws:
        event = decoded(raw)
        assert isinstance(event, RunEvent)
        before = state
        further = before is not None and is_further(place, before)
        state, outcome = apply(before, event, further=further)
        assert state is not None
        place = advance(place, event.data, before, state, outcome, begins=event.created, connection=0)
    assert state is not None
    return state.round, state


def asks(started_at: int | None = None) -> RawEvent:
    """The same request, whenever it comes."""
    return asking("a", started_at=started_at)


def test_each_request_after_the_run_went_on_is_a_round() -> None:
    """Without times the order within the source decides."""
    went_on = [at("queued"), at("in_progress")]
    assert replay(at("in_progress"), asks(), asks(), *went_on, asks(), asks(), *went_on, asks())[0] == 3


def test_times_that_grow_decide() -> None:
    """A snapshot that is repeated proves nothing; a later start does."""
    story = [at("in_progress", 110), asks(110), at("queued", 110)]
    assert replay(*story, asks(110))[0] == 1
    assert replay(*story, at("in_progress", 120), asks(110), asks(120))[0] == 2


def test_a_start_that_never_changes() -> None:
    """Queued and in progress again with the start of the request: this server's clock says nothing."""
    story = [at("in_progress", 110), asks(110)]
    assert replay(*story, at("in_progress", 110), asks(110))[0] == 1
    assert replay(*story, at("queued", 110), at("in_progress", 110), asks(110))[0] == 2


def test_the_first_requests_of_a_replay_are_old() -> None:
    """As many as the run has had; the next one is new."""
    once = [at("in_progress"), asks(), at("queued"), at("in_progress"), asks()]
    rounds, state = replay(*once)
    assert rounds == 2
    place = RequestPlace(0, 2)
    assert replay(*once, state=state, place=place)[0] == 2
    assert replay(*once, at("in_progress"), asks(), state=state, place=place)[0] == 3


def test_an_older_snapshot_shows_a_replay() -> None:
    """A source that sends what is older than the last request begins again: what follows may be a repetition."""
    first = [at("queued"), at("in_progress", 110), asks(110), at("queued", 110)]
    assert replay(*first, *first)[0] == 1
    second = [at("in_progress", 120), asks(120), at("queued", 120)]
    assert replay(*first, *second, *first, *second)[0] == 2
    assert replay(*first[1:], *second, *first[1:], *second)[0] == 2
    assert replay(*first, *second, *first, *second, at("in_progress", 130), asks(130))[0] == 3


def test_a_replay_of_rounds_that_started_in_one_second() -> None:
    """The requests of the replay are counted, where times do not differ."""
    first = [at("queued"), at("in_progress", 110), asks(110), at("queued", 110)]
    others = [at("in_progress", 120), asks(120), at("queued", 120)] * 2
    assert replay(*first, *others)[0] == 3
    assert replay(*first, *others, *first, *others)[0] == 3


def test_an_unknown_place() -> None:
    """A source that joins late shows that the run went on only by a change."""
    state = state_of([at("in_progress"), asks()])
    assert replay(at("in_progress"), asks(), state=state)[0] == 2
    state = state_of([at("in_progress"), asks(), at("in_progress")])
    assert replay(at("in_progress"), asks(), state=state)[0] == 1


def test_places_are_bounded() -> None:
    """The oldest one goes; an equal place is the same object."""
    places: RequestPlaces = NO_PLACES
    assert set_place(places, "a", None) is places
    for number in range(20):
        places = set_place(places, f"s{number}", RequestPlace(1, 0))
    assert list(places) == [f"s{number}" for number in range(12, 20)]
    assert set_place(places, "s15", RequestPlace(1, 0)) is places


@pytest.mark.parametrize("resumes", [True, False])
def test_another_connection(resumes: bool) -> None:
    """Without ids it may begin anywhere."""
    places = {"a": RequestPlace(2, 1, 3)}
    assert get_place(places, "a", 3, resumes=resumes) == (2, 1, 3)
    assert get_place(places, "a", 4, resumes=resumes) == ((2, 1, 4) if resumes else None)
    assert get_place(places, "b", 3, resumes=resumes) is None


def test_the_end_of_a_step() -> None:
    """The step of an awaited call has ended: the run went on, if times don't decide."""
    assert step_ended(None, state_of([at("in_progress")]), 0) is None
    assert step_ended(None, state_of([asks()]), 4) == (1, 2, 4)
    assert step_ended(RequestPlace(1, 0), state_of([asks(110)]), 0) == (1, 1, 0)
    assert step_ended(RequestPlace(0, 2), state_of([asks()]), 0) == (0, 2, 0)
