"""Adapters: an iterable, async iterable or Observable of raw events becomes a
:class:`~runstream.sources.base.Source`.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections import deque
from collections.abc import AsyncIterable, Iterable
from typing import Any, TypeAlias

from reactivex import abc

from runstream.model.raw import ConnectionEvent, RawItem
from runstream.model.raw_input import RawInput, check_items, raw_item
from runstream.model.validation import check_seconds
from runstream.sources.base import Receiver, Source
from runstream.sources.grace import GRACE, GraceTimer

__all__ = [
    "Adaptable",
    "AsyncIterableSource",
    "ItemFeeder",
    "IterableSource",
    "ObservableSource",
    "adapt",
]

Adaptable: TypeAlias = Source | Iterable[RawInput] | AsyncIterable[RawInput] | abc.ObservableBase[Any]

MAX_QUEUED = 10_000
"""Items from other threads that may be queued for the loop; beyond it, a pushing thread blocks."""


def adapt(source: Adaptable, name: str | None = None) -> Source:
    """Make a source of any producer of raw events.

    Args:
        source: A source (returned as it is), or an async iterable, Observable or iterable of raw events, JSON
            envelopes as bytes or text (each a whole message), or mappings.
        name: The name of the new source; by default the kind of object that it was made from.

    Raises:
        TypeError: It produces no raw events, or is a single one.
    """
    if isinstance(source, abc.ObservableBase):
        return ObservableSource(source, name or "observable")
    if isinstance(source, Source):
        return source
    if isinstance(source, AsyncIterable):
        return AsyncIterableSource(source, name or "async iterable")
    check_items(source, "source", "it can be neither run, iterated nor subscribed")
    return IterableSource(source, name or "iterable")


class ItemFeeder:
    """Feeds items to a receiver; connection events, which a recording contains, become calls of ``connected`` and
    ``disconnected``.

    The source is reported as connected at once. A connection event at the beginning of a recording is therefore
    not reported a second time.
    """

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._is_first = True
        receiver.connected()

    def feed(self, item: RawItem) -> None:
        """Feed one item."""
        is_first, self._is_first = self._is_first, False
        if type(item) is not ConnectionEvent:
            self._receiver.feed(item)
        elif not item.connected:
            self._receiver.disconnected(item.reason, item.attempt, item.server_message)
        elif not is_first:
            self._receiver.connected(item.attempt)


class IterableSource:
    """Reads an iterable at its own speed. An iterator that blocks also blocks the event loop: use an async iterable
    for input that waits.

    Args:
        items: Raw events, JSON envelopes as bytes or text, or mappings. A generator is closed at the end.
        name: The source's name.
    """

    def __init__(self, items: Iterable[RawInput], name: str = "iterable") -> None:
        self.name = name
        self._items = items

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until there is no more."""
        feeder = ItemFeeder(receiver)
        iterator = iter(self._items)
        try:
            for item in iterator:
                feeder.feed(raw_item(item))
                await receiver.ready()
        finally:
            if inspect.isgenerator(iterator):
                iterator.close()


class AsyncIterableSource:
    """Reads an async iterable; an async generator is closed at the end and on cancellation.

    Args:
        items: Raw events, JSON envelopes as bytes or text, or mappings.
        name: The source's name.
        grace: After this silence (seconds) an :class:`~runstream.Idle` is delivered, if the dialect waits for it;
            ``None``: never.
    """

    def __init__(
        self, items: AsyncIterable[RawInput], name: str = "async iterable", *, grace: float | None = GRACE
    ) -> None:
        check_seconds(grace=grace)
        self.name = name
        self._items = items
        self._grace = grace

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until there is no more."""
        feeder = ItemFeeder(receiver)
        iterator = aiter(self._items)
        try:
            with GraceTimer(receiver, self._grace) as timer:
                async for item in iterator:
                    timer.stop()
                    feeder.feed(raw_item(item))
                    await receiver.ready()
                    timer.start()
        finally:
            if inspect.isasyncgen(iterator):
                await iterator.aclose()


class ObservableSource:
    """Subscribes to an Observable when reading starts, and disposes the subscription at the end.

    Rx has no back-pressure. Items pushed on the loop's own thread are processed at once, so a synchronous subscriber
    slows the producer. Items pushed by other threads are queued for the loop, and a thread that is far ahead blocks.

    Args:
        observable: Emits raw events, JSON envelopes as bytes or text, or mappings.
        name: The source's name.
        grace: After this silence (seconds) an :class:`~runstream.Idle` is delivered, if the dialect waits for it;
            ``None``: never.
    """

    def __init__(
        self, observable: abc.ObservableBase[Any], name: str = "observable", *, grace: float | None = GRACE
    ) -> None:
        check_seconds(grace=grace)
        self.name = name
        self._observable = observable
        self._grace = grace

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until the Observable ends.

        Raises:
            Exception: The Observable's own error.
        """
        bridge = _LoopBridge(receiver, self._grace)
        subscription = self._observable.subscribe(bridge.on_next, bridge.on_error, bridge.on_completed)
        try:
            with bridge.timer:
                await bridge.run()
        finally:
            bridge.close()
            subscription.dispose()


class _LoopBridge:
    """Transfers the items of an Observable from any thread to the event loop."""

    def __init__(self, receiver: Receiver, grace: float | None) -> None:
        self.timer = GraceTimer(receiver, grace)
        self._receiver = receiver
        self._feeder = ItemFeeder(receiver)
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._queue: deque[object] = deque()
        self._room = threading.Condition()
        self._wake = asyncio.Event()
        self._ended = False
        self._closed = False
        self._error: Exception | None = None

    def on_next(self, item: object) -> None:
        on_loop = threading.get_ident() == self._thread
        with self._room:
            if self._closed:
                return
            if not on_loop:
                self._room.wait_for(lambda: len(self._queue) < MAX_QUEUED or self._closed)
            if not on_loop or self._queue:
                self._queue.append(item)
                self._notify()
                return
        self._feed(item)

    def _feed(self, item: object) -> None:
        self.timer.stop()
        self._feeder.feed(raw_item(item))
        self.timer.start()

    def on_error(self, error: Exception) -> None:
        self._error = error
        self.on_completed()

    def on_completed(self) -> None:
        with self._room:
            self._ended = True
            self._notify()

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
                self._feed(item)
                await self._receiver.ready()
            if self._ended and not self._queue:
                if self._error is not None:
                    raise self._error
                return

    def _notify(self) -> None:
        if self._closed:
            return
        if threading.get_ident() == self._thread:
            self._wake.set()
        else:
            self._loop.call_soon_threadsafe(self._wake.set)
