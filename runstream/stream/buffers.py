"""The bounded buffers of asynchronous subscriptions: put without waiting, taken by one consumer at a time."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from time import monotonic
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from msgspec import structs

from runstream.core.selection import PROGRESS
from runstream.errors import SlowConsumer
from runstream.model.signals import TextDelta

__all__ = ["Buffer", "Gate", "LatestBuffer", "Policy", "QueueBuffer"]

T = TypeVar("T")
Policy: TypeAlias = Literal["wait", "latest", "error"]


def _nothing() -> None:
    pass


class Buffer(Generic[T]):
    """What waits for one consumer.

    Args:
        size: How many items it holds.
        on_end: Called with the error when the consumer is ended for being slow.

    Attributes:
        conflated: How many values were superseded by, or joined with, another one.
        closed: Whether it takes nothing more; what it holds can still be taken.
    """

    def __init__(self, size: int, *, on_end: Callable[[SlowConsumer], None] | None = None) -> None:
        if size < 1:
            raise ValueError("a buffer holds at least one item")
        self.size = size
        self.conflated = 0
        self.closed = False
        self._error: Exception | None = None
        self._on_end = on_end
        self._waiter: asyncio.Future[None] | None = None

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def put(self, item: T) -> bool:
        """Take an item in; whether it will be given out (a closed buffer refuses)."""

    @abstractmethod
    def _take(self) -> T: ...

    @abstractmethod
    def _forget(self) -> None: ...

    def finish(self, error: Exception | None = None) -> None:
        """Take nothing more in. What is held is still given out, then the error or the end."""
        if not self.closed:
            self.closed = True
            self._error = error
            self._wake()

    def fail(self, error: SlowConsumer) -> None:
        """End the consumer for being slow: it gets what was taken in so far, in order, then the error."""
        if not self.closed:
            self.finish(error)
            if self._on_end is not None:
                self._on_end(error)

    def clear(self) -> None:
        """Forget what is held and take nothing more in."""
        self.finish()
        self._forget()

    async def get(self) -> T:
        """The next item, once there is one.

        Raises:
            StopAsyncIteration: At the end.
            SlowConsumer: The consumer was ended for being slow.
            RuntimeError: Another call waits already.
        """
        while not len(self):
            if self.closed:
                if self._error is not None:
                    error, self._error = self._error, None
                    raise error
                raise StopAsyncIteration
            if self._waiter is not None:
                raise RuntimeError("an iterator of a stream serves one task at a time")
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._take()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Gate:
    """Holds the sources while a consumer that must not lose anything is behind.

    Args:
        timeout: How long one consumer may hold them, in seconds.

    Attributes:
        full: The buffers that hold them, and since when.
        on_hold: Called when a buffer is full: whoever feeds is to stop.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.on_hold: Callable[[], None] = _nothing
        self.full: dict[Buffer[Any], float] = {}
        self._changed: asyncio.Event | None = None

    def hold(self, buffer: Buffer[Any]) -> None:
        """A buffer is full. One that has been for too long is ended: sources that do not wait must not make
        it grow for ever.
        """
        since = self.full.setdefault(buffer, monotonic())
        self.on_hold()
        if monotonic() - since > self.timeout:
            self._expire(buffer)

    def release(self, buffer: Buffer[Any]) -> None:
        """A buffer has room again, or is gone."""
        if self.full.pop(buffer, None) is not None and self._changed is not None:
            self._changed.set()

    @property
    def open(self) -> bool:
        """Whether no buffer is full."""
        return not self.full

    async def wait(self) -> None:
        """Return when no buffer is full; a buffer that stays full for longer than the timeout is ended."""
        while self.full:
            buffer, since = min(self.full.items(), key=lambda item: item[1])
            left = since + self.timeout - monotonic()
            if left <= 0:
                self._expire(buffer)
                continue
            if self._changed is None or self._changed.is_set():
                self._changed = asyncio.Event()
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _expire(self, buffer: Buffer[Any]) -> None:
        self.release(buffer)
        buffer.fail(SlowConsumer(f"its buffer of {buffer.size} was full for more than {self.timeout:g} s"))


