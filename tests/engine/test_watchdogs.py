"""The watchdogs over an engine, in virtual time."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from reactivex.scheduler import VirtualTimeScheduler
from reactivex.subject import Subject

from runstream.engine.engine import Engine
from runstream.engine.watchdogs import Watchdogs, WatchdogTimer
from runstream.model.raw import RawEvent
from runstream.model.signals import RunInterrupted, RunStalled
from runstream.rx.operators import pipeline
from runstream.testing import Script, script
from runstream.testing.script import EPOCH


class House:
    """An engine under watch, with a clock that is the scheduler's."""

    def __init__(self, dogs: Watchdogs) -> None:
        self.scheduler = VirtualTimeScheduler()
        self.signals: list[Any] = []
        self.blocked = False
        self.stalls: list[tuple[str, str]] = []
        self.engine = Engine(clock=lambda: EPOCH + self.now)
        self.engine.on_signal = self.signals.append
        self.intake = self.engine.intake("house")
        self.timer = WatchdogTimer(
            self.engine,
            dogs,
            self.scheduler,
            blocked=lambda: self.blocked,
            on_stalled=lambda state, limit: self.stalls.append((state.run_id, limit)),
        )
        self.timer.start()

    @property
    def now(self) -> float:
        return float(self.scheduler.to_seconds(self.scheduler.now))

    def tell(self, told: Script, *, since: int = 0) -> int:
        """Feed what the script has told since then; gives how much there is."""
        raws = told.raw_events()
        self.intake.feed_all(raws[since:])
        return len(raws)

    def wait(self, seconds: float) -> list[RunStalled]:
        """Let time pass; gives the stalls that were told in it."""
        before = len(self.signals)
        self.scheduler.advance_by(seconds)
        return [signal for signal in self.signals[before:] if isinstance(signal, RunStalled)]

    @property
    def interrupted(self) -> list[RunInterrupted]:
        return [signal for signal in self.signals if isinstance(signal, RunInterrupted)]


def working(**fields: Any) -> Script:
    return script("run_1", **{"expires_at": None, **fields}).start()


def test_a_silent_run_is_told_once_and_in_time() -> None:
    house = House(Watchdogs(idle=10))
    house.tell(working())
    assert not house.wait(10)
    (stalled,) = house.wait(2)
    assert (stalled.run_id, stalled.limit, stalled.n, stalled.key) == ("run_1", "idle", 1, "run_1/stalled/1")
    assert 10 <= stalled.idle <= 12
    assert house.stalls == [("run_1", "idle")]
    assert not house.wait(1000)
    assert house.engine.stats().stalled == 1
    assert not house.interrupted


def test_a_snapshot_that_says_nothing_new_ends_the_silence() -> None:
    house = House(Watchdogs(idle=10))
    told = working()
    house.tell(told)
    again = told.raw_events()[2]  # the run in progress, by no id
    for _ in range(5):
        assert not house.wait(8)
        house.intake.feed(again)
    assert len(house.wait(13)) == 1
    house.intake.feed(again)
    (second,) = house.wait(13)
    assert second.key == "run_1/stalled/2"


def test_text_that_grows_is_heard() -> None:
    house = House(Watchdogs(idle=10))
    house.tell(working())
    house.intake.feed(RawEvent("thread.message.created", b'{"id":"msg_g","run_id":"run_1","content":[]}'))
    part = b'{"index":0,"type":"text","text":{"value":"word "}}'
    delta = RawEvent("thread.message.delta", b'{"id":"msg_g","delta":{"content":[' + part + b"]}}")
    for _ in range(5):
        assert not house.wait(8)
        house.intake.feed(delta)
    assert [stalled.limit for stalled in house.wait(13)] == ["idle"]


def test_a_duplicate_by_its_id_is_no_life() -> None:
    house = House(Watchdogs(idle=10))
    raws = working().raw_events(ids=True)
    house.intake.feed_all(raws)
    house.wait(8)
    house.intake.feed_all(raws)
    assert house.engine.stats().duplicates == len(raws)
    assert [stalled.limit for stalled in house.wait(4)] == ["idle"]


def test_the_applications_turn_is_no_silence_of_the_run() -> None:
    house = House(Watchdogs(idle=10))
    told = working().call(weather={"city": "Oslo"})
    count = house.tell(told)
    assert not house.wait(1000)
    told.answer("sunny")
    house.tell(told, since=count)
    assert not house.wait(9)
    assert [stalled.limit for stalled in house.wait(4)] == ["idle"]


def test_time_in_which_nothing_could_be_heard_does_not_count() -> None:
    house = House(Watchdogs(idle=10))
    house.tell(working())
    house.wait(5)
    house.blocked = True
    assert not house.wait(100)
    house.blocked = False
    assert not house.wait(4)
    assert [stalled.limit for stalled in house.wait(8)] == ["idle"]


