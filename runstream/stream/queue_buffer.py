"""The buffer that keeps every value in order, and joins the growth of one text that waits in it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

from msgspec import structs

from runstream.core.selection import PROGRESS
from runstream.errors import SlowConsumer
from runstream.model.signals import TextDelta
from runstream.stream.buffers import Buffer, Gate

__all__ = ["QueueBuffer"]

T = TypeVar("T")

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
