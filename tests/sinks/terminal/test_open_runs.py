"""The runs of the live view: which runs are open, which have ended, and which are shown where there is little room."""

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
from runstream.sinks.terminal.open_runs import OpenRuns, total_duration
from runstream.testing import script


def state(run_id: str = "run_1", *, end: str | None = None, **fields: object) -> RunState:
    """A run that has said something, and has ended or not."""
    run = script(run_id).start().say("Hello.")
    if end is not None:
        run.end(end, **fields)
    return fold(run.raw_events()).runs[0]


def test_a_run_is_open_until_it_ends() -> None:
    runs = OpenRuns()
    runs.update(state(), 0.0)
    assert [row.state.run_id for row in runs.rows.values()] == ["run_1"]
    assert runs.take_ended() == []
    ended = state(end="failed")
    runs.update(ended, 1.0)
    assert not runs.rows
    assert runs.take_ended() == [ended]
    assert runs.take_ended() == []
    assert (runs.counts, runs.total) == ({"failed": 1}, 1)


def test_what_comes_after_the_end_is_told_with_it_or_not_at_all() -> None:
    """Usage that a late snapshot brings; the run is not counted twice, its tokens are counted once."""
    runs = OpenRuns()
    late = state(end="completed", usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})
    runs.update(state(end="completed", usage=None), 0.0)
    runs.update(late, 0.0)
    assert runs.take_ended() == [late]
    runs.update(late, 0.0)
    assert runs.take_ended() == []
    assert (runs.total, runs.tokens) == (1, 3)


def test_runs_of_one_id_in_two_scopes_are_two() -> None:
    runs = OpenRuns()
    for scope in ("a", "b"):
        engine = Engine()
        engine.on_state = lambda state: runs.update(state, 0.0)
        engine.intake("source", scope=scope).feed_all(script("run_1").start().raw_events())
    assert len(runs.rows) == 2


def test_what_was_there_before_counts_and_is_not_told() -> None:
    runs = OpenRuns()
    runs.add_earlier(state("run_1", end="completed"), 100.0, age=60.0)
    runs.add_earlier(state("run_2"), 100.0, age=7.0)
    assert runs.take_ended() == []
    assert runs.total == 2
    (row,) = runs.rows.values()
    assert row.since == 93.0


def test_a_run_whose_source_has_gone_says_so_until_it_goes_on() -> None:
    runs = OpenRuns()
    now = state()
    runs.update(now, 0.0)
    (row,) = runs.rows.values()
    assert row.label == "in_progress"
    head = ("run_1", "thread_1", "", 0.0, now.run)
    runs.add_signal(RunStalled(*head, 30.0, "idle", 1))
    assert row.label == "stalled"
    runs.add_signal(RunInterrupted(*head, "cut off", None, 0, 1))
    assert row.label == "interrupted"
    runs.update(now, 1.0)
    assert row.label == "in_progress"
    runs.add_signal(RunInterrupted("run_other", None, "", 0.0, now.run, "cut off", None, 0, 1))
    assert row.label == "in_progress"


def test_a_run_that_waits_still_waits_when_its_source_has_ended() -> None:
    runs = OpenRuns()
    asking = fold(script().call(look_up={}).raw_events()).runs[0]
    runs.update(asking, 0.0)
    runs.add_signal(RunPaused("run_1", None, "", 0.0, asking.run, 1))
    (row,) = runs.rows.values()
    assert row.label == "requires_action"


@pytest.mark.parametrize("back", [SourceConnected, SourceResumed, SourceEnded])
def test_trouble_of_a_source_is_known_until_it_is_over(back: type) -> None:
    runs = OpenRuns()
    runs.add_signal(SourceDisconnected("ws://h/", "", 0.0, 1, "the connection broke off", 2))
    assert runs.sources == {"ws://h/": "disconnected, attempt 2: the connection broke off"}
    runs.add_signal(back("ws://h/", "", 0.0, 1, "", 0))
    assert runs.sources == {}
    runs.add_signal(SourceError("ws://h/", "", 0.0, 1, "refused", 0))
    assert runs.sources == {"ws://h/": "refused"}
    runs.add_signal(SourceError("ws://h/", "", 0.0, 2, "", 0, "", ErrorObject(code="rate_limit")))
    assert runs.sources == {"ws://h/": "rate_limit"}
    runs.add_signal(SourceDisconnected("ws://h/", "", 0.0, 2, "HTTP 503", 1, "Come back later"))
    assert runs.sources == {"ws://h/": "disconnected, attempt 1: HTTP 503: Come back later"}
    runs.add_signal(SourceError("ws://h/", "", 0.0, 3, "HTTP 401", 0, "Expired"))
    assert runs.sources == {"ws://h/": "Expired"}


def test_the_most_recently_active_are_shown_in_order_of_appearance() -> None:
    runs = OpenRuns()
    for number in range(200):
        runs.update(state(f"run_{number}"), float(number))
    assert [row.state.run_id for row in runs.pick(3, 200.0)] == ["run_197", "run_198", "run_199"]
    assert len(runs.pick(500, 200.0)) == 200


def test_what_is_shown_stays_while_it_is_active() -> None:
    """Two hundred runs that all grow: the lines do not change places ten times a second."""
    runs = OpenRuns()
    states = [state(f"run_{number}") for number in range(200)]
    for one in states:
        runs.update(one, 0.0)
    first = [row.state.run_id for row in runs.pick(10, 0.0)]
    now = 0.0
    choose = random.Random(1)
    for _ in range(50):
        now += 0.1
        for place, one in enumerate(choose.sample(states, len(states))):  # another one is the last each time
            runs.update(one, now + place * 1e-4)
        assert [row.state.run_id for row in runs.pick(10, now)] == first
    for one in states[:50]:  # only some go on: after a while it is they that are shown
        runs.update(one, now + 10)
    assert {row.state.run_id for row in runs.pick(10, now + 10)} <= {f"run_{number}" for number in range(50)}


def test_a_place_that_is_free_is_total_duration() -> None:
    runs = OpenRuns()
    for number in range(20):
        runs.update(state(f"run_{number}"), 0.0)
    shown = [row.state.run_id for row in runs.pick(5, 0.0)]
    runs.update(state(shown[0], end="completed"), 0.1)
    after = [row.state.run_id for row in runs.pick(5, 0.1)]
    assert len(after) == 5
    assert set(shown[1:]) < set(after)


def test_how_long_a_run_took() -> None:
    """As observed; by the server's clock where it was read from a file in a moment."""
    events = script().start().wait(7).say("Hello.").end().raw_events()
    observed = total_duration(fold(events).runs[0])
    assert observed is not None
    assert observed >= 7
    at_once = [type(event)(event.event, event.data, event.id, None, 5.0) for event in events]
    assert total_duration(fold(at_once).runs[0]) == observed
