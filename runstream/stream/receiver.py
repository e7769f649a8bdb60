"""The way from a source into the engine: one call after another, and held while a consumer is behind."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from operator import length_hint
from typing import Any, Final

from runstream.engine.intake import Intake
from runstream.model.raw import RawItem
from runstream.stream.buffers import Gate

__all__ = ["FeedQueue", "SourceReceiver"]

_SPAN: Final = 256  # events fed at a stretch until the loop gets a turn; they take one or two milliseconds
_ASKED: Final = 16  # what counts as much: of a source that feeds one by one nobody knows what else it does


class FeedQueue:
    """Runs calls into the engine one after another, those made from inside a callback too.

    Attributes:
        busy: Whether a call goes on.
        queue: Calls that wait for their turn.
        interrupted: Whether what takes many items is to end with the one that it is at.
    """

    __slots__ = ("_batch", "_rest", "busy", "interrupted", "queue")

    def __init__(self) -> None:
        self.busy = False
        self.interrupted = False
        self.queue: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._batch: list[Any] = []
        self._rest: Iterator[Any] = iter(())

    def run(self, call: Callable[..., None], *args: Any) -> None:
        """Make the call now, or in its turn if one is going on."""
        self.queue.append((call, args))
        if self.busy:
            self.interrupt()
        else:
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

    def take(self, call: Callable[[Iterable[Any]], None], items: Iterable[Any]) -> None:
        """Make a call that takes many items, now; of a list it leaves what it was kept from taking by `interrupt`,
        which costs nothing an item; an iterator has to look at `interrupted` itself.
        """
        self.busy = True
        self.interrupted = False
        if isinstance(items, list):
            self._batch, self._rest = items, iter(items)
            items = self._rest
        try:
            call(items)
        finally:
            self._batch = []
            self.busy = False
            if self.queue:
                self.drain()

    def interrupt(self) -> None:
        """Something has to be seen to before the next item is taken: a call that waits for its turn, a consumer that
        is behind, the loop's turn, or a change of who listens, which says how the engine reads events.
        """
        self.interrupted = True
        if self._batch:
            del self._batch[len(self._batch) - length_hint(self._rest) :]


class SourceReceiver:
    """The :class:`~runstream.sources.base.Receiver` that the stream gives to one source."""

    def __init__(self, intake: Intake, turns: FeedQueue, gate: Gate) -> None:
        self.fed = False
        self.closed = False
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
        if isinstance(items, list | tuple):
            await self._feed_at_hand(items)
        else:
            await self._feed_as_it_comes(iter(items))

    async def _feed_at_hand(self, items: Sequence[RawItem]) -> None:
        turns, at = self._turns, 0
        while at < len(items):
            if turns.busy or self.closed:
                self.feed(items[at])
                at += 1
                continue
            self.fed = True
            batch = list(items[at : at + (1 if self._full else max(1, _SPAN - self._span))])
            turns.take(self._feed_all, batch)
            at += len(batch)
            self._span += len(batch)
            if self._span >= _SPAN or self._full:
                await self._welcome()

    async def _feed_as_it_comes(self, items: Iterator[RawItem]) -> None:
        turns = self._turns
        for item in items:
            if turns.busy or self.closed:
                self.feed(item)
                continue
            self.fed = True
            turns.take(self._feed_all, self._at_a_stretch(item, items))
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
        self._turns.interrupt()

    def _at_a_stretch(self, first: RawItem, rest: Iterator[RawItem]) -> Iterator[RawItem]:
        """Items that are made as they are asked for: none is, while something is to be seen to before it is fed."""
        turns, full = self._turns, self._full
        for item in chain((first,), rest):
            yield item
            self._span += 1
            if turns.interrupted or full or self._span >= _SPAN:
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
