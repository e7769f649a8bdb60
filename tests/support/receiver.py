"""A receiver that keeps what it is given, for tests of sources."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from runstream.dialects.base import Dialect
from runstream.dialects.registry import make_dialect
from runstream.model.raw import Answer, RawEvent, RawItem

__all__ = ["FakeReceiver", "eventually"]


async def eventually(holds: Callable[[], bool], within: float = 25.0) -> None:
    """Wait until something holds.

    Raises:
        TimeoutError: It does not, within so many seconds.
    """
    async with asyncio.timeout(within):
        while not holds():
            await asyncio.sleep(0.001)


class FakeReceiver:
    """Takes everything down: ``items``, and in ``log`` what was said of connections and in which order.

    Args:
        live: Whether a run is said to be live.
        last_id: The last event id.
        on_feed: Called with each item.
    """

    def __init__(
        self, *, live: bool = False, last_id: str | None = None, on_feed: Callable[[RawItem], None] | None = None
    ) -> None:
        self.items: list[RawItem] = []
        self.log: list[tuple[str, int]] = []
        self.reasons: list[str] = []
        self.server_messages: list[str] = []
        self.live = live
        self.last_id = last_id
        self.continues: str | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.expects_idle = False
        self.place: str | None = None
        self._on_feed = on_feed

    @property
    def data(self) -> list[bytes]:
        """The data of all events, in order."""
        return [item.data for item in self.items if isinstance(item, RawEvent | Answer)]

    @property
    def progress(self) -> int:
        """How many different items have come."""
        return len({(getattr(item, "event", None), getattr(item, "data", None)) for item in self.items})

    @property
    def connections(self) -> int:
        """How many times the source was connected."""
        return sum(what == "connected" for what, _ in self.log)

    def cursor(self, run_id: str | None = None) -> str | None:
        return self.place

    def decoder(self) -> Dialect:
        return make_dialect(None)

    def feed(self, item: RawItem) -> None:
        self.items.append(item)
        if self._on_feed is not None:
            self._on_feed(item)

    async def feed_all(self, items: Iterable[RawItem]) -> None:
        for item in items:
            self.feed(item)
            await self.ready()

    async def ready(self) -> None:
        await asyncio.sleep(0)
        await self.gate.wait()

    def connected(self, attempt: int = 0) -> None:
        self.log.append(("connected", attempt))

    def disconnected(self, reason: str, attempt: int = 0, server_message: str = "") -> None:
        self.log.append(("disconnected", attempt))
        self.reasons.append(reason)
        self.server_messages.append(server_message)

    async def until(self, count: int, within: float = 25.0) -> None:
        """Wait until so many items have come.

        Raises:
            TimeoutError: They have not, within so many seconds.
        """
        await eventually(lambda: len(self.items) >= count, within)
