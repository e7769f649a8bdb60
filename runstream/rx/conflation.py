"""`conflate`: the latest of each run at a bounded rate."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any, Final, Generic, TypeVar

import reactivex as rx
from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, SerialDisposable

from runstream.rx.filters import Dropping

__all__ = ["conflate"]

T = TypeVar("T")

_TICK: Final = 2e-6  # seconds; schedulers count microseconds, and rounding must not make a timer early for ever


def _run(item: Any) -> Hashable:
    return item.scope, item.run_id


def conflate(seconds: float, scheduler: abc.SchedulerBase, *, key: Callable[[Any], Hashable] | None = None) -> Dropping:
    """Of each run (or other key), the first value passes at once, then the latest, at most one in ``seconds``.

    What a screen, a browser or a database is given: a state supersedes the one before, so that nothing is lost but
    what nobody would have seen. The last state of a run always comes, at the latest ``seconds`` after it was; at the
    end of the source it comes first, then the end. Signals are facts: conflated, all but the last would be lost.

    ::

        scheduler = AsyncIOScheduler(asyncio.get_running_loop())
        stream.runs.pipe(conflate(0.1, scheduler)).subscribe(draw)

    Args:
        seconds: The least time between two values of one key.
        scheduler: What it waits on. It must call back where values are pushed, as the scheduler of an event loop
            does, a user interface's, and one of virtual time; there is no lock.
        key: What a value is the latest of; by default its run.

    Raises:
        ValueError: ``seconds`` is not positive.
    """
    if not seconds > 0:
        raise ValueError("seconds must be more than 0")

    def lift(source: Observable[T]) -> Observable[T]:
        def subscribe(observer: abc.ObserverBase[T], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            conflation = _Conflation(observer, seconds, scheduler, key or _run)
            subscription = source.subscribe(conflation.take, conflation.fail, conflation.finish)
            return CompositeDisposable(subscription, conflation.timer)

        return rx.create(subscribe)

    return lift


class _Conflation(Generic[T]):
    """One subscription. Keys rest after each value for the same time, so they wake in the order in which they went
    to rest: a queue and one timer serve them all.
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
        self._resting: OrderedDict[Hashable, float] = OrderedDict()  # until when (seconds of the scheduler)
        self._latest: OrderedDict[Hashable, T] = OrderedDict()  # of keys that rest; the one that waits longest first
        self._set = False

    def take(self, value: T) -> None:
        try:
            key = self._key(value)
        except Exception as error:
            self.fail(error)
            return
        if key in self._resting:
            self._latest[key] = value
            return
        self._rest(key)
        self._observer.on_next(value)

    def fail(self, error: Exception) -> None:
        self._observer.on_error(error)

    def finish(self) -> None:
        while self._latest:
            self._observer.on_next(self._latest.popitem(last=False)[1])
        self._observer.on_completed()

    def _now(self) -> float:
        return self._scheduler.to_seconds(self._scheduler.now)

    def _rest(self, key: Hashable) -> None:
        self._resting[key] = self._now() + self._seconds
        if not self._set:
            self._set_timer()

    def _set_timer(self) -> None:
        until = next(iter(self._resting.values()))
        self._set = True
        self.timer.disposable = self._scheduler.schedule_relative(max(until - self._now(), 0.0), self._wake)

    def _wake(self, *_: Any) -> None:
        self._set = False
        now = self._now()
        due = []
        for key, until in self._resting.items():
            if until > now + _TICK:
                break
            due.append(key)
        values = []
        for key in due:
            del self._resting[key]
            if key in self._latest:
                values.append(self._latest.pop(key))
                self._resting[key] = now + self._seconds
        if self._resting:
            self._set_timer()
        for value in values:
            self._observer.on_next(value)
