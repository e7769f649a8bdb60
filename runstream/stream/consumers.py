"""Asynchronous subscriptions: values enter without waiting; awaited calls or steps of ``async for`` consume them."""

from __future__ import annotations

import asyncio
import inspect
import types
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from functools import partial
from time import monotonic
from typing import Any, Generic, TypeVar

from runstream.errors import SlowConsumer
from runstream.stream.buffers import Buffer, QueueBuffer
from runstream.stream.error_reports import SLOW_SECONDS, ErrorReports
from runstream.stream.subscriber_set import no_op

__all__ = ["KeepAlive", "StreamIterator", "Worker", "await_measured", "discard"]

T = TypeVar("T")


class KeepAlive(Generic[T]):
    """Counts the unprocessed items of a consumer that keep the stream open.

    Args:
        may_attach: Returns True for an item whose handling may attach a further source.
        keep_open: Called once for each such item when it is stored.
        release: Called once for each such item when it is processed.
        timeout: Seconds after the last such item was stored until the stream may end without them.
    """

    def __init__(
        self,
        may_attach: Callable[[T], bool] = lambda item: False,
        keep_open: Callable[[], None] = no_op,
        release: Callable[[], None] = no_op,
        timeout: float | None = None,
    ) -> None:
        self.may_attach = may_attach
        self._keep_open = keep_open
        self._release = release
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None
        self._count = 0

    def add(self, item: T) -> None:
        """Count an item that was stored."""
        if self.may_attach(item):
            self._count += 1
            self._keep_open()
            if self._timeout is not None:
                self._stop_timer()
                self._timer = asyncio.get_running_loop().call_later(self._timeout, KeepAlive.clear, self)

    def done(self, item: T) -> None:
        """Stop counting an item that was consumed."""
        if self._count and self.may_attach(item):
            self._count -= 1
            if not self._count:
                self._stop_timer()
            self._release()

    def clear(self) -> None:
        """Release all items: no further one will be consumed."""
        self._stop_timer()
        while self._count:
            self._count -= 1
            self._release()

    def cancel(self) -> None:
        """Note that the consumer was cancelled: it does not receive the items that are stored."""

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Worker(Generic[T]):
    """Calls a coroutine function with each value, in order, one call at a time, in a task of its own.

    An exception of the function is reported, and the next value follows. The task starts with the first value.

    Args:
        call: The coroutine function.
        buffer: Stores the values that wait.
        reports: Receives the exceptions.
        channel: The channel's name, for logs.
        name: The function's name, for logs.
        keep_alive: Keeps the stream open while values wait.
    """

    def __init__(
        self,
        call: Callable[[T], Coroutine[Any, Any, object]],
        buffer: QueueBuffer[T],
        reports: ErrorReports,
        *,
        channel: str,
        name: str,
        keep_alive: KeepAlive[T] | None = None,
    ) -> None:
        self.buffer = buffer
        self.task: asyncio.Task[None] | None = None
        self._call = call
        self._reports = reports
        self._channel = channel
        self._name = name
        self._keep_alive = keep_alive or KeepAlive()

    def put(self, item: T) -> None:
        """Store a value for the function."""
        if not self.buffer.put(item):
            discard(item)
            return
        self._keep_alive.add(item)
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._run(), name=f"runstream {self._name}")
            # Not in the coroutine: a task that is cancelled before its first step runs none of it.
            self.task.add_done_callback(self._on_done)

    def finish(self, error: Exception | None = None) -> None:
        """Accept no further values; the stored ones are still processed."""
        self.buffer.finish()

    def dispose(self) -> None:
        """Start no further call; a current call may finish."""
        self._discard_stored()

    def cancel(self) -> None:
        """Start no further call, and cancel the current one."""
        self._keep_alive.cancel()
        self._discard_stored()
        if self.task is not None:
            self.task.cancel()

    async def _run(self) -> None:
        while True:
            try:
                item = await self.buffer.get()
            except (StopAsyncIteration, SlowConsumer):
                return
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

    def _report(self, item: T, error: BaseException) -> None:
        self._reports.report(self._channel, self._name, _signal_of(item), error)

    def _report_slow(self, item: T, seconds: float) -> None:
        self._reports.report_slow(self._channel, self._name, _signal_of(item), seconds)

    def _discard_stored(self) -> None:
        # A current call may still attach a source: it keeps the stream open until it returns.
        for item in self.buffer:
            discard(item)
            self._keep_alive.done(item)
        self.buffer.clear()

    def _on_done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self._keep_alive.cancel()
        self._discard_stored()
        self._keep_alive.clear()
        if not task.cancelled():
            task.exception()


