"""Lines that type checkers accept, and lines that they refuse (`# refused`). `test_typing.py` checks the file."""

from __future__ import annotations

from typing import Any, assert_type

from reactivex import Observable

import runstream
from runstream import (
    ActionRequired,
    BlockingStream,
    Retry,
    RunCompleted,
    RunCreated,
    RunFailed,
    RunSignal,
    RunStream,
    Signal,
    SubscriberFailed,
)


def completed(signal: RunCompleted) -> None: ...
def failed(signal: RunFailed) -> None: ...
def either(signal: RunCompleted | RunFailed) -> None: ...
async def later(signal: RunCompleted | RunFailed) -> None: ...
def of_run(signal: RunSignal) -> None: ...
def any_signal(signal: Signal) -> None: ...
def note(failure: SubscriberFailed) -> None: ...


async def handlers(stream: RunStream) -> None:
    run = stream.run("run_1")
    stream.on(RunCompleted, completed)
    stream.on(RunCompleted, of_run)
    stream.on(RunCompleted, lambda signal: print(signal.duration))
    stream.on(RunCompleted | RunFailed, either)
    stream.on(RunCompleted | RunFailed, later, concurrency=3, timeout=2, retry=Retry(retries=1), on_failed=note)
    stream.on(Signal, any_signal, scope="x")
    stream.on(RunSignal, of_run)
    stream.on("run.completed", completed)
    stream.on((RunCompleted, "run.failed"), either)
    run.on(RunCompleted | RunFailed, either)
    run.on("run.completed", completed)
    stream.on(Agent(), on_failed=note)
    run.on(Agent())
    stream.on(RunCompleted, failed)  # refused
    run.on(RunCompleted, failed)  # refused
    stream.on(RunCompleted | RunFailed, failed)  # refused
    stream.on("run.complete", completed)  # refused
    run.on("run.complete", completed)  # refused
    stream.on(int, completed)  # refused
    stream.on(RunCompleted, completed, retry="twice")  # refused
    stream.on(RunCompleted, completed, thread="thread_1")  # refused
    stream.on(RunCompleted, completed, on_failed=completed)  # refused


async def waiting(stream: RunStream, blocking: BlockingStream) -> None:
    run = stream.run("run_1")
    assert_type(await stream.when(RunCompleted), RunCompleted)
    assert_type(await stream.when(RunCompleted | RunFailed), RunCompleted | RunFailed)
    assert_type(await stream.when((RunCompleted, RunFailed)), RunCompleted | RunFailed)
    assert_type(await stream.when((RunCompleted, RunFailed, RunCreated)), RunCompleted | RunFailed | RunCreated)
    assert_type(await stream.when("run.completed"), Signal)
    assert_type(await stream.when((RunCompleted, "run.failed")), Signal)
    assert_type(await stream.when(RunSignal, predicate=lambda signal: signal.run_id == "run_1"), RunSignal)
    assert_type(
        await stream.when(RunCompleted | RunFailed, predicate=lambda signal: signal.run.id == "run_1"),
        RunCompleted | RunFailed,
    )
    assert_type(await run.when(RunCompleted | RunFailed), RunCompleted | RunFailed)
    assert_type(blocking.when(RunCompleted | RunFailed), RunCompleted | RunFailed)
    await stream.when("run.complete")  # refused
    await run.when("run.complete")  # refused
    blocking.when("run.complete")  # refused
    await stream.when(RunCompleted, predicate=lambda signal: signal.step)  # refused
    completed(await stream.when(RunCompleted | RunFailed))  # refused


def operators(signals: Observable[Signal]) -> None:
    assert_type(signals.pipe(runstream.only(RunCompleted)), Observable[RunCompleted])
    assert_type(signals.pipe(runstream.only(RunCompleted, RunFailed)), Observable[RunCompleted | RunFailed])
    assert_type(signals.pipe(runstream.only(RunCompleted | RunFailed)), Observable[RunCompleted | RunFailed])
    assert_type(signals.pipe(runstream.only("run.completed")), Observable[Signal])
    runstream.only("run.complete")  # refused


def connecting(options: Any) -> None:
    runstream.connect("wss://host", auth="token", ping_interval=None, watchdogs=runstream.Watchdogs(idle=30))
    runstream.connect("https://host", method="POST", json={"stream": True}, on_subscriber_error=note, **options)
    runstream.connect("wss://host", pings=3)  # refused
    runstream.connect("wss://host", open_timeout="10")  # refused
    runstream.connect("https://host", method="PUT")  # refused


class Agent:
    """Methods whose marks fit, and some whose marks do not."""

    @runstream.handles(ActionRequired, timeout=3)
    async def answer(self, signal: ActionRequired) -> None: ...

    @runstream.handles(RunCompleted, RunFailed)
    def ended(self, signal: RunCompleted | RunFailed) -> None: ...

    @runstream.handles(RunCompleted | RunFailed)
    def ended_too(self, signal: RunCompleted | RunFailed) -> None: ...

    @runstream.handles("run.completed")
    def named(self, signal: RunCompleted) -> None: ...

    @runstream.handles(RunCompleted)  # refused
    def wrong(self, signal: RunFailed) -> None: ...

    @runstream.handles(RunCompleted, RunFailed)  # refused
    def narrow(self, signal: RunFailed) -> None: ...

    @runstream.handles("run.complete")  # refused
    def misspelt(self, signal: RunCompleted) -> None: ...
