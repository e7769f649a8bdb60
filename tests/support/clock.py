"""Virtual time for what takes a clock and a sleep."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["VirtualClock", "virtual_time"]


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


@contextmanager
def virtual_time() -> Iterator[Callable[[], float]]:
    """In the running loop, time passes only while nobody has anything to do, and then at once.

    For what waits for nothing but the loop: no other thread, and no socket.

    Gives:
        How much has passed (seconds).
    """
    loop: Any = asyncio.get_running_loop()
    began, passed, select = loop.time(), 0.0, loop._selector.select

    def skip(timeout: float | None = None) -> Any:
        nonlocal passed
        found = select(timeout if timeout is None else 0)
        if not found and timeout:
            passed += timeout
        return found

    loop.time, loop._selector.select = lambda: began + passed, skip
    try:
        yield lambda: passed
    finally:
        del loop.time, loop._selector.select
