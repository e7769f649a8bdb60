"""Iterators that begin with the state: snapshots of runs for new ones, and what only those need later."""

from __future__ import annotations

from typing import Any

from runstream.core.state import RunState
from runstream.core.state_snapshot import StateSnapshot
from runstream.engine.engine import Engine
from runstream.model.run import RunKey
from runstream.stream.buffers import Buffer
from runstream.stream.results import StreamResults

__all__ = ["Replay"]


class Replay:
    """The iterators of a stream that begin with snapshots.

    Args:
        engine: The engine, for the states.
        results: Keeps the facts of each run that are still true.
    """

    def __init__(self, engine: Engine, results: StreamResults) -> None:
        self._engine = engine
        self._results = results
        self._buffers: dict[Buffer[Any], RunKey | None] = {}

    def add(self, buffer: Buffer[Any], run: RunKey | None) -> list[StateSnapshot]:
        """Add an iterator, between two calls into the engine: then each fact is in the state or follows.

        Args:
            buffer: Its buffer.
            run: The only run that it is about; ``None`` for all.

        Returns:
            The snapshots of the runs that are known, in order of appearance.
        """
        self._buffers[buffer] = run
        if run is None:
            states = self._engine.states()
        else:
            state = self._engine.state(run[1], run[0])
            states = () if state is None else (state,)
        return [self._snapshot(state) for state in states]

    def remove(self, buffer: Buffer[Any]) -> None:
        """Remove an iterator."""
        self._buffers.pop(buffer, None)

    def restored(self, state: RunState) -> None:
        """Pass on a run that was read from the store: its signals continue a state that nobody has seen."""
        if self._buffers:
            snapshot = self._snapshot(state)
            for buffer, run in tuple(self._buffers.items()):
                if run is None or run == (state.scope, state.run_id):
                    buffer.put(snapshot)

    def repeat(self, signal: Any) -> None:
        """Pass on a signal that an earlier process delivered: the state that was read does not contain it."""
        run = (signal.scope, getattr(signal, "run_id", None))
        for buffer, only in tuple(self._buffers.items()):
            if only is None or only == run:
                buffer.put(signal)

    def _snapshot(self, state: RunState) -> StateSnapshot:
        return StateSnapshot(state, self._results.facts_of(state), self._engine.clock())
