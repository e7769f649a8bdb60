"""`conflate`: emits the latest value of each run at a bounded rate."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

import reactivex as rx
from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, SerialDisposable

from runstream.rx.filters import FilterOperator

__all__ = ["conflate"]

T = TypeVar("T")

_TICK: Final = 2e-6  # seconds; schedulers count microseconds, and rounding must not make a timer early every time


def _run_key(item: Any) -> Hashable:
    return item.scope, item.run_id


def conflate(
    seconds: float, scheduler: abc.SchedulerBase, *, key: Callable[[Any], Hashable] | None = None
) -> FilterOperator:
    """Emit for each run (or other key) the first value at once, then the latest, at most one per ``seconds``.

    For a screen, a browser or a database. A state supersedes the one before, so only intermediate states are lost.
    The last state of a run is always emitted, at most ``seconds`` after it arrived; when the source completes it is
    emitted before the completion. Signals are facts: conflated, all except the last would be lost.

    ::

        scheduler = AsyncIOScheduler(asyncio.get_running_loop())
        stream.runs.pipe(conflate(0.1, scheduler)).subscribe(draw)

    Args:
        seconds: The minimum time between two values of one key.
        scheduler: The scheduler of the timers. It must call back in the thread or loop in which values are pushed, as
            the scheduler of an event loop, of a user interface or of virtual time does; there is no lock.
        key: Returns the key of a value; by default that of its run.

    Raises:
        ValueError: ``seconds`` is not positive.
    """
    if not seconds > 0:
        raise ValueError("seconds must be more than 0")

    def lift(source: Observable[T]) -> Observable[T]:
        def subscribe(observer: abc.ObserverBase[T], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            conflation = _Conflation(observer, seconds, scheduler, key or _run_key)
            subscription = source.subscribe(conflation.on_next, conflation.on_error, conflation.on_completed)
            return CompositeDisposable(subscription, conflation.timer)

        return rx.create(subscribe)

    return lift


class _Conflation(Generic[T]):
    """One subscription.

    After each value its key is paused, for the same time for all keys. Pauses therefore end in the order in which
    they started, and one queue and one timer suffice.
    """

    def __init__(
        self,
        observer: abc.ObserverBase[T],
        seconds: float,
        scheduler: abc.SchedulerBase,
        key: Callable[[T], Hashable],
    ) -> None:
        self.timer = SerialDisposable()
        self._observer = observer
        self._seconds = seconds
        self._scheduler = scheduler
        self._key = key
        self._paused_until: OrderedDict[Hashable, float] = OrderedDict()  # seconds of the scheduler
        self._latest: OrderedDict[Hashable, T] = OrderedDict()  # of paused keys; the longest waiting first
        self._timer_is_set = False

    def on_next(self, value: T) -> None:
        try:
            key = self._key(value)
        except Exception as error:
            self.on_error(error)
            return
        if key in self._paused_until:
            self._latest[key] = value
            return
        self._start_pause(key)
        self._observer.on_next(value)

    def on_error(self, error: Exception) -> None:
        self._observer.on_error(error)

    def on_completed(self) -> None:
        while self._latest:
            self._observer.on_next(self._latest.popitem(last=False)[1])
        self._observer.on_completed()

    def _now(self) -> float:
        return self._scheduler.to_seconds(self._scheduler.now)

    def _start_pause(self, key: Hashable) -> None:
        self._paused_until[key] = self._now() + self._seconds
        if not self._timer_is_set:
            self._set_timer()

    def _set_timer(self) -> None:
        until = next(iter(self._paused_until.values()))
        self._timer_is_set = True
        self.timer.disposable = self._scheduler.schedule_relative(max(until - self._now(), 0.0), self._wake)

    def _wake(self, *_: Any) -> None:
        self._timer_is_set = False
        now = self._now()
        due = []
        for key, until in self._paused_until.items():
            if until > now + _TICK:
                break
            due.append(key)
        values = []
        for key in due:
            del self._paused_until[key]
            if key in self._latest:
                values.append(self._latest.pop(key))
                self._paused_until[key] = now + self._seconds
        if self._paused_until:
            self._set_timer()
        for value in values:
            self._observer.on_next(value)
