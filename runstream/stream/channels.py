"""The four channels of a stream: connects the engine's callbacks to them, but only those that have subscribers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from runstream.core.selection import PROGRESS
from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.model.events import Event, MessageEvent, Reject, RunEvent, StepEvent
from runstream.model.run import RunKey
from runstream.model.signals import Signal
from runstream.stream.channel import Channel
from runstream.stream.error_reports import ErrorReports
from runstream.stream.results import StreamResults
from runstream.stream.run_completion import RunCompletion
from runstream.stream.subscriber_set import no_op

__all__ = ["Channels", "EventOfRun"]


class EventOfRun(NamedTuple):
    """An event that names its run, with the scope of its source."""

    scope: str
    run_id: str
    event: Event


class Channels:
    """Events, states, signals and rejects, from an engine to their channels.

    Args:
        engine: The engine.
        reports: Receives the exceptions of subscribers.
        results: Receives each signal before the subscribers, also without any: it keeps track of current facts.
        on_rewire: Called when the engine's callbacks may have changed: the engine reads them once a batch.
    """

    def __init__(
        self, engine: Engine, reports: ErrorReports, results: StreamResults, on_rewire: Callable[[], None] = no_op
    ) -> None:
        self.events: Channel[Event] = Channel("events", reports=reports, on_change=self.rewire)
        self.runs: Channel[RunState] = Channel(
            "runs",
            reports=reports,
            on_change=self.rewire,
            replay=self._current_states,
            is_complete=self._is_complete,
        )
        self.signals: Channel[Signal] = Channel(
            "signals", reports=reports, on_change=self.rewire, is_complete=self._is_complete
        )
        self.rejects: Channel[Reject] = Channel("rejects", reports=reports, on_change=self.rewire)
        self.run_events: Channel[EventOfRun] = Channel(
            "run_events", reports=reports, on_change=self.rewire, is_complete=self._is_complete
        )
        self.all: tuple[Channel[Any], ...] = (self.events, self.runs, self.signals, self.rejects, self.run_events)
        self._completion = RunCompletion(engine, (self.runs, self.signals, self.run_events))
        self._engine = engine
        self._results = results
        self._on_rewire = on_rewire
        self._awaits_progress = False
        self._observe = results.observe
        self._push = self.signals.push
        engine.on_signal = self._on_signal
        engine.registry.on_evict = self._on_evict
        engine.progress = False

    def rewire(self) -> None:
        """Set the callbacks for which there are subscribers, so that the engine builds no other values."""
        engine = self._engine
        engine.on_event = self.events.direct if len(self.events) else None
        if len(self.run_events):
            engine.on_event = self._on_event
        engine.on_state = self.runs.direct if len(self.runs) else None
        self._push = self.signals.direct
        engine.on_reject = self.rejects.push if len(self.rejects) else None
        self._awaits_progress = self._results.progress
        engine.progress = self._awaits_progress or self.signals.progress
        if engine.progress and not self._awaits_progress:
            engine.on_progress = self.signals.direct_progress  # `_on_signal` does no more for progress
        self._on_rewire()

    def complete(self) -> None:
        """End all channels."""
        self._completion.stop()
        for channel in self.all:
            channel.complete()

    def error(self, error: Exception) -> None:
        """End all channels with an error."""
        self._completion.stop()
        for channel in self.all:
            channel.error(error)

    def _on_signal(self, signal: Signal) -> None:
        progress = type(signal) in PROGRESS
        if self._awaits_progress or not progress:
            self._observe(signal)
        self._push(signal)
        if not progress:
            self._completion.observe(signal)

    def _on_event(self, event: Event) -> None:
        if len(self.events):
            self.events.push(event)
        run_id = event.run_id
        if run_id is None and isinstance(event, RunEvent):
            run_id = event.data.id
        elif run_id is None and isinstance(event, MessageEvent | StepEvent):
            run_id = event.data.run_id
        if run_id is not None:
            self.run_events.push(EventOfRun(self._engine.event_scope, run_id, event))

    def _on_evict(self, scope: str, run_id: str) -> None:
        self._completion.evict(scope, run_id)
        self._results.forget(scope, run_id)

    def _current_states(self, run: RunKey | None) -> Iterable[RunState]:
        if run is None:
            return self._engine.states()
        state = self._engine.state(run[1], run[0])
        return () if state is None else (state,)

    def _is_complete(self, run: RunKey) -> bool:
        return self._completion.is_complete(run)
