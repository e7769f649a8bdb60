"""Subscribers that begin with the state: snapshots of runs for new ones, and what only those need later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from runstream.core.state import RunState
from runstream.core.state_snapshot import StateSnapshot
from runstream.engine.engine import Engine
from runstream.model.run import RunKey
from runstream.stream.results import StreamResults

__all__ = ["Replay"]


Put: TypeAlias = Callable[[Any], object]


class Replay:
    """The subscribers of a stream that begin with snapshots.

    Args:
        engine: The engine, for the states.
        results: Keeps the facts of each run that are still true.
    """

    def __init__(self, engine: Engine, results: StreamResults) -> None:
        self._engine = engine
        self._results = results
        self._puts: dict[Put, RunKey | None] = {}

    def add(self, put: Put, run: RunKey | None) -> list[StateSnapshot]:
        """Add a subscriber, between two calls into the engine: then each fact is in the state or follows.

        Args:
            put: Called with later snapshots, and with signals that no other subscriber receives. It raises nothing.
            run: The only run that it is about; ``None`` for all.

        Returns:
            The snapshots of the runs that are known, in order of appearance.
        """
        self._puts[put] = run
        return self.snapshots(run)

    def snapshots(self, run: RunKey | None) -> list[StateSnapshot]:
        """The snapshots of the runs that are known, in order of appearance.

        Args:
            run: The only run; ``None`` for all.
        """
        if run is None:
            states = self._engine.states()
        else:
            state = self._engine.state(run[1], run[0])
            states = () if state is None else (state,)
        return [self._snapshot(state) for state in states]

    def remove(self, put: Put) -> None:
        """Remove a subscriber."""
        self._puts.pop(put, None)

    def restored(self, state: RunState) -> None:
        """Pass on a run that was read from the store: its signals continue a state that no subscriber has seen."""
        if self._puts:
            snapshot = self._snapshot(state)
            for put, run in tuple(self._puts.items()):
                if run is None or run == (state.scope, state.run_id):
                    put(snapshot)

    def repeat(self, signal: Any) -> None:
        """Pass on a signal that an earlier process delivered: the state that was read does not contain it."""
        run = (signal.scope, getattr(signal, "run_id", None))
        for put, only in tuple(self._puts.items()):
            if only is None or only == run:
                put(signal)

    def _snapshot(self, state: RunState) -> StateSnapshot:
        return StateSnapshot(state, self._results.facts_of(state), self._engine.clock())
