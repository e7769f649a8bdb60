"""The way from a source into the engine: one call after another, and held while a consumer is behind."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from runstream.intake import Intake
from runstream.sources.base import RawItem
from runstream.stream.buffers import Gate

__all__ = ["SourceInlet", "Turns"]

_BREATH: Final = 16  # every so many batches the loop gets a turn, however fast a source is


class Turns:
    """Runs calls into the engine one after another, those made from inside a callback too."""

    __slots__ = ("busy", "queue")

    def __init__(self) -> None:
        self.busy = False
        self.queue: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()

    def run(self, call: Callable[..., None], *args: Any) -> None:
        """Make the call now, or in its turn if one is going on."""
        self.queue.append((call, args))
        if not self.busy:
            self.drain()

    def drain(self) -> None:
        """Make the calls that wait."""
        self.busy = True
        try:
            while self.queue:
                call, args = self.queue.popleft()
                call(*args)
        finally:
            self.busy = False


class SourceInlet:
    """The :class:`~runstream.sources.base.Inlet` that the stream gives to one source."""

    def __init__(self, intake: Intake, turns: Turns, gate: Gate) -> None:
        self.fed = False
        self.closed = False
        self._intake = intake
        self._feed = intake.feed
        self._turns = turns
        self._gate = gate
        self._batches = 0

    def feed(self, item: RawItem) -> None:
        """Take one raw event through the whole pipeline."""
        if self.closed:
            return  # a source that goes on after its end
        self.fed = True
        turns = self._turns
        if turns.busy:
            turns.run(self._feed, item)
            return
        turns.busy = True
        try:
            self._feed(item)
        finally:
            turns.busy = False
            if turns.queue:
                turns.drain()

    async def ready(self) -> None:
        """Return when more input is welcome."""
        self._batches += 1
        if self._batches % _BREATH == 0:
            await asyncio.sleep(0)
        if not self._gate.open:
            await self._gate.wait()

    def connected(self, attempt: int = 0) -> None:
        """Say that the source is connected."""
        self._turns.run(self._intake.connected, attempt)

    def disconnected(self, reason: str, attempt: int = 0) -> None:
        """Say that the connection was lost and will be tried again."""
        self._turns.run(self._intake.disconnected, reason, attempt)

    @property
    def live(self) -> bool:
        """Whether a run of this source is neither ended nor waiting for action."""
        return self._intake.live

    @property
    def last_id(self) -> str | None:
        """The last event id that came in, of an earlier process too."""
        return self._intake.resume_from()
