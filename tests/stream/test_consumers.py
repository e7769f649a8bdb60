"""Workers and iterators: one call or step at a time, in order; slow steps are measured."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from structlog.testing import capture_logs

from runstream.model.signals import ArgumentsDelta, TextDelta
from runstream.stream.buffers import QueueBuffer
from runstream.stream.consumers import KeepAlive, StreamIterator, Worker, await_measured
from runstream.stream.error_reports import ErrorReports


def text(offset: int, delta: str, *, message: str = "msg_1", part: int = 0, run: str = "run_1") -> TextDelta:
    return TextDelta(run, "thread_1", "", 0.0, message, part, offset, delta)


def arguments(offset: int, delta: str, call: str = "call_1") -> ArgumentsDelta:
    return ArgumentsDelta("run_1", "thread_1", "", 0.0, call, offset, delta, f"run_1/call/{call}")


async def drain(buffer: Any) -> list[Any]:
    buffer.finish()
    items = []
    while True:
        try:
            items.append(await buffer.get())
        except StopAsyncIteration:
            return items


# workers


def worker(call: Any, reports: ErrorReports | None = None, size: int = 100, keep_alive: Any = None) -> Worker[Any]:
    return Worker(
        call, QueueBuffer(size), reports or ErrorReports(), channel="signals", name="handler", keep_alive=keep_alive
    )


async def test_calls_are_made_one_at_a_time_and_in_order() -> None:
    running, seen = 0, []

    async def call(item: int) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0.001 * (3 - item))
        running -= 1
        seen.append(item)

    one = worker(call)
    for number in range(3):
        one.put(number)
    one.finish()
    assert one.task is not None
    await one.task
    assert seen == [0, 1, 2]


async def test_a_call_that_raises_is_logged_with_its_run_and_the_next_follows() -> None:
    seen = []

    async def call(item: TextDelta) -> None:
        seen.append(item.offset)
        raise LookupError("a secret text")

    reports = ErrorReports()
    one = worker(call, reports)
    one.put(text(0, "a"))
    one.put(text(7, "b"))
    one.finish()
    with capture_logs() as logs:
        assert one.task is not None
        await one.task
    assert seen == [0, 7]
    assert reports.count == 2
    assert [(log["event"], log["run_id"], log["error"]) for log in logs] == [
        ("subscriber_failed", "run_1", "LookupError")
    ] * 2
    assert "secret" not in repr(logs)


async def test_a_cancellation_from_within_a_call_is_a_failure_of_the_call() -> None:
    """The worker goes on with the next value."""
    seen = []

    async def call(item: int) -> None:
        seen.append(item)
        raise asyncio.CancelledError

    one = worker(call)
    one.put(1)
    one.put(2)
    one.finish()
    with capture_logs() as logs:
        assert one.task is not None
        await one.task
    assert seen == [1, 2]
    assert len(logs) == 2


async def test_a_disposed_worker_begins_no_further_call() -> None:
    seen = []

    async def call(item: int) -> None:
        await asyncio.sleep(0)
        seen.append(item)

    one = worker(call)
    one.put(1)
    one.put(2)
    await asyncio.sleep(0)
    one.dispose()
    one.put(3)
    assert one.task is not None
    await one.task
    assert seen == [1]


async def test_coroutines_that_will_not_be_awaited_are_closed() -> None:
    async def nothing() -> None: ...

    async def call(item: tuple[int, Any]) -> None:
        await item[1]
        await asyncio.sleep(10)

    one = worker(call)
    for number in range(3):
        one.put((number, nothing()))
    await asyncio.sleep(0)
    one.cancel()
    one.put((4, nothing()))
    assert one.task is not None
    await asyncio.wait([one.task])
    assert one.task.cancelled()


async def test_a_worker_cancelled_before_its_first_step_releases_its_holds() -> None:
    held = 0

    def change(by: int) -> None:
        nonlocal held
        held += by

    async def call(item: int) -> None: ...

    one = worker(call, keep_alive=KeepAlive(lambda _: True, lambda: change(1), lambda: change(-1)))
    one.put(1)
    one.put(2)
    assert held == 2
    one.cancel()
    assert one.task is not None
    await asyncio.wait([one.task])
    assert held == 0


async def test_holds_last_until_the_call_has_returned() -> None:
    held = 0

    def change(by: int) -> None:
        nonlocal held
        held += by

    async def call(item: int) -> None:
        assert held == 1
        await asyncio.sleep(0)

    one = worker(call, keep_alive=KeepAlive(lambda item: item == 1, lambda: change(1), lambda: change(-1)))
    one.put(1)
    one.put(2)
    await asyncio.sleep(0)
    one.dispose()
    assert held == 1
    assert one.task is not None
    await one.task
    assert held == 0


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
