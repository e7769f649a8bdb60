"""A stream with a store: what a restart must not repeat, what is true already, and the end when the store fails."""

from __future__ import annotations

from collections.abc import Callable

from runstream.core.derive import derive
from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.engine.journal import Journal
from runstream.stream.acknowledgements import PendingAcks
from runstream.stream.waiters import Waiters

__all__ = ["StreamPersistence"]


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
