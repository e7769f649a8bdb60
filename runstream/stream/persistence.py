"""A stream with a store: reads runs back after a restart, acknowledges signals, and ends when the store fails."""

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
from runstream.stream.results import StreamResults
from runstream.stream.subscriber_set import no_op

__all__ = ["AckTracker", "PendingAcks", "StreamPersistence"]


class StreamPersistence:
    """The stream's side of a journal.

    Args:
        engine: The engine, for the runs' states.
        journal: Stores the states and the keys of delivered signals.
        results: Receives the facts of the runs that were read, and the signals that an earlier process has delivered.
        on_failure: Called when the store fails.

    Attributes:
        pending_acks: The signals of iterators whose loop was left.
        on_restored: Called with each state that was read.
        on_repeat: Called with each signal that is skipped because an earlier process delivered it.
    """

    def __init__(
        self, engine: Engine, journal: Journal, results: StreamResults, on_failure: Callable[[Exception], None]
    ) -> None:
        self.pending_acks = PendingAcks(journal)
        self._engine = engine
        self._journal = journal
        self._results = results
        self.on_restored: Callable[[RunState], None] = no_op
        self.on_repeat: Callable[[Any], None] = no_op
        journal.on_repeat = self._on_repeat
        journal.on_restore = self._on_restore
        journal.on_sent = results.sent
        journal.on_failure = on_failure

    def restore(self, run_id: str | None, scope: str | None) -> tuple[RunState, ...]:
        """Read one run, or all runs that have not ended, unless they are in memory; return their states."""
        if run_id is None:
            self._journal.restore(scope)
            return tuple(
                state for state in self._engine.states() if not state.is_terminal and scope in (None, state.scope)
            )
        self.load_run(run_id, scope or "")
        state = self._engine.state(run_id, scope or "")
        return () if state is None else (state,)

    def load_run(self, run_id: str, scope: str) -> None:
        """Read a run, if it is stored and not in memory."""
        if self._engine.registry.record(scope, run_id) is None:
            self._journal.read(scope, run_id)

    def _on_restore(self, state: RunState) -> None:
        self._results.restore(state, derive(None, state, self._engine.clock(), progress=False))
        self.on_restored(state)

    def _on_repeat(self, signal: Any) -> None:
        self._results.observe(signal)
        self.on_repeat(signal)


class PendingAcks:
    """The last signals of iterators whose loop was left, by ``break`` or by an exception.

    The difference is visible only later: an exception also leaves the context of the stream. Then these signals do not
    count as delivered.
    """

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self._deliveries: list[Delivery] = []

    def add(self, deliveries: list[Delivery]) -> None:
        """Acknowledge these in the next loop iteration, unless an exception leaves the context before."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # the iterator was collected after the end
        if not self._deliveries:
            loop.call_soon(self.acknowledge)
        self._deliveries += deliveries

    def acknowledge(self) -> None:
        """Acknowledge all: their loops were left on purpose."""
        deliveries, self._deliveries = self._deliveries, []
        for delivery in deliveries:
            self.journal.acknowledge(delivery)

    def cancel(self) -> None:
        """Acknowledge none: their loops were left by an exception."""
        self._deliveries.clear()


class AckTracker(KeepAlive[Any]):
    """:class:`KeepAlive` of a stream with a store: it also acknowledges each signal after it was processed.

    Only an acknowledged signal counts as delivered.

    Args:
        pending_acks: Receives the unprocessed items of an iterator whose loop was left.
        worker: True for a handler: after its subscription has ended, its unprocessed items are acknowledged.
    """

    def __init__(
        self,
        pending_acks: PendingAcks,
        may_attach: Callable[[Any], bool],
        keep_open: Callable[[], None],
        release: Callable[[], None],
        timeout: float | None,
        *,
        worker: bool,
    ) -> None:
        super().__init__(may_attach, keep_open, release, timeout)
        self._pending_acks = pending_acks
        self._worker = worker
        self._deliveries: dict[int, tuple[Any, Delivery]] = {}  # by the item's id, with the item: it stays unique

    def add(self, item: Any) -> None:
        """Count an item that was stored, and claim the delivery of its signal."""
        super().add(item)
        delivery = self._pending_acks.journal.claim()
        if delivery is not None:
            self._deliveries[id(item)] = (item, delivery)

    def done(self, item: Any, *, delivered: bool = True) -> None:
        """Stop counting an item, and acknowledge its signal if it was delivered."""
        super().done(item)
        _, delivery = self._deliveries.pop(id(item), (None, None))
        if delivery is not None and delivered and not _is_cancelled():
            self._pending_acks.journal.acknowledge(delivery)

    def clear(self) -> None:
        """Release all items: no further one will be consumed."""
        super().clear()
        deliveries = [delivery for _, delivery in self._deliveries.values()]
        self._deliveries.clear()
        if self._worker:
            for delivery in deliveries:
                self._pending_acks.journal.acknowledge(delivery)
        elif deliveries:
            self._pending_acks.add(deliveries)


def _is_cancelled() -> bool:
    """True if the current task is being cancelled."""
    try:
        task = asyncio.current_task()
    except RuntimeError:
        return False
    return task is not None and task.cancelling() > 0
