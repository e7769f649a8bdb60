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


class Bench:
    """An engine with a watchdog timer, whose clock is the scheduler's."""

    def __init__(self, dogs: Watchdogs) -> None:
        self.scheduler = VirtualTimeScheduler()
        self.signals: list[Any] = []
        self.blocked = False
        self.stalls: list[tuple[str, str]] = []
        self.engine = Engine(clock=lambda: EPOCH + self.now)
        self.engine.on_signal = self.signals.append
        self.intake = self.engine.intake("bench")
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

    def feed(self, run_script: Script, *, since: int = 0) -> int:
        """Feed the events of a script from a number on, and return the number of all its events."""
        raws = run_script.raw_events()
        self.intake.feed_all(raws[since:])
        return len(raws)

    def wait(self, seconds: float) -> list[RunStalled]:
        """Advance the time, and return the stalls of this span."""
        before = len(self.signals)
        self.scheduler.advance_by(seconds)
        return [signal for signal in self.signals[before:] if isinstance(signal, RunStalled)]

    @property
    def interrupted(self) -> list[RunInterrupted]:
        return [signal for signal in self.signals if isinstance(signal, RunInterrupted)]


def working(**fields: Any) -> Script:
    return script("run_1", **{"expires_at": None, **fields}).start()


def test_a_silent_run_is_reported_once_and_in_time() -> None:
    bench = Bench(Watchdogs(idle=10))
    bench.feed(working())
    assert not bench.wait(10)
    (stalled,) = bench.wait(2)
    assert (stalled.run_id, stalled.limit, stalled.n, stalled.key) == ("run_1", "idle", 1, "run_1/stalled/1")
    assert 10 <= stalled.idle <= 12
    assert bench.stalls == [("run_1", "idle")]
    assert not bench.wait(1000)
    assert bench.engine.stats().stalled == 1
    assert not bench.interrupted


def test_a_snapshot_that_says_nothing_new_ends_the_silence() -> None:
    bench = Bench(Watchdogs(idle=10))
    run_script = working()
    bench.feed(run_script)
    again = run_script.raw_events()[2]  # the run in progress, by no id
    for _ in range(5):
        assert not bench.wait(8)
        bench.intake.feed(again)
    assert len(bench.wait(13)) == 1
    bench.intake.feed(again)
    (second,) = bench.wait(13)
    assert second.key == "run_1/stalled/2"


def test_growing_text_ends_the_silence() -> None:
    bench = Bench(Watchdogs(idle=10))
    bench.feed(working())
    bench.intake.feed(RawEvent("thread.message.created", b'{"id":"msg_g","run_id":"run_1","content":[]}'))
    part = b'{"index":0,"type":"text","text":{"value":"word "}}'
    delta = RawEvent("thread.message.delta", b'{"id":"msg_g","delta":{"content":[' + part + b"]}}")
    for _ in range(5):
        assert not bench.wait(8)
        bench.intake.feed(delta)
    assert [stalled.limit for stalled in bench.wait(13)] == ["idle"]


def test_a_duplicate_by_its_id_does_not_end_the_silence() -> None:
    bench = Bench(Watchdogs(idle=10))
    raws = working().raw_events(ids=True)
    bench.intake.feed_all(raws)
    bench.wait(8)
    bench.intake.feed_all(raws)
    assert bench.engine.stats().duplicates == len(raws)
    assert [stalled.limit for stalled in bench.wait(4)] == ["idle"]


def test_the_time_of_the_application_does_not_count() -> None:
    bench = Bench(Watchdogs(idle=10))
    run_script = working().call(weather={"city": "Oslo"})
    count = bench.feed(run_script)
    assert not bench.wait(1000)
    run_script.answer("sunny")
    bench.feed(run_script, since=count)
    assert not bench.wait(9)
    assert [stalled.limit for stalled in bench.wait(4)] == ["idle"]


