"""One channel of values in, many observers out, each guarded from the others.

No ``Subject``: one lets a raising observer reach the pusher, and takes a lock for every value.
"""

from __future__ import annotations

import inspect
from collections import deque
from collections.abc import Callable, Iterable
from time import monotonic
from typing import Any, Final, Generic, Literal, TypeAlias, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from runstream.stream.failures import GUARDED, Failures

__all__ = ["Hub", "OnSubscriberError", "Subscriber"]

T = TypeVar("T")
OnSubscriberError: TypeAlias = Literal["log", "raise"]

SLOW_SECONDS: Final = 1.0
"""A synchronous subscriber that blocks the loop longer than this is logged."""


def _nothing(*_: Any) -> None:
    pass


class Subscriber(Generic[T]):
    """One observer of a hub.

    Attributes:
        name: What to call it in a log.
        active: Whether it still gets values; ``False`` takes effect within the dispatch that goes on.
        progress: Whether it wants every growth of a text too.
    """

    __slots__ = ("active", "name", "on_completed", "on_error", "on_next", "progress")

    def __init__(
        self,
        on_next: Callable[[T], object],
        on_completed: Callable[[], object] = _nothing,
        on_error: Callable[[Exception], object] = _nothing,
        *,
        name: str = "",
        progress: bool = True,
    ) -> None:
        self.on_next = on_next
        self.on_completed = on_completed
        self.on_error = on_error
        self.name = name or name_of(on_next)
        self.progress = progress
        self.active = True


class _End:
    """The end of the channel, in its turn among the values that were pushed before it."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error


class _HubObservable(Observable[T]):
    """The Rx door, which refuses coroutine functions: Rx would call them and await nothing."""

    def subscribe(self, on_next: Any = None, on_error: Any = None, on_completed: Any = None, **kw: Any) -> Any:
        for callback in (on_next, getattr(on_next, "on_next", None), on_error, on_completed):
            if inspect.iscoroutinefunction(callback):
                raise TypeError("an Observable can't await: subscribe a coroutine function by RunStream.on")
        return super().subscribe(on_next, on_error, on_completed, **kw)


class Hub(Generic[T]):
    """Guarded fan-out of one channel.

    Every observer gets every value in the order of pushing, whatever the others do: an exception is reported
    and goes no further, a value pushed from inside a callback waits for its turn. After the end nothing more
    is given; who subscribes later gets the end at once. Not thread-safe: one loop pushes and subscribes.

    Args:
        channel: The channel's name, for logs.
        on_subscriber_error: ``"log"``, or ``"raise"`` (for tests): `push` raises the first exception once
            every observer has had the value.
        failures: Where exceptions go, if several hubs share it; then its owner does the raising.
        replay: Gives the values that a new observer gets first.
        on_change: Called when the number of observers has changed.
    """

    def __init__(
        self,
        channel: str,
        *,
        on_subscriber_error: OnSubscriberError = "log",
        failures: Failures | None = None,
        replay: Callable[[], Iterable[T]] | None = None,
        on_change: Callable[[], None] | None = None,
    ) -> None:
        self.channel = channel
        self.failures = failures or Failures(on_subscriber_error)
        self.observable: Observable[T] = _HubObservable(self._subscribe)
        self._replay = replay
        self._on_change = on_change or _nothing
        self._subscribers: tuple[Subscriber[T], ...] = ()  # replaced, never changed: a snapshot by itself
        self._queue: deque[T | _End] = deque()
        self._dispatching = False
        self._closing = False
        self._end: _End | None = None

    def __len__(self) -> int:
        return len(self._subscribers)

    @property
    def progress(self) -> bool:
        """Whether any observer wants every growth of a text."""
        return any(one.progress for one in self._subscribers)

    def push(self, value: T) -> None:
        """Give a value to every observer; ignored after the end."""
        if self._dispatching or self._closing:
            if not self._closing:
                self._queue.append(value)
            return
        self._dispatching = True
        try:
            # `_deliver` in place: this is the path of every value, and a call costs as much as the rest of it.
            before = monotonic()
            for subscriber in self._subscribers:
                if subscriber.active:
                    try:
                        subscriber.on_next(value)
                    except GUARDED as error:
                        self.failures.report(self.channel, subscriber.name, value, error)
                    after = monotonic()
                    if after - before > SLOW_SECONDS:
                        self.failures.slow(self.channel, subscriber.name, value, after - before)
                    before = after
            if self._queue:
                self._drain()
        finally:
            self._dispatching = False
        if self.failures.held:
            raise self.failures.held.pop(0)

    def complete(self) -> None:
        """End the channel after what was pushed so far."""
        self._close(_End(None))

    def error(self, error: Exception) -> None:
        """End the channel with an error after what was pushed so far."""
        self._close(_End(error))

    def connect(self, subscriber: Subscriber[T]) -> Disposable:
        """Add an observer without the cost of Rx; replay and end are given as `observable` gives them.

        Returns:
            Its disposable; a disposed observer gets nothing more, at once.
        """
        nested, self._dispatching = self._dispatching, True
        try:
            if self._replay is not None:
                for value in self._replay():
                    self._give(subscriber, value)
            if self._end is not None:
                self._give_end(subscriber, self._end)
                return Disposable()
            self._subscribers = (*self._subscribers, subscriber)
            self._on_change()
            if not nested:
                self._drain()
        finally:
            self._dispatching = nested
        return Disposable(lambda: self._remove(subscriber))

    def _subscribe(self, observer: abc.ObserverBase[T], _: abc.SchedulerBase | None = None) -> abc.DisposableBase:
        name = name_of(getattr(observer, "_on_next", observer))
        return self.connect(Subscriber(observer.on_next, observer.on_completed, observer.on_error, name=name))

    def _remove(self, subscriber: Subscriber[T]) -> None:
        subscriber.active = False
        if subscriber in self._subscribers:
            self._subscribers = tuple(one for one in self._subscribers if one is not subscriber)
            self._on_change()

    def _deliver(self, value: T) -> None:
        for subscriber in self._subscribers:
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
        self._queue.append(end)
        if not self._dispatching:
            self._dispatching = True
            try:
                self._drain()
            finally:
                self._dispatching = False

    def _finish(self, end: _End) -> None:
        self._end = end
        subscribers, self._subscribers = self._subscribers, ()
        for subscriber in subscribers:
            if subscriber.active:
                self._give_end(subscriber, end)
        self._on_change()

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


def name_of(callback: object) -> str:
    """What to call a callback in a log."""
    name = getattr(callback, "__qualname__", None) or type(callback).__qualname__
    module = getattr(callback, "__module__", None)
    return f"{module}.{name}" if module else str(name)
