"""Notices that the event loop stood still: then nothing was read, and no ping was answered."""

from __future__ import annotations

import asyncio
from typing import Final

from runstream.logs import LOG

__all__ = ["LoopMonitor"]


STALL_SECONDS: Final = 1.0
"""A loop that comes later than this to what is due is logged."""


class LoopMonitor:
    """Asks to be called back twice within the threshold, and looks how late that happens.

    Whoever blocked the loop is not known: a slow subscriber is logged by its name besides (``slow_subscriber``);
    asyncio's debug mode names any other callback.

    Args:
        threshold: Lateness that is logged (seconds).

    Attributes:
        count: How many times it was later.
    """

    def __init__(self, threshold: float = STALL_SECONDS) -> None:
        self.count = 0
        self._threshold = threshold
        self._every = threshold / 2
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch the running loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._arm(self._loop)

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + self._every
        self._timer = loop.call_at(due, self._tick, loop, due)

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        late = loop.time() - due
        if late > self._threshold:
            self.count += 1
            LOG.warning("loop_stalled", seconds=round(late, 3))
        self._arm(loop)
