"""One channel of values in, many observers out, each guarded from the others.

No ``Subject``: one lets a raising observer reach the pusher, and takes a lock for every value.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, Generic, Literal, NamedTuple, TypeAlias, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.observer import AutoDetachObserver

from runstream.stream.error_reports import GUARDED, SLOW_SECONDS, ErrorReports
from runstream.stream.subscriber_set import Audience, Subscriber

__all__ = ["Channel", "HubObservable", "OnSubscriberError", "RunKey", "Way", "subscriber_of", "way_to"]

T = TypeVar("T")
OnSubscriberError: TypeAlias = Literal["log", "raise"]
RunKey: TypeAlias = tuple[str, str]  # scope, run id


def _nothing(*_: Any) -> None:
    pass


def _nobody(_: RunKey) -> bool:
    return False


class _End:
    """The end of the channel, or of one run, in its turn among the values that were pushed before it."""

    def __init__(self, error: Exception | None, run: RunKey | None = None) -> None:
        self.error = error
        self.run = run


class Channel(Generic[T]):
    """Guarded fan-out of one channel.

    Every observer gets every value in the order of pushing, whatever the others do: an exception is reported
    and goes no further, a value pushed from inside a callback waits for its turn. After the end nothing more
    is given; who subscribes later gets the end at once. Not thread-safe: one loop pushes and subscribes.

    Args:
        channel: The channel's name, for logs.
        on_subscriber_error: ``"log"``, or ``"raise"`` (for tests): `push` raises the first exception once
            every observer has had the value.
        failures: Where exceptions go, if several hubs share it; then its owner does the raising.
        replay: Gives the values that a new observer gets first: those of one run, or (``None``) of all.
        over: Tells whether nothing more is to come of a run.
        on_change: Called when the number of observers has changed.

    Attributes:
        push: Gives a value to every observer; ignored after the end. It is another one after each ``on_change``,
            the shortest for whoever listens then; one that was kept still does what the newest does.
        push_progress: Likewise, for the growth of a text: those who do not want it need not be given it.
    """

    def __init__(
        self,
        channel: str,
        *,
        on_subscriber_error: OnSubscriberError = "log",
        failures: ErrorReports | None = None,
        replay: Callable[[RunKey | None], Iterable[T]] | None = None,
        over: Callable[[RunKey], bool] = _nobody,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self.channel = channel
        self.failures = failures or ErrorReports(on_subscriber_error)
        self.observable = self._observable()
        self._replay = replay
        self._over = over
        self._on_change = on_change or _nothing
        self._audience: Audience[T] = Audience()
        self._queue: deque[T | _End] = deque()
        self._dispatching = False
        self._closing = False
        self._end: _End | None = None
        self.push: Callable[[T], None] = self._push
        self.push_progress: Callable[[T], None] = self._push
        self._ways: list[Way] = []
        self._audible: object = None  # whom the ways lead to

    def __len__(self) -> int:
        return len(self._audience)

    @property
    def progress(self) -> bool:
        """Whether any observer wants every growth of a text."""
        return self._audience.progress > 0

    def complete(self) -> None:
        """End the channel after what was pushed so far."""
        self._close(_End(None))

    def listens(self, run_id: str) -> bool:
        """Whether somebody listens to a run of this id alone."""
        return run_id in self._audience.by_run

    def complete_run(self, run: RunKey) -> None:
        """End the observers of one run, after what was pushed so far."""
        if self.listens(run[1]) and not self._closing:
            self._queue.append(_End(None, run))
            self._settle()

    def error(self, error: Exception) -> None:
        """End the channel with an error after what was pushed so far."""
        self._close(_End(error))

    def connect(self, subscriber: Subscriber[T]) -> Disposable:
        """Add an observer without the cost of Rx; replay and end are given as `observable` gives them.

        Returns:
            Its disposable; a disposed observer gets nothing more, at once.
        """
        run = None if subscriber.run_id is None or subscriber.scope is None else (subscriber.scope, subscriber.run_id)
        nested, self._dispatching = self._dispatching, True
        try:
            if self._replay is not None:
                for value in self._replay(run):
                    self._give(subscriber, value)
            if self._end is not None or (run is not None and self._over(run)):
                self._give_end(subscriber, self._end or _End(None))
            else:
                self._audience.add(subscriber)
                self._changed()
            if not nested:
                self._drain()
        finally:
            self._dispatching = nested
        return Disposable(lambda: self._remove(subscriber))

    def of_run(self, run: RunKey) -> Observable[T]:
        """The values of one run; it completes when nothing more is to come of the run."""
        return self._observable(*run)

    def _observable(self, scope: str | None = None, run_id: str | None = None) -> Observable[T]:
        def subscribe(observer: abc.ObserverBase[T], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
            return self.connect(subscriber_of(observer, scope, run_id))

        return HubObservable(subscribe)

    def _remove(self, subscriber: Subscriber[T]) -> None:
        subscriber.active = False
        if self._audience.remove(subscriber):
            self._changed()

    def _changed(self) -> None:
        audience = self._audience
        everybody = audience.everybody
        # Those of single runs are looked up for each value: as long as there are any, they may come and go.
        audible = audience.by_run or everybody
        if audible is not self._audible:
            self._audible = audible
            self._retire()
            self.push = self.push_progress = self._way_to(everybody)
            if audience.progress < len(audience):
                self.push_progress = self._way_to(tuple(one for one in everybody if one.progress))
        self._on_change()

    def _way_to(self, subscribers: tuple[Subscriber[T], ...]) -> Callable[[T], None]:
        if self.failures.holds or not (subscribers or self._audience.by_run):
            return self._push
        way = way_to(self, subscribers, SLOW_SECONDS)
        self._ways.append(way)
        return way.push

    def _retire(self) -> None:
        while self._ways:
            self._ways.pop().retire()

    def _push(self, value: T) -> None:
        """`push`, whoever listens."""
        if self._dispatching or self._closing:
            if not self._closing:
                self._queue.append(value)
            return
        self._dispatching = True
        try:
            self._deliver(value)
            if self._queue:
                self._drain()
        finally:
            self._dispatching = False
        if self.failures.held:
            raise self.failures.held.pop(0)

    def _deliver(self, value: T) -> None:
        for subscriber in self._audience.of(value):
            if subscriber.active:
                self._give(subscriber, value)

    def _give(self, subscriber: Subscriber[T], value: T) -> None:
        before = monotonic()
        try:
            subscriber.on_next(value)
        except GUARDED as error:
            self.failures.report(self.channel, subscriber.name, value, error)
        seconds = monotonic() - before
        if seconds > SLOW_SECONDS:
            self.failures.slow(self.channel, subscriber.name, value, seconds)

    def _drain(self) -> None:
        while self._queue:
            item = self._queue.popleft()
            if isinstance(item, _End):
                self._finish(item)
            else:
                self._deliver(item)

    def _close(self, end: _End) -> None:
        if self._closing:
            return
        self._closing = True
        self._retire()
        self._queue.append(end)
        self._settle()

    def _settle(self) -> None:
        if not self._dispatching:
            self._dispatching = True
            try:
                self._drain()
            finally:
                self._dispatching = False

    def _finish(self, end: _End) -> None:
        if end.run is None:
            self._end = end
            gone = self._audience.take_all()
        else:
            gone = self._audience.take_run(*end.run)
        for subscriber in gone:
            if subscriber.active:
                self._give_end(subscriber, end)
        self._changed()

    def _give_end(self, subscriber: Subscriber[T], end: _End) -> None:
        subscriber.active = False
        try:
            if end.error is None:
                subscriber.on_completed()
            else:
                subscriber.on_error(end.error)
        except GUARDED as error:
            # Rx raises the error itself where an observer has no `on_error`: that is no failure of its own.
            if error is not end.error:
                self.failures.report(self.channel, subscriber.name, None, error)


class HubObservable(Observable[T]):
    """An Observable that refuses coroutine functions: Rx would call them and await nothing."""

    def subscribe(self, on_next: Any = None, on_error: Any = None, on_completed: Any = None, **kw: Any) -> Any:
        for callback in (on_next, getattr(on_next, "on_next", None), on_error, on_completed):
            if inspect.iscoroutinefunction(callback):
                raise TypeError("an Observable can't await: subscribe a coroutine function by RunStream.on")
        return super().subscribe(on_next, on_error, on_completed, **kw)


def subscriber_of(observer: abc.ObserverBase[T], scope: str | None = None, run_id: str | None = None) -> Subscriber[T]:
    """What a hub calls for an observer, of one run if it is given.

    Rx wraps whatever is subscribed into an observer of its own. For a value it does nothing but look whether it was
    disposed, which the hub does by itself; so the hub calls what is inside. The end goes the whole way.
    """
    take = observer.on_next
    if type(observer) is AutoDetachObserver:
        take = getattr(observer, "_on_next", take)  # Rx's own name for it, which another release may change
    return Subscriber(take, observer.on_completed, observer.on_error, scope=scope, run_id=run_id)


class Way(NamedTuple):
    """A way that can be closed.

    Attributes:
        push: Gives a value.
        retire: Called when others listen: whoever has kept `push` then does as by the newest, since the value comes up
            meanwhile.
    """

    push: Callable[..., None]
    retire: Callable[[], None]


def way_to(hub: Channel[T], subscribers: tuple[Subscriber[T], ...], limit: float) -> Way:
    """The way to these subscribers, whatever the value, and to those of its run, if there are any of single runs.

    Args:
        hub: The hub.
        subscribers: Who gets it, in order.
        limit: Seconds from which on a subscriber is slow.
    """
    if hub._audience.by_run:
        return _to_some(hub, (), hub._audience.of, limit)
    return _to_one(hub, subscribers[0], limit) if len(subscribers) == 1 else _to_some(hub, subscribers, None, limit)


def _to_one(hub: Channel[T], subscriber: Subscriber[T], limit: float) -> Way:
    channel, failures, queue, take = hub.channel, hub.failures, hub._queue, subscriber.on_next

    def push(value: T) -> None:
        if hub._dispatching:
            hub._push(value)
            return
        hub._dispatching = True
        before = monotonic()
        try:
            take(value)
        except GUARDED as error:
            failures.report(channel, subscriber.name, value, error)
        finally:
            hub._dispatching = False
        seconds = monotonic() - before
        if seconds > limit:
            failures.slow(channel, subscriber.name, value, seconds)
        if queue:
            hub._settle()

    def retire() -> None:
        nonlocal take
        take = queue.append

    return Way(push, retire)


def _to_some(
    hub: Channel[T],
    subscribers: tuple[Subscriber[T], ...],
    of: Callable[[T], tuple[Subscriber[T], ...]] | None,
    limit: float,
) -> Way:
    channel, failures, queue = hub.channel, hub.failures, hub._queue

    def push(value: T) -> None:
        if hub._dispatching:
            hub._push(value)
            return
        hub._dispatching = True
        before = monotonic()
        try:
            for subscriber in subscribers if of is None else of(value):
                if subscriber.active:
                    try:
                        subscriber.on_next(value)
                    except GUARDED as error:
                        failures.report(channel, subscriber.name, value, error)
                    after = monotonic()
                    if after - before > limit:
                        failures.slow(channel, subscriber.name, value, after - before)
                    before = after
        finally:
            hub._dispatching = False
        if queue:
            hub._settle()

    def retire() -> None:
        nonlocal subscribers
        subscribers = (Subscriber(queue.append),)

    return Way(push, retire)
