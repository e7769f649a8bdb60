"""The guarded fan-out of one channel: everyone gets every value in order, whatever the others do."""

from __future__ import annotations

import time
from typing import Any

import pytest
import reactivex
from reactivex import operators as ops
from reactivex.testing import ReactiveTest, TestScheduler
from structlog.testing import capture_logs

from runstream.stream.channel import Channel
from runstream.stream.subscriber_set import Subscriber


class Value:
    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.scope = ""


def listen(channel: Channel[Any]) -> list[Any]:
    """Everything that an observer of the channel is told."""
    seen: list[Any] = []
    channel.observable.subscribe(seen.append, seen.append, lambda: seen.append("end"))
    return seen


def divides(_: object) -> None:
    raise ZeroDivisionError


def test_every_observer_gets_every_value_in_order() -> None:
    channel: Channel[int] = Channel("numbers")
    first, second = listen(channel), listen(channel)
    for number in range(3):
        channel.push(number)
    channel.complete()
    assert first == second == [0, 1, 2, "end"]


def test_a_raising_observer_is_logged() -> None:
    """It is counted too, and the others receive every value."""
    channel: Channel[Value] = Channel("runs")
    before = listen(channel)

    def fails(value: Value) -> None:
        raise ValueError("a secret text")

    channel.observable.subscribe(fails)
    after = listen(channel)
    with capture_logs() as logs:
        channel.push(Value("run_1"))
        channel.push(Value("run_2"))
    assert [v.run_id for v in before] == [v.run_id for v in after] == ["run_1", "run_2"]
    assert channel.reports.count == 2
    assert [log["event"] for log in logs] == ["subscriber_failed"] * 2
    assert logs[0]["run_id"] == "run_1"
    assert logs[0]["channel"] == "runs"
    assert logs[0]["error"] == "ValueError"
    assert "fails" in logs[0]["subscriber"]
    assert "fails" in logs[0]["where"]
    assert "secret" not in repr(logs)


def test_an_operator_that_raises_is_isolated_too() -> None:
    channel: Channel[int] = Channel("numbers")
    channel.observable.pipe(ops.do_action(divides)).subscribe()
    seen = listen(channel)
    with capture_logs():
        channel.push(1)
        channel.push(2)
    assert seen == [1, 2]


def test_in_mode_raise_push_raises() -> None:
    """After every subscriber has received the value."""
    channel: Channel[int] = Channel("numbers", on_subscriber_error="raise")
    channel.observable.subscribe(divides)
    seen = listen(channel)
    with pytest.raises(ZeroDivisionError):
        channel.push(1)
    assert seen == [1]


def test_in_mode_raise_push_raises_for_a_single_observer() -> None:
    """The queued value is delivered first."""
    channel: Channel[int] = Channel("numbers", on_subscriber_error="raise")
    seen: list[int] = []

    def fails(value: int) -> None:
        seen.append(value)
        if value == 1:
            channel.push(2)
            raise ZeroDivisionError

    channel.observable.subscribe(fails)
    with pytest.raises(ZeroDivisionError):
        channel.push(1)
    channel.push(3)
    assert seen == [1, 2, 3]


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ValueError, match="log"):
        Channel("numbers", on_subscriber_error="ignore")  # type: ignore[arg-type]


def test_disposal_inside_on_next_is_honoured_at_once() -> None:
    channel: Channel[int] = Channel("numbers")
    victim: list[int] = []
    subscriptions: list[Any] = []

    def disposes(_: int) -> None:
        for one in subscriptions:
            one.dispose()

    channel.observable.subscribe(disposes)
    subscriptions.append(channel.observable.subscribe(victim.append))
    channel.push(1)
    channel.push(2)
    assert victim == []
    assert len(channel) == 1


def test_a_direct_subscriber_disposed_by_another_gets_nothing_more() -> None:
    channel: Channel[int] = Channel("numbers")
    victim: list[int] = []
    subscriptions: list[Any] = []
    channel.subscribe(Subscriber(lambda _: subscriptions[0].dispose()))
    subscriptions.append(channel.subscribe(Subscriber(victim.append)))
    channel.push(1)
    assert victim == []