def test_time_while_the_sources_are_blocked_does_not_count() -> None:
    bench = Bench(Watchdogs(idle=10))
    bench.feed(working())
    bench.wait(5)
    bench.blocked = True
    assert not bench.wait(100)
    bench.blocked = False
    assert not bench.wait(4)
    assert [stalled.limit for stalled in bench.wait(8)] == ["idle"]


def test_a_loop_that_stood_still_is_not_the_runs_silence() -> None:
    bench = Bench(Watchdogs(idle=10))
    bench.feed(working())
    bench.wait(5)
    bench.scheduler.sleep(3600)  # the clock goes on, and nothing is called back
    assert not bench.wait(3)
    assert [stalled.limit for stalled in bench.wait(8)] == ["idle"]


def test_the_total_is_reported_once() -> None:
    bench = Bench(Watchdogs(total=60))
    run_script = working()
    again = run_script.raw_events()[2]
    bench.feed(run_script)
    found = []
    for _ in range(30):
        found += bench.wait(5)
        bench.intake.feed(again)
    assert [(stalled.limit, stalled.n) for stalled in found] == [("total", 1)]
    assert found[0].idle < 12


def test_expiry_has_a_grace_and_counts_once_for_each_time() -> None:
    bench = Bench(Watchdogs(expiry_grace=30))
    run_script = working(expires_at=EPOCH + 600)
    bench.feed(run_script)
    assert not bench.wait(629)
    assert [stalled.limit for stalled in bench.wait(7)] == ["expires_at"]
    assert not bench.wait(600)
    later = working(expires_at=EPOCH + 2000)
    bench.intake.feed(later.raw_events()[2])
    assert not bench.wait(500)
    assert [(stalled.limit, stalled.n) for stalled in bench.wait(1000)] == [("expires_at", 2)]


def test_an_action_has_an_expiry_of_its_own_where_the_server_gives_one() -> None:
    bench = Bench(Watchdogs(expiry_grace=0))
    run_script = working().call(weather={"city": "Oslo"})
    bench.intake.feed_all(run_script.raw_events())
    action = dict(run_script.run["required_action"], expires_at=EPOCH + 100.5)
    bench.intake.feed(
        RawEvent("thread.run.requires_action", msgspec.json.encode({**run_script.run, "required_action": action}))
    )
    assert not bench.wait(100)
    assert [stalled.limit for stalled in bench.wait(6)] == ["action_expires_at"]
    assert not bench.wait(100)


def test_expiry_is_watched_unless_it_is_switched_off() -> None:
    bench = Bench(Watchdogs(expiry_grace=None, total=5000))
    bench.feed(working(expires_at=EPOCH + 10))
    assert not bench.wait(1000)


def test_an_expired_run_is_resumed_by_its_next_event() -> None:
    bench = Bench(Watchdogs(idle=10, end={"idle"}))
    run_script = working()
    count = bench.feed(run_script)
    bench.wait(13)
    (first,) = bench.interrupted
    assert first.key == "run_1/interrupted/1"
    assert first.reason == "no event of it arrived for 10 s (idle)"
    assert bench.engine.expired_reason("run_1") == first.reason
    assert not bench.intake.open_runs()
    assert not bench.intake.live
    assert not bench.wait(100)
    run_script.say("Here I am.")
    bench.feed(run_script, since=count)
    assert bench.engine.expired_reason("run_1") is None
    assert bench.intake.open_runs()
    bench.wait(13)
    assert [signal.n for signal in bench.interrupted] == [1, 2]
    count = len(run_script.raw_events())
    run_script.end()
    bench.feed(run_script, since=count)
    assert bench.engine.stats().open_runs == 0
    bench.intake.end()
    assert [signal.type for signal in bench.signals][-2:] == ["run.completed", "source.ended"]


