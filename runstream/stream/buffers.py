"""The bounded buffers of asynchronous subscriptions: values are put in without waiting, one consumer awaits them."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable, Iterator
from operator import attrgetter
from time import monotonic
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from msgspec import structs

from runstream.core.selection import PROGRESS
from runstream.errors import SlowConsumer
from runstream.model.progress_signals import (
    ArgumentsDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    ToolCallOutputDelta,
)
from runstream.stream.subscriber_set import no_op

__all__ = ["Buffer", "Gate", "JoinedDelta", "LatestBuffer", "Policy", "QueueBuffer"]

T = TypeVar("T")
Policy: TypeAlias = Literal["wait", "latest", "error"]

MAX_JOINED: Final = 16_384
"""Characters of text that are joined into one delta, so that the number of items bounds the memory too."""


_PLACES: Final[dict[type, Callable[[Any], Any]]] = {
    TextDelta: attrgetter("message_id", "part"),
    RefusalDelta: attrgetter("message_id", "part"),
    ReasoningDelta: attrgetter("step_id", "part", "kind"),
    ArgumentsDelta: attrgetter("call_key"),
    ToolCallOutputDelta: attrgetter("call_key"),
}
"""Returns the text of a run that a delta belongs to, by the class of the delta."""


class Buffer(Generic[T]):
    """The values that wait for one consumer.

    Args:
        size: The maximum number of items.
        on_end: Called with the error when the consumer is ended because it is slow.

    Attributes:
        conflated: The number of values that were replaced by, or joined with, another one.
        closed: True if it accepts no further items; the stored ones can still be taken.
    """

    def __init__(self, size: int, *, on_end: Callable[[SlowConsumer], None] = no_op) -> None:
        if size < 1:
            raise ValueError("a buffer has room for at least one item")
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
        """Store an item.

        Returns:
            True if the item was stored; False if the buffer is closed.
        """

    @abstractmethod
    def _take(self) -> T: ...

    @abstractmethod
    def _remove_all(self) -> None: ...

    def finish(self, error: Exception | None = None) -> None:
        """Accept no further items. The consumer receives the stored ones, then the error or the end."""
        if not self.closed:
            self.closed = True
            self._error = error
            self._wake()

    def fail(self, error: SlowConsumer) -> None:
        """End the consumer because it is slow: it receives the stored items in order, then the error."""
        if not self.closed:
            self.finish(error)
            self._on_end(error)

    def clear(self) -> None:
        """Remove the stored items and accept no further ones."""
        self.finish()
        self._remove_all()

    async def get(self) -> T:
        """The next item, when there is one.

        Raises:
            StopAsyncIteration: At the end.
            SlowConsumer: The consumer was ended because it is slow.
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
    """Blocks the sources while the buffer of a consumer that must not lose values is full.

    Args:
        timeout: How long one consumer may block them, in seconds.

    Attributes:
        full: The full buffers, each with the monotonic time (seconds) since which it is full.
        on_block: Called when a buffer is full: the current batch is to end.
    """

    def __init__(self, timeout: float) -> None:
        self.timeout = timeout
        self.on_block: Callable[[], None] = no_op
        self.full: dict[Buffer[Any], float] = {}
        self._changed: asyncio.Event | None = None

    def block(self, buffer: Buffer[Any]) -> None:
        """Block the sources for a full buffer. A buffer that is full for too long is ended: a source that does not
        wait must not make it grow without limit.
        """
        since = self.full.setdefault(buffer, monotonic())
        self.on_block()
        if monotonic() - since > self.timeout:
            self._expire(buffer)

    def unblock(self, buffer: Buffer[Any]) -> None:
        """Stop blocking for a buffer, which has room again or is closed."""
        if self.full.pop(buffer, None) is not None and self._changed is not None:
            self._changed.set()

    @property
    def open(self) -> bool:
        """True if no buffer is full."""
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
        self.unblock(buffer)
        buffer.fail(SlowConsumer(f"its buffer of {buffer.size} was full for more than {self.timeout:g} s"))


class LatestBuffer(Buffer[T]):
    """Stores the latest value of each key, in the position of the first one: a state replaces the one before it.

    Args:
        size: The maximum number of keys; beyond it the oldest value is dropped, and counted as conflated.
        key: Returns the key of a value.
    """

    def __init__(self, size: int, key: Callable[[T], Hashable]) -> None:
        super().__init__(size)
        self._key = key
        self._items: OrderedDict[Hashable, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: T) -> bool:
        """Store a value in place of the one with the same key; False if the buffer is closed."""
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

    def _remove_all(self) -> None:
        self._items.clear()


class QueueBuffer(Buffer[T]):
    """Stores every value, in order; adjacent deltas of one text are joined into one, with the first one's offset.

    Args:
        size: The maximum number of items. With a gate it may be exceeded by the items that one source delivers between
            two :meth:`~runstream.sources.base.Receiver.ready`.
        gate: Blocked while the buffer is full (policy ``wait``); without it, overflow ends the consumer
            (policy ``error``).
        on_end: Called with the error when the consumer is ended because it is slow.
    """

    def __init__(self, size: int, gate: Gate | None = None, *, on_end: Callable[[SlowConsumer], None] = no_op) -> None:
        super().__init__(size, on_end=on_end)
        self._gate = gate
        self._items: deque[T | JoinedDelta] = deque()

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        """The stored items, without those that were joined."""
        return iter(self._items)

    def put(self, item: T) -> bool:
        """Store an item; False if the buffer is closed."""
        if self.closed:
            return False
        items = self._items
        if items and type(item) in PROGRESS:
            last = items[-1]
            if type(last) is JoinedDelta:
                if last.add(item):
                    self.conflated += 1
                    return True
            elif type(last) in PROGRESS:
                joined = JoinedDelta(last)
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
            self._gate.block(self)
        return True

    def finish(self, error: Exception | None = None) -> None:
        """Accept no further items, and unblock the gate."""
        super().finish(error)
        if self._gate is not None:
            self._gate.unblock(self)

    def _take(self) -> T:
        item = self._items.popleft()
        if self._gate is not None and len(self._items) < self.size:
            self._gate.unblock(self)
        return item.join() if type(item) is JoinedDelta else item  # type: ignore[return-value]

    def _remove_all(self) -> None:
        self._items.clear()


class JoinedDelta:
    """Adjacent deltas of one text. They are joined when they are taken: joining at each delta is quadratic."""

    __slots__ = ("end", "first", "length", "pieces", "place")

    def __init__(self, first: Any) -> None:
        self.first = first
        self.pieces = [first.delta]
        self.length = len(first.delta)
        self.end = first.offset + self.length
        self.place = _PLACES[type(first)](first)

    def add(self, delta: Any) -> bool:
        """Add a delta if it continues the text.

        Returns:
            True if it was added.
        """
        first = self.first
        if delta.offset != self.end or type(delta) is not type(first) or self.length >= MAX_JOINED:
            return False
        if _PLACES[type(delta)](delta) != self.place:
            return False
        if delta.run_id != first.run_id or delta.scope != first.scope:
            return False
        text = delta.delta
        self.pieces.append(text)
        self.length += len(text)
        self.end += len(text)
        return True

    def join(self) -> Any:
        """One delta with the whole text."""
        return structs.replace(self.first, delta="".join(self.pieces))
