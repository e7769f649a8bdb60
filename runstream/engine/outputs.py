"""The outputs of an engine: events, states, signals and rejects through callbacks, and counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from runstream.core.derive import derive
from runstream.core.run_record import RunRecord
from runstream.core.state import RunState
from runstream.dialects.base import Dialect
from runstream.engine.unused_input import UnusedInput
from runstream.model.base import to_wire
from runstream.model.events import ActivityEvent, Event, Reject
from runstream.model.limits import Stats
from runstream.model.raw import RawEvent
from runstream.model.signals import RunInterrupted, RunPaused, RunStalled, Signal

__all__ = ["Outputs", "raw_of"]

_Push: TypeAlias = Callable[[Signal], None]


class Outputs:
    """The callbacks, the counts and the clock of one engine.

    All callbacks may be set at any time. Values that no callback takes are not built. Exceptions of callbacks pass
    through to the caller of ``feed``.

    Args:
        clock: The time in Unix seconds.
        progress: True to emit progress (texts, arguments and outputs as they grow).

    Attributes:
        event_scope: The scope of the source of the event that ``on_event`` receives.
        on_reject: Called with input that could not be used.
        on_dialect: Called with the name of a source and that of the dialect that was found for it.
        on_open: Called when a run is seen for the first time; for watchdogs.
        on_gap: Called with the state of a run that may miss something, and the reason.
        deliver: Passes a signal on to a callback, unless an earlier process has delivered it; returns True if the
            signal was delivered. ``None`` without a store.
        counts: The counts of :class:`Stats` that are kept here.
        first_reason: The reason of the first reject; "" for none.
        takes_states: True if ``on_state`` or ``on_change`` is set.
        watched: True if one of these or ``on_event`` is set.
        events: The number of events that are not in ``progress_count``.
        signals: The number of signals that are not in ``progress_count``.
        dialects: The decoders of the sources that have not ended, by their identity.
        changes: The number of calls of :meth:`note_change`.
        settle: Notes the identities and the place of the events of a loop over many events, while it runs.
        progress_count: The number of events that caused one signal of progress each. The hot path counts both as one.
    """

    def __init__(self, clock: Callable[[], float], *, progress: bool) -> None:
        self.clock = clock
        self._on_event: Callable[[Event], None] | None = None
        self.event_scope = ""
        self.on_reject: Callable[[Reject], None] | None = None
        self.on_dialect: Callable[[str, str], None] | None = None
        self.on_open: Callable[[], None] | None = None
        self.on_gap: Callable[[RunState, str], None] | None = None
        self.deliver: Callable[[Signal, _Push], bool] | None = None
        self.counts = Stats()
        self.first_reason = ""
        self.takes_states = self.watched = False
        self.events = 0
        self.signals = 0
        self.changes = 0
        self.settle: Callable[[], None] | None = None
        self.progress_count = 0
        self.dialects: dict[int, Dialect] = {}
        self._progress = progress
        self._on_signal: _Push | None = None
        self._on_progress: _Push | None = None
        self._on_state: Callable[[RunState], None] | None = None
        self._on_change: Callable[[RunState | None, RunState, float], None] | None = None
        self._stopped = False

    def end_dialect(self, dialect: Dialect) -> None:
        """Note that the source of a decoder has ended: the counts of the decoder are final."""
        if self.dialects.pop(id(dialect), None) is not None:
            self.counts.violations = self._violations_with(dialect)

    def _violations_with(self, *dialects: Dialect) -> dict[str, int]:
        """The violations in ended sources, and those that these decoders have counted."""
        found = dict(self.counts.violations)
        for dialect in dialects:
            for rule, count in getattr(dialect, "violations", {}).items():
                found[rule] = found.get(rule, 0) + count
        return found

    def note_change(self) -> None:
        """End a loop over many events after the present one; what the loop notes at its end is noted now.

        Called when a callback is set, a run loses its source, a source ends, a batch is interrupted, the store fails,
        or a callback feeds the engine.
        """
        self.changes += 1
        if self.settle is not None:
            self.settle()

    def settle_now(self) -> None:
        """Note what a loop over many events has done so far, where a callback asks in the middle of it."""
        if self.settle is not None:
            self.note_change()

    def stop_signals(self) -> None:
        """Emit no further signal, progress included: the store has failed, and no restart could know of it."""
        self._stopped = True
        self.note_change()
        self._on_signal = self._on_progress = None

    @property
    def on_signal(self) -> _Push | None:
        """Called with every signal."""
        return self._on_signal

    @on_signal.setter
    def on_signal(self, callback: _Push | None) -> None:
        if self._stopped:
            return
        self.note_change()
        self._on_signal = callback
        self._on_progress = callback if self._progress else None

    @property
    def on_progress(self) -> _Push | None:
        """Called with the signals of progress: ``on_signal``, or a callback of their own."""
        return self._on_progress

    @on_progress.setter
    def on_progress(self, callback: _Push | None) -> None:
        self.note_change()
        self._on_progress = None if self._stopped else callback

    @property
    def progress(self) -> bool:
        """True to emit progress: texts, arguments and outputs as they grow."""
        return self._progress

    @progress.setter
    def progress(self, wanted: bool) -> None:
        self.note_change()
        self._progress = wanted
        self._on_progress = self._on_signal if wanted else None

    @property
    def on_event(self) -> Callable[[Event], None] | None:
        """Called with every decoded event that is no duplicate."""
        return self._on_event

    @on_event.setter
    def on_event(self, callback: Callable[[Event], None] | None) -> None:
        self._on_event = callback
        self._note_watched()

    def _note_watched(self) -> None:
        self.note_change()
        self.takes_states = self._on_state is not None or self._on_change is not None
        self.watched = self.takes_states or self._on_event is not None

    @property
    def on_state(self) -> Callable[[RunState], None] | None:
        """Called with the latest state of a run, after each change."""
        return self._on_state

    @on_state.setter
    def on_state(self, callback: Callable[[RunState], None] | None) -> None:
        self._on_state = callback
        self._note_watched()

    @property
    def on_change(self) -> Callable[[RunState | None, RunState, float], None] | None:
        """Called with each change of a state: the state before, the state after, the time (Unix seconds)."""
        return self._on_change

    @on_change.setter
    def on_change(self, callback: Callable[[RunState | None, RunState, float], None] | None) -> None:
        self._on_change = callback
        self._note_watched()

    def publish(self, signal: Signal) -> None:
        """Emit one signal."""
        if self._on_signal is None:
            return
        if self.deliver is None:
            self.signals += 1
            self._on_signal(signal)
        elif self.deliver(signal, self._on_signal):
            self.signals += 1

    def show_event(self, event: Event, scope: str) -> None:
        """Pass an event to ``on_event``, if that is set.

        Args:
            event: The event.
            scope: The scope of its source.
        """
        if self._on_event is not None:
            self.event_scope = scope
            self._on_event(event)

    def publish_state(self, before: RunState | None, after: RunState, at: float) -> None:
        """Pass a change of a state to ``on_state`` and ``on_change``."""
        if self._on_state is not None:
            self._on_state(after)
        if self._on_change is not None:
            self._on_change(before, after, at)

    def publish_change(self, before: RunState | None, after: RunState, at: float) -> None:
        """Emit a change of a state and the signals that follow from it."""
        if self.takes_states:
            self.publish_state(before, after, at)
        if self._on_signal is None:
            return
        for signal in derive(before, after, at, progress=self._progress):
            push = self._on_signal  # the callback before may have replaced it
            if self.deliver is None and push is not None:
                self.signals += 1
                push(signal)
            else:
                self.publish(signal)

    def reject(self, reject: Reject) -> None:
        """Count and emit input that could not be used."""
        if not self.counts.rejected:
            self.first_reason = reject.reason
        self.counts.rejected += 1
        if self.on_reject is not None:
            self.on_reject(reject)

    @property
    def unused(self) -> UnusedInput:
        """The input that could not be used so far."""
        return UnusedInput(self.counts.rejected, self.counts.unknown, self.first_reason)

    def interrupt(
        self, record: RunRecord, reason: str, last_id: str | None, attempts: int, server_message: str = ""
    ) -> None:
        """Emit ``run.interrupted``: the run gets no further events from its source.

        Args:
            record: The run.
            reason: Why its source ended, or which limit of a watchdog was passed.
            last_id: The last event id of its source.
            attempts: The number of attempts to connect since the last message.
            server_message: The server's words about it.
        """
        record.interrupted += 1
        state = record.state
        common = (state.run_id, state.thread_id, state.scope, self.clock())
        self.publish(RunInterrupted(*common, state.run, reason, last_id, attempts, record.interrupted, server_message))

    def pause(self, record: RunRecord) -> None:
        """Emit ``run.paused``, once a round: the source of a run that waits for action has ended."""
        state = record.state
        common = (state.run_id, state.thread_id, state.scope, self.clock())
        if record.paused != state.round:
            record.paused = state.round
            self.publish(RunPaused(*common, state.run, state.round))

    def stall(self, record: RunRecord, idle: float, limit: str) -> None:
        """Emit ``run.stalled``: the run has passed a limit of the watchdogs.

        Args:
            record: The run.
            idle: Seconds since its last event.
            limit: The name of the limit.
        """
        record.stalled += 1
        self.counts.stalled += 1
        state = record.state
        common = (state.run_id, state.thread_id, state.scope, self.clock())
        self.publish(RunStalled(*common, state.run, idle, limit, record.stalled))


def raw_of(event: Event, raw: RawEvent | None = None, decoded: Any = ()) -> RawEvent:
    """The raw event of an event that could not be used, for its reject; it is made anew where it is not known.

    Args:
        event: The event.
        raw: The latest raw event.
        decoded: The event, or the events, that it was decoded to.
    """
    if raw is not None and any(each is event for each in (decoded if isinstance(decoded, list | tuple) else [decoded])):
        return RawEvent(event.event, raw.data, line=raw.line)
    data = event.data
    if isinstance(event, ActivityEvent):
        named = {"activity_id": event.activity_id, "kind": event.kind}
        changed = {"operations": event.operations} if event.operations is not None else {"content": data}
        data = {**named, **changed}
    payload = event.origin.payload if event.origin is not None else msgspec.json.encode(to_wire(data))
    return RawEvent(event.event, payload)