class StreamIterator(AsyncIterator[T]):
    """``async for`` over a channel: it receives the values since its creation.

    Dropping it, :meth:`dispose` and the end all free its resources. It serves one task at a time.

    Args:
        buffer: Stores the values that wait.
        start: Called at the first step: it starts the reading.
        dispose: Ends the subscription.
        keep_alive: Keeps the stream open while values wait.
        on_error: Called with the exception that the iteration raises.
    """

    def __init__(
        self,
        buffer: Buffer[T],
        start: Callable[[], None],
        dispose: Callable[[], None],
        keep_alive: KeepAlive[T] | None = None,
        on_error: Callable[[BaseException], None] = no_op,
    ) -> None:
        self.buffer = buffer
        self._start: Callable[[], None] | None = start
        self._on_error = on_error
        self._keep_alive = keep_alive or KeepAlive()
        self._last: list[T] = []
        # `break` leaves no subscription behind: the subscription of a collected iterator ends.
        self._finalizer = weakref.finalize(self, _end_subscription, dispose, buffer, self._keep_alive)
        self._finalizer.atexit = False

    def __aiter__(self) -> StreamIterator[T]:
        return self

    async def __anext__(self) -> T:
        if self._start is not None:
            self._start()
            self._start = None
        while self._last:
            self._keep_alive.done(self._last.pop())
        try:
            item = await self.buffer.get()
        except Exception as error:
            self._on_error(error)
            if self.buffer.closed and not len(self.buffer):
                self.dispose()
            raise
        self._last.append(item)
        return item

    def dispose(self) -> None:
        """End the subscription and drop the stored values."""
        self._finalizer()

    async def aclose(self) -> None:
        """End the subscription, for ``contextlib.aclosing``."""
        self.dispose()


@types.coroutine
def await_measured(
    coroutine: Coroutine[Any, Any, T], limit: float, on_slow: Callable[[float], None]
) -> Generator[Any, Any, T]:
    """Await a coroutine as ``await`` does, and measure how long each of its steps blocks the loop.

    A step is the code between two suspensions: the time in which the coroutine waits blocks nothing.

    Args:
        coroutine: The coroutine, which is awaited once.
        limit: The longest step that is not reported, in seconds.
        on_slow: Called with the seconds of each longer step.
    """
    # PEP 380's `yield from`, with a clock.
    value: Any = None
    error: BaseException | None = None
    while True:
        started = monotonic()
        try:
            awaited = coroutine.send(value) if error is None else coroutine.throw(error)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        except GeneratorExit as exit:
            # Raised by the coroutine, not by the end of this one: it must not end the task of the caller.
            raise RuntimeError("the coroutine raised GeneratorExit") from exit
        finally:
            seconds = monotonic() - started
            if seconds > limit:
                on_slow(seconds)
        value = error = None
        try:
            value = yield awaited
        except GeneratorExit:
            coroutine.close()
            raise
        except BaseException as thrown:
            error = thrown


def discard(item: object) -> None:
    """Close the coroutines and cancel the futures of an unprocessed item: a coroutine must not be left unawaited."""
    if isinstance(item, tuple):
        for part in item:
            if inspect.iscoroutine(part):
                part.close()
            elif isinstance(part, asyncio.Future):
                part.cancel()


def _signal_of(item: object) -> object:
    return item[0] if isinstance(item, tuple) else item


def _end_subscription(dispose: Callable[[], None], buffer: Buffer[Any], keep_alive: KeepAlive[Any]) -> None:
    dispose()
    buffer.clear()
    keep_alive.clear()