class LatestBuffer(Buffer[T]):
    """Keeps the latest value of each key, at the place of the first: a state supersedes the one before it.

    Args:
        size: Keys it holds; over it the oldest value is dropped, and counted as conflated.
        key: What a value is the latest of.
    """

    def __init__(self, size: int, key: Callable[[T], Hashable]) -> None:
        super().__init__(size)
        self._key = key
        self._items: OrderedDict[Hashable, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> bool:
        """Take a value in, in place of the one that its key had."""
        if self.closed:
            return False
        key = self._key(item)
        if key in self._items:
            self.conflated += 1
        elif len(self._items) >= self.size:
            self._items.popitem(last=False)
            self.conflated += 1
        self._items[key] = item
        if self._waiter is not None:
            self._wake()
        return True

    def _take(self) -> T:
        return self._items.popitem(last=False)[1]

    def _forget(self) -> None:
        self._items.clear()


MAX_JOINED: Final = 16_384
"""Characters of text that are joined into one delta, so that the number of items bounds the memory too."""


class _Joined:
    """Deltas of one text that wait together; joined only when taken, as joining each time is quadratic."""

    __slots__ = ("end", "first", "length", "pieces")

    def __init__(self, first: Any) -> None:
        self.first = first
        self.pieces = [first.delta]
        self.length = len(first.delta)
        self.end = first.offset + self.length

    def add(self, delta: Any) -> bool:
        """Take a delta in, if it goes on where this ends."""
        first = self.first
        if delta.offset != self.end or type(delta) is not type(first) or self.length >= MAX_JOINED:
            return False
        if type(delta) is TextDelta:
            if delta.message_id != first.message_id or delta.part != first.part:
                return False
        elif delta.call_id != first.call_id:
            return False
        if delta.run_id != first.run_id or delta.scope != first.scope:
            return False
        text = delta.delta
        self.pieces.append(text)
        self.length += len(text)
        self.end += len(text)
        return True

    def __call__(self) -> Any:
        return structs.replace(self.first, delta="".join(self.pieces))


class QueueBuffer(Buffer[T]):
    """Keeps every value, in order; adjacent deltas of one text are joined into one, with the first one's offset.

    Args:
        size: Items it holds. With a gate it may go over by what one source gives between two
            :meth:`~runstream.sources.base.Receiver.ready`.
        gate: Held while the buffer is full (policy ``wait``); without it, overflow ends the consumer
            (policy ``error``).
        on_end: Called with the error when the consumer is ended for being slow.
    """

    def __init__(
        self, size: int, gate: Gate | None = None, *, on_end: Callable[[SlowConsumer], None] | None = None
    ) -> None:
        super().__init__(size, on_end=on_end)
        self._gate = gate
        self._items: deque[T | _Joined] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> bool:
        """Take an item in; whether it will be given out."""
        if self.closed:
            return False
        items = self._items
        if items and type(item) in PROGRESS:
            last = items[-1]
            if type(last) is _Joined:
                if last.add(item):
                    self.conflated += 1
                    return True
            elif type(last) in PROGRESS:
                joined = _Joined(last)
                if joined.add(item):
                    items[-1] = joined
                    self.conflated += 1
                    return True
        if self._gate is None and len(items) >= self.size:
            self.fail(SlowConsumer(f"its buffer of {self.size} overflowed"))
            return False
        items.append(item)
        if self._waiter is not None:
            self._wake()
        if self._gate is not None and len(items) >= self.size:
            self._gate.hold(self)
        return True

    def finish(self, error: Exception | None = None) -> None:
        """Take nothing more in."""
        super().finish(error)
        if self._gate is not None:
            self._gate.release(self)

    def _take(self) -> T:
        item = self._items.popleft()
        if self._gate is not None and len(self._items) < self.size:
            self._gate.release(self)
        return item() if type(item) is _Joined else item  # type: ignore[return-value]

    def _forget(self) -> None:
        self._items.clear()

    def held(self) -> Iterator[Any]:
        """What is held, for those who have to put it away."""
        return iter(self._items)
