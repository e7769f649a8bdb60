"""Workers: calls in order, one of each run at a time; what they release, report and close."""

from __future__ import annotations

import asyncio
from typing import Any

from structlog.testing import capture_logs

from runstream.model.signals import TextDelta
from runstream.stream.consumers import KeepAlive
from runstream.stream.error_reports import ErrorReports
from runstream.stream.run_buffer import RunBuffer
from runstream.stream.worker import Worker


def text(offset: int, delta: str, *, message: str = "msg_1", part: int = 0, run: str = "run_1") -> TextDelta:
    return TextDelta(run, "thread_1", "", 0.0, message, part, offset, delta)


def worker(
    call: Any, reports: ErrorReports | None = None, size: int = 100, keep_alive: Any = None, key: Any = lambda item: 0
) -> Worker[Any]:
    """A worker of 3 calls at a time; by default all items belong to one run."""
    return Worker(
        call,
        RunBuffer(size, key=key),
        reports or ErrorReports(),
        channel="signals",
        name="handler",
        keep_alive=keep_alive,
        concurrency=3,
    )


async def ended(one: Worker[Any]) -> None:
    """Wait for the tasks of a worker."""
    if one.tasks:
        await asyncio.wait(one.tasks)


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
    await ended(one)
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
        await ended(one)
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
        await ended(one)
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
    await ended(one)
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
    tasks = set(one.tasks)
    await ended(one)
    assert [task.cancelled() for task in tasks] == [True]


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
    await ended(one)
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
    await ended(one)
    assert held == 0


async def test_runs_are_processed_at_the_same_time_each_in_order() -> None:
    """Three at a time, each run's items in order; a task that waits is used again."""
    running: set[str] = set()
    most, seen = 0, []

    async def call(item: str) -> None:
        nonlocal most
        assert item[0] not in running
        running.add(item[0])
        most = max(most, len(running))
        await asyncio.sleep(0.001 if item[0] == "a" else 0)
        running.discard(item[0])
        seen.append(item)

    one = worker(call, key=lambda item: item[0])
    for item in ("a1", "b1", "a2", "c1", "d1", "b2", "a3"):
        one.put(item)
    one.finish()
    await ended(one)
    assert sorted(seen) == ["a1", "a2", "a3", "b1", "b2", "c1", "d1"]
    assert [item for item in seen if item[0] == "a"] == ["a1", "a2", "a3"]
    assert most == 3


async def test_one_run_is_served_by_one_task() -> None:
    """Many items of one run start one task; when it waits, the next item wakes it."""
    started = []

    async def call(item: int) -> None:
        started.append(asyncio.current_task())

    one = worker(call)
    for number in range(10):
        one.put(number)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    one.put(10)
    one.finish()
    await ended(one)
    assert len(started) == 11
    assert len(set(started)) == 1


async def test_a_generator_exit_of_a_call_is_a_failure_of_the_call() -> None:
    """It ends neither the task nor the worker."""
    seen = []

    async def call(item: int) -> None:
        seen.append(item)
        raise GeneratorExit

    one = worker(call)
    one.put(1)
    one.put(2)
    one.finish()
    with capture_logs() as logs:
        await ended(one)
    assert seen == [1, 2]
    assert [log["error"] for log in logs] == ["RuntimeError"] * 2


async def test_a_task_that_is_cancelled_from_outside_ends_the_worker() -> None:
    """The calls of other runs return; no further one is made."""
    seen, cancelled = [], []

    async def call(item: str) -> None:
        try:
            await asyncio.sleep(0.001)
        except asyncio.CancelledError:
            cancelled.append(item)
            raise
        seen.append(item)

    one = worker(call, key=lambda item: item[0])
    for item in ("a1", "b1", "b2"):
        one.put(item)
    await asyncio.sleep(0)
    next(iter(one.tasks)).cancel()
    await ended(one)
    assert len(seen) == len(cancelled) == 1
    assert not one.tasks
    assert one.buffer.closed