def test_a_loop_that_stood_still_is_not_the_runs_silence() -> None:
    house = House(Watchdogs(idle=10))
    house.tell(working())
    house.wait(5)
    house.scheduler.sleep(3600)  # the clock goes on, and nothing is called back
    assert not house.wait(3)
    assert [stalled.limit for stalled in house.wait(8)] == ["idle"]


def test_the_total_is_told_once_whatever_the_run_does() -> None:
    house = House(Watchdogs(total=60))
    told = working()
    again = told.raw_events()[2]
    house.tell(told)
    found = []
    for _ in range(30):
        found += house.wait(5)
        house.intake.feed(again)
    assert [(stalled.limit, stalled.n) for stalled in found] == [("total", 1)]
    assert found[0].idle < 12


def test_expiry_has_a_grace_and_counts_once_for_each_time() -> None:
    house = House(Watchdogs(expiry_grace=30))
    told = working(expires_at=EPOCH + 600)
    house.tell(told)
    assert not house.wait(629)
    assert [stalled.limit for stalled in house.wait(7)] == ["expires_at"]
    assert not house.wait(600)
    later = working(expires_at=EPOCH + 2000)
    house.intake.feed(later.raw_events()[2])
    assert not house.wait(500)
    assert [(stalled.limit, stalled.n) for stalled in house.wait(1000)] == [("expires_at", 2)]


def test_an_action_has_an_expiry_of_its_own_where_the_server_gives_one() -> None:
    house = House(Watchdogs(expiry_grace=0))
    told = working().call(weather={"city": "Oslo"})
    house.intake.feed_all(told.raw_events())
    action = dict(told.run["required_action"], expires_at=EPOCH + 100.5)
    house.intake.feed(
        RawEvent("thread.run.requires_action", msgspec.json.encode({**told.run, "required_action": action}))
    )
    assert not house.wait(100)
    assert [stalled.limit for stalled in house.wait(6)] == ["action_expires_at"]
    assert not house.wait(100)


def test_expiry_is_watched_unless_it_is_said_otherwise() -> None:
    house = House(Watchdogs(expiry_grace=None, total=5000))
    house.tell(working(expires_at=EPOCH + 10))
    assert not house.wait(1000)


def test_an_ended_run_is_given_up_until_it_is_heard_of_again() -> None:
    house = House(Watchdogs(idle=10, end={"idle"}))
    told = working()
    count = house.tell(told)
    house.wait(13)
    (first,) = house.interrupted
    assert first.key == "run_1/interrupted/1"
    assert first.reason == "no event of it arrived for 10 s (idle)"
    assert house.engine.expired_reason("run_1") == first.reason
    assert not house.intake.open_runs()
    assert not house.intake.live
    assert not house.wait(100)
    told.say("Here I am.")
    house.tell(told, since=count)
    assert house.engine.expired_reason("run_1") is None
    assert house.intake.open_runs()
    house.wait(13)
    assert [signal.n for signal in house.interrupted] == [1, 2]
    count = len(told.raw_events())
    told.end()
    house.tell(told, since=count)
    assert house.engine.stats().open_runs == 0
    house.intake.end()
    assert [signal.type for signal in house.signals][-2:] == ["run.completed", "source.ended"]


@pytest.mark.parametrize("enveloped", [False, True])
def test_a_fragment_takes_a_given_up_run_up_again(enveloped: bool) -> None:
    """Also by the shortest way that fragments may go."""
    house = House(Watchdogs(idle=10, end=True))
    house.tell(working())
    house.intake.feed(RawEvent("thread.message.created", b'{"id":"msg_g","run_id":"run_1","content":[]}'))
    data = b'{"id":"msg_g","delta":{"content":[{"index":0,"type":"text","text":{"value":"word "}}]}}'
    fragment = RawEvent("thread.message.delta", data)
    if enveloped:
        fragment = RawEvent(data=b'{"event":"thread.message.delta","data":' + data + b"}")
    for _ in range(3):
        house.intake.feed(fragment)
    assert len(house.wait(13)) == 1
    assert not house.intake.open_runs()
    for _ in range(5):
        house.intake.feed(fragment)
        assert house.engine.expired_reason("run_1") is None
        assert not house.wait(8)
    assert [state.text for state in house.intake.open_runs()] == ["word " * 8]
    house.intake.end()
    assert [signal.n for signal in house.interrupted] == [1, 2]


def test_a_limit_that_does_not_end_leaves_the_run_alone() -> None:
    house = House(Watchdogs(idle=10, total=30, end={"total"}))
    house.tell(working())
    assert [stalled.limit for stalled in house.wait(13)] == ["idle"]
    assert not house.interrupted
    assert [stalled.limit for stalled in house.wait(30)] == ["total"]
    assert [signal.reason for signal in house.interrupted] == ["it did not end within 30 s (total)"]


