"""The live view's board: which runs are open, which have ended, and which are shown where there is little room."""

from __future__ import annotations

import random

import pytest

from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.engine.fold import fold
from runstream.model.common import ErrorObject
from runstream.model.signals import (
    RunInterrupted,
    RunPaused,
    RunStalled,
    SourceConnected,
    SourceDisconnected,
    SourceEnded,
    SourceError,
    SourceResumed,
)
from runstream.sinks.run_table import Board, taken
from runstream.testing import script


def state(run_id: str = "run_1", *, end: str | None = None, **fields: object) -> RunState:
    """A run that has said something, and has ended or not."""
    run = script(run_id).start().say("Hello.")
    if end is not None:
        run.end(end, **fields)
    return fold(run.raw_events()).runs[0]


def test_a_run_is_open_until_it_ends() -> None:
    board = Board()
    board.state(state(), 0.0)
    assert [row.state.run_id for row in board.rows.values()] == ["run_1"]
    assert board.take_ended() == []
    ended = state(end="failed")
    board.state(ended, 1.0)
    assert not board.rows
    assert board.take_ended() == [ended]
    assert board.take_ended() == []
    assert (board.counts, board.seen) == ({"failed": 1}, 1)


def test_what_comes_after_the_end_is_told_with_it_or_not_at_all() -> None:
    """Usage that a late snapshot brings; the run is not counted twice, its tokens are counted once."""
    board = Board()
    late = state(end="completed", usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})
    board.state(state(end="completed", usage=None), 0.0)
    board.state(late, 0.0)
    assert board.take_ended() == [late]
    board.state(late, 0.0)
    assert board.take_ended() == []
    assert (board.seen, board.tokens) == (1, 3)


def test_runs_of_one_id_in_two_scopes_are_two() -> None:
    board = Board()
    for scope in ("a", "b"):
        engine = Engine()
        engine.on_state = lambda state: board.state(state, 0.0)
        engine.intake("source", scope=scope).feed_all(script("run_1").start().raw_events())
    assert len(board.rows) == 2


def test_what_was_there_before_counts_and_is_not_told() -> None:
    board = Board()
    board.held(state("run_1", end="completed"), 100.0, age=60.0)
    board.held(state("run_2"), 100.0, age=7.0)
    assert board.take_ended() == []
    assert board.seen == 2
    (row,) = board.rows.values()
    assert row.since == 93.0


def test_a_run_whose_source_has_gone_says_so_until_it_goes_on() -> None:
    board = Board()
    now = state()
    board.state(now, 0.0)
    (row,) = board.rows.values()
    assert row.label == "in_progress"
    head = ("run_1", "thread_1", "", 0.0, now.run)
    board.signal(RunStalled(*head, 30.0, "idle", 1))
    assert row.label == "stalled"
    board.signal(RunInterrupted(*head, "cut off", None, 0, 1))
    assert row.label == "interrupted"
    board.state(now, 1.0)
    assert row.label == "in_progress"
    board.signal(RunInterrupted("run_other", None, "", 0.0, now.run, "cut off", None, 0, 1))
    assert row.label == "in_progress"


def test_a_run_that_waits_still_waits_when_its_source_has_ended() -> None:
    board = Board()
    asking = fold(script().call(look_up={}).raw_events()).runs[0]
    board.state(asking, 0.0)
    board.signal(RunPaused("run_1", None, "", 0.0, asking.run, 1))
    (row,) = board.rows.values()
    assert row.label == "requires_action"


@pytest.mark.parametrize("back", [SourceConnected, SourceResumed, SourceEnded])
def test_trouble_of_a_source_is_known_until_it_is_over(back: type) -> None:
    board = Board()
    board.signal(SourceDisconnected("ws://h/", "", 0.0, 1, "the connection broke off", 2))
    assert board.sources == {"ws://h/": "disconnected, attempt 2: the connection broke off"}
    board.signal(back("ws://h/", "", 0.0, 1, "", 0))
    assert board.sources == {}
    board.signal(SourceError("ws://h/", "", 0.0, 1, "refused", 0))
    assert board.sources == {"ws://h/": "refused"}
    board.signal(SourceError("ws://h/", "", 0.0, 2, "", 0, ErrorObject(code="rate_limit")))
    assert board.sources == {"ws://h/": "rate_limit"}


def test_the_most_recently_active_are_shown_in_order_of_appearance() -> None:
    board = Board()
    for number in range(200):
        board.state(state(f"run_{number}"), float(number))
    assert [row.state.run_id for row in board.pick(3, 200.0)] == ["run_197", "run_198", "run_199"]
    assert len(board.pick(500, 200.0)) == 200


def test_what_is_shown_stays_while_it_is_active() -> None:
    """Two hundred runs that all grow: the lines do not change places ten times a second."""
    board = Board()
    states = [state(f"run_{number}") for number in range(200)]
    for one in states:
        board.state(one, 0.0)
    first = [row.state.run_id for row in board.pick(10, 0.0)]
    now = 0.0
    choose = random.Random(1)
    for _ in range(50):
        now += 0.1
        for place, one in enumerate(choose.sample(states, len(states))):  # another one is the last each time
            board.state(one, now + place * 1e-4)
        assert [row.state.run_id for row in board.pick(10, now)] == first
    for one in states[:50]:  # only some go on: after a while it is they that are shown
        board.state(one, now + 10)
    assert {row.state.run_id for row in board.pick(10, now + 10)} <= {f"run_{number}" for number in range(50)}


def test_a_place_that_is_free_is_taken() -> None:
    board = Board()
    for number in range(20):
        board.state(state(f"run_{number}"), 0.0)
    shown = [row.state.run_id for row in board.pick(5, 0.0)]
    board.state(state(shown[0], end="completed"), 0.1)
    after = [row.state.run_id for row in board.pick(5, 0.1)]
    assert len(after) == 5
    assert set(shown[1:]) < set(after)


def test_how_long_a_run_took() -> None:
    """As observed; by the server's clock where it was read from a file in a moment."""
    events = script().start().wait(7).say("Hello.").end().raw_events()
    observed = taken(fold(events).runs[0])
    assert observed is not None
    assert observed >= 7
    at_once = [type(event)(event.event, event.data, event.id, None, 5.0) for event in events]
    assert taken(fold(at_once).runs[0]) == observed
