"""`conflate` in virtual time: at once, then the latest at a bounded rate, and nothing of the last is lost."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
import reactivex as rx
from hypothesis import given
from hypothesis import strategies as st
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.scheduler.eventloop import AsyncIOScheduler
from reactivex.subject import Subject

from runstream import RunState, RunStream, conflate, fold
from runstream.rx import conflation
from runstream.testing import Conversation, script


class Reading(NamedTuple):
    """A value of some run."""

    run_id: str
    value: int
    scope: str = ""


class Scene:
    """A subject whose values are pushed at times, conflated, and what came of it, with its time."""

    def __init__(self, *pushes: tuple[float, Any], seconds: float = 1.0, **options: Any) -> None:
        self.scheduler = VirtualTimeScheduler()
        self.subject: Subject[Any] = Subject()
        self.got: list[tuple[float, Any]] = []
        note = self._note
        self.subscription = self.subject.pipe(conflate(seconds, self.scheduler, **options)).subscribe(
            note, note, lambda: note("end")
        )
        for at, value in pushes:
            self.at(at, lambda value=value: self.subject.on_next(value))

    def _note(self, value: Any) -> None:
        self.got.append((round(self.scheduler.to_seconds(self.scheduler.now), 3), value))

    def at(self, seconds: float, call: Any) -> None:
        self.scheduler.schedule_absolute(seconds, lambda *_: call())

    def run(self) -> list[tuple[float, Any]]:
        self.scheduler.start()
        return self.got


def A(value: int) -> Reading:
    return Reading("a", value)


def B(value: int) -> Reading:
    return Reading("b", value)


def test_the_first_passes_at_once_then_the_latest() -> None:
    """Of five values in one second the first and the last are emitted, the last when the second is over."""
    scene = Scene((0.0, A(0)), (0.1, A(1)), (0.2, A(2)), (0.9, A(3)), (2.5, A(4)))
    assert scene.run() == [(0.0, A(0)), (1.0, A(3)), (2.5, A(4))]


def test_a_value_after_a_conflated_one_waits_its_time() -> None:
    """The rate is bounded between all values, not only between the first two."""
    scene = Scene((0.0, A(0)), (0.5, A(1)), (1.1, A(2)), (1.9, A(3)))
    assert scene.run() == [(0.0, A(0)), (1.0, A(1)), (2.0, A(3))]


def test_runs_do_not_wait_for_each_other() -> None:
    """Each run has its own first value and its own pause; equal ids in two scopes are two runs."""
    other = Reading("a", 7, "elsewhere")
    scene = Scene((0.0, A(0)), (0.2, B(0)), (0.3, A(1)), (0.4, B(1)), (0.5, other))
    assert scene.run() == [(0.0, A(0)), (0.2, B(0)), (0.5, other), (1.0, A(1)), (1.2, B(1))]


def test_at_the_end_what_waits_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last state of a run is never lost, and no timer is left."""
    wakes: list[object] = []
    monkeypatch.setattr(conflation._Conflation, "_wake", lambda *_: wakes.append(_))
    scene = Scene((0.0, A(0)), (0.1, A(1)), (0.1, B(0)), (0.2, B(1)))
    scene.at(0.5, scene.subject.on_completed)
    assert scene.run() == [(0.0, A(0)), (0.1, B(0)), (0.5, A(1)), (0.5, B(1)), (0.5, "end")]
    assert not wakes


def test_an_error_comes_at_once() -> None:
    """As Rx has it: an error waits for nothing."""
    error = ValueError("gone")
    scene = Scene((0.0, A(0)), (0.1, A(1)))
    scene.at(0.5, lambda: scene.subject.on_error(error))
    assert scene.run() == [(0.0, A(0)), (0.5, error)]


def test_disposal_ends_it_with_its_timer() -> None:
    """Nothing comes after it, not even what waited."""
    scene = Scene((0.0, A(0)), (0.1, A(1)), (0.6, A(2)))
    scene.at(0.5, scene.subscription.dispose)
    assert scene.run() == [(0.0, A(0))]


def test_any_key_and_a_key_that_fails() -> None:
    """The application chooses the key of a value; an exception in its function ends the subscription."""
    scene = Scene((0.0, "x1"), (0.1, "y1"), (0.2, "x2"), key=lambda value: value[0])
    assert scene.run() == [(0.0, "x1"), (0.1, "y1"), (1.0, "x2")]
    scene = Scene((0.0, "x1"), (0.1, 7), (0.2, "x2"), key=lambda value: value[0])
    (_, first), (at, error) = scene.run()
    assert (first, at) == ("x1", 0.1)
    assert isinstance(error, TypeError)


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_the_rate_is_bounded(seconds: float) -> None:
    """No time at all is no rate."""
    with pytest.raises(ValueError, match="more than 0"):
        conflate(seconds, VirtualTimeScheduler())


def test_each_subscription_has_its_own() -> None:
    """Cold, as Rx has it."""
    scheduler = VirtualTimeScheduler()
    conflated = rx.of(A(0), A(1), A(2)).pipe(conflate(1.0, scheduler))
    for _ in range(2):
        got: list[Reading] = []
        conflated.subscribe(got.append)
        assert got == [A(0), A(2)]


@given(
    st.lists(st.tuples(st.integers(0, 400), st.sampled_from("abc")), max_size=60).map(sorted),
    st.sampled_from([0.05, 0.1, 0.3, 1.0]),
)
def test_any_times(pushes: list[tuple[int, str]], seconds: float) -> None:
    """No key comes more often than it may, none goes back, and each one's last value comes within its time."""
    told = [(at / 100, Reading(key, number)) for number, (at, key) in enumerate(pushes)]
    scene = Scene(*told, seconds=seconds)
    by_key = defaultdict(list)
    for at, value in scene.run():
        by_key[value.run_id].append((at, value.value))
    for got in by_key.values():
        assert all(later - at >= seconds - 0.002 for (at, _), (later, _) in pairwise(got))
        assert [value for _, value in got] == sorted({value for _, value in got})
    last = {value.run_id: (at, value.value) for at, value in told}
    assert {key: got[-1][1] for key, got in by_key.items()} == {key: value for key, (_, value) in last.items()}
    assert all(by_key[key][-1][0] - at <= seconds + 0.002 for key, (at, _) in last.items())


async def test_states_of_a_stream_on_its_own_loop() -> None:
    """Two long texts, character by character: a few states of each, the last one whole."""
    told = Conversation([script(f"run_{n}").say("word " * 200, pieces=list("word " * 200)).end() for n in range(2)])
    raws = told.raw_events(interleaved=True)
    seen: list[RunState] = []
    count = 0

    def note(_: RunState) -> None:
        nonlocal count
        count += 1

    async with RunStream(raws) as stream:
        stream.runs.subscribe(note)
        stream.runs.pipe(conflate(0.01, AsyncIOScheduler(asyncio.get_running_loop()))).subscribe(seen.append)
        async with asyncio.timeout(30):
            await stream.results()
    assert count > 2000
    assert len(seen) < count / 2
    final = {state.run_id: state for state in fold(raws).runs}
    for run_id, state in final.items():
        assert [one for one in seen if one.run_id == run_id][-1] == state