@pytest.mark.parametrize("others", [0, 1, 2])
def test_a_push_function_reaches_the_present_subscribers(others: int) -> None:
    """There are shorter ones for a single observer, and for some."""
    channel: Channel[Any] = Channel("values")
    seen: list[int] = []
    ways = [channel.push]
    leaving = [channel.observable.subscribe(seen.append)]
    ways.append(channel.push)
    leaving += [channel.observable.subscribe(lambda _: None) for _ in range(others)]
    ways.append(channel.push)
    ways[0](1)
    for one in leaving:
        one.dispose()
    channel.push(2)
    ways[1](3)
    later = listen(channel)
    for number, way in enumerate(ways):
        way(number + 4)
    of_run: list[Any] = []
    channel.of_run(("", "run_1")).subscribe(of_run.append)
    for way in ways:
        way(Value("run_1"))
    assert seen == [1]
    assert later[:3] == [4, 5, 6]
    assert later[3:] == of_run
    assert len(of_run) == 3


@pytest.mark.parametrize("wanting", [1, 2])
@pytest.mark.parametrize("others", [0, 1])
def test_progress_is_given_to_those_who_want_it(wanting: int, others: int) -> None:
    """In its place among all the rest, what is pushed from inside too."""
    channel: Channel[int] = Channel("numbers")
    ends: list[int] = []
    seen: list[list[int]] = [[] for _ in range(wanting)]

    def on_next(value: int) -> None:
        seen[0].append(value)
        if value < 10:
            channel.push_progress(value * 10)
            channel.push(value * 10 + 1)

    for take in (on_next, *(one.append for one in seen[1:])):
        channel.subscribe(Subscriber(take))
    for _ in range(others):
        channel.subscribe(Subscriber(lambda value: ends.append(value) if value % 2 else None, progress=False))
    channel.push_progress(2)
    channel.push(3)
    assert seen == [[2, 20, 21, 3, 30, 31]] * wanting
    assert ends == [21, 3, 31] * others


def test_progress_that_nobody_wants_is_given_to_nobody_who_would_mind() -> None:
    channel: Channel[int] = Channel("numbers")
    calls: list[int] = []
    leaving = channel.subscribe(Subscriber(calls.append))
    channel.subscribe(Subscriber(lambda _: calls.append(0), progress=False))
    channel.push_progress(1)
    assert calls == [1]
    leaving.dispose()
    channel.push(2)
    assert calls == [1, 0]


def test_take_ends_its_own_subscription() -> None:
    channel: Channel[int] = Channel("numbers")
    seen: list[int] = []
    channel.observable.pipe(ops.take(2)).subscribe(seen.append)
    for number in range(5):
        channel.push(number)
    assert seen == [0, 1]
    assert len(channel) == 0


def test_pushing_from_inside_a_callback_keeps_everyones_order() -> None:
    channel: Channel[int] = Channel("numbers")
    channel.observable.subscribe(lambda value: channel.push(value + 1) if value < 3 else None)
    seen = listen(channel)
    channel.push(0)
    assert seen == [0, 1, 2, 3]


def test_ending_from_inside_a_callback_lets_everyone_have_the_value_first() -> None:
    channel: Channel[int] = Channel("numbers")

    def ends(value: int) -> None:
        channel.push(value + 1)
        channel.complete()
        channel.push(99)

    channel.observable.subscribe(ends)
    seen = listen(channel)
    channel.push(1)
    assert seen == [1, 2, "end"]


def test_subscribing_inside_on_next_begins_with_the_next_value() -> None:
    channel: Channel[int] = Channel("numbers")
    late: list[int] = []

    def subscribes(_: int) -> None:
        channel.observable.subscribe(late.append)

    channel.observable.pipe(ops.take(1)).subscribe(subscribes)
    channel.push(1)
    channel.push(2)
    assert late == [2]


def test_nothing_follows_the_end() -> None:
    channel: Channel[int] = Channel("numbers")
    seen = listen(channel)
    channel.complete()
    channel.push(1)
    channel.complete()
    channel.error(ValueError())
    assert seen == ["end"]


def test_a_late_observer_gets_the_end_at_once() -> None:
    channel: Channel[int] = Channel("numbers")
    channel.complete()
    assert listen(channel) == ["end"]


def test_a_late_observer_gets_the_error_at_once() -> None:
    channel: Channel[int] = Channel("numbers")
    error = ValueError()
    early = listen(channel)
    channel.error(error)
    assert early == listen(channel) == [error]


