"""The delivery of values to the subscribers of a channel: the one loop that every value passes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Generic, NamedTuple, TypeVar

from runstream.stream.error_reports import SLOW_SECONDS, SUBSCRIBER_ERRORS, ErrorReports
from runstream.stream.subscriber_set import Subscriber

__all__ = ["Dispatch", "Dispatcher", "dispatch"]

T = TypeVar("T")


class Dispatcher(NamedTuple, Generic[T]):
    """Delivers values to some subscribers of a channel.

    Attributes:
        push: Delivers a value now, or queues it while another one is delivered.
        update: Sets the subscribers of all further values, or a function that returns the subscribers of a value.
    """

    push: Callable[[T], None]
    update: Callable[[tuple[Subscriber[T], ...], Callable[[T], tuple[Subscriber[T], ...]] | None], None]


class Dispatch(NamedTuple, Generic[T]):
    """The dispatchers of a channel, and the flag that they share.

    Attributes:
        dispatcher: Makes a dispatcher, without subscribers.
        is_busy: Returns True while a value is delivered.
        set_busy: Sets that flag: a busy dispatcher queues its values.
    """

    dispatcher: Callable[[], Dispatcher[T]]
    is_busy: Callable[[], bool]
    set_busy: Callable[[bool], None]


def dispatch(name: str, reports: ErrorReports, queue: deque[Any], drain: Callable[[], None]) -> Dispatch[T]:
    """The dispatchers of one channel.

    Args:
        name: The channel's name, for logs.
        reports: Receives the exceptions of subscribers, and subscribers that block the loop.
        queue: Stores the values that are pushed while another one is delivered.
        drain: Called after a delivery if the queue is not empty.
    """
    # Every value passes here. The variables of closures are faster than the attributes of an object.
    limit = SLOW_SECONDS
    busy = False

    def is_busy() -> bool:
        return busy

    def set_busy(value: bool) -> None:
        nonlocal busy
        busy = value

    def dispatcher() -> Dispatcher[T]:
        recipients: tuple[Subscriber[T], ...] = ()
        select: Callable[[T], tuple[Subscriber[T], ...]] | None = None
        on_next: Callable[[T], object] | None = None  # of the only recipient: a fifth faster than the loop

        def push(value: T) -> None:
            nonlocal busy
            if busy:
                queue.append(value)
                return
            busy = True
            current = recipients
            started = monotonic()
            try:
                if on_next is not None:
                    try:
                        on_next(value)
                    except SUBSCRIBER_ERRORS as error:
                        reports.report(name, current[0].name, value, error)
                    if monotonic() - started > limit:
                        reports.report_slow(name, current[0].name, value, monotonic() - started)
                else:
                    for subscriber in current if select is None else select(value):
                        try:
                            subscriber.on_next(value)
                        except SUBSCRIBER_ERRORS as error:
                            reports.report(name, subscriber.name, value, error)
                        ended = monotonic()
                        if ended - started > limit:
                            reports.report_slow(name, subscriber.name, value, ended - started)
                        started = ended
            finally:
                busy = False
            if queue:
                drain()

        def update(to: tuple[Subscriber[T], ...], selected_by: Callable[[T], tuple[Subscriber[T], ...]] | None) -> None:
            nonlocal recipients, select, on_next
            recipients, select = to, selected_by
            on_next = to[0].on_next if len(to) == 1 and selected_by is None else None

        return Dispatcher(push, update)

    return Dispatch(dispatcher, is_busy, set_busy)
