"""The four channels of a stream, wired to its engine so that what nobody listens to is not built."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from runstream.core.signals import Signal
from runstream.core.state import RunState
from runstream.engine import Engine
from runstream.events import Event, Reject
from runstream.stream.failures import Failures
from runstream.stream.hub import Hub, RunKey
from runstream.stream.selection import PROGRESS, TERMINAL
from runstream.stream.waiters import Waiters

__all__ = ["Channels"]


class Channels:
    """Events, states, signals and rejects, from an engine to their hubs.

    Args:
        engine: What gives them.
        failures: Where exceptions of subscribers go.
        waiters: Told every signal before the subscribers, listened to or not: what is true has to be known.
        turn: Makes a call when the raw event that is being dealt with has been told whole.
    """

    def __init__(self, engine: Engine, failures: Failures, waiters: Waiters, turn: Callable[..., None]) -> None:
        self.events: Hub[Event] = Hub("events", failures=failures, on_change=self.rewire)
        self.runs: Hub[RunState] = Hub(
            "runs", failures=failures, on_change=self.rewire, replay=self._held, over=self._over
        )
        self.signals: Hub[Signal] = Hub("signals", failures=failures, on_change=self.rewire, over=self._over)
        self.rejects: Hub[Reject] = Hub("rejects", failures=failures, on_change=self.rewire)
        self.all: tuple[Hub[Any], ...] = (self.events, self.runs, self.signals, self.rejects)
        self._engine = engine
        self._waiters = waiters
        self._awaits_progress = False
        self._offer = waiters.offer
        self._push = self.signals.push
        self._turn = turn
        engine.on_signal = self._signal
        engine.on_evict = self._evicted
        engine.progress = False

    def rewire(self) -> None:
        """Have the engine build what somebody listens to, and no more."""
        engine = self._engine
        engine.on_event = self.events.push if len(self.events) else None
        engine.on_state = self.runs.push if len(self.runs) else None
        engine.on_reject = self.rejects.push if len(self.rejects) else None
        self._awaits_progress = self._waiters.progress
        engine.progress = self._awaits_progress or self.signals.progress

    def complete(self) -> None:
        """End all channels."""
        for hub in self.all:
            hub.complete()

    def error(self, error: Exception) -> None:
        """End all channels with an error."""
        for hub in self.all:
            hub.error(error)

    def _signal(self, signal: Signal) -> None:
        kind = type(signal)
        if self._awaits_progress or kind not in PROGRESS:
            self._offer(signal)
        self._push(signal)
        if kind in TERMINAL:
            # Not yet: its raw event may say more, and somebody else's observer of states comes first.
            self._turn(self._complete_run, signal.scope, signal.run_id)  # type: ignore[union-attr]

    def _evicted(self, scope: str, run_id: str) -> None:
        self._turn(self._complete_run, scope, run_id)
        self._waiters.forget(scope, run_id)

    def _complete_run(self, scope: str, run_id: str) -> None:
        """Nothing more is told to those who listen to this run alone."""
        self.runs.complete_run((scope, run_id))
        self.signals.complete_run((scope, run_id))

    def _held(self, run: RunKey | None) -> Iterable[RunState]:
        if run is None:
            return self._engine.states()
        state = self._engine.state(run[1], run[0])
        return () if state is None else (state,)

    def _over(self, run: RunKey) -> bool:
        scope, run_id = run
        state = self._engine.state(run_id, scope)
        return state.is_terminal if state is not None else self._engine.forgot(run_id, scope)
