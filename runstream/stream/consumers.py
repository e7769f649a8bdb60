"""Asynchronous subscriptions: values in from the pump, one awaited call or one step of ``async for`` at a time."""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from functools import partial
from time import monotonic
from typing import Any, Generic, TypeVar

from runstream.errors import SlowConsumer
from runstream.stream.buffers import Buffer, QueueBuffer
from runstream.stream.error_reports import SLOW_SECONDS, ErrorReports

__all__ = ["KeepAlive", "StreamIterator", "Timed", "Worker", "discard"]

T = TypeVar("T")


def _never(_: Any) -> Any:
    return False


def _nothing() -> None:
    pass


class KeepAlive(Generic[T]):
    """Counts what a consumer has still to deal with before the stream may end.

    Args:
        matters: Whether an item is one that may bring a further source.
        hold: Called once for each such item that was taken in.
        release: Called once for each when it is dealt with.
        timeout: Seconds after the last such item came in, after which none is waited for any more.
    """

    def __init__(
        self,
        matters: Callable[[T], bool] = _never,
        hold: Callable[[], None] = _nothing,
        release: Callable[[], None] = _nothing,
        timeout: float | None = None,
    ) -> None:
        self.matters = matters
        self._hold = hold
        self._release = release
        self._timeout = timeout
        self._timer: asyncio.TimerHandle | None = None
        self._count = 0

    def add(self, item: T) -> None:
        """An item was taken in."""
        if self.matters(item):
            self._count += 1
            self._hold()
            if self._timeout is not None:
                self._stop_timer()
                self._timer = asyncio.get_running_loop().call_later(self._timeout, KeepAlive.clear, self)

    def done(self, item: T) -> None:
        """An item was dealt with."""
        if self._count and self.matters(item):
            self._count -= 1
            if not self._count:
                self._stop_timer()
            self._release()

    def clear(self) -> None:
        """Nothing more will be dealt with."""
        self._stop_timer()
        while self._count:
            self._count -= 1
            self._release()

    def forsake(self) -> None:
        """What was taken in and not dealt with is given up against the consumer's will."""

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class Worker(Generic[T]):
    """Calls a coroutine function with each value, in order, one call at a time, in a task of its own.

    What the function raises is reported, and the next value follows. The task begins with the first value.

    Args:
        call: What to await for each value.
        buffer: Where values wait.
        failures: Where exceptions go.
        channel: The channel's name, for logs.
        name: The function's name, for logs.
        holds: What the stream waits for before it ends.
    """

    def __init__(
        self,
        call: Callable[[T], Coroutine[Any, Any, object]],
        buffer: QueueBuffer[T],
        failures: ErrorReports,
        *,
        channel: str,
        name: str,
        holds: KeepAlive[T] | None = None,
    ) -> None:
        self.buffer = buffer
        self.task: asyncio.Task[None] | None = None
        self._call = call
        self._failures = failures
        self._channel = channel
        self._name = name
        self._holds = holds or KeepAlive()

    def put(self, item: T) -> None:
        """Take a value in."""
        if not self.buffer.put(item):
            discard(item)
            return
        self._holds.add(item)
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self._run(), name=f"runstream {self._name}")
            # Not in the coroutine: one that is cancelled before its first step runs nothing of itself.
            self.task.add_done_callback(self._ended)

    def finish(self, error: Exception | None = None) -> None:
        """No more values come; what waits is still dealt with."""
        self.buffer.finish()

    def dispose(self) -> None:
        """Begin no further call; one that goes on may finish."""
        self._forget()

    def cancel(self) -> None:
        """Begin no further call, and cancel the one that goes on."""
        self._holds.forsake()
        self._forget()
        if self.task is not None:
            self.task.cancel()

    async def _run(self) -> None:
        while True:
            try:
                item = await self.buffer.get()
            except (StopAsyncIteration, SlowConsumer):
                return
            try:
                await Timed(self._call(item), SLOW_SECONDS, partial(self._slow, item))
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Nobody cancelled this task: something that the function awaited was cancelled.
                self._report(item, error)
            except Exception as error:
                self._report(item, error)
            finally:
                self._holds.done(item)

    def _report(self, item: T, error: BaseException) -> None:
        self._failures.report(self._channel, self._name, _signal_of(item), error)

    def _slow(self, item: T, seconds: float) -> None:
        self._failures.slow(self._channel, self._name, _signal_of(item), seconds)

    def _forget(self) -> None:
        # A call that goes on may still bring a source: its own hold stays until it returns.
        for item in self.buffer.held():
            discard(item)
            self._holds.done(item)
        self.buffer.clear()

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self._holds.forsake()
        self._forget()
        self._holds.clear()
        if not task.cancelled():
            task.exception()


