"""The core as RxPY operators: each stage stands alone, `pipeline` is all of them in one pass.

All are cold: every subscription has a state of its own. None touches threads, and time only by a scheduler that is
given. Bad input never becomes ``on_error``; it goes to ``on_reject``, or is counted and dropped where nobody listens.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import reactivex as rx
from msgspec import Struct
from reactivex import Observable
from reactivex import abc as rx_abc
from reactivex.disposable import CompositeDisposable, Disposable

from runstream.core.dedupe import Deduper, Sighting
from runstream.core.derive import derive
from runstream.core.state import RunState
from runstream.dialects.assistants import AssistantsDialect
from runstream.dialects.base import Dialect
from runstream.engine.engine import Engine
from runstream.engine.watchdogs import Watchdogs, WatchdogTimer
from runstream.model.events import Event, Reject
from runstream.model.limits import Limits
from runstream.model.raw import ConnectionEvent, RawEvent
from runstream.model.raw_input import RawInput, raw_item
from runstream.model.signals import Signal

__all__ = ["Change", "decoded", "deduped", "derived", "pipeline", "reduced", "states"]

T = TypeVar("T")
U = TypeVar("U")
Operator = Callable[[Observable[T]], Observable[U]]


class Change(Struct, frozen=True, gc=False):
    """One change of a run's state: what :func:`reduced` gives and :func:`derived` takes.

    Attributes:
        before: The state before, ``None`` at first sight of the run.
        after: The state after.
        at: When it was observed (Unix seconds).
    """

    before: RunState | None
    after: RunState
    at: float


class _Stage:
    """What an operator does in one subscription: take an item, pass results on; then finish."""

    def take(self, item: Any) -> None:
        """Take one item."""
        raise NotImplementedError

    def finish(self) -> None:
        """The source completed."""

    def stop(self) -> None:
        """The subscription is over, in whatever way."""


def _operator(make: Callable[[Callable[[Any], None]], _Stage]) -> Operator[Any, Any]:
    """An operator whose state is made anew for every subscription."""

    def lift(source: Observable[Any]) -> Observable[Any]:
        def subscribe(
            observer: rx_abc.ObserverBase[Any], scheduler: rx_abc.SchedulerBase | None = None
        ) -> rx_abc.DisposableBase:
            stage = make(observer.on_next)

            def completed() -> None:
                stage.finish()
                observer.on_completed()

            subscription = source.subscribe(stage.take, observer.on_error, completed, scheduler=scheduler)
            return CompositeDisposable(subscription, Disposable(stage.stop))

        return rx.create(subscribe)

    return lift


class _Decode(_Stage):
    def __init__(self, emit: Callable[[Any], None], dialect: Dialect, on_reject: Callable[[Reject], None] | None):
        self._emit = emit
        self._dialect = dialect
        self._on_reject = on_reject
        self._connected = False

    def take(self, item: RawInput) -> None:
        raw = raw_item(item)
        if isinstance(raw, ConnectionEvent):
            # As a source's own connections: from the second on, what is told may be told again.
            self._dialect.connection += raw.connected and self._connected
            self._connected = self._connected or raw.connected
            return
        if not isinstance(raw, RawEvent):
            self._reject(Reject(RawEvent(line=raw.line), raw.reason))
            return
        for event in self._dialect.feed(raw):
            if isinstance(event, Reject):
                self._reject(event)
            else:
                self._emit(event)

    def _reject(self, reject: Reject) -> None:
        if self._on_reject is not None:
            self._on_reject(reject)


def decoded(
    dialect: Callable[[], Dialect] = AssistantsDialect, *, on_reject: Callable[[Reject], None] | None = None
) -> Operator[RawInput, Event]:
    """Raw events (or JSON envelopes as bytes, text or mappings) become events.

    Args:
        dialect: Makes the decoder of a subscription.
        on_reject: Takes input that could not be used.
    """
    return _operator(lambda emit: _Decode(emit, dialect(), on_reject))


class _Dedupe(_Stage):
    def __init__(self, emit: Callable[[Any], None], window: int) -> None:
        self._emit = emit
        self._deduper = Deduper(window)

    def take(self, item: Event) -> None:
        if self._deduper.see(item) is not Sighting.DUPLICATE:
            self._emit(item)


def deduped(window: int = 65_536) -> Operator[Event, Event]:
    """Events that were seen before, by the id of their envelope or block, are dropped; others pass.

    Args:
        window: How many ids are remembered.
    """
    return _operator(lambda emit: _Dedupe(emit, window))


class _Pre:
    """A dialect whose raw events were decoded before: it gives each event as it is."""

    connection = 0

    def __init__(self) -> None:
        self.event: Any = None

    def feed(self, raw: RawEvent) -> tuple[Any, ...]:
        return (self.event,)


_NOTHING = RawEvent()


class _Reduce(_Stage):
    def __init__(self, emit: Callable[[Any], None], limits: Limits | None, clock: Callable[[], float]) -> None:
        self._emit = emit
        self._engine = Engine(limits=limits, clock=clock)
        self._engine.on_change = self._changed
        self._dialect = _Pre()
        self._intake = self._engine.intake("stream", dialect=self._dialect)

    def take(self, item: Event) -> None:
        self._dialect.event = item
        self._intake.feed(_NOTHING)

    def _changed(self, before: RunState | None, after: RunState, at: float) -> None:
        self._emit(Change(before, after, at))


def reduced(*, limits: Limits | None = None, clock: Callable[[], float] = time.time) -> Operator[Event, Change]:
    """Events become changes of state, of any number of interleaved runs; what says nothing new gives none.

    Args:
        limits: The bounds.
        clock: Gives the time in Unix seconds.
    """
    return _operator(lambda emit: _Reduce(emit, limits, clock))


class _Derive(_Stage):
    def __init__(self, emit: Callable[[Any], None], progress: bool) -> None:
        self._emit = emit
        self._progress = progress

    def take(self, item: Change) -> None:
        for signal in derive(item.before, item.after, item.at, progress=self._progress):
            self._emit(signal)


def derived(*, progress: bool = True) -> Operator[Change, Signal]:
    """Changes of state become signals.

    Args:
        progress: Whether to give ``message.text`` and ``tool_call.arguments``.
    """
    return _operator(lambda emit: _Derive(emit, progress))


class _Whole(_Stage):
    """All stages in one pass; ``channel`` says which callback of the engine is passed on."""

    def __init__(
        self,
        emit: Callable[[Any], None],
        channel: str,
        dialect: Callable[[], Dialect] | None,
        limits: Limits | None,
        clock: Callable[[], float],
        progress: bool,
        on_reject: Callable[[Reject], None] | None,
        watchdogs: Watchdogs | None = None,
        scheduler: rx_abc.SchedulerBase | None = None,
    ) -> None:
        engine = Engine(limits=limits, clock=clock, progress=progress)
        setattr(engine, channel, emit)
        engine.on_reject = on_reject
        self._watcher: WatchdogTimer | None = None
        if watchdogs is not None and scheduler is not None:
            self._watcher = WatchdogTimer(engine, watchdogs, scheduler)
            self._watcher.start()
        self._intake = engine.intake("stream", dialect=dialect() if dialect is not None else None)
        self.take = self._intake.feed  # type: ignore[method-assign, assignment] # at once: it is called for every raw event

    def finish(self) -> None:
        self._intake.end()

    def stop(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()


def pipeline(
    *,
    dialect: Callable[[], Dialect] | None = None,
    limits: Limits | None = None,
    clock: Callable[[], float] = time.time,
    progress: bool = True,
    on_reject: Callable[[Reject], None] | None = None,
    watchdogs: Watchdogs | None = None,
    scheduler: rx_abc.SchedulerBase | None = None,
) -> Operator[RawInput, Signal]:
    """Raw events become signals: decode, dedupe, reduce and derive in one pass.

    When the source completes, runs that it left open get ``run.paused`` or ``run.interrupted`` first.

    Args:
        dialect: Makes the decoder of a subscription; the Assistants wire by default.
        limits: The bounds.
        clock: Gives the time in Unix seconds, for raw events without one.
        progress: Whether to give ``message.text`` and ``tool_call.arguments``.
        on_reject: Takes input that could not be used.
        watchdogs: Which runs count as stalled: each gets ``run.stalled``, and ``run.interrupted`` if it is ended so.
        scheduler: What the watchdogs run on. It must call back where raw events are pushed, as the scheduler of an
            event loop does, and one of virtual time; the pipeline has no lock.

    Raises:
        TypeError: Watchdogs without a scheduler.
    """
    if watchdogs is not None and scheduler is None:
        raise TypeError("watchdogs need a scheduler, such as AsyncIOScheduler(asyncio.get_running_loop())")
    return _operator(
        lambda emit: _Whole(emit, "on_signal", dialect, limits, clock, progress, on_reject, watchdogs, scheduler)
    )


def states(
    *,
    dialect: Callable[[], Dialect] | None = None,
    limits: Limits | None = None,
    clock: Callable[[], float] = time.time,
    on_reject: Callable[[Reject], None] | None = None,
) -> Operator[RawInput, RunState]:
    """Raw events become the latest state of each run, after each change; arguments as of :func:`pipeline`."""
    return _operator(lambda emit: _Whole(emit, "on_state", dialect, limits, clock, False, on_reject))
