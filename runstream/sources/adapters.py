"""Whatever gives raw events in, a :class:`~runstream.sources.base.Source` out."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import AsyncIterable, Iterable, Mapping
from typing import Any, TypeAlias

from reactivex import abc

from runstream.model.raw import ConnectionEvent, RawEvent, RawItem
from runstream.model.raw_input import RawInput, raw_item
from runstream.sources.base import Receiver, Source

__all__ = [
    "Adaptable",
    "AsyncIterableSource",
    "Delivery",
    "IterableSource",
    "ObservableSource",
    "adapt",
]

Adaptable: TypeAlias = Source | Iterable[RawInput] | AsyncIterable[RawInput] | abc.ObservableBase[Any]

MAX_QUEUED = 10_000
"""Items from other threads that wait for the loop, before a pushing thread has to wait."""


def adapt(source: Adaptable, name: str | None = None) -> Source:
    """A source from whatever gives raw events.

    Args:
        source: A source (returned as it is), or an async iterable, Observable or iterable of raw events, JSON
            envelopes as bytes or text (each a whole message), or mappings.
        name: The name of the made source; by default what it was made from.

    Raises:
        TypeError: It gives no raw events, or is a single one.
    """
    if isinstance(source, abc.ObservableBase):
        return ObservableSource(source, name or "observable")
    if isinstance(source, Source):
        return source
    if isinstance(source, AsyncIterable):
        return AsyncIterableSource(source, name or "async iterable")
    if isinstance(source, str | bytes | bytearray | memoryview | Mapping | RawEvent):
        raise TypeError(f"a single {type(source).__name__} is no source: give an iterable of raw events")
    if isinstance(source, Iterable):
        return IterableSource(source, name or "iterable")
    raise TypeError(f"{type(source).__name__} is no source: it can be neither run, iterated nor subscribed")


class Delivery:
    """Gives items to a receiver, those too that tell of connections: a recording holds them.

    It says at once that the source is connected; a recording that begins with saying so is not heard twice.
    """

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._fresh = True
        receiver.connected()

    def feed(self, item: RawItem) -> None:
        """Give one item."""
        fresh, self._fresh = self._fresh, False
        if type(item) is not ConnectionEvent:
            self._receiver.feed(item)
        elif not item.connected:
            self._receiver.disconnected(item.reason, item.attempt)
        elif not fresh:
            self._receiver.connected(item.attempt)


class IterableSource:
    """Reads an iterable, as fast as it gives. What its iterator blocks blocks the loop: use an async iterable
    for anything that waits.

    Args:
        items: Raw events, JSON envelopes as bytes or text, or mappings. A generator is closed at the end.
        name: The source's name.
    """

    def __init__(self, items: Iterable[RawInput], name: str = "iterable") -> None:
        self.name = name
        self._items = items

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until there is no more."""
        delivery = Delivery(receiver)
        iterator = iter(self._items)
        try:
            for item in iterator:
                delivery.feed(raw_item(item))
                await receiver.ready()
        finally:
            if inspect.isgenerator(iterator):
                iterator.close()


class AsyncIterableSource:
    """Reads an async iterable; an async generator is closed at the end and on cancellation.

    Args:
        items: Raw events, JSON envelopes as bytes or text, or mappings.
        name: The source's name.
    """

    def __init__(self, items: AsyncIterable[RawInput], name: str = "async iterable") -> None:
        self.name = name
        self._items = items

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until there is no more."""
        delivery = Delivery(receiver)
        iterator = aiter(self._items)
        try:
            async for item in iterator:
                delivery.feed(raw_item(item))
                await receiver.ready()
        finally:
            if inspect.isasyncgen(iterator):
                await iterator.aclose()


class ObservableSource:
    """Subscribes to an Observable when reading starts, and disposes the subscription at the end.

    Rx has no back-pressure. What is pushed on the loop's own thread goes in at once, so that a synchronous
    subscriber slows the pusher. What other threads push waits for the loop, and a thread that is far ahead waits.

    Args:
        observable: Gives raw events, JSON envelopes as bytes or text, or mappings.
        name: The source's name.
    """

    def __init__(self, observable: abc.ObservableBase[Any], name: str = "observable") -> None:
        self.name = name
        self._observable = observable

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until the Observable ends.

        Raises:
            Exception: The Observable's own error.
        """
        crossing = _Crossing(receiver)
        subscription = self._observable.subscribe(crossing.next, crossing.failed, crossing.completed)
        try:
            await crossing.run()
        finally:
            crossing.close()
            subscription.dispose()


class _Crossing:
    """Takes what an Observable pushes over to the loop, from whatever thread."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._delivery = Delivery(receiver)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._queue: deque[object] = deque()
        self._room = threading.Condition()
        self._wake = asyncio.Event()
        self._ended = False
        self._closed = False
        self._error: Exception | None = None

    def next(self, item: object) -> None:
        here = threading.get_ident() == self._thread
        with self._room:
            if self._closed:
                return
            if not here:
                self._room.wait_for(lambda: len(self._queue) < MAX_QUEUED or self._closed)
            if not here or self._queue:
                self._queue.append(item)
                self._call()
                return
        self._delivery.feed(raw_item(item))

    def failed(self, error: Exception) -> None:
        self._error = error
        self.completed()

    def completed(self) -> None:
        with self._room:
            self._ended = True
            self._call()

    def close(self) -> None:
        with self._room:
            self._closed = True
            self._room.notify_all()

    async def run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._queue:
                with self._room:
                    item = self._queue.popleft()
                    self._room.notify()
                self._delivery.feed(raw_item(item))
                await self._receiver.ready()
            if self._ended and not self._queue:
                if self._error is not None:
                    raise self._error
                return

    def _call(self) -> None:
        if self._closed:
            return
        if threading.get_ident() == self._thread:
            self._wake.set()
        else:
            self._loop.call_soon_threadsafe(self._wake.set)
