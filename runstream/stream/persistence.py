"""A stream with a store: what a restart must not repeat, what is true already, and the end when the store fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from runstream.core.derive import derive
from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.engine.journal import Journal
from runstream.engine.transaction import Delivery
from runstream.stream.consumers import KeepAlive
from runstream.stream.results import Waiters

__all__ = ["AckTracker", "PendingAcks", "StreamPersistence"]


class StreamPersistence:
    """The stream's side of a journal.

    Args:
        engine: Whose states are kept.
        journal: What keeps them.
        waiters: Told what is true of the runs that were read, and what an earlier process has delivered.
        failed: Called when the store fails.

    Attributes:
        leavers: The iterators that were left.
    """

    def __init__(self, engine: Engine, journal: Journal, waiters: Waiters, failed: Callable[[Exception], None]) -> None:
        self.leavers = PendingAcks(journal)
        self._engine = engine
        self._journal = journal
        self._waiters = waiters
        journal.on_repeat = waiters.offer
        journal.on_restore = self._restored
        journal.on_failure = failed

    def restore(self, run_id: str | None, scope: str | None) -> tuple[RunState, ...]:
        """Read a run, or all runs that have not ended, unless they are held already."""
        if run_id is None:
            self._journal.restore(scope)
            return tuple(
                state for state in self._engine.states() if not state.is_terminal and scope in (None, state.scope)
            )
        self.know(run_id, scope or "")
        state = self._engine.state(run_id, scope or "")
        return () if state is None else (state,)

    def know(self, run_id: str, scope: str) -> None:
        """Read a run that somebody asks for, if it is kept and not held."""
        if self._engine.registry.record(scope, run_id) is None:
            self._journal.read(scope, run_id)

    def _restored(self, state: RunState) -> None:
        for fact in derive(None, state, self._engine.clock(), progress=False):
            self._waiters.offer(fact)


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
