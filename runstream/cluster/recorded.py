"""A recording as a source that another ingest continues: its place is the number of the item."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import structs

from runstream.model.raw import ConnectionEvent, RawEvent
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
        place = receiver.last_id
        at = int(place) if place is not None and place.isdecimal() else 0
        receiver.connected()
        for number, each in enumerate(self._items[at:], at + 1):
            item = raw_item(each)
            if isinstance(item, ConnectionEvent):
                if not item.connected:
                    receiver.disconnected(item.reason, item.attempt, item.server_message)
                elif number > 1:
                    receiver.connected(item.attempt)
                continue
            if isinstance(item, RawEvent):
                # An id of the event stays its identity; the place is that of the recording.
                item = structs.replace(item, last_id=str(number))
            receiver.feed(item)
            if self._delay:
                await asyncio.sleep(self._delay)
            await receiver.ready()
