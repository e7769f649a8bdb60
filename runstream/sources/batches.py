"""Many events at once into an inlet, and no more of them at a time than a consumer can be behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runstream.sources.base import Inlet, RawItem

__all__ = ["feed_batches"]

_BATCH: Final = 64
"""Events between two looks at whether more is welcome: so many may a bounded buffer go beyond its size, and so long is
the loop kept. One piece of a body, inflated above all, may hold thousands."""


async def feed_batches(inlet: Inlet, items: Sequence[RawItem]) -> None:
    """Feed all items, and return when more input is welcome."""
    feed, ready = inlet.feed, inlet.ready
    for start in range(0, len(items), _BATCH):
        for item in items[start : start + _BATCH]:
            feed(item)
        await ready()
