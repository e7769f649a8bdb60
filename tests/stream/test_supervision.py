"""Watchdogs and the loop's monitor in a stream: what who waits is told, and that nothing is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from reactivex.scheduler import VirtualTimeScheduler
from structlog.testing import capture_logs

from runstream import Repair
from runstream.core.state import RunState
from runstream.engine.watchdogs import Watchdogs
from runstream.errors import IncompleteStream
from runstream.model.raw import RawEvent
from runstream.model.signals import RunCompleted, RunInterrupted, RunStalled
from runstream.sources.base import Receiver
from runstream.stream.run_stream import RunStream
from runstream.testing import Script, script
from tests.support.receiver import eventually


class Silent:
    """A source that tells of some runs, and then says no more, until it is told to."""

    def __init__(self, *told: Script, name: str = "silent") -> None:
        self.name = name
        self.items = [raw for one in told for raw in one.raw_events()]
        self.fed = asyncio.Event()
        self.more: asyncio.Queue[list[RawEvent]] = asyncio.Queue()

    async def run(self, receiver: Receiver) -> None:
        receiver.connected()
        while True:
            for item in self.items:
                receiver.feed(item)
            self.fed.set()
            self.items = await self.more.get()
            if not self.items:
                return


def working(run_id: str = "run_1") -> Script:
    return script(run_id, expires_at=None).start()


async def waiting(*calls: Any) -> list[asyncio.Task[Any]]:
    tasks = [asyncio.ensure_future(call) for call in calls]
    for _ in range(3):
        await asyncio.sleep(0)
    return tasks


async def test_who_waits_for_a_run_that_was_ended_is_told() -> None:
    scheduler = VirtualTimeScheduler()
    source = Silent(working())
    async with RunStream(source, watchdogs=Watchdogs(idle=30, end=True), scheduler=scheduler) as stream:
        signals: list[Any] = []
        stream.signals.subscribe(signals.append)
        tasks = await waiting(
            stream.result(),
            stream.result("run_1"),
            stream.results(),
            stream.when(RunCompleted, run_id="run_1"),
        )
        other = asyncio.ensure_future(stream.when(RunInterrupted, run_id="run_1"))
        async with asyncio.timeout(25):
            await source.fed.wait()
            scheduler.advance_by(40)
            for task in tasks:
                with pytest.raises(IncompleteStream, match=r"run_1 was ended by a watchdog.*\(idle\)") as caught:
                    await task
                assert caught.value.states[0].run_id == "run_1"
            assert (await other).reason.endswith("(idle)")
            for late in (stream.result(), stream.result("run_1"), stream.results()):
                with pytest.raises(IncompleteStream, match="idle"):
                    await late
        assert [signal.type for signal in signals][-2:] == ["run.stalled", "run.interrupted"]
        assert stream.stats.stalled == 1
        assert stream.stats.open_sources == 1  # a gateway may tell of other runs


async def test_a_run_that_was_ended_and_is_heard_of_again_may_have_a_result() -> None:
    scheduler = VirtualTimeScheduler()
    told = working()
    source = Silent(told)
    async with RunStream(source, watchdogs=Watchdogs(idle=30, end=True), scheduler=scheduler) as stream:
        async with asyncio.timeout(25):
            stream.start()
            await source.fed.wait()
            scheduler.advance_by(40)
            with pytest.raises(IncompleteStream):
                await stream.result()
            before = len(told.raw_events())
            told.say("Here I am.").end()
            source.more.put_nowait(told.raw_events()[before:])
            assert (await stream.when(RunCompleted)).run_id == "run_1"
            assert (await stream.result()).is_complete
            source.more.put_nowait([])
            assert [run.id for run in await stream.results()] == ["run_1"]


async def test_only_the_run_that_was_ended_concerns_who_waits_for_it() -> None:
    scheduler = VirtualTimeScheduler()
    told = [working("run_1"), working("run_2")]
    source = Silent(*told)
    async with RunStream(source, watchdogs=Watchdogs(idle=30, end=True), scheduler=scheduler) as stream:
        first, second = await waiting(stream.result("run_1"), stream.result("run_2"))
        async with asyncio.timeout(25):
            await source.fed.wait()
            scheduler.advance_by(20)
            before = len(told[1].raw_events())
            told[1].say("Busy.")
            source.fed.clear()
            source.more.put_nowait(told[1].raw_events()[before:])
            await source.fed.wait()
            scheduler.advance_by(20)
            with pytest.raises(IncompleteStream):
                await first
            assert not second.done()
            before = len(told[1].raw_events())
            told[1].end()
            source.more.put_nowait(told[1].raw_events()[before:])
            assert (await second).id == "run_2"


async def test_the_source_of_an_ended_run_may_be_closed_with_it() -> None:
    scheduler = VirtualTimeScheduler()
    one, two = Silent(working("run_1"), name="one"), Silent(working("run_2"), working("run_3"), name="two")
    dogs = Watchdogs(total=30, end=True, close_sources=True)
    async with RunStream(one, two, watchdogs=dogs, scheduler=scheduler) as stream:
        signals: list[Any] = []
        stream.signals.subscribe(signals.append)
        (all_of_them,) = await waiting(stream.results())
        async with asyncio.timeout(25):
            await one.fed.wait()
            await two.fed.wait()
            scheduler.advance_by(40)
            await eventually(lambda: stream.stats.open_sources == 0, within=25)
            with pytest.raises(IncompleteStream):
                await all_of_them
            assert [item async for item in stream] == []  # the stream has ended
        interrupted = [signal for signal in signals if isinstance(signal, RunInterrupted)]
        assert [signal.key for signal in interrupted] == [f"run_{n}/interrupted/1" for n in (1, 2, 3)]
        ended = [signal for signal in signals if signal.type == "source.ended"]
        assert sorted(signal.source for signal in ended) == ["one", "two"]
        assert {signal.reason for signal in ended} == {"it did not end within 30 s (total)"}


async def test_by_default_they_run_on_the_loops_own_clock() -> None:
    async with RunStream(Silent(working()), watchdogs=Watchdogs(idle=0.05)) as stream:
        stalled = await stream.when(RunStalled, timeout=25)
        assert stalled.limit == "idle"
        assert stalled.idle >= 0.05


async def test_a_slow_consumer_is_no_stall_of_the_run() -> None:
    scheduler = VirtualTimeScheduler()
    release = asyncio.Event()

    async def slow(signal: Any) -> None:
        await release.wait()

    source = Silent(*(working(f"run_{number}") for number in range(10)))
    async with RunStream(source, watchdogs=Watchdogs(idle=5), scheduler=scheduler, buffer=2) as stream:
        stream.on("run.created", slow, concurrency=1)
        stream.start()
        async with asyncio.timeout(25):
            await source.fed.wait()
            scheduler.advance_by(100)
            assert stream.stats.stalled == 0
            release.set()
            await eventually(lambda: stream._supervisor._gate.open, within=25)
            scheduler.advance_by(10)
            assert stream.stats.stalled == 10


async def test_a_stall_asks_for_repair() -> None:
    scheduler = VirtualTimeScheduler()
    source = Silent(working())
    async with RunStream(source, watchdogs=Watchdogs(idle=5), scheduler=scheduler) as stream:
        asked: list[tuple[str, str]] = []
        stream._supervisor.on_stall = lambda state, why: asked.append((state.run_id, why))
        stream.start()
        async with asyncio.timeout(25):
            await source.fed.wait()
        scheduler.advance_by(10)
        assert asked == [("run_1", "stalled: idle")]


@pytest.mark.parametrize("limit", ["idle", "total"])
@pytest.mark.parametrize("found", ["completed", "in_progress", "nothing", "hangs"])
async def test_a_run_is_fetched_before_it_is_ended(limit: str, found: str) -> None:
    """What the fetch brings decides: an end is an end, a sign of life ends the silence, though not the total time."""
    scheduler = VirtualTimeScheduler()
    source, asked, answer = Silent(working()), asyncio.Event(), asyncio.Event()

    async def fetch(state: RunState) -> Any:
        asked.set()
        await answer.wait()
        if found == "hangs":
            await asyncio.sleep(3600)
        told = working()
        return None if found == "nothing" else (told.end() if found == "completed" else told).run

    dogs = Watchdogs(**{limit: 10.0}, end=True)  # type: ignore[arg-type]
    repair = Repair(fetch_run=fetch, reconnect=None)
    async with RunStream(source, watchdogs=dogs, scheduler=scheduler, fetch_run=repair) as stream:
        (waits,) = await waiting(stream.result())
        async with asyncio.timeout(20):
            await source.fed.wait()
            scheduler.advance_by(12)
            await asked.wait()
            scheduler.advance_by(5)
            assert stream.stats.stalled == 1
            assert not waits.done()
            answer.set()
            if found == "hangs":
                scheduler.advance_by(20)
                assert not waits.done()
                scheduler.advance_by(10)
            else:
                await eventually(lambda: not stream._repairs._jobs, within=25)
                scheduler.advance_by(2)
            await asyncio.sleep(0)
            if found == "completed":
                assert (await waits).is_complete
            elif found == "in_progress" and limit == "idle":
                assert not waits.done()
                assert not stream._engine.expired_reason("run_1")
            else:
                with pytest.raises(IncompleteStream, match=limit):
                    await waits
        waits.cancel()


async def test_a_source_that_gives_nothing_at_all_has_failed() -> None:
    """Nobody knows of its runs: who waits for a result is told why there is none, and the others are left alone."""
    scheduler = VirtualTimeScheduler()
    mute, other = Silent(name="mute"), Silent(working(), name="other")
    async with RunStream(mute, other, watchdogs=Watchdogs(silent=30), scheduler=scheduler) as stream:
        signals: list[Any] = []
        stream.signals.subscribe(signals.append)
        (waits,) = await waiting(stream.results())
        async with asyncio.timeout(25):
            await mute.fed.wait()
            scheduler.advance_by(29)
            late = stream.attach(Silent(name="late"))
            await eventually(lambda: stream.stats.open_sources == 3, within=25)
            scheduler.advance_by(2)
            await eventually(lambda: stream.stats.open_sources == 2, within=25)
            assert not late.done
            scheduler.advance_by(30)
            await eventually(lambda: stream.stats.open_sources == 1, within=25)
            assert late.error is not None
            assert late.error.reason == "it gave nothing within 30 s (silent)"
            other.more.put_nowait(script("run_1", expires_at=None).start().end().raw_events())
            other.more.put_nowait([])
            with pytest.raises(IncompleteStream, match="gave nothing within 30 s"):
                await waits
        failed = [signal.source for signal in signals if signal.type == "source.error"]
        assert failed == ["mute", "late"]
    scheduler.start()


async def test_sources_that_end_leave_no_silence_to_watch() -> None:
    scheduler = VirtualTimeScheduler()
    async with RunStream(watchdogs=Watchdogs(silent=30), scheduler=scheduler, max_connections=2) as stream:
        with stream.keep_open():
            stream.start()
            for number in range(20):
                stream.attach(working(f"run_{number}").end().raw_events())
            await eventually(lambda: stream.stats.finished_runs == 20, within=25)
            await eventually(lambda: stream.stats.open_sources == 0, within=25)
            assert stream._supervisor._silence is not None
            assert not stream._supervisor._silence._due
            scheduler.advance_by(100)
            assert stream._supervisor._silence._timer is None
            removed = stream.attach(Silent(name="removed"))
            await eventually(lambda: stream.stats.open_sources == 1, within=25)
            removed.remove()
            await eventually(lambda: stream.stats.open_sources == 0, within=25)
        assert stream.stats.failures == 0


@pytest.mark.parametrize("close", [lambda stream: stream.aclose(), None], ids=["closed", "ended"])
async def test_no_timer_outlives_the_stream(close: Callable[[RunStream], Any] | None) -> None:
    scheduler = VirtualTimeScheduler()
    source = Silent(working())
    stream = RunStream(source, watchdogs=Watchdogs(idle=5), scheduler=scheduler)
    stream.start()
    async with asyncio.timeout(25):
        await source.fed.wait()
        if close is not None:
            await close(stream)
        else:
            source.more.put_nowait([])
            with pytest.raises(IncompleteStream):
                await stream.result()
    scheduler.start()  # would not return if a timer were left
    assert stream._supervisor._monitor._timer is None
    assert stream.stats.stalled == 0


async def test_a_loop_that_stands_still_is_logged_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    clock = loop.time
    with capture_logs() as logs:
        async with RunStream(Silent(working())) as stream:
            stream.start()
            await asyncio.sleep(0.01)
            monkeypatch.setattr(loop, "time", lambda: clock() + 1.7)  # as where somebody blocks the loop for so long
            await eventually(lambda: stream.stats.loop_stalls == 1, within=25)
    (entry,) = [entry for entry in logs if entry["event"] == "loop_stalled"]
    assert entry["log_level"] == "warning"
    assert entry["seconds"] > 1.0


async def test_streams_of_one_loop_log_a_stall_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each counts it, and one logs it."""
    loop = asyncio.get_running_loop()
    clock = loop.time
    with capture_logs() as logs:
        async with RunStream(Silent(working())) as first, RunStream(Silent(working())) as second:
            first.start()
            second.start()
            await asyncio.sleep(0.01)
            monkeypatch.setattr(loop, "time", lambda: clock() + 1.7)
            await eventually(lambda: first.stats.loop_stalls == second.stats.loop_stalls == 1, within=25)
    assert [entry["event"] for entry in logs].count("loop_stalled") == 1
