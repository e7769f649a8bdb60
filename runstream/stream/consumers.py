"""The values of an asynchronous subscription: what keeps the stream open for them, and steps of ``async for``."""

from __future__ import annotations

import asyncio
import inspect
import types
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from time import monotonic
from typing import Any, Generic, TypeVar

from runstream.stream.buffers import Buffer
from runstream.stream.subscriber_set import no_op

__all__ = ["KeepAlive", "StreamIterator", "await_measured", "discard"]

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

    def done(self, item: T, *, delivered: bool = True) -> None:
        """Stop counting an item.

        Args:
            item: The item.
            delivered: False if the consumer was cancelled before it has processed the item.
        """
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

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class StreamIterator(AsyncIterator[T]):
    """``async for`` over a channel: it receives the values since its creation.

    Dropping it, :meth:`dispose` and the end all free its resources. It serves one task at a time.

    Args:
        buffer: Stores the values that wait.
        start: Called at the first step: it starts the reading.
        dispose: Ends the subscription.
        keep_alive: Keeps the stream open while values wait.
        on_error: Called with the exception that the iteration raises.
        first: Values that come before those of the buffer, and that its size does not bound.
    """

    def __init__(
        self,
        buffer: Buffer[T],
        start: Callable[[], None],
        dispose: Callable[[], None],
        keep_alive: KeepAlive[T] | None = None,
        on_error: Callable[[BaseException], None] = no_op,
        first: deque[T] | None = None,
    ) -> None:
        self.buffer = buffer
        self._first = first if first is not None else deque[T]()
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
        if self._first:
            return self._first.popleft()
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
        self._first.clear()
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
        except GeneratorExit as own:
            # The coroutine was not closed, it raised this itself: its caller must not take it for the end of its task.
            raise RuntimeError("the coroutine raised GeneratorExit") from own
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


def _end_subscription(dispose: Callable[[], None], buffer: Buffer[Any], keep_alive: KeepAlive[Any]) -> None:
    dispose()
    buffer.clear()
    keep_alive.clear()
