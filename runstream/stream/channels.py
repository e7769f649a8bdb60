"""The four channels of a stream, wired to its engine so that what nobody listens to is not built."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from runstream.core.selection import PROGRESS
from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.model.events import Event, Reject
from runstream.model.signals import Signal
from runstream.stream.channel import Channel, RunKey
from runstream.stream.error_reports import ErrorReports
from runstream.stream.results import Waiters
from runstream.stream.run_completion import Endings

__all__ = ["Channels"]


def _nothing() -> None:
    pass


class Channels:
    """Events, states, signals and rejects, from an engine to their hubs.

    Args:
        engine: What gives them.
        failures: Where exceptions of subscribers go.
        waiters: Told every signal before the subscribers, listened to or not: what is true has to be known.
        on_rewire: Called when the engine is to build something else than before: it looks once a batch.
    """

    def __init__(
        self, engine: Engine, failures: ErrorReports, waiters: Waiters, on_rewire: Callable[[], None] = _nothing
    ) -> None:
        self.events: Channel[Event] = Channel("events", failures=failures, on_change=self.rewire)
        self.runs: Channel[RunState] = Channel(
            "runs", failures=failures, on_change=self.rewire, replay=self._held, over=self._over
        )
        self.signals: Channel[Signal] = Channel("signals", failures=failures, on_change=self.rewire, over=self._over)
        self.rejects: Channel[Reject] = Channel("rejects", failures=failures, on_change=self.rewire)
        self.all: tuple[Channel[Any], ...] = (self.events, self.runs, self.signals, self.rejects)
        self._endings = Endings(engine, (self.runs, self.signals))
        self._engine = engine
        self._waiters = waiters
        self._on_rewire = on_rewire
        self._awaits_progress = False
        self._offer = waiters.offer
        self._push = self.signals.push
        engine.on_signal = self._signal
        engine.registry.on_evict = self._evicted
        engine.progress = False

    def rewire(self) -> None:
        """Have the engine build what somebody listens to, and no more."""
        engine = self._engine
        self._push = self.signals.push
        engine.on_event = self.events.push if len(self.events) else None
        engine.on_state = self.runs.push if len(self.runs) else None
        engine.on_reject = self.rejects.push if len(self.rejects) else None
        self._awaits_progress = self._waiters.progress
        engine.progress = self._awaits_progress or self.signals.progress
        if engine.progress and not self._awaits_progress:
            engine.on_progress = self.signals.push_progress  # all that `_signal` comes to for progress
        self._on_rewire()

    def complete(self) -> None:
        """End all channels."""
        self._endings.stop()
        for hub in self.all:
            hub.complete()

    def error(self, error: Exception) -> None:
        """End all channels with an error."""
        self._endings.stop()
        for hub in self.all:
            hub.error(error)

    def _signal(self, signal: Signal) -> None:
        progress = type(signal) in PROGRESS
        if self._awaits_progress or not progress:
            self._offer(signal)
        self._push(signal)
        if not progress:
            self._endings.see(signal)

    def _evicted(self, scope: str, run_id: str) -> None:
        self._endings.evicted(scope, run_id)
        self._waiters.forget(scope, run_id)

    def _held(self, run: RunKey | None) -> Iterable[RunState]:
        if run is None:
            return self._engine.states()
        state = self._engine.state(run[1], run[0])
        return () if state is None else (state,)

    def _over(self, run: RunKey) -> bool:
        return self._endings.over(run)
