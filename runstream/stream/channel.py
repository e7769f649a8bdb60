"""One channel of a stream: values are pushed in, and delivered to any number of subscribers.

No ``Subject``: it passes the exception of an observer on to the caller of `push`, and takes a lock for each value.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.observer import AutoDetachObserver

from runstream.model.run import RunKey
from runstream.stream.dispatcher import dispatch
from runstream.stream.error_reports import SUBSCRIBER_ERRORS, ErrorReports
from runstream.stream.subscriber_set import Subscriber, SubscriberSet, no_op

__all__ = ["Channel", "ChannelObservable", "OnSubscriberError"]

T = TypeVar("T")
OnSubscriberError: TypeAlias = Literal["log", "raise"]


class Channel(Generic[T]):
    """Guarded delivery of values to the subscribers of one channel.

    Each subscriber receives each value in the order of the pushes, independently of the others: an exception is
    reported and not passed on, and a value that is pushed from inside a callback is queued. After the end nothing more
    is delivered; a later subscriber receives the end at once. Not thread-safe: one loop pushes and subscribes.

    Args:
        name: The channel's name, for logs.
        on_subscriber_error: ``"log"``, or ``"raise"`` (for tests): `push` raises the first exception after every
            subscriber has received the value.
        reports: Where exceptions go, if several channels share it; then its owner raises them.
        replay: Returns the values that a new subscriber receives first: those of one run, or of all runs (``None``).
        is_complete: Returns True if a run will have no further values.
        on_change: Called after the number of subscribers has changed.

    Attributes:
        push: Delivers a value to all subscribers; without effect after the end.
        push_progress: The same for the growth of a text: subscribers without `progress` may be skipped.
        direct: Does what ``push`` does, and is faster, but only until `on_change` is called the next time.
        direct_progress: The same for ``push_progress``.
    """

    def __init__(
        self,
        name: str,
        *,
        on_subscriber_error: OnSubscriberError = "log",
        reports: ErrorReports | None = None,
        replay: Callable[[RunKey | None], Iterable[T]] | None = None,
        is_complete: Callable[[RunKey], bool] = lambda run: False,
        on_change: Callable[[], None] = no_op,
    ) -> None:
        self.name = name
        self.reports = reports or ErrorReports(on_subscriber_error)
        self.observable = self._observable()
        self._replay = replay
        self._is_complete = is_complete
        self._on_change = on_change
        self._subscribers: SubscriberSet[T] = SubscriberSet()
        self._queue: deque[T | _End] = deque()
        self._draining = False
        self._closing = False
        self._end: _End | None = None
        self._recipients: object = ()  # of the dispatchers
        self._dispatcher, self._is_busy, self._set_busy = dispatch(name, self.reports, self._queue, self._drain)
        self._all = self._dispatcher()
        self._progress = self._dispatcher()
        self._queued = self._dispatcher()
        self._queued.update((), self._subscribers.matching)
        self.push: Callable[[T], None] = self._all.push
        self.push_progress: Callable[[T], None] = self._progress.push
        if self.reports.collects:
            self.push = self.push_progress = self._push_and_raise
        self.direct, self.direct_progress = self.push, self.push_progress

    def __len__(self) -> int:
        return len(self._subscribers)

    @property
    def progress(self) -> bool:
        """True if a subscriber wants the growth of texts."""
        return self._subscribers.progress > 0

    def complete(self) -> None:
        """End the channel after the values that were pushed so far."""
        self._close(_End(None))

    def error(self, error: Exception) -> None:
        """End the channel with an error after the values that were pushed so far."""
        self._close(_End(error))

    def has_subscribers_of(self, run_id: str) -> bool:
        """True if a subscriber is limited to runs of this id."""
        return run_id in self._subscribers.by_run

    def complete_run(self, run: RunKey) -> None:
        """End the subscribers of one run, after the values that were pushed so far."""
        if self.has_subscribers_of(run[1]) and not self._closing:
            self._queue.append(_End(None, run))
            self._drain()

    def subscribe(self, subscriber: Subscriber[T]) -> Disposable:
        """Add a subscriber without the cost of Rx. Replay and end are delivered as by `observable`.

        Returns:
            Its disposable; after `dispose` nothing more is delivered, not even the value in delivery.
        """
        run = None if subscriber.run_id is None or subscriber.scope is None else (subscriber.scope, subscriber.run_id)
        busy, draining = self._is_busy(), self._draining
        self._draining = True  # values that callbacks push are delivered after the replay
        try:
            if self._replay is not None:
                dispatcher = self._dispatcher()
                dispatcher.update((subscriber,), None)
                for value in self._replay(run):
                    self._set_busy(False)  # also within a delivery: the replay comes first
                    dispatcher.push(value)
            self._set_busy(True)
            if self._end is not None or (run is not None and self._is_complete(run)):
                self._deliver_end(subscriber, self._end or _End(None))
            else:
                self._subscribers.add(subscriber)
                self._update_dispatchers()
        finally:
            self._set_busy(busy)
            self._draining = draining
        self._drain()
        return Disposable(lambda: self._remove(subscriber))

    def of_run(self, run: RunKey) -> Observable[T]:
        """The values of one run. The Observable completes when the run will have no further values."""
        return self._observable(*run)

    def _observable(self, scope: str | None = None, run_id: str | None = None) -> Observable[T]:
        def subscribe(observer: abc.ObserverBase[T], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            return self.subscribe(_subscriber_of(observer, scope, run_id))

        return ChannelObservable(subscribe)

    def _remove(self, subscriber: Subscriber[T]) -> None:
        subscriber.deactivate()
        if self._subscribers.remove(subscriber):
            self._update_dispatchers()

    def _update_dispatchers(self) -> None:
        subscribers = self._subscribers
        # With subscribers of single runs, these are looked up for each value: they may be many, and change often.
        recipients = subscribers.by_run or subscribers.unfiltered
        if recipients is not self._recipients and not self._closing:
            self._recipients = recipients
            select = subscribers.matching if subscribers.by_run else None
            self._deliver_to(subscribers.unfiltered, select)
        self._on_change()

    def _deliver_to(
        self, recipients: tuple[Subscriber[T], ...], select: Callable[[T], tuple[Subscriber[T], ...]] | None
    ) -> None:
        """Set the subscribers of all further values."""
        direct = self._all.update(recipients, select)
        progress = self._progress.update(tuple(one for one in recipients if one.progress), select)
        if not self.reports.collects:
            self.direct, self.direct_progress = direct, progress

    def _push_and_raise(self, value: T) -> None:
        self._all.push(value)
        if self.reports.pending and not self._is_busy():
            raise self.reports.pending.pop(0)

    def _drain(self) -> None:
        """Deliver the queued values and ends, unless a caller further up the stack does so."""
        if self._is_busy() or self._draining:
            return
        self._draining = True
        try:
            while self._queue:
                item = self._queue.popleft()
                if isinstance(item, _End):
                    self._finish(item)
                else:
                    self._queued.push(item)
        finally:
            self._draining = False

    def _close(self, end: _End) -> None:
        if not self._closing:
            self._closing = True
            self._deliver_to((), None)
            self._on_change()  # the engine must not keep `push`
            self._queue.append(end)
            self._drain()

    def _finish(self, end: _End) -> None:
        if end.run is None:
            self._end = end
            removed = self._subscribers.remove_all()
        else:
            removed = self._subscribers.remove_run(*end.run)
        self._set_busy(True)
        try:
            for subscriber in removed:
                if subscriber.active:
                    self._deliver_end(subscriber, end)
        finally:
            self._set_busy(False)
        self._update_dispatchers()

    def _deliver_end(self, subscriber: Subscriber[T], end: _End) -> None:
        subscriber.deactivate()
        try:
            if end.error is None:
                subscriber.on_completed()
            else:
                subscriber.on_error(end.error)
        except SUBSCRIBER_ERRORS as error:
            # Rx raises the error itself where an observer has no `on_error`: that is no failure of the subscriber.
            if error is not end.error:
                self.reports.report(self.name, subscriber.name, None, error)


class _End:
    """The end of the channel or of one run, queued behind the values that were pushed before it."""

    def __init__(self, error: Exception | None, run: RunKey | None = None) -> None:
        self.error = error
        self.run = run


class ChannelObservable(Observable[T]):
    """An Observable that refuses coroutine functions: Rx would call them and never await the coroutine."""

    def subscribe(self, on_next: Any = None, on_error: Any = None, on_completed: Any = None, **kw: Any) -> Any:
        for callback in (on_next, getattr(on_next, "on_next", None), on_error, on_completed):
            if inspect.iscoroutinefunction(callback):
                raise TypeError("an Observable can't await: subscribe a coroutine function by RunStream.on")
        return super().subscribe(on_next, on_error, on_completed, **kw)


def _subscriber_of(observer: abc.ObserverBase[T], scope: str | None, run_id: str | None) -> Subscriber[T]:
    """The subscriber for an Rx observer.

    Rx wraps each callback into an observer of its own, which for a value only checks that it is not disposed. The
    channel checks that too, so it calls the wrapped callback. The end goes through the wrapper.
    """
    on_next = observer.on_next
    if type(observer) is AutoDetachObserver:
        on_next = getattr(observer, "_on_next", on_next)  # a private name of Rx, which another release may change
    return Subscriber(on_next, observer.on_completed, observer.on_error, scope=scope, run_id=run_id)
