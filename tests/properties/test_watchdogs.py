"""The watchdogs at any rhythm of events: each silence is reported once, never early, and at most two checks late."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstream.engine.watchdogs import Watchdogs
from runstream.model.raw import RawEvent
from runstream.model.signals import RunStalled
from runstream.testing import script
from tests.engine.test_watchdogs import Bench, working

pytestmark = pytest.mark.slow

IDLE = 10.0
LATE = 2 * Watchdogs(idle=IDLE).every
PART = b'{"index":0,"type":"text","text":{"value":"word "}}'
DELTA = RawEvent("thread.message.delta", b'{"id":"msg_g","delta":{"content":[' + PART + b"]}}")
CREATED = RawEvent("thread.message.created", b'{"id":"msg_g","run_id":"run_1","content":[]}')

gaps = st.floats(0.01, 3 * IDLE, allow_nan=False)


@given(st.lists(st.tuples(gaps, st.booleans()), max_size=25))
@settings(max_examples=150, deadline=None)
def test_each_silence_is_reported_once_and_in_time(rhythm: list[tuple[float, bool]]) -> None:
    """Fragments and snapshots without news, at any times: only a long silence between two of them is reported."""
    bench = Bench(Watchdogs(idle=IDLE))
    run_script = working()
    again = run_script.raw_events()[2]
    bench.feed(run_script)
    bench.intake.feed(CREATED)
    count = 0
    for gap, fragment in rhythm:
        found = bench.wait(gap)
        count += len(found)
        if gap < IDLE:
            assert not found
        elif gap > IDLE + LATE + 0.01:
            assert len(found) == 1
        assert len(found) <= 1
        for stalled in found:
            assert stalled.idle >= IDLE - 0.01
        bench.intake.feed(DELTA if fragment else again)
    assert bench.engine.stats().stalled == count
    keys = [signal.key for signal in bench.signals if isinstance(signal, RunStalled)]
    assert keys == [f"run_1/stalled/{n + 1}" for n in range(count)]


@given(st.lists(st.tuples(st.floats(0.01, 5.0), st.integers(0, 4), st.booleans()), max_size=40))
@settings(max_examples=100, deadline=None)
def test_runs_are_watched_each_for_itself(rhythm: list[tuple[float, int, bool]]) -> None:
    """Several runs at once: a silent run is reported and ended, by its own clock; a run with events is not."""
    bench = Bench(Watchdogs(idle=IDLE, end=True))
    lives = [script(f"run_{number}", expires_at=None).start() for number in range(5)]
    spoke = dict.fromkeys(range(5), 0.0)
    ended: set[int] = set()
    given: set[int] = set()
    for life in lives:
        bench.feed(life)
    for gap, number, ends in rhythm:
        before = len(bench.interrupted)
        bench.wait(gap)
        for signal in bench.interrupted[before:]:
            who = int(signal.run_id.removeprefix("run_"))
            assert bench.now - spoke[who] >= IDLE - 0.01
            assert who not in ended
            assert who not in given
            given.add(who)
        for who, since in spoke.items():
            if who not in ended and bench.now - since > IDLE + LATE + 0.01:
                assert who in given
        if number in ended:
            continue
        raws = lives[number].raw_events()
        bench.intake.feed(raws[2])
        spoke[number] = bench.now
        given.discard(number)
        if ends:
            lives[number].end()
            bench.feed(lives[number], since=len(raws))
            ended.add(number)
    assert {int(s.run_id.removeprefix("run_")) for s in bench.engine.states() if s.is_terminal} == ended
    for number in range(5):
        assert (bench.engine.expired_reason(f"run_{number}") is not None) == (number in given)