def test_an_observer_without_on_error_is_no_failure() -> None:
    channel: Channel[int] = Channel("numbers")
    channel.observable.subscribe(lambda _: None)
    with capture_logs() as logs:
        channel.error(ValueError())
    assert logs == []
    assert channel.reports.count == 0


def test_the_grammar_holds_against_rxs_own_observer() -> None:
    scheduler = TestScheduler()
    channel: Channel[int] = Channel("numbers")
    observer: Any = scheduler.create_observer()
    channel.observable.subscribe(observer)
    channel.push(1)
    channel.complete()
    channel.push(2)
    assert observer.messages == [ReactiveTest.on_next(0, 1), ReactiveTest.on_completed(0)]


def test_replay_comes_first_also_after_the_end() -> None:
    channel: Channel[int] = Channel("numbers", replay=lambda _: [7, 8])
    seen = listen(channel)
    channel.push(9)
    channel.complete()
    assert seen == [7, 8, 9, "end"]
    assert listen(channel) == [7, 8, "end"]


def test_pushing_during_replay_keeps_the_order() -> None:
    channel: Channel[int] = Channel("numbers", replay=lambda _: [1, 2])
    seen: list[int] = []

    def on_next(value: int) -> None:
        seen.append(value)
        if value < 3:
            channel.push(value * 10)

    channel.observable.subscribe(on_next)
    assert seen == [1, 2, 10, 20]


def test_values_pushed_during_a_replay_come_before_later_ones() -> None:
    """Also when the run that is replayed is complete already."""
    over = ("", "run_1")
    channel: Channel[int] = Channel(
        "test", replay=lambda run: [0] if run == over else [], is_complete=lambda run: run == over
    )
    seen = listen(channel)
    channel.of_run(over).subscribe(lambda value: channel.push(1), on_completed=lambda: channel.push(2))
    assert seen == [1, 2]
    channel.push(3)
    assert seen == [1, 2, 3]


def test_an_observer_disposed_by_the_replay_is_not_added() -> None:
    channel: Channel[int] = Channel("numbers", replay=lambda _: [1, 2])
    seen: list[int] = []
    channel.observable.pipe(ops.take(1)).subscribe(seen.append)
    channel.push(3)
    assert seen == [1]
    assert len(channel) == 0


def test_changes_of_the_number_of_observers_are_told() -> None:
    counts: list[int] = []
    channel: Channel[int] = Channel("numbers", on_change=lambda: counts.append(len(channel)))
    one = channel.observable.subscribe(lambda _: None)
    two = channel.observable.subscribe(lambda _: None)
    one.dispose()
    one.dispose()
    two.dispose()
    assert counts == [1, 2, 1, 0]


def test_a_coroutine_function_is_refused_by_the_rx_door() -> None:
    channel: Channel[int] = Channel("numbers")

    async def handler(_: int) -> None: ...

    with pytest.raises(TypeError, match=r"RunStream\.on"):
        channel.observable.subscribe(handler)  # type: ignore[arg-type]


def test_a_subscriber_that_blocks_is_logged_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runstream.stream.dispatcher.SLOW_SECONDS", 0.02)
    channel: Channel[Value] = Channel("runs")

    def quick(_: Value) -> None: ...

    def blocks(_: Value) -> None:
        time.sleep(0.03)

    for fn in (quick, blocks, quick):
        channel.observable.subscribe(fn)
    with capture_logs() as logs:
        channel.push(Value("run_1"))
    assert [(log["event"], log["run_id"]) for log in logs] == [("slow_subscriber", "run_1")]
    assert "blocks" in logs[0]["subscriber"]
    assert logs[0]["seconds"] >= 0.03


def test_a_keyboard_interrupt_passes_and_leaves_the_hub_usable() -> None:
    channel: Channel[int] = Channel("numbers")
    seen = listen(channel)

    def interrupts(value: int) -> None:
        if value == 1:
            raise KeyboardInterrupt

    channel.observable.subscribe(interrupts)
    with pytest.raises(KeyboardInterrupt):
        channel.push(1)
    channel.push(2)
    assert seen == [1, 2]


