"""One subscriber raises, blocks the loop, or never reads; through every door. The others get every signal, memory
stays within its bound, and the log says who it was.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, ExitStack, aclosing, suppress
from typing import Any, NamedTuple

import pytest
from reactivex import operators as ops
from structlog.testing import capture_logs

from runstream import (
    RunSignal,
    RunState,
    RunStream,
    Signal,
    SubscriberFailed,
    SubscribersFailed,
    fold,
    handles,
    log_signals,
)
from runstream.stream.consumers import StreamIterator
from tests.support.clock import virtual_time
from tests.support.interleaved_runs import TEXT, conversation, one_by_one, shown
from tests.support.receiver import eventually

RAWS = conversation().raw_events(interleaved=True)
EXPECTED = shown(fold(RAWS).signals)
RUN = "run_1"
BUFFER = 8
SLOW = 0.2  # seconds that count as blocking here, instead of one
BLOCKED = 0.25


class Faulty:
    """A subscriber with a fault.

    Attributes:
        fault: "raises" (at each value), "blocks" (the loop, at the third), "never" (comes back from the first).
    """

    def __init__(self, fault: str) -> None:
        self.fault = fault
        self.calls = 0

    def take(self, item: Any) -> Any:
        self.calls += 1
        if self.fault == "raises":
            raise ValueError("secret words")
        if self.fault == "blocks" and self.calls == 3:
            time.sleep(BLOCKED)
        return item

    async def take_async(self, item: Any) -> None:
        await asyncio.sleep(0)
        if self.fault == "never":
            await asyncio.Event().wait()
        self.take(item)

    async def loop(self, items: Any) -> None:
        async with AsyncExitStack() as stack:
            if isinstance(items, StreamIterator):  # it has a name here, and an exception keeps names alive
                await stack.enter_async_context(aclosing(items))
            async for item in items:
                await self.take_async(item)

    # a logger's methods
    def debug(self, event: str, **fields: Any) -> None:
        self.take(event)

    info = warning = error = debug


class Plain(Faulty):
    @handles(Signal)
    def method(self, signal: Signal) -> None:
        self.take(signal)


class Coroutine_(Faulty):
    @handles(Signal)
    async def method(self, signal: Signal) -> None:
        await self.take_async(signal)


class Door(NamedTuple):
    """A way to subscribe.

    Attributes:
        open: Subscribes; gives a coroutine where the subscriber is a task of the application.
        name: What stands in the log's name of the subscriber.
        awaits: Whether the subscriber may never come back.
        loses: Whether it may be conflated, so that it is never too slow.
    """

    open: Callable[[RunStream, str], Any]
    name: str
    awaits: bool = False
    loses: bool = False


def opened(subscribe: Callable[[RunStream, Faulty], Any]) -> Callable[[RunStream, str], Any]:
    return lambda stream, fault: subscribe(stream, Faulty(fault))


DOORS = {
    "on": Door(opened(lambda stream, one: stream.on(Signal, one.take)), "Faulty.take"),
    "on coroutine": Door(opened(lambda stream, one: stream.on(Signal, one.take_async)), "Faulty.take_async", True),
    "on lambda": Door(
        opened(lambda stream, one: stream.on(Signal, lambda item: one.take_async(item))),  # noqa: PLW0108 - meant
        "lambda",
        True,
    ),
    "on object": Door(lambda stream, fault: stream.on(Plain(fault)), "Plain.method"),
    "on object coroutine": Door(lambda stream, fault: stream.on(Coroutine_(fault)), "Coroutine_.method", True),
    "on some runs": Door(
        opened(lambda stream, one: stream.on(RunSignal, one.take, thread_id="thread_1")), "Faulty.take"
    ),
    "rx signals": Door(opened(lambda stream, one: stream.signals.subscribe(one.take)), "Faulty.take"),
    "rx runs": Door(opened(lambda stream, one: stream.runs.subscribe(one.take)), "Faulty.take"),
    "rx events": Door(opened(lambda stream, one: stream.events.subscribe(one.take)), "Faulty.take"),
    "rx operator": Door(opened(lambda stream, one: stream.signals.pipe(ops.map(one.take)).subscribe()), "map"),
    "async for": Door(opened(lambda stream, one: one.loop(stream)), "async for in tests.stream.test_all_doors", True),
    "iter runs": Door(opened(lambda stream, one: one.loop(stream.iter("runs"))), "", True, True),
    "iter events": Door(opened(lambda stream, one: one.loop(stream.iter("events"))), "async for in tests", True),
    "iter replay": Door(opened(lambda stream, one: one.loop(stream.iter(replay=True))), "async for in tests", True),
    "follow": Door(opened(lambda stream, one: stream.follow(one.take)), "Faulty.take"),
    "run on": Door(opened(lambda stream, one: stream.run(RUN).on(Signal, one.take)), "Faulty.take"),
    "run on coroutine": Door(
        opened(lambda stream, one: stream.run(RUN).on(Signal, one.take_async)), "Faulty.take_async", True
    ),
    "run signals": Door(opened(lambda stream, one: stream.run(RUN).signals.subscribe(one.take)), "Faulty.take"),
    "run states": Door(opened(lambda stream, one: stream.run(RUN).states.subscribe(one.take)), "Faulty.take"),
    "run async for": Door(opened(lambda stream, one: one.loop(stream.run(RUN))), "async for in tests", True),
    "run iter states": Door(opened(lambda stream, one: one.loop(stream.run(RUN).iter("states"))), "", True, True),
    "when": Door(opened(lambda stream, one: stream.when(RunSignal, predicate=lambda item: not one.take(item))), ""),
    "log": Door(opened(log_signals), "log_signals"),
}
CASES = [
    pytest.param(name, fault, id=f"{name}, {fault}")
    for name, door in DOORS.items()
    for fault in ("raises", "blocks", "never")
    if fault != "never" or door.awaits
]


class Witnesses:
    """Well-behaved subscribers at every door, and the most that any buffer held."""

    def __init__(self, stream: RunStream) -> None:
        self.stream = stream
        self.most = 0
        self.lists: dict[str, list[Any]] = {}
        self.runs: dict[str, RunState] = {}
        stream.on(Signal, self.at("function"))
        stream.on(Signal, self.async_at("coroutine"), concurrency=1)
        stream.on(Signal, self.async_at("coroutines"))
        stream.signals.subscribe(self.at("rx"))
        stream.runs.subscribe(self.state)
        self.mine = self.at("run")
        stream.run(RUN).signals.subscribe(self.mine)
        self.loops = [self.loop("async for", stream.iter()), self.loop("latest", stream.iter("runs"))]

    def at(self, name: str) -> Callable[[Any], None]:
        seen = self.lists.setdefault(name, [])

        def take(item: Any) -> None:
            seen.append(item)
            self.most = max([self.most, *(len(buffer) for buffer in self.stream._subscriptions._buffers)])

        return take

    def async_at(self, name: str) -> Callable[[Any], Coroutine[Any, Any, None]]:
        take = self.at(name)

        async def take_async(item: Any) -> None:
            await asyncio.sleep(0)
            take(item)

        return take_async

    def state(self, state: RunState) -> None:
        self.runs[state.run_id] = state

    async def loop(self, name: str, items: Any) -> None:
        take = self.at(name)
        async for item in items:
            take(item)

    def have_everything(self) -> bool:
        names = ("function", "coroutine", "rx", "async for")
        return all(shown(self.lists[name]) == EXPECTED for name in names) and all(
            shown(of_run(self.lists["coroutines"], run_id)) == shown(of_run(self.lists["function"], run_id))
            for run_id in ("run_1", "run_2", "run_3")
        )

    def check(self) -> None:
        assert self.have_everything()
        keys, texts = shown(of_run(self.lists["function"], RUN))
        assert shown(self.lists["run"]) == (keys, texts)
        final = {state.run_id: state.text for state in fold(RAWS).runs}
        assert {run_id: state.text for run_id, state in self.runs.items()} == final
        last = {state.run_id: state.text for state in self.lists["latest"]}
        assert last == final


def of_run(signals: list[Any], run_id: str) -> list[Any]:
    return [one for one in signals if getattr(one, "run_id", "") == run_id]


@pytest.mark.parametrize(("name", "fault"), CASES)
async def test_one_faulty_subscriber(name: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it does, it does to itself; and the log has its name."""
    door = DOORS[name]
    monkeypatch.setattr("runstream.stream.dispatcher.SLOW_SECONDS", SLOW)
    monkeypatch.setattr("runstream.stream.worker.SLOW_SECONDS", SLOW)
    monkeypatch.setattr("runstream.stream.supervision.LoopMonitor.__init__.__defaults__", (SLOW / 2,))
    patience = 1.0 if fault == "never" and not door.loses else 30.0
    with capture_logs() as logs, ExitStack() as stack:
        if fault == "never":  # what is waited for is this patience alone
            stack.enter_context(virtual_time())
            monkeypatch.setattr("runstream.stream.buffers.monotonic", asyncio.get_running_loop().time)
        async with (
            RunStream(one_by_one(RAWS, 1), buffer=BUFFER, wait_timeout=patience, close_timeout=0.05) as stream,
            asyncio.timeout(60),
        ):
            outcome = door.open(stream, fault)
            task = asyncio.create_task(outcome) if asyncio.iscoroutine(outcome) else None
            await asyncio.sleep(0)  # a task subscribes at its first step
            witnesses = Witnesses(stream)
            await asyncio.gather(*witnesses.loops)
            named: tuple[SubscriberFailed, ...] = ()
            try:
                runs = await stream.results()
            except SubscribersFailed as error:
                runs, named = error.runs, error.failures
            await eventually(witnesses.have_everything, within=30)
            failures, stalls = stream.stats.failures, stream.stats.loop_stalls
            if task is not None:
                if not task.done() and fault == "never":
                    task.cancel()
                with suppress(asyncio.CancelledError):
                    error = (await asyncio.gather(task, return_exceptions=True))[0]
                    # What an application's own task raises is its own, and is not swallowed.
                    assert isinstance(error, ValueError) is (fault == "raises")
    witnesses.check()
    # `results` is no full success exactly where a subscriber failed: its own code then knows.
    assert len(named) == min(failures, 100)
    assert all(door.name in failure.subscriber for failure in named)
    assert sorted(run.status.value for run in runs) == ["completed", "completed", "failed"]
    assert witnesses.most <= BUFFER + 4  # what one raw event gives may go over it
    assert TEXT[:20] not in str(logs)
    assert "secret words" not in str(logs)

    found = {entry["event"]: entry for entry in reversed(logs) if door.name in entry.get("subscriber", "")}
    if fault == "raises":
        if task is None:
            assert found["subscriber_failed"]["error"] == "ValueError"
            told = [entry for entry in logs if entry["event"] == "subscriber_failed"]
            assert failures == len(told)
            assert len(told) == 1 if name == "rx operator" else RUN in {entry["run_id"] for entry in told}
            assert all(door.name in entry["subscriber"] for entry in told)
        else:
            assert failures == 0
    elif fault == "blocks":
        assert failures == 0
        if task is None:
            assert found["slow_subscriber"]["seconds"] >= SLOW
        else:  # the application's own code between two steps: that the loop stood still is all that can be known
            assert stalls
            assert "loop_stalled" in [entry["event"] for entry in logs]
    elif door.loses:
        assert failures == 0
    else:
        assert failures == 1
        assert found["slow_consumer"]["buffered"] >= BUFFER


def test_every_door_is_here() -> None:
    """What a stream offers to subscribe by is among the doors."""
    doors = {name for name in dir(RunStream) if not name.startswith("_")}
    others = {
        "attach",
        "interrupt",
        "is_started",
        "keep_open",
        "latest",
        "orphans",
        "rejects",
        "restore",
        "snapshots",
        "start",
        "stats",
        "aclose",
    }
    waiting = {"result", "results"}
    assert doors - others - waiting == {"events", "follow", "iter", "on", "run", "runs", "signals", "when"}
