"""The age of a snapshot by its piece: a new piece is newer, an earlier one changes no status."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.core.pieces import NO_PIECES, PieceAge
from runstream.core.reduce import apply
from runstream.core.run_snapshots import Outcome
from runstream.core.state import RunState
from runstream.model.events import RunEvent
from runstream.store.codec import decode_state, encode_state
from tests.core.support import RUN, asking, at, decoded


def piece(name: str | None, status: str, started_at: int | None = None, *, calls: tuple[str, ...] = (), **fields: Any):
    """A snapshot of a piece, as a dialect that translates builds it."""
    raw = asking(*calls, started_at=started_at, **fields) if calls else at(status, started_at, **fields)
    event = decoded(raw)
    assert isinstance(event, RunEvent)
    return RunEvent(event.data, piece=name)


def play(*events: RunEvent, state: RunState | None = None) -> tuple[RunState, list[Outcome]]:
    """The last state, and the outcome of each event."""
    outcomes = []
    for event in events:
        state, outcome = apply(state, event)
        outcomes.append(outcome)
    assert state is not None
    return state, outcomes


def test_the_ages_of_pieces() -> None:
    """New, last, earlier; a snapshot without a piece has no age."""
    pieces = NO_PIECES.add("a", 0).add("b", 2)
    ages = [pieces.classify(name) for name in ("a", "b", "c", None)]
    assert ages == [PieceAge.EARLIER, PieceAge.LAST, PieceAge.NEW, PieceAge.UNKNOWN]
    assert (pieces.ids.keys(), pieces.rounds) == (["a", "b"], 2)
    assert NO_PIECES.classify("a") is PieceAge.NEW


@pytest.mark.parametrize("first", ["queued", "in_progress", "requires_action", "cancelling", "pondering"])
@pytest.mark.parametrize("second", ["queued", "in_progress", "cancelling", "completed", "failed", "expired"])
@pytest.mark.parametrize("started_at", [None, 50, 110, 120])
def test_a_new_piece_is_newer(first: str, second: str, started_at: int | None) -> None:
    """Neither the table nor a time says otherwise, and it surprises nobody."""
    calls = ("call_1",) if first == "requires_action" else ()
    state, outcomes = play(piece("a", first, 110, calls=calls), piece("b", second, started_at))
    assert state.status == second
    assert outcomes[1] is Outcome.CHANGED
    assert state.pieces == ("a", "b")
    assert state.run.required_action is None


def test_a_new_piece_without_news_is_a_piece() -> None:
    """The same snapshot under another piece changes the pieces alone."""
    state, outcomes = play(piece("a", "in_progress"), piece("b", "in_progress"))
    assert (state.pieces, outcomes[1]) == (("a", "b"), Outcome.CHANGED)
    again, outcomes = play(piece("b", "in_progress"), state=state)
    assert (again is state, outcomes) == (True, [Outcome.SAME])
    assert state != play(piece("a", "in_progress"))[0]


def test_a_new_piece_waits_for_its_own_calls_alone() -> None:
    """A snapshot in requires_action without calls keeps none of an earlier piece."""
    state, _ = play(piece("a", "", calls=("call_1",)), piece("b", "requires_action"))
    assert state.status == "requires_action"
    assert state.run.pending_tool_calls == ()


@pytest.mark.parametrize("status", ["queued", "in_progress", "requires_action", "completed", "failed"])
def test_an_earlier_piece_changes_no_status(status: str) -> None:
    """Not even by its end; it fills what is missing."""
    calls = ("call_1",) if status == "requires_action" else ()
    story = [piece("a", "queued"), piece("b", "in_progress")]
    state, _ = play(*story)
    late = piece("a", status, 900, calls=calls, completed_at=950, usage={"total_tokens": 3}, metadata={"k": "v"})
    after, outcomes = play(late, state=state)
    assert outcomes == [Outcome.STALE]
    assert (after.status, after.round, after.pieces) == ("in_progress", 0, ("a", "b"))
    assert after.run.completed_at is None
    assert after.run.required_action is None
    assert (after.usage.total_tokens if after.usage else None) == 3
    assert play(late, state=after)[0] is after


def test_the_last_piece_follows_the_table() -> None:
    """Within a piece times say nothing, and the table all."""
    state, outcomes = play(
        piece("a", "in_progress", 110),
        piece("b", "queued", 110),
        piece("b", "in_progress", 110),
        piece("b", "queued", 120),
        piece("b", "completed", 1),
    )
    assert outcomes[1:] == [Outcome.CHANGED, Outcome.CHANGED, Outcome.STALE, Outcome.CHANGED]
    assert state.is_terminal


@pytest.mark.parametrize("name", ["a", "b"])
def test_the_end_absorbs_every_piece(name: str) -> None:
    """A run that has ended is not begun again by a piece."""
    ended, _ = play(piece("a", "completed"))
    state, outcomes = play(piece(name, "in_progress"), state=ended)
    assert (state is ended, outcomes) == (True, [Outcome.LATE])


def test_a_request_in_a_new_piece_is_a_round() -> None:
    """With the same ids and arguments too, at once or after the piece has begun."""
    state, _ = play(
        piece("a", "", calls=("call_1",)),
        piece("b", "", calls=("call_1",)),
        piece("c", "in_progress"),
        piece("c", "", calls=("call_1",)),
    )
    assert state.round == 3
    assert state._head.calls.request == "call_1~3"


def test_a_request_repeated_in_its_piece_is_none() -> None:
    """Whatever its times say."""
    state, outcomes = play(piece("a", "", 110, calls=("call_1",)), piece("a", "", 120, calls=("call_1",)))
    assert (state.round, outcomes[1]) == (1, Outcome.CHANGED)


def test_a_request_of_an_earlier_piece_is_old() -> None:
    """A replay of all pieces makes no round."""
    story = [
        piece("a", "queued"),
        piece("a", "", calls=("call_1",)),
        piece("b", "in_progress"),
        piece("b", "", calls=("call_1",)),
    ]
    state, _ = play(*story)
    again, outcomes = play(*story[:2], *story[3:], state=state)
    assert again is state
    assert outcomes == [Outcome.STALE, Outcome.STALE, Outcome.SAME]


def test_no_piece_is_as_before() -> None:
    """A wire without pieces is classified by times and table."""
    state, outcomes = play(piece(None, "in_progress", 110), piece(None, "queued", 110))
    assert (state.status, state.pieces, outcomes[1]) == ("in_progress", (), Outcome.STALE)
    assert RUN["id"] == state.run_id


def test_a_replay_repeats_the_statuses_of_the_last_piece_alone() -> None:
    """A status that the piece did not have yet is news, though its source sends the run again."""
    state, _ = play(piece("a", "in_progress"), piece("b", "queued"))
    after, outcome = apply(state, piece("b", "in_progress"), replaying=True)
    assert after is not None
    assert (after.status, outcome) == ("in_progress", Outcome.CHANGED)
    waits, _ = play(piece("b", "", calls=("call_1",)), state=after)
    assert apply(waits, piece("b", "in_progress"), replaying=True) == (waits, Outcome.STALE)


# tokens


def tokens(count: int) -> dict[str, Any]:
    """The usage of a piece."""
    return {"prompt_tokens": count, "total_tokens": count + 1, "prompt_tokens_details": {"cached_tokens": count}}


@given(
    st.lists(st.one_of(st.none(), st.integers(1, 100)), min_size=1, max_size=5).flatmap(
        lambda counts: st.tuples(st.just(counts), st.lists(st.integers(0, len(counts) - 1), max_size=12))
    )
)
def test_tokens_are_the_sum_of_the_pieces(case: tuple[list[int | None], list[int]]) -> None:
    """Each piece counts once, however often its snapshots come again, and also if its tokens arrive late."""
    counts, again = case
    names = [f"p{number}" for number in range(len(counts))]
    events = [piece(name, "in_progress") for name in names]  # the first snapshots have none
    ends = [
        piece(name, "in_progress", **({} if count is None else {"usage": tokens(count)}))
        for name, count in zip(names, counts, strict=True)
    ]
    late = {number for number in again if number % 2}
    sent = [
        event
        for number, pair in enumerate(zip(events, ends, strict=True))
        for event in (pair[:1] if number in late else pair)
    ]
    state, _ = play(*sent, *[ends[number] for number in again])
    state = decode_state(encode_state(state))
    state, _ = play(*[ends[number] for number in again], state=state)
    known = [count for count in counts if count is not None]
    if not known:
        assert state.usage is None
        return
    assert state.usage is not None
    assert (state.usage.prompt_tokens, state.usage.total_tokens) == (sum(known), sum(known) + len(known))
    assert state.usage.prompt_tokens_details is not None
    assert state.usage.prompt_tokens_details.cached_tokens == sum(known)
    assert state.usage.completion_tokens is None


def test_tokens_that_come_after_the_end_are_added_once() -> None:
    """An event without tokens has ended the last piece, such as an error; another source has them."""
    first = (piece("a", "in_progress"), piece("a", "in_progress", usage=tokens(3)))
    end = (piece("b", "in_progress"), piece("b", "failed"))
    late = piece("b", "failed", usage=tokens(4))
    state, _ = play(*first, *end, late, late)
    assert state.usage is not None
    assert state.usage.prompt_tokens == 7
    state, outcomes = play(*first, *end, piece("b", "completed", usage=tokens(4)))
    assert state.usage is not None
    assert (state.usage.prompt_tokens, outcomes[-1]) == (3, Outcome.LATE)
