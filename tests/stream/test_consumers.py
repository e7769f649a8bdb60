"""Iterators: one step at a time, in order; slow steps of coroutines are measured."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from runstream.model.signals import TextDelta
from runstream.stream.buffers import QueueBuffer
from runstream.stream.consumers import KeepAlive, StreamIterator, await_measured


def text(offset: int, delta: str, *, message: str = "msg_1", part: int = 0, run: str = "run_1") -> TextDelta:
    return TextDelta(run, "thread_1", "", 0.0, message, part, offset, delta)


# iterators


def iterator(buffer: QueueBuffer[int], disposed: list[str], keep_alive: Any = None) -> StreamIterator[int]:
    return StreamIterator(buffer, lambda: None, lambda: disposed.append("disposed"), keep_alive)


async def test_an_iterator_gives_everything_and_ends() -> None:
    buffer: QueueBuffer[int] = QueueBuffer(10)
    disposed: list[str] = []
    for number in range(3):
        buffer.put(number)
    buffer.finish()
    one = iterator(buffer, disposed)
    assert [item async for item in one] == [0, 1, 2]
    assert disposed == ["disposed"]  # though somebody still has the iterator
    with pytest.raises(StopAsyncIteration):
        await anext(one)


async def test_leaving_the_loop_ends_the_subscription() -> None:
    buffer: QueueBuffer[int] = QueueBuffer(10)
    disposed: list[str] = []
    buffer.put(1)
    async for _ in iterator(buffer, disposed):
        break
    assert disposed == ["disposed"]
    assert buffer.closed


async def test_an_iterators_hold_ends_with_the_step_after() -> None:
    held = 0

    def change(by: int) -> None:
        nonlocal held
        held += by

    keep_alive: KeepAlive[int] = KeepAlive(lambda _: True, lambda: change(1), lambda: change(-1), timeout=5.0)
    buffer: QueueBuffer[int] = QueueBuffer(10)
    one = iterator(buffer, [], keep_alive)
    for number in range(2):
        buffer.put(number)
        keep_alive.add(number)
    await anext(one)
    assert held == 2
    await anext(one)
    assert held == 1
    await one.aclose()
    assert held == 0


async def test_an_iterator_that_nobody_reads_holds_only_for_a_while() -> None:
    held = 0

    def change(by: int) -> None:
        nonlocal held
        held += by

    keep_alive: KeepAlive[int] = KeepAlive(lambda _: True, lambda: change(1), lambda: change(-1), timeout=0.02)
    keep_alive.add(1)
    assert held == 1
    await asyncio.sleep(0.05)
    assert held == 0


# measured steps


async def both(make: Any) -> tuple[Any, Any]:
    """What comes of awaiting something, plainly and timed."""

    async def outcome(awaitable: Any) -> Any:
        try:
            return await awaitable
        except BaseException as error:
            return type(error), str(error)

    return await outcome(make()), await outcome(await_measured(make(), 60, lambda _: None))


async def test_it_awaits_as_await_does() -> None:
    """Values, exceptions, futures, time-outs, cancellation from within, task groups."""

    async def value() -> int:
        await asyncio.sleep(0)
        return await asyncio.get_running_loop().run_in_executor(None, lambda: 7)

    async def fails() -> None:
        await asyncio.sleep(0)
        raise LookupError("no")

    async def catches() -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"
        return "never"

    async def cancelled() -> None:
        raise asyncio.CancelledError("mine")

    async def group() -> list[int]:
        async with asyncio.TaskGroup() as tasks:
            made = [tasks.create_task(value()) for _ in range(2)]
        return [task.result() for task in made]

    for make in (value, fails, catches, cancelled, group):
        plain, timed = await both(make)
        assert plain == timed


async def test_a_cancelled_task_cancels_it_where_it_waits() -> None:
    """And may be held up by it, as always."""
    log: list[str] = []

    async def cleans_up() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            log.append("cleaned up")
            raise

    async def task() -> None:
        await await_measured(cleans_up(), 60, lambda _: None)

    running = asyncio.create_task(task())
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert log == ["cleaned up"]


@pytest.mark.parametrize("waits", [0, 3600])
async def test_it_may_go_on_after_a_cancellation(waits: float) -> None:
    """Where it only gives way to others, too: there nothing but the exception itself tells it."""
    log: list[str] = []

    async def stubborn() -> str:
        try:
            await asyncio.sleep(waits)
        except asyncio.CancelledError:
            log.append("cancelled")
        return "done"

    async def task() -> str:
        return await await_measured(stubborn(), 60, lambda _: None)

    running = asyncio.create_task(task())
    await asyncio.sleep(0)
    running.cancel()
    assert await running == "done"
    assert log == ["cancelled"]


def test_closing_closes_it() -> None:
    """As where a loop is shut down around it."""
    log: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            log.append("closed")

    coroutine = waits()
    steps = await_measured(coroutine, 60, lambda _: None)
    next(steps)
    steps.close()
    assert log == ["closed"]
    assert coroutine.cr_frame is None  # type: ignore[attr-defined]


async def test_steps_are_told_not_the_waiting() -> None:
    """Half a second of waiting is no step; a tenth of work is, also if it ends in an exception."""
    told: list[float] = []

    async def patient() -> None:
        await asyncio.sleep(0.3)

    async def busy() -> None:
        await asyncio.sleep(0)
        time.sleep(0.3)  # noqa: ASYNC251
        raise LookupError

    await await_measured(patient(), 0.25, told.append)
    assert told == []
    with pytest.raises(LookupError):
        await await_measured(busy(), 0.25, told.append)
    assert len(told) == 1
    assert told[0] >= 0.29
