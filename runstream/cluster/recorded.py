"""A recording as a source that another ingest continues, by the number of items."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from runstream.model.raw import ConnectionEvent
from runstream.model.raw_input import RawInput, raw_item
from runstream.sources.base import Receiver

__all__ = ["RecordedItems"]


class RecordedItems:
    """Plays the items of a recording from where the last ingest of this source was.

    Args:
        items: Raw events, and facts beside the stream.
        name: The source's name.
        delay: Seconds between two items.
        dialect: The name of its dialect; ``None`` to find it.
    """

    def __init__(
        self, items: Sequence[RawInput], name: str = "recording", *, delay: float = 0.0, dialect: str | None = None
    ) -> None:
        self.name = name
        self.dialect = dialect
        self._items = items
        self._delay = delay

    async def run(self, receiver: Receiver) -> None:
        """Feed what is left of the recording."""
        skip: int = getattr(receiver, "taken", 0)  # only the receiver of an ingest counts over its restarts
        receiver.connected()
        begun = False
        for each in self._items:
            item = raw_item(each)
            if isinstance(item, ConnectionEvent):
                if skip:
                    continue
                if not item.connected:
                    receiver.disconnected(item.reason, item.attempt, item.server_message)
                elif begun:
                    receiver.connected(item.attempt)
                continue
            if skip:
                skip -= 1
                continue
            begun = True
            receiver.feed(item)
            if self._delay:
                await asyncio.sleep(self._delay)
            await receiver.ready()
