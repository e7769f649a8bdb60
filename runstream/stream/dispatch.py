"""The ways of a value to those who listen, written out for the usual cases.

On the path of every value each look at anything counts: these look whether the hub is free to give, and whether
something came up meanwhile, no more. As closures they need look little up. Whatever is out of the ordinary is left to
the hub.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from runstream.stream.error_reports import GUARDED
from runstream.stream.subscriber_set import Subscriber

if TYPE_CHECKING:
    from runstream.stream.channel import Channel

__all__ = ["Way", "way_to"]

T = TypeVar("T")


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
