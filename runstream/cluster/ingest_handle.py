"""One source of an ingest as its user sees it, and the bounds of packs."""

from __future__ import annotations

import asyncio

from msgspec import Struct

from runstream.cluster.ingest_source import IngestSource

__all__ = ["IngestHandle", "IngestOptions"]


class IngestOptions(Struct, frozen=True, kw_only=True):
    """The bounds of the packs of an ingest.

    Attributes:
        max_items: Number of items that wait for a pack, at most: more are sent at once, and sources wait meanwhile.
        max_bytes: Size of a pack (bytes), at most but for one large item.
        max_delay: Seconds for which an item waits for further ones.
    """

    max_items: int = 4_000
    max_bytes: int = 256 * 2**10
    max_delay: float = 0.02


class IngestHandle:
    """One source of an ingest.

    Attributes:
        name: Its name.
        scope: Its scope.
        error: Why it failed; ``None`` if it did not.
        done: Set when its last item is stored, or another ingest has the source.
    """

    def __init__(self, name: str, scope: str) -> None:
        self.name = name
        self.scope = scope
        self.error: Exception | None = None
        self.done = asyncio.Event()
        self._source: IngestSource | None = None
        self._seq = 0
        self._task: asyncio.Task[None] | None = None
        self._lost = False

    def remove(self) -> None:
        """Stop the source; its place stays, and another ingest may go on."""
        if self._task is not None:
            self._task.cancel()
