"""The tasks of a handler: signals enter without waiting, awaited calls leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from functools import partial
from typing import Any, Generic, TypeVar

from runstream.stream.consumers import KeepAlive, await_measured, discard
from runstream.stream.error_reports import SLOW_SECONDS, ErrorReports
from runstream.stream.run_buffer import RunBuffer

__all__ = ["Worker"]

T = TypeVar("T")


class Worker(Generic[T]):
    """Calls a coroutine function with each value: the values of one run in order, those of several runs at once.

    An exception of the function is reported, and the next value of the run follows. The tasks start with the first
    values. When there is none, one task waits for the next one, and the others end.

    Args:
        call: The coroutine function.
        buffer: Stores the values that wait.
        reports: Receives the exceptions.
        channel: The channel's name, for logs.
        name: The function's name, for logs.
        keep_alive: Keeps the stream open while values wait.
        concurrency: How many calls are made at a time.

    Attributes:
        tasks: The tasks that have not ended.
    """

    def __init__(
        self,
        call: Callable[[T], Coroutine[Any, Any, object]],
        buffer: RunBuffer[T],
        reports: ErrorReports,
        *,
        channel: str,
        name: str,
        keep_alive: KeepAlive[T] | None = None,
        concurrency: int = 1,
    ) -> None:
        self.buffer = buffer
        self.tasks: set[asyncio.Task[None]] = set()
        self._call = call
        self._reports = reports
        self._channel = channel
        self._name = name
        self._keep_alive = keep_alive or KeepAlive()
        self._concurrency = concurrency
        self._idle: asyncio.Future[None] | None = None  # of the task that waits for a value
        self._on_end: list[Callable[[], object]] = []
        buffer.on_change = self._on_change

    def put(self, item: T) -> None:
        """Store a value for the function."""
        if self.buffer.put(item):
            self._keep_alive.add(item)
        else:
            discard(item)

    def start(self, call: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine beside the calls, as one of the tasks."""

        async def run() -> None:
            await call

        self._start(run())

    def finish(self, error: Exception | None = None) -> None:
        """Accept no further values; the stored ones are still processed."""
        self.buffer.finish()

    def dispose(self) -> None:
        """Start no further call; current calls may finish."""
        self._discard_stored(delivered=True)

    def cancel(self) -> None:
        """Start no further call, and cancel the current ones."""
        self._discard_stored(delivered=False)
        for task in tuple(self.tasks):
            task.cancel()

    def when_ended(self, callback: Callable[[], object]) -> None:
        """Call a function when no task is left: now, or after the end of the last one."""
        if self.tasks:
            self._on_end.append(callback)
        else:
            callback()

    def _on_change(self) -> None:
        if self._idle is not None:
            idle, self._idle = self._idle, None
            if not idle.done():
                idle.set_result(None)
        elif self.buffer.ready and len(self.tasks) < self._concurrency:
            self._start(self._run())

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine, name=f"runstream {self._name}")
        self.tasks.add(task)
        # Not in the coroutine: a task that is cancelled before its first step runs none of it.
        task.add_done_callback(self._on_done)

    async def _run(self) -> None:
        while True:
            if self.buffer.ready:
                await self._process(*self.buffer.take())
            elif self.buffer.closed or self._idle is not None:
                return  # the values of a run in progress are left to its task
            else:
                idle = self._idle = asyncio.get_running_loop().create_future()
                try:
                    await idle
                finally:
                    if self._idle is idle:
                        self._idle = None

    async def _process(self, key: Hashable, item: T) -> None:
        try:
            await await_measured(self._call(item), SLOW_SECONDS, partial(self._report_slow, item))
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Not this task was cancelled, but something that the function awaited.
            self._report(item, error)
        except Exception as error:
            self._report(item, error)
        finally:
            self._keep_alive.done(item)
            self.buffer.done(key)

    def _report(self, item: T, error: BaseException) -> None:
        self._reports.report(self._channel, self._name, _signal_of(item), error)

    def _report_slow(self, item: T, seconds: float) -> None:
        self._reports.report_slow(self._channel, self._name, _signal_of(item), seconds)

    def _discard_stored(self, *, delivered: bool) -> None:
        # A current call may still attach a source: it keeps the stream open until it returns.
        for item in self.buffer:
            discard(item)
            self._keep_alive.done(item, delivered=delivered)
        self.buffer.clear()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if task.cancelled() or task.exception() is not None:
            # The application, or the end of the loop, has cancelled it: what is stored was not delivered.
            self._discard_stored(delivered=False)
        if not self.tasks:
            if self.buffer.closed:
                self._keep_alive.clear()
            callbacks, self._on_end = self._on_end, []
            for callback in callbacks:
                callback()


def _signal_of(item: object) -> object:
    return item[0] if isinstance(item, tuple) else item
