"""The way from a source into the engine: one call after another, and held while a consumer is behind."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Final

from runstream.engine import Engine
from runstream.intake import Intake
from runstream.sources.base import RawItem
from runstream.stream.buffers import Gate

__all__ = ["SourceInlet", "Turns"]

_SPAN: Final = 256  # events fed at a stretch until the loop gets a turn; they take one or two milliseconds
_ASKED: Final = 16  # what counts as much: of a source that feeds one by one nobody knows what else it does


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

    def __init__(self, engine: Engine, intake: Intake, turns: Turns, gate: Gate) -> None:
        self.fed = False
        self.closed = False
        self._engine = engine
        self._intake = intake
        self._feed = intake.feed
        self._feed_all = intake.feed_all
        self._turns = turns
        self._gate = gate
        self._full = gate.full
        self._span = 0

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

    async def feed_all(self, items: Iterable[RawItem]) -> None:
        """Take many raw events through the whole pipeline; return when more input is welcome."""
        turns, rest = self._turns, iter(items)
        for item in rest:
            if turns.busy or self.closed:
                self.feed(item)
                continue
            self.fed = True
            turns.busy = True
            try:
                self._feed_all(self._at_a_stretch(item, rest))
            finally:
                turns.busy = False
                if turns.queue:
                    turns.drain()
            if self._span >= _SPAN or self._full:
                await self._welcome()

    async def ready(self) -> None:
        """Return when more input is welcome."""
        self._span += _ASKED
        if self._span >= _SPAN or self._full:
            await self._welcome()

    def breathe(self) -> None:
        """Have the loop get its turn before the next event: something ends there, this source maybe."""
        self._span = _SPAN

    def _at_a_stretch(self, first: RawItem, rest: Iterator[RawItem]) -> Iterator[RawItem]:
        """Items, until something has to be seen to before the next one: a call that waits for its turn, a consumer
        that is behind, the loop's turn, or a change of who listens to events, which says how the engine reads them.
        """
        engine, queue, full = self._engine, self._turns.queue, self._full
        on_event = engine.on_event
        for item in chain((first,), rest):
            yield item
            self._span += 1
            if self._span >= _SPAN or queue or full or engine.on_event is not on_event:
                return

    async def _welcome(self) -> None:
        if self._span >= _SPAN:
            self._span = 0
            await asyncio.sleep(0)
        if self._full:
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
