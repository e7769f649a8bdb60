"""Sources in, a task for each; what they give goes into the engine, one call after another."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from runstream.core.state import RunState
from runstream.dialects.base import Dialect
from runstream.engine.engine import Engine
from runstream.engine.intake import Intake
from runstream.errors import SourceFailed
from runstream.logs import LOG
from runstream.model.validation import require_counts
from runstream.sources.base import Source
from runstream.stream.buffers import Gate
from runstream.stream.error_reports import where
from runstream.stream.receiver import FeedQueue, SourceReceiver
from runstream.stream.source_handle import SourceHandle
from runstream.stream.waiters import End, Key, key_of

__all__ = ["SourceRunner"]


_GRACE: Final = 5  # turns of the loop between the last source's end and the stream's
_NAMES: Final = 10_000  # names of sources remembered, to tell a second one of that name apart
_FAILED: Final = 1_024  # failures remembered before those of ended runs are swept out


class SourceRunner:
    """All sources of a stream.

    Args:
        engine: Where raw events go.
        gate: Holds the sources while a consumer is behind.
        dialect: Makes a decoder for each source; ``None`` for the canonical one.
        on_end: Called once, when nothing is left that could give anything.
        max_connections: How many sources are read at once; further ones wait for the end of one, in order. A source
            keeps its place while it is between two connections: a run that goes on comes before one that has not
            begun.
    """

    def __init__(
        self,
        engine: Engine,
        gate: Gate,
        dialect: Callable[[], Dialect] | None,
        on_end: Callable[[], None],
        max_connections: int = 2_048,
    ) -> None:
        require_counts(max_connections=max_connections)
        self.max_connections = max_connections
        self.turns = FeedQueue()
        gate.on_hold = self.turns.interrupt
        self.live: dict[SourceHandle, None] = {}
        self.started = False
        self.ended = False
        self._engine = engine
        self._gate = gate
        self._dialect = dialect
        self._on_end = on_end
        self.on_read: Callable[[SourceHandle], None] | None = None
        self.on_left: Callable[[SourceHandle], None] | None = None
        self._reading = 0
        self._queue: OrderedDict[SourceHandle, None] = OrderedDict()
        self._told_waiting = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._holds = 0
        self._names: OrderedDict[str, int] = OrderedDict()
        self._attached = False
        self._failed: dict[Key, SourceFailed] = {}
        self._failure: SourceFailed | None = None
        self._blank: SourceFailed | None = None

    def attach(self, source: Source, scope: str, name: str) -> SourceHandle:
        """Add a source; it is read at once if reading has started, and fewer are read than may be."""
        if self.ended or self._closed:
            raise RuntimeError("the stream has ended and takes no further source; RunStream.hold keeps it open")
        self._attached = True
        dialect = self._dialect() if self._dialect is not None else None
        intake = self._engine.intake(self._unique(name), scope=scope, dialect=dialect)
        intake.snapshots = getattr(source, "snapshots", False) is True
        handle = SourceHandle(source, intake, SourceReceiver(intake, self.turns, self._gate), self)
        self.live[handle] = None
        if self.started:
            self._read(handle)
        return handle

    def start(self) -> None:
        """Begin to read; only the first call counts."""
        if not self.started:
            self._loop = asyncio.get_running_loop()
            self.started = True
            for handle in tuple(self.live):
                self._read(handle)
            self.check()

    @property
    def reading(self) -> int:
        """How many sources are read now."""
        return self._reading

    @property
    def waiting(self) -> int:
        """How many sources wait until another one ends."""
        return len(self._queue)

    def waits(self, handle: SourceHandle) -> bool:
        """Whether this source is among those that wait."""
        return handle in self._queue

    def remove_intake(self, intake: Intake, reason: str) -> None:
        """Stop the source that feeds this intake."""
        for handle in self.live:
            if handle._intake is intake:
                self.remove(handle, reason)
                return

    def fail(self, handle: SourceHandle, failure: SourceFailed) -> None:
        """Stop a source that is read, as one that has failed."""
        if handle in self.live and handle._removed is None and handle._task is not None:
            handle._failure = failure
            self._cancel(handle, handle._task)

    def remove(self, handle: SourceHandle, reason: str) -> None:
        """Stop one source."""
        if handle not in self.live or handle._removed is not None:
            return
        handle._removed = reason
        if handle._task is None:
            self._queue.pop(handle, None)
            self._finish(handle, reason)
        else:
            self._cancel(handle, handle._task)

    def breathe(self) -> None:
        """Have the loop get its turn before any source gives a further event."""
        for handle in self.live:
            handle._receiver.breathe()

    def close(self, reason: str) -> list[asyncio.Task[None]]:
        """Take no further source, stop all there are, and return their tasks."""
        self._closed = True
        for handle in tuple(self.live):
            self.remove(handle, reason)
        return [handle._task for handle in self.live if handle._task is not None]

    def hold(self) -> None:
        """Keep the stream from ending until :meth:`release`."""
        self._holds += 1

    def release(self) -> None:
        """Take one hold back."""
        self._holds -= 1
        self.check()

    def check(self, grace: int = _GRACE) -> None:
        """End the stream if nothing is left that could give anything, a few turns of the loop from now:
        who was told of the last signal by a future gets to attach a further source.
        """
        loop = self._loop
        if loop is None or self.ended or self.live or self._holds or loop.is_closed():
            return
        if grace:
            loop.call_soon(self.check, grace - 1)
        else:
            self.end()

    def end(self) -> None:
        """End the stream now."""
        if not self.ended:
            self.ended = True
            self._on_end()

    def ending(self) -> End:
        """How the stream ended."""
        reason = "the stream ended" if self._attached else "no source was attached"
        return End(self._engine.states(), self._failed, self._failure, self._blank, reason)

    @staticmethod
    def _cancel(handle: SourceHandle, task: asyncio.Task[None]) -> None:
        task.cancel()
        handle._receiver.breathe()

    def _read(self, handle: SourceHandle) -> None:
        if self._reading >= self.max_connections:
            if not self._told_waiting:  # once: the counts say the rest
                self._told_waiting = True
                LOG.warning("sources_wait", source=handle.name, max_connections=self.max_connections)
            self._queue[handle] = None
            return
        self._reading += 1
        task = asyncio.get_running_loop().create_task(
            _run(handle._source, handle._receiver), name=f"runstream source {handle.name}"
        )
        handle._task = task
        # Not in the coroutine: one that is cancelled before its first step runs nothing of itself.
        task.add_done_callback(lambda task: self._ended(handle, task))
        if self.on_read is not None:
            self.on_read(handle)

    def _next(self, handle: SourceHandle) -> None:
        """A source has ended: the one that has waited longest takes its place."""
        self._reading -= 1
        if self.on_left is not None:
            self.on_left(handle)
        if self._queue:
            self._read(self._queue.popitem(last=False)[0])

    def _ended(self, handle: SourceHandle, task: asyncio.Task[None]) -> None:
        try:
            self._close(handle, task)
        finally:
            self._next(handle)

    def _close(self, handle: SourceHandle, task: asyncio.Task[None]) -> None:
        error: BaseException | None = None
        if not task.cancelled():
            error = task.exception()
        elif handle._removed is None:
            error = handle._failure or SourceFailed("its task was cancelled")
        if error is None:
            self._finish(handle, handle._removed or "the stream ended")
            return
        failure = error
        if not isinstance(failure, SourceFailed):
            failure = SourceFailed(f"{type(error).__name__} in the source")  # its own words may hold secrets
            failure.__cause__ = error
        LOG.error(
            "source_failed",
            source=handle.name,
            scope=handle.scope,
            reason=failure.reason,
            attempts=failure.attempts,
            error=type(error).__name__,
            where=where(error.__traceback__),
        )
        if handle._removed is not None:
            self._finish(handle, handle._removed)  # what went wrong in closing it tells nothing of its runs
        else:
            self._finish(handle, failure.reason, failure)

    def _finish(self, handle: SourceHandle, reason: str, failure: SourceFailed | None = None) -> None:
        intake = handle._intake
        left = intake.open_runs()
        handle._receiver.closed = True
        if failure is None:
            for state in left:
                self._failed.pop(key_of(state), None)
        else:
            self._remember(handle, left, failure)
        try:
            if failure is not None:
                self.turns.run(intake.failed, failure.reason, failure.attempts)
            self.turns.run(self._say_end, intake, reason, failure.attempts if failure is not None else 0)
        finally:
            # Only now: what handlers attached meanwhile keeps the stream open.
            self.live.pop(handle, None)
            self.check()

    @staticmethod
    def _say_end(intake: Intake, reason: str, attempts: int) -> None:
        intake.end(reason, last_id=intake.last_id, attempts=attempts)

    def _remember(self, handle: SourceHandle, left: tuple[RunState, ...], failure: SourceFailed) -> None:
        handle.error = self._failure = failure
        if not handle._receiver.fed:
            self._blank = failure
        if len(self._failed) > _FAILED:
            held = {key: self._engine.state(key[1], key[0]) for key in self._failed}
            gone = [key for key, state in held.items() if state is None or state.is_terminal]
            for key in gone:
                del self._failed[key]
        self._failed.update((key_of(state), failure) for state in left)

    def _unique(self, name: str) -> str:
        """A name that no other source had (lately): the keys of a source's signals are made of it."""
        count = self._names.pop(name, 0) + 1
        self._names[name] = count
        if len(self._names) > _NAMES:
            self._names.popitem(last=False)
        return name if count == 1 else f"{name}#{count}"


async def _run(source: Source, receiver: SourceReceiver) -> None:
    await source.run(receiver)
