"""Reading of a source in tests: to its end, to its failure, or in the background."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from runstream.errors import SourceFailed
from runstream.sources.base import Source
from runstream.sources.reconnect import Reconnect
from tests.support.receiver import FakeReceiver

__all__ = ["FAST", "UrlReader", "in_background"]

FAST = Reconnect(initial=0.001, maximum=0.01, jitter=0.0, max_attempts=3)


@asynccontextmanager
async def in_background(source: Source, receiver: FakeReceiver, *, within: float) -> AsyncIterator[asyncio.Task[None]]:
    """Read a source in a task; it is cancelled at the end and has to end within so many seconds."""
    task = asyncio.create_task(source.run(receiver))
    try:
        yield task
    finally:
        task.cancel()
        async with asyncio.timeout(within):
            await asyncio.wait({task})


class UrlReader:
    """Reads URLs with one kind of source.

    Args:
        make: Makes the source of a URL.
        within: Seconds in which a source has to end.
        defaults: Options of the source, unless a test sets others.
    """

    def __init__(self, make: Callable[..., Source], *, within: float, **defaults: Any) -> None:
        self._make = make
        self._within = within
        self._defaults = defaults

    def source(self, url: str, **options: Any) -> Source:
        """Make the source of a URL."""
        return self._make(url, **{**self._defaults, **options})

    async def read(
        self, url: str, receiver: FakeReceiver | None = None, *, within: float | None = None, **options: Any
    ) -> FakeReceiver:
        """Read a URL to the source's end."""
        receiver = receiver or FakeReceiver()
        async with asyncio.timeout(within or self._within):
            await self.source(url, **options).run(receiver)
        return receiver

    async def failure(self, url: str, receiver: FakeReceiver | None = None, **options: Any) -> SourceFailed:
        """Read a URL, and return how it failed."""
        with pytest.raises(SourceFailed) as caught:
            await self.read(url, receiver, **options)
        return caught.value

    def reading(
        self, url: str, receiver: FakeReceiver, **options: Any
    ) -> AbstractAsyncContextManager[asyncio.Task[None]]:
        """Read a URL in a task."""
        return in_background(self.source(url, **options), receiver, within=self._within)
