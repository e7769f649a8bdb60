"""The receiver of one source of an ingest: items go to the source, and wait for room."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from runstream.cluster.ingest_source import IngestSource
from runstream.dialects.base import Dialect
from runstream.model.raw import RawItem

__all__ = ["IngestReceiver"]

_YIELD: Final = 256  # items until the loop may run other tasks


class IngestReceiver:
    """The receiver of one source.

    Args:
        source: The source.
        note: Called when it has items for a pack.
        count: Called with the number of raw items that were fed.
        room: Set while there is room for further items.
    """

    def __init__(
        self, source: IngestSource, note: Callable[[], None], count: Callable[[int], None], room: asyncio.Event
    ) -> None:
        self._source = source
        self._note = note
        self._count = count
        self._room = room
        self._fed = 0

    def feed(self, item: RawItem) -> None:
        self._source.feed(item)
        self._after(1)

    async def feed_all(self, items: Iterable[RawItem]) -> None:
        found = items if isinstance(items, list) else list(items)
        for at in range(0, len(found), _YIELD):
            part = found[at : at + _YIELD]
            self._source.feed_all(part)
            self._after(len(part))
            await self._ready()

    def _after(self, count: int) -> None:
        self._fed += count
        self._source.count(count)
        if self._source.writer.count:
            self._note()
        self._count(count)

    async def ready(self) -> None:
        if self._fed >= _YIELD or not self._room.is_set():
            await self._ready()

    async def _ready(self) -> None:
        self._fed = 0
        if self._room.is_set():
            await asyncio.sleep(0)
        else:
            await self._room.wait()

    def connected(self, attempt: int = 0) -> None:
        self._source.connected(attempt)
        self._after(0)

    def disconnected(self, reason: str, attempt: int = 0, server_message: str = "") -> None:
        self._source.disconnected(reason, attempt, server_message)
        self._after(0)

    def decoder(self) -> Dialect:
        return self._source.make_decoder()

    @property
    def expects_idle(self) -> bool:
        return self._source.expects_idle

    def cursor(self, run_id: str | None = None) -> str | None:
        return self._source.dialect_cursor(run_id)

    @property
    def taken(self) -> int:
        return self._source.taken

    @property
    def live(self) -> bool:
        return self._source.live

    @property
    def continues(self) -> str | None:
        return self._source.continues

    @property
    def progress(self) -> int:
        return self._source.news

    @property
    def last_id(self) -> str | None:
        return self._source.cursor
