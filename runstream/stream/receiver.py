"""The path from a source into the engine: raw events enter one call after another, unless a subscriber is behind."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from time import monotonic
from typing import Any, Final

from runstream.dialects.base import Dialect
from runstream.engine.batch import Batch
from runstream.engine.intake import Intake
from runstream.model.raw import Idle, RawItem, Request, ResponseHead
from runstream.model.raw_events import RawItems
from runstream.stream.buffers import Gate
from runstream.stream.error_reports import BatchClock
from runstream.stream.run_progress import RunProgress, SeenMessages

__all__ = ["FeedQueue", "SourceReceiver"]

_BESIDE: Final = (Request, ResponseHead, Idle)  # items that say nothing of the runs yet
_MAX_BATCH: Final = 256  # events until the receiver yields to the loop; they take one or two milliseconds
_READY_COST: Final = 16  # events that `ready` counts as: the other work of a source that feeds one by one is unknown


class FeedQueue:
    """Makes the calls into the engine one after another, also those made from inside a callback.

    Args:
        clock: The clock of the batches of the stream.

    Attributes:
        busy: True while a call is made.
        calls: The calls that wait.
        interrupted: True if a call with many items is to end after its current item.
    """

    __slots__ = ("_batch", "_clock", "busy", "calls", "interrupted")

    def __init__(self, clock: BatchClock | None = None) -> None:
        self._clock = clock or BatchClock()
        self.busy = False
        self.interrupted = False
        self.calls: deque[tuple[Callable[..., None], tuple[Any, ...]]] = deque()
        self._batch: Batch | None = None

    def run(self, call: Callable[..., None], *args: Any) -> None:
        """Make a call now, or after the current one."""
        self.calls.append((call, args))
        if self.busy:
            self.interrupt()
        else:
            self.drain()

    def drain(self) -> None:
        """Make the calls that wait."""
        self.busy = True
        try:
            while self.calls:
                call, args = self.calls.popleft()
                call(*args)
        finally:
            self.busy = False

    def run_batch(self, call: Callable[[Iterable[Any]], None], items: Iterable[Any]) -> None:
        """Make a call with many items now.

        After `interrupt` the unprocessed items of a list are removed from the list, at no cost for each item. An
        iterator has to check `interrupted` itself.
        """
        self.busy = True
        self.interrupted = False
        if isinstance(items, list):
            items = self._batch = Batch(items)
            self._clock.last = monotonic()
        try:
            call(items)
        finally:
            self._batch = None
            self._clock.last = 0.0
            self.busy = False
            if self.calls:
                self.drain()

    def interrupt(self) -> None:
        """End the current batch after its current item.

        The cause is one of these: a call that waits, a subscriber that is behind, the loop's next iteration, or a
        change of subscribers, which changes how the engine reads events.
        """
        self.interrupted = True
        if self._batch is not None:
            self._batch.interrupt()


class SourceReceiver:
    """The :class:`~runstream.sources.base.Receiver` that the stream passes to one source.

    Args:
        intake: The source's intake of the engine.
        queue: Makes the calls of all sources one after another.
        gate: Blocks the sources while a subscriber is behind.

    Attributes:
        fed: True if the source has delivered anything but facts about its request.
        closed: True after the end of the source; further items are ignored.
    """

    def __init__(self, intake: Intake, queue: FeedQueue, gate: Gate) -> None:
        self.fed = False
        self.closed = False
        self._intake = intake
        self._progress = RunProgress(intake.state)
        self._seen: SeenMessages | None = None  # receives the messages of connections after the first one
        self._feed = intake.feed
        self._feed_all = intake.feed_all
        self._queue = queue
        self._gate = gate
        self._full = gate.full
        self._batched = 0  # events since the last yield to the loop

    def feed(self, item: RawItem) -> None:
        """Process one raw event through the whole pipeline."""
        if self.closed:
            return  # a source that feeds after its end
        if not self.fed:
            self.fed = type(item) not in _BESIDE
        if self._seen is not None:
            self._seen.add((item,))
        queue = self._queue
        if queue.busy:
            queue.run(self._feed, item)
            return
        queue.busy = True
        try:
            self._feed(item)
        finally:
            queue.busy = False
            if queue.calls:
                queue.drain()

    async def feed_all(self, items: Iterable[RawItem]) -> None:
        """Process many raw events through the whole pipeline; return when more input is welcome."""
        if isinstance(items, list | tuple | RawItems):
            await self._feed_sequence(items)
        else:
            await self._feed_iterator(iter(items))

    async def _feed_sequence(self, items: Sequence[RawItem]) -> None:
        queue, at = self._queue, 0
        while at < len(items):
            if queue.busy or self.closed:
                self.feed(items[at])
                at += 1
                continue
            self.fed = True
            batch = list(items[at : at + (1 if self._full else max(1, _MAX_BATCH - self._batched))])
            queue.run_batch(self._feed_all, batch)
            if self._seen is not None:
                self._seen.add(batch)
            at += len(batch)
            self._batched += len(batch)
            if self._batched >= _MAX_BATCH or self._full:
                await self._wait_until_ready()

    async def _feed_iterator(self, items: Iterator[RawItem]) -> None:
        queue = self._queue
        for item in items:
            if queue.busy or self.closed:
                self.feed(item)
                continue
            self.fed = True
            queue.run_batch(self._feed_all, self._batch(item, items))
            if self._batched >= _MAX_BATCH or self._full:
                await self._wait_until_ready()

    async def ready(self) -> None:
        """Return when more input is welcome."""
        self._batched += _READY_COST
        if self._batched >= _MAX_BATCH or self._full:
            await self._wait_until_ready()

    def yield_to_loop(self) -> None:
        """Let the loop run before the next event: it may end a subscription or this source."""
        self._batched = _MAX_BATCH
        self._queue.interrupt()

    def _batch(self, first: RawItem, rest: Iterator[RawItem]) -> Iterator[RawItem]:
        """The items of one batch. After an interruption none is made: it would be made too early."""
        queue, full = self._queue, self._full
        for item in chain((first,), rest):
            if self._seen is not None:
                self._seen.add((item,))
            yield item
            self._batched += 1
            if queue.interrupted or full or self._batched >= _MAX_BATCH:
                return

    async def _wait_until_ready(self) -> None:
        if self._batched >= _MAX_BATCH:
            self._batched = 0
            await asyncio.sleep(0)
        if self._full:
            await self._gate.wait()

    def connected(self, attempt: int = 0) -> None:
        """Report that the source is connected.

        Args:
            attempt: The number of the attempt since the last message; 0 for a first connection.
        """
        self._seen = self._progress.begin()
        self._queue.run(self._intake.connected, attempt)

    def disconnected(self, reason: str, attempt: int = 0, server_message: str = "") -> None:
        """Report that the connection was lost and will be tried again."""
        self._queue.run(self._intake.disconnected, reason, attempt, server_message)

    def decoder(self) -> Dialect:
        """Return a new decoder of the source's dialect."""
        return self._intake.make_decoder()

    @property
    def expects_idle(self) -> bool:
        """True while the dialect waits for a further event or for a silence of the source."""
        return self._intake.expects_idle

    def cursor(self, run_id: str | None = None) -> str | None:
        """The place from which the dialect asks the server to go on."""
        return self._intake.cursor(run_id)

    @property
    def live(self) -> bool:
        """True if a run of this source has not ended and does not wait for action."""
        return self._intake.live

    @property
    def continues(self) -> str | None:
        """The id of the run that the source continues, as the application said."""
        return self._intake.continues

    @property
    def progress(self) -> int:
        """A number that has grown if the state of a run of this source has advanced since the last call."""
        return self._progress.count()

    @property
    def last_id(self) -> str | None:
        """The last event id that was received, also by an earlier process."""
        return self._intake.resume_from()