@pytest.mark.parametrize("others", [0, 1])
def test_an_interrupted_observer_gets_the_next_value(others: int) -> None:
    """Alone, it has a way of its own."""
    channel: Channel[int] = Channel("numbers")
    seen: list[int] = []

    def interrupts(value: int) -> None:
        seen.append(value)
        if value == 1:
            channel.push(2)
            raise KeyboardInterrupt

    channel.observable.subscribe(interrupts)
    for _ in range(others):
        listen(channel)
    with pytest.raises(KeyboardInterrupt):
        channel.push(1)
    channel.push(3)
    assert seen == [1, 3, 2]


def test_an_end_that_is_interrupted_is_an_end() -> None:
    channel: Channel[int] = Channel("numbers")
    seen: list[int] = []

    def interrupts() -> None:
        raise KeyboardInterrupt

    channel.observable.subscribe(seen.append, on_completed=interrupts)
    with pytest.raises(KeyboardInterrupt):
        channel.complete()
    channel.push(1)
    assert seen == []


@pytest.mark.parametrize("others", [0, 1])
def test_whoever_blocks_is_named_each_time_and_nobody_else(others: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once or again, alone or among others; who took what was pushed from inside is told apart."""
    monkeypatch.setattr("runstream.stream.dispatcher.SLOW_SECONDS", 0.02)
    channel: Channel[Value] = Channel("runs")

    def blocks(value: Value) -> None:
        if value.run_id == "first":
            channel.push(Value("from inside"))
        if value.run_id != "quick":
            time.sleep(0.03)

    channel.observable.subscribe(blocks)
    for _ in range(others):
        listen(channel)
    with capture_logs() as logs:
        for run_id in ("quick", "first", "quick", "again", "quick"):
            channel.push(Value(run_id))
            time.sleep(0.03)  # what passes between two values is nobody's fault
    assert [log["run_id"] for log in logs] == ["first", "from inside", "again"]
    assert all("blocks" in log["subscriber"] and log["seconds"] >= 0.03 for log in logs)


def test_merging_hubs_with_rx_completes_when_all_do() -> None:
    left: Channel[int] = Channel("left")
    right: Channel[int] = Channel("right")
    seen: list[Any] = []
    reactivex.merge(left.observable, right.observable).subscribe(seen.append, on_completed=lambda: seen.append("end"))
    left.push(1)
    right.push(2)
    left.complete()
    right.complete()
    assert seen == [1, 2, "end"]


@pytest.mark.parametrize("in_batch", [False, True])
def test_the_direct_way_does_what_push_does(in_batch: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the only subscriber: it is isolated, timed, and not entered again, in a batch too."""
    monkeypatch.setattr("runstream.stream.dispatcher.SLOW_SECONDS", 0.02)
    channel: Channel[Value] = Channel("runs")
    seen: list[str] = []

    def take(value: Value) -> None:
        seen.append(value.run_id)
        if value.run_id == "again":
            channel.direct(Value("inner"))
            assert seen[-1] == "again"
        elif value.run_id == "slow":
            time.sleep(0.03)
        elif value.run_id == "bad":
            raise ValueError

    channel.observable.subscribe(take)
    clock = channel.reports.clock
    if in_batch:
        clock.last = time.monotonic()
    with capture_logs() as logs:
        for id in ("quick", "again", "slow", "bad", "quick"):
            channel.direct(Value(id))
    assert seen == ["quick", "again", "inner", "slow", "bad", "quick"]
    assert [(log["event"], log["run_id"]) for log in logs] == [
        ("slow_subscriber", "slow"),
        ("subscriber_failed", "bad"),
    ]
    assert 0.03 <= logs[0]["seconds"] < 10
    assert bool(clock.last) is in_batch


def test_the_direct_way_is_set_anew_with_each_change_of_the_subscribers() -> None:
    """Whoever keeps it is called then: here the engine."""
    ways: list[Any] = []
    channel: Channel[Value] = Channel("runs", on_change=lambda: ways.append(channel.direct))
    seen: list[str] = []
    first = channel.observable.subscribe(lambda value: seen.append("first"))
    ways[-1](Value("run_1"))
    second = channel.observable.subscribe(lambda value: seen.append("second"))
    ways[-1](Value("run_1"))
    first.dispose()
    ways[-1](Value("run_1"))
    second.dispose()
    ways[-1](Value("run_1"))
    channel.observable.subscribe(lambda value: seen.append("third"))
    channel.complete()
    ways[-1](Value("run_1"))
    assert seen == ["first", "first", "second", "second"]
