"""What the tests of the page share: a stream that is fed by hand, and a client that applies what it gets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import structs

from runstream import RunState, RunStream, fold
from runstream.model.raw import RawEvent
from runstream.sinks.page.diff import apply
from runstream.sinks.page.feed import PageFeed
from runstream.sinks.page.snapshot import MAX_BLOCKS
from runstream.testing import script
from tests.support.receiver import eventually

__all__ = ["Fed", "fed", "plain", "said", "shown", "states_of"]


class Fed:
    """A stream that is fed by hand."""

    def __init__(self, **options: Any) -> None:
        self._queue: asyncio.Queue[RawEvent | None] = asyncio.Queue()
        self._given = 0
        self.stream = RunStream(self._items(), **options)

    async def _items(self) -> AsyncIterator[RawEvent]:
        while (item := await self._queue.get()) is not None:
            yield item

    async def feed(self, items: Iterable[RawEvent]) -> None:
        """Feed some, and wait until the stream has taken them in."""
        self.stream.start()
        for item in items:
            self._queue.put_nowait(item)
            self._given += 1
        await eventually(self._taken, 20)

    def _taken(self) -> bool:
        stats = self.stream.stats
        return stats.events + stats.rejected >= self._given

    async def end(self) -> None:
        """End the source."""
        self._queue.put_nowait(None)
        self.stream.start()


@asynccontextmanager
async def fed(**options: Any) -> AsyncIterator[Fed]:
    """A stream that is fed by hand, closed at the end."""
    made = Fed(**options)
    async with made.stream:
        yield made


def said(run_id: str, *pieces: str, end: str | None = "completed", **fields: Any) -> list[RawEvent]:
    """The events of a run that says something."""
    told = script(run_id, **fields).start()
    if pieces:
        told.say("".join(pieces), pieces=pieces)
    if end is not None:
        told.end(end)
    return told.raw_events()


def states_of(items: Iterable[RawEvent]) -> list[RunState]:
    """Every state of a run on its way."""
    items = list(items)
    found: list[RunState] = []
    for count in range(1, len(items) + 1):
        runs = fold(items[:count]).runs
        if runs and (not found or found[-1] != runs[0]):
            found.append(runs[0])
    return found


def plain(feed: PageFeed) -> dict[str, Any]:
    """What a feed shows now, in the form of a page."""
    runs = {}
    for entry in sorted(feed._snapshot.since(0), key=lambda entry: entry.number):
        content = entry.content()
        assert len(content.blocks) <= MAX_BLOCKS
        blocks = {
            block.id: {"facts": block.facts, "text": block.text, "skipped": block.skipped} for block in content.blocks
        }
        runs[entry.number] = {"facts": content.facts, "blocks": blocks}
    log = [structs.asdict(entry) for entry in feed._snapshot.entries(0)]
    return {"feed": feed._snapshot.feed, "page": dict(feed._snapshot.page()), "log": log, "runs": runs}


def shown(frames: Iterable[str | bytes | dict[str, Any]]) -> dict[str, Any]:
    """The page after these frames."""
    page: dict[str, Any] = {}
    for frame in frames:
        page = apply(page, frame if isinstance(frame, dict) else msgspec.json.decode(frame))
    return page
