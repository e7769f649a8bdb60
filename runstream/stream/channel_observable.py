"""The Rx door of a hub."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from reactivex import Observable, abc
from reactivex.observer import AutoDetachObserver

from runstream.stream.subscriber_set import Subscriber

__all__ = ["HubObservable", "subscriber_of"]

T = TypeVar("T")


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
