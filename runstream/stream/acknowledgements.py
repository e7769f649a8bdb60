"""What asynchronous subscribers are through with, told to the journal: only then does a signal count as delivered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from runstream.engine.journal import Journal
from runstream.engine.transaction import Delivery
from runstream.stream.consumers import KeepAlive

__all__ = ["AckTracker", "PendingAcks"]


class PendingAcks:
    """Iterators that were left. Whether by ``break`` or by an exception shows a moment later: the context of the
    stream is left with that exception, and then the last item of the iterator does not count as delivered.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._left: list[Delivery] = []

    def add(self, deliveries: list[Delivery]) -> None:
        """Acknowledge these in the next turn of the loop, unless the context is left by an exception until then."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # collected after the end
        if not self._left:
            loop.call_soon(self.settle)
        self._left += deliveries

    def settle(self) -> None:
        """They were left on purpose."""
        left, self._left = self._left, []
        for delivery in left:
            self.journal.acknowledge(delivery)

    def forsake(self) -> None:
        """They were left by an exception."""
        self._left.clear()


class AckTracker(KeepAlive[Any]):
    """:class:`KeepAlive` of a stream with a store: it also acknowledges each signal once it is dealt with.

    Args:
        leavers: Where an iterator's unfinished items go when it is left.
        worker: Whether it is that of a handler: when its subscription ends, it is owed nothing more.
    """

    def __init__(
        self,
        leavers: PendingAcks,
        matters: Callable[[Any], bool],
        hold: Callable[[], None],
        release: Callable[[], None],
        timeout: float | None,
        *,
        worker: bool,
    ) -> None:
        super().__init__(matters, hold, release, timeout)
        self._leavers = leavers
        self._worker = worker
        self._unread: dict[int, tuple[Any, Delivery]] = {}  # with the item, so that its id stays its own

    def add(self, item: Any) -> None:
        """An item was taken in."""
        super().add(item)
        delivery = self._leavers.journal.claim()
        if delivery is not None:
            self._unread[id(item)] = (item, delivery)

    def done(self, item: Any) -> None:
        """An item was dealt with."""
        super().done(item)
        _, delivery = self._unread.pop(id(item), (None, None))
        if delivery is not None and not _cut_off():
            self._leavers.journal.acknowledge(delivery)

    def forsake(self) -> None:
        """What was taken in and not dealt with is given up against the consumer's will: it was not delivered."""
        self._unread.clear()

    def clear(self) -> None:
        """Nothing more will be dealt with."""
        super().clear()
        left = [delivery for _, delivery in self._unread.values()]
        self._unread.clear()
        if self._worker:
            for delivery in left:
                self._leavers.journal.acknowledge(delivery)
        elif left:
            self._leavers.add(left)


def _cut_off() -> bool:
    """Whether the task was cancelled in the middle of its work."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and task.cancelling() > 0
