"""The buffer of a handler: signals enter, and leave in the order of their run, one of each run at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import Any, TypeVar

from runstream.core.selection import PROGRESS
from runstream.errors import SlowConsumer
from runstream.model.signal_base import SourceSignal
from runstream.stream.buffers import Buffer, Gate, JoinedDelta
from runstream.stream.subscriber_set import no_op

__all__ = ["RunBuffer", "run_of"]

T = TypeVar("T")


def run_of(signal: Any) -> Hashable:
    """The run of a signal; for a signal of a source, the source."""
    if isinstance(signal, SourceSignal):  # an error names a run too, and is in the order of its source
        return (signal.scope, None, signal.source)
    return (signal.scope, signal.run_id)


class RunBuffer(Buffer[T]):
    """Stores every value in a queue of its run. The consumer takes values of several runs at once, one of each.

    Adjacent deltas of one text are joined into one, with the first one's offset. Each operation costs the same for
    any number of values and runs.

    Args:
        size: The maximum number of values of all runs together. With a gate it may be exceeded by the values that one
            source delivers between two :meth:`~runstream.sources.base.Receiver.ready`.
        gate: Blocked while the buffer is full (policy ``wait``); without it, overflow ends the consumer
            (policy ``error``).
        key: Returns the key of a value; values of one key are taken in order, one at a time.
        on_end: Called with the error when the consumer is ended because it is slow.

    Attributes:
        on_change: Called when a value of a further run can be taken, and when the buffer is closed.
    """

    def __init__(
        self,
        size: int,
        gate: Gate | None = None,
        *,
        key: Callable[[T], Hashable] = run_of,
        on_end: Callable[[SlowConsumer], None] = no_op,
    ) -> None:
        super().__init__(size, on_end=on_end)
        self.on_change: Callable[[], None] = no_op
        self._gate = gate
        self._key = key
        self._queues: dict[Hashable, deque[Any]] = {}
        self._ready: deque[Hashable] = deque()  # keys of which a value can be taken
        self._busy: set[Hashable] = set()  # keys of which a value was taken, and is not done
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Any]:
        """The stored values, without those that were joined."""
        for queue in tuple(self._queues.values()):
            yield from tuple(queue)

    @property
    def ready(self) -> bool:
        """True if a value can be taken."""
        return bool(self._ready)

    def put(self, item: T) -> bool:
        """Store a value; False if the buffer is closed."""
        if self.closed:
            return False
        key = self._key(item)
        queue = self._queues.get(key)
        if queue is not None and type(item) in PROGRESS and self._join(queue, item):
            return True
        if self._gate is None and self._count >= self.size:
            self.fail(SlowConsumer(f"its buffer of {self.size} overflowed"))
            return False
        self._count += 1
        if queue is not None:
            queue.append(item)
        else:
            self._queues[key] = deque((item,))
            if key not in self._busy:
                self._ready.append(key)
                self.on_change()
        if self._gate is not None and self._count >= self.size:
            self._gate.block(self)
        return True

    def take(self) -> tuple[Hashable, T]:
        """The first value of the run that has waited longest, and its key. The key is busy until :meth:`done`.

        Raises:
            IndexError: No value can be taken.
        """
        key = self._ready.popleft()
        self._busy.add(key)
        queue = self._queues[key]
        item = queue.popleft()
        if not queue:
            del self._queues[key]
        self._count -= 1
        if self._gate is not None and self._count < self.size:
            self._gate.unblock(self)
        return key, item.join() if type(item) is JoinedDelta else item

    def done(self, key: Hashable) -> None:
        """Note that the taken value of a key was processed: the next one can be taken."""
        self._busy.discard(key)
        if key in self._queues:
            self._ready.append(key)

    def finish(self, error: Exception | None = None) -> None:
        """Accept no further values, and unblock the gate."""
        super().finish(error)
        if self._gate is not None:
            self._gate.unblock(self)
        self.on_change()

    def _join(self, queue: deque[Any], item: T) -> bool:
        """Join a delta with the last stored one, if it continues the text."""
        last = queue[-1]
        if type(last) is JoinedDelta:
            joined = last
        elif type(last) in PROGRESS:
            joined = JoinedDelta(last)
        else:
            return False
        if not joined.add(item):
            return False
        queue[-1] = joined
        self.conflated += 1
        return True

    def _take(self) -> T:
        return self.take()[1]

    def _remove_all(self) -> None:
        self._queues.clear()
        self._ready.clear()
        self._count = 0