@pytest.mark.parametrize("enveloped", [False, True])
def test_a_fragment_resumes_an_expired_run(enveloped: bool) -> None:
    """Also on the hot path."""
    bench = Bench(Watchdogs(idle=10, end=True))
    bench.feed(working())
    bench.intake.feed(RawEvent("thread.message.created", b'{"id":"msg_g","run_id":"run_1","content":[]}'))
    data = b'{"id":"msg_g","delta":{"content":[{"index":0,"type":"text","text":{"value":"word "}}]}}'
    fragment = RawEvent("thread.message.delta", data)
    if enveloped:
        fragment = RawEvent(data=b'{"event":"thread.message.delta","data":' + data + b"}")
    for _ in range(3):
        bench.intake.feed(fragment)
    assert len(bench.wait(13)) == 1
    assert not bench.intake.open_runs()
    for _ in range(5):
        bench.intake.feed(fragment)
        assert bench.engine.expired_reason("run_1") is None
        assert not bench.wait(8)
    assert [state.text for state in bench.intake.open_runs()] == ["word " * 8]
    bench.intake.end()
    assert [signal.n for signal in bench.interrupted] == [1, 2]


def test_a_limit_that_does_not_end_leaves_the_run_alone() -> None:
    bench = Bench(Watchdogs(idle=10, total=30, end={"total"}))
    bench.feed(working())
    assert [stalled.limit for stalled in bench.wait(13)] == ["idle"]
    assert not bench.interrupted
    assert [stalled.limit for stalled in bench.wait(30)] == ["total"]
    assert [signal.reason for signal in bench.interrupted] == ["it did not end within 30 s (total)"]


def test_two_limits_in_one_look_end_a_run_once() -> None:
    bench = Bench(Watchdogs(idle=10, total=10, end=True))
    bench.feed(working())
    assert [stalled.limit for stalled in bench.wait(30)] == ["idle"]
    assert len(bench.interrupted) == 1


def test_a_run_without_a_source_is_interrupted_and_not_stalled() -> None:
    bench = Bench(Watchdogs(idle=10, total=20))
    bench.feed(working())
    bench.wait(2)
    bench.intake.end()
    assert not bench.wait(1000)
    assert len(bench.interrupted) == 1


def test_a_paused_run_is_watched_for_its_expiry() -> None:
    bench = Bench(Watchdogs(idle=10, expiry_grace=0))
    bench.feed(working(expires_at=EPOCH + 600).call(weather={"city": "Oslo"}))
    bench.intake.end()
    assert [stalled.limit for stalled in bench.wait(700)] == ["expires_at"]


def test_ended_and_forgotten_runs_leave_no_timer_behind() -> None:
    bench = Bench(Watchdogs(idle=10, end=True))
    for number in range(50):
        run_script = script(f"run_{number}").start().say("Hi.").end()
        bench.feed(run_script)
        bench.wait(0.4)
    bench.wait(5)
    assert bench.engine.on_open is not None  # asleep: the next run wakes it
    bench.scheduler.start()  # would not return if a timer were left
    assert not [signal for signal in bench.signals if isinstance(signal, RunStalled)]
    bench.feed(script("run_last").start())
    assert bench.engine.on_open is None
    assert len(bench.wait(13)) == 1


def test_a_stopped_timer_reports_nothing() -> None:
    bench = Bench(Watchdogs(idle=10))
    bench.feed(working())
    bench.wait(5)
    bench.timer.stop()
    assert not bench.wait(100)
    bench.scheduler.start()


def test_a_subscriber_may_end_the_run_that_stalls() -> None:
    bench = Bench(Watchdogs(idle=10, total=10, end=True))
    run_script = working()
    count = bench.feed(run_script)
    run_script.end()

    def on_signal(signal: Any) -> None:
        bench.signals.append(signal)
        if isinstance(signal, RunStalled):
            bench.feed(run_script, since=count)

    bench.engine.on_signal = on_signal
    assert [stalled.limit for stalled in bench.wait(30)] == ["idle"]
    assert not bench.interrupted
    assert bench.engine.stats().open_runs == 0


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
