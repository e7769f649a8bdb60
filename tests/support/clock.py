"""Virtual time for what takes a clock and a sleep."""

from __future__ import annotations

import asyncio

__all__ = ["VirtualClock"]


class VirtualClock:
    """A clock that only its own sleeping moves.

    Attributes:
        now: Its time (seconds).
        slept: How long each sleep was (seconds).
    """

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let the time pass, and others have a turn."""
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)
