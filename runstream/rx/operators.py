"""The core as RxPY operators: one operator for each stage, and `pipeline` for all of them in one pass.

All are cold: every subscription has its own state. None uses threads or waits. ``clock`` returns the time of raw events
that have none (``time.time`` by default). Bad input never becomes ``on_error``: it goes to ``on_reject``, or is counted
and dropped without a callback.
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
from reactivex.observer import AutoDetachObserver

from runstream.core.dedupe import Deduper, Sighting
from runstream.core.derive import derive
from runstream.core.state import RunState
from runstream.dialects.base import BaseDialect, Dialect
from runstream.dialects.registry import DEFAULT_DIALECT, DialectLike, ResolvedFactory, find_dialect
from runstream.engine.engine import Engine
from runstream.engine.watchdogs import Watchdogs, WatchdogTimer, check_watchdogs
from runstream.model.events import Event, Reject
from runstream.model.limits import Limits, check_limits
from runstream.model.raw import ConnectionEvent, RawEvent, RawItem
from runstream.model.raw_input import RawInput, raw_item
from runstream.model.signals import Signal

__all__ = ["Change", "decoded", "deduped", "derived", "pipeline", "reduced", "states"]

T = TypeVar("T")
U = TypeVar("U")
Operator = Callable[[Observable[T]], Observable[U]]


class Change(Struct, frozen=True, gc=False):
    """One change of the state of a run: the output of :func:`reduced` and the input of :func:`derived`.

    Attributes:
        before: The state before the change, ``None`` if the run was not seen before.
        after: The state after the change.
        at: Time of observation (Unix seconds).
    """

    before: RunState | None
    after: RunState
    at: float


class _Stage:
    """The work of an operator in one subscription: receive items and emit results."""

    def on_item(self, item: Any) -> None:
        """Process one item."""
        raise NotImplementedError

    def on_end(self) -> None:
        """Process the completion of the source."""

    def on_dispose(self) -> None:
        """Release resources; called at the end of the subscription, for any cause."""


def _operator(make: Callable[[Callable[[Any], None]], _Stage], *, direct: bool = False) -> Operator[Any, Any]:
    """An operator with a new stage for every subscription.

    Args:
        make: Makes a stage, from the function that emits its results.
        direct: True for a stage that emits nothing after :meth:`_Stage.on_dispose`.
    """

    def lift(source: Observable[Any]) -> Observable[Any]:
        def subscribe(
            observer: rx_abc.ObserverBase[Any], scheduler: rx_abc.SchedulerBase | None = None
        ) -> rx_abc.DisposableBase:
            stage = make(_unwrap(observer) if direct else observer.on_next)

            def completed() -> None:
                stage.on_end()
                observer.on_completed()

            subscription = source.subscribe(stage.on_item, observer.on_error, completed, scheduler=scheduler)
            return CompositeDisposable(subscription, Disposable(stage.on_dispose))

        return rx.create(subscribe)

    return lift


def _unwrap(observer: rx_abc.ObserverBase[Any]) -> Callable[[Any], None]:
    """The callback of an observer.

    Rx wraps it into an observer of its own, which for a value only checks that it is not disposed. Without that check a
    value costs one call less.
    """
    if type(observer) is not AutoDetachObserver:
        return observer.on_next
    on_next: Callable[[Any], None] = getattr(observer, "_on_next", observer.on_next)  # a private name of Rx
    return on_next


class _Decode(_Stage):
    """Raw events to events."""

    def __init__(self, emit: Callable[[Any], None], dialect: Dialect, on_reject: Callable[[Reject], None] | None):
        self._emit = emit
        self._dialect = dialect
        self._on_reject = on_reject
        self._connected = False

    def on_item(self, item: RawInput) -> None:
        raw = raw_item(item)
        if isinstance(raw, ConnectionEvent):
            # Counted as by a source: from the second connection on, events may be repeated.
            self._dialect.connection += raw.connected and self._connected
            self._connected = self._connected or raw.connected
        self._emit_all(self._dialect.decode(raw))

    def on_end(self) -> None:
        self._emit_all(self._dialect.end(True))

    def _emit_all(self, decoded: Any) -> None:
        for event in decoded if isinstance(decoded, list | tuple) else (decoded,):
            if isinstance(event, Reject):
                self._reject(event)
            else:
                self._emit(event)

    def _reject(self, reject: Reject) -> None:
        if self._on_reject is not None:
            self._on_reject(reject)


def decoded(
    dialect: DialectLike = DEFAULT_DIALECT, *, on_reject: Callable[[Reject], None] | None = None
) -> Operator[RawInput, Event]:
    """Decode raw events (or JSON envelopes as bytes, text or mappings) to events.

    Args:
        dialect: The dialect: the name of a registered one, or a factory, which is called for each subscription.
        on_reject: Receives input that could not be used.

    Raises:
        ValueError: The dialect is not registered.
        TypeError: The factory can't be called as a factory is.
    """
    factory = find_dialect(dialect)
    return _operator(lambda emit: _Decode(emit, factory(), on_reject))


class _Dedupe(_Stage):
    """Events to events, without duplicates."""

    def __init__(self, emit: Callable[[Any], None], window: int) -> None:
        self._emit = emit
        self._deduper = Deduper(window)

    def on_item(self, item: Event) -> None:
        if self._deduper.see(item) is not Sighting.DUPLICATE:
            self._emit(item)


def deduped(window: int = 65_536) -> Operator[Event, Event]:
    """Drop events whose id (of their envelope or block) was seen before; others pass.

    Args:
        window: Number of ids that are remembered.
    """
    return _operator(lambda emit: _Dedupe(emit, window))


class _PassThroughDialect(BaseDialect):
    """A dialect for events that are decoded already: it returns each of them unchanged."""

    def __init__(self) -> None:
        super().__init__()
        self.event: Any = None

    def decode(self, item: RawItem) -> Any:
        return self.event


_PLACEHOLDER = RawEvent()


class _Reduce(_Stage):
    """Events to changes of state."""

    def __init__(self, emit: Callable[[Any], None], limits: Limits | None, clock: Callable[[], float]) -> None:
        self._emit = emit
        self._engine = Engine(limits=limits, clock=clock)
        self._engine.on_change = self._changed
        self._dialect = _PassThroughDialect()
        self._intake = self._engine.intake("stream", dialect=self._dialect)

    def on_item(self, item: Event) -> None:
        self._dialect.event = item
        self._intake.feed(_PLACEHOLDER)

    def _changed(self, before: RunState | None, after: RunState, at: float) -> None:
        self._emit(Change(before, after, at))


def reduced(*, limits: Limits | None = None, clock: Callable[[], float] = time.time) -> Operator[Event, Change]:
    """Reduce events to changes of state, for any number of interleaved runs; an event without news emits none.

    Args:
        limits: The bounds.
        clock: Returns the time (Unix seconds).
    """
    check_limits(limits)
    return _operator(lambda emit: _Reduce(emit, limits, clock))


class _Derive(_Stage):
    """Changes of state to signals."""

    def __init__(self, emit: Callable[[Any], None], progress: bool) -> None:
        self._emit = emit
        self._progress = progress

    def on_item(self, item: Change) -> None:
        for signal in derive(item.before, item.after, item.at, progress=self._progress):
            self._emit(signal)


def derived(*, progress: bool = True) -> Operator[Change, Signal]:
    """Derive signals from changes of state.

    Args:
        progress: True to emit progress: texts, arguments and outputs as they grow.
    """
    return _operator(lambda emit: _Derive(emit, progress))


class _Pipeline(_Stage):
    """All stages in one pass; ``channel`` is the name of the engine's callback whose values are emitted."""

    def __init__(
        self,
        emit: Callable[[Any], None],
        channel: str,
        dialect: ResolvedFactory | None,
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
        self._engine, self._channel = engine, channel
        self._watcher: WatchdogTimer | None = None
        if watchdogs is not None and scheduler is not None:
            self._watcher = WatchdogTimer(engine, watchdogs, scheduler)
            self._watcher.start()
        self._intake = engine.intake("stream", dialect=dialect)
        self.on_item = self._intake.feed  # type: ignore[method-assign, assignment] # direct: called for every raw event

    def on_end(self) -> None:
        self._intake.end()

    def on_dispose(self) -> None:
        setattr(self._engine, self._channel, None)
        if self._watcher is not None:
            self._watcher.stop()


def pipeline(
    *,
    dialect: DialectLike | None = None,
    limits: Limits | None = None,
    clock: Callable[[], float] = time.time,
    progress: bool = True,
    on_reject: Callable[[Reject], None] | None = None,
    watchdogs: Watchdogs | None = None,
    scheduler: rx_abc.SchedulerBase | None = None,
) -> Operator[RawInput, Signal]:
    """Raw events to signals: decode, dedupe, reduce and derive in one pass.

    When the source completes, the runs that are still open emit ``run.paused`` or ``run.interrupted`` first.

    Args:
        dialect: The dialect: the name of a registered one (``"auto"`` by default), or a factory, which is
            called for each subscription.
        limits: The bounds.
        clock: Returns the time (Unix seconds), for raw events without one.
        progress: True to emit progress: texts, arguments and outputs as they grow.
        on_reject: Receives input that could not be used.
        watchdogs: Limits after which a run counts as stalled. It then emits ``run.stalled``, and ``run.interrupted``
            if the watchdog ends it.
        scheduler: The scheduler of the watchdogs. It must call back in the thread or loop in which raw events are
            pushed, as the scheduler of an event loop or of virtual time does; the pipeline has no lock.

    Raises:
        ValueError: The dialect is not registered.
        TypeError: There are watchdogs but no scheduler, or the factory can't be called as a factory is.
    """
    check_limits(limits)
    check_watchdogs(watchdogs)
    if watchdogs is not None and scheduler is None:
        raise TypeError("watchdogs need a scheduler, such as AsyncIOScheduler(asyncio.get_running_loop())")
    factory = find_dialect(dialect) if dialect is not None else None
    return _operator(
        lambda emit: _Pipeline(emit, "on_signal", factory, limits, clock, progress, on_reject, watchdogs, scheduler),
        direct=True,
    )


def states(
    *,
    dialect: DialectLike | None = None,
    limits: Limits | None = None,
    clock: Callable[[], float] = time.time,
    on_reject: Callable[[Reject], None] | None = None,
) -> Operator[RawInput, RunState]:
    """Raw events to the latest state of each run, after each change.

    Args:
        dialect: As for :func:`pipeline`.
        limits: As for :func:`pipeline`.
        clock: Returns the time in Unix seconds.
        on_reject: Receives input that can't be used.
    """
    check_limits(limits)
    factory = find_dialect(dialect) if dialect is not None else None
    return _operator(lambda emit: _Pipeline(emit, "on_state", factory, limits, clock, False, on_reject), direct=True)
