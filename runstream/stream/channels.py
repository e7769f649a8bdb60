"""The four channels of a stream, wired to its engine so that what nobody listens to is not built."""

from __future__ import annotations

from typing import Any

from runstream.core.signals import Signal
from runstream.core.state import RunState
from runstream.engine import Engine
from runstream.events import Event, Reject
from runstream.stream.failures import Failures
from runstream.stream.hub import Hub
from runstream.stream.selection import PROGRESS
from runstream.stream.waiters import Waiters

__all__ = ["Channels"]


class Channels:
    """Events, states, signals and rejects, from an engine to their hubs.

    Args:
        engine: What gives them.
        failures: Where exceptions of subscribers go.
        waiters: Told every signal before the subscribers, listened to or not: what is true has to be known.
    """

    def __init__(self, engine: Engine, failures: Failures, waiters: Waiters) -> None:
        self.events: Hub[Event] = Hub("events", failures=failures, on_change=self.rewire)
        self.runs: Hub[RunState] = Hub("runs", failures=failures, on_change=self.rewire, replay=engine.states)
        self.signals: Hub[Signal] = Hub("signals", failures=failures, on_change=self.rewire)
        self.rejects: Hub[Reject] = Hub("rejects", failures=failures, on_change=self.rewire)
        self.all: tuple[Hub[Any], ...] = (self.events, self.runs, self.signals, self.rejects)
        self._engine = engine
        self._waiters = waiters
        self._awaits_progress = False
        self._offer = waiters.offer
        self._push = self.signals.push
        engine.on_signal = self._signal
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
        if self._awaits_progress or type(signal) not in PROGRESS:
            self._offer(signal)
        self._push(signal)