def test_two_limits_in_one_look_end_a_run_once() -> None:
    house = House(Watchdogs(idle=10, total=10, end=True))
    house.tell(working())
    assert [stalled.limit for stalled in house.wait(30)] == ["idle"]
    assert len(house.interrupted) == 1


def test_a_run_without_a_source_is_told_to_be_interrupted_and_that_is_all() -> None:
    house = House(Watchdogs(idle=10, total=20))
    house.tell(working())
    house.wait(2)
    house.intake.end()
    assert not house.wait(1000)
    assert len(house.interrupted) == 1


def test_a_paused_run_is_watched_for_its_expiry() -> None:
    house = House(Watchdogs(idle=10, expiry_grace=0))
    house.tell(working(expires_at=EPOCH + 600).call(weather={"city": "Oslo"}))
    house.intake.end()
    assert [stalled.limit for stalled in house.wait(700)] == ["expires_at"]


def test_ended_and_forgotten_runs_leave_no_timer_behind() -> None:
    house = House(Watchdogs(idle=10, end=True))
    for number in range(50):
        told = script(f"run_{number}").start().say("Hi.").end()
        house.tell(told)
        house.wait(0.4)
    house.wait(5)
    assert house.engine.on_open is not None  # asleep: the next run wakes it
    house.scheduler.start()  # would not return if a timer were left
    assert not [signal for signal in house.signals if isinstance(signal, RunStalled)]
    house.tell(script("run_last").start())
    assert house.engine.on_open is None
    assert len(house.wait(13)) == 1


def test_stopped_watchers_say_nothing_more() -> None:
    house = House(Watchdogs(idle=10))
    house.tell(working())
    house.wait(5)
    house.timer.stop()
    assert not house.wait(100)
    house.scheduler.start()


def test_a_subscriber_may_end_the_run_that_it_hears_of() -> None:
    house = House(Watchdogs(idle=10, total=10, end=True))
    told = working()
    count = house.tell(told)
    told.end()

    def hear(signal: Any) -> None:
        house.signals.append(signal)
        if isinstance(signal, RunStalled):
            house.tell(told, since=count)

    house.engine.on_signal = hear
    assert [stalled.limit for stalled in house.wait(30)] == ["idle"]
    assert not house.interrupted
    assert house.engine.stats().open_runs == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"idle": 0},
        {"idle": float("nan")},
        {"total": -1},
        {"silent": 0},
        {"total": float("inf")},
        {"interval": 0},
        {"expiry_grace": -1},
        {"expiry_grace": float("nan")},
        {"end": "idle"},
        {"end": {"idel"}},
    ],
)
def test_limits_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Watchdogs(**wrong)


@pytest.mark.parametrize(
    ("dogs", "every"),
    [
        (Watchdogs(idle=10, total=60), 1.0),
        (Watchdogs(total=600), 5.0),
        (Watchdogs(), 5.0),
        (Watchdogs(idle=0.01), 0.01),
        (Watchdogs(idle=10, interval=0.5), 0.5),
    ],
)
def test_how_often_they_look(dogs: Watchdogs, every: float) -> None:
    assert dogs.every == every


# the operator


def test_the_pipeline_takes_watchdogs_and_a_scheduler() -> None:
    scheduler = VirtualTimeScheduler()
    pushed: Subject[RawEvent] = Subject()
    signals: list[Any] = []
    watched = pushed.pipe(pipeline(watchdogs=Watchdogs(idle=10, end=True), scheduler=scheduler))
    watched.subscribe(signals.append)
    for raw in working().raw_events():
        pushed.on_next(raw)
    scheduler.advance_by(20)
    assert [signal.type for signal in signals][-2:] == ["run.stalled", "run.interrupted"]
    pushed.on_completed()
    scheduler.start()
    assert [signal.type for signal in signals][-1] == "source.ended"


@pytest.mark.parametrize("how", ["completed", "failed", "disposed"])
def test_a_subscription_that_is_over_has_no_watchdog(how: str) -> None:
    scheduler = VirtualTimeScheduler()
    pushed: Subject[RawEvent] = Subject()
    signals: list[Any] = []
    watched = pushed.pipe(pipeline(watchdogs=Watchdogs(idle=10), scheduler=scheduler))
    subscription = watched.subscribe(signals.append, on_error=lambda _: None)
    pushed.on_next(working().raw_events()[0])
    if how == "completed":
        pushed.on_completed()
    elif how == "failed":
        pushed.on_error(ValueError("lost"))
    else:
        subscription.dispose()
    scheduler.start()
    assert not [signal for signal in signals if isinstance(signal, RunStalled)]


def test_watchdogs_need_a_scheduler() -> None:
    with pytest.raises(TypeError, match="scheduler"):
        pipeline(watchdogs=Watchdogs(idle=1))