class StreamIterator(AsyncIterator[T]):
    """``async for`` over a channel; it gets what comes from its making on.

    Dropping it, :meth:`dispose` and the end all free what it holds. It serves one task at a time.

    Args:
        buffer: Where values wait.
        start: Called at the first step, which starts the reading.
        dispose: Ends the subscription.
        holds: What the stream waits for before it ends.
        raised: Told what the iteration raises.
    """

    def __init__(
        self,
        buffer: Buffer[T],
        start: Callable[[], None],
        dispose: Callable[[], None],
        holds: KeepAlive[T] | None = None,
        raised: Callable[[BaseException], None] = _never,
    ) -> None:
        self.buffer = buffer
        self._start: Callable[[], None] | None = start
        self._raised = raised
        self._holds = holds or KeepAlive()
        self._last: list[T] = []
        # `break` leaves nothing behind: an iterator that nobody holds any more ends its subscription.
        self._finalizer = weakref.finalize(self, _drop, dispose, buffer, self._holds)
        self._finalizer.atexit = False

    def __aiter__(self) -> StreamIterator[T]:
        return self

    async def __anext__(self) -> T:
        if self._start is not None:
            self._start()
            self._start = None
        while self._last:
            self._holds.done(self._last.pop())
        try:
            item = await self.buffer.get()
        except Exception as error:
            self._raised(error)
            if self.buffer.closed and not len(self.buffer):
                self.dispose()
            raise
        self._last.append(item)
        return item

    def dispose(self) -> None:
        """End the subscription; what waits is forgotten."""
        self._finalizer()

    async def aclose(self) -> None:
        """End the subscription, for ``contextlib.aclosing``."""
        self.dispose()


def _signal_of(item: object) -> object:
    return item[0] if isinstance(item, tuple) else item


def _drop(dispose: Callable[[], None], buffer: Buffer[Any], holds: KeepAlive[Any]) -> None:
    dispose()
    buffer.clear()
    holds.clear()


def discard(item: object) -> None:
    """Put away a value that will not be dealt with: a coroutine in it would be reported as never awaited."""
    if isinstance(item, tuple):
        for part in item:
            if inspect.iscoroutine(part):
                part.close()
            elif isinstance(part, asyncio.Future):
                part.cancel()


class Timed(Generic[T]):
    """Awaits a coroutine as ``await`` would, and looks how long each of its steps keeps the loop to itself.

    A step goes from one suspension to the next: time that the coroutine spends waiting is nobody's loss.

    Args:
        coroutine: What to await, once.
        limit: Seconds of one step that are told.
        slow: Told how many they were.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], limit: float, slow: Callable[[float], None]) -> None:
        self._coroutine = coroutine
        self._limit = limit
        self._slow = slow

    def __await__(self) -> Generator[Any, Any, T]:
        # PEP 380's `yield from`, with a clock.
        coroutine = self._coroutine
        value: Any = None
        error: BaseException | None = None
        while True:
            before = monotonic()
            try:
                waits_for = coroutine.send(value) if error is None else coroutine.throw(error)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            finally:
                seconds = monotonic() - before
                if seconds > self._limit:
                    self._slow(seconds)
            value = error = None
            try:
                value = yield waits_for
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as thrown:
                error = thrown
