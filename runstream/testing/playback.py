"""Events that are made one after the other, and read by any number of connections, from any place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

from runstream.testing.asgi import ConnectionCut

__all__ = ["Playback"]

E = TypeVar("E")


class Playback(Generic[E]):
    """Events that are being made.

    Args:
        events: Makes them, at its own pace.

    Attributes:
        events: Those that were made.
        cuts: The numbers of events at which the connection that reads there breaks off, each once.
        done: Set once there are no more.
    """

    def __init__(self, events: AsyncIterator[E]) -> None:
        self.events: list[E] = []
        self.cuts: set[int] = set()
        self.done = asyncio.Event()
        self._maker = events
        self._grown = asyncio.Condition()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to make the events."""
        self._task = asyncio.create_task(self._make())

    def stop(self) -> None:
        """Make no more events."""
        if self._task is not None:
            self._task.cancel()
        self._task = asyncio.create_task(self._finish())

    async def read(self, after: int = -1) -> AsyncIterator[E]:
        """The events after a number, as they are made.

        Args:
            after: The number; the first event has the number 0.

        Raises:
            ConnectionCut: The connection breaks off here.
        """
        sent = after + 1
        while True:
            async with self._grown:
                while sent >= len(self.events) and not self.done.is_set():
                    await self._grown.wait()
            if sent in self.cuts:
                self.cuts.discard(sent)
                raise ConnectionCut
            if sent >= len(self.events):
                return
            yield self.events[sent]
            sent += 1

    async def _make(self) -> None:
        async for event in self._maker:
            async with self._grown:
                self.events.append(event)
                self._grown.notify_all()
        await self._finish()

    async def _finish(self) -> None:
        self.done.set()
        async with self._grown:
            self._grown.notify_all()
