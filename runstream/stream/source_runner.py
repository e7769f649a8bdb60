"""Reads the sources of a stream, each in a task of its own: sources enter, calls into the engine leave."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Final, TypeVar
from weakref import WeakKeyDictionary

from runstream.core.run_record import RunRecord
from runstream.core.state import RunState
from runstream.dialects.registry import COMMON_DIALECT, DialectLike, ResolvedFactory, find_dialect
from runstream.engine.engine import Engine
from runstream.engine.intake import Intake
from runstream.engine.source_state import SourceState
from runstream.errors import SourceFailed
from runstream.logs import LOG
from runstream.model.run import RunKey
from runstream.model.validation import check_counts
from runstream.sources.base import Source
from runstream.stream.buffers import Gate
from runstream.stream.error_reports import BatchClock, location_of
from runstream.stream.receiver import FeedQueue, SourceReceiver
from runstream.stream.source_handle import SourceHandle
from runstream.stream.waiters import StreamEnd, key_of

__all__ = ["SourceRunner"]


_END_DELAY: Final = 5  # loop iterations between the end of the last source and the end of the stream
_MAX_NAMES: Final = 10_000  # names of sources that are remembered, to number a second source of the same name
T = TypeVar("T")

_MAX_FAILURES: Final = 1_024  # failures that are remembered before those of ended runs are dropped


class SourceRunner:
    """All sources of a stream.

    Args:
        engine: Receives the raw events.
        gate: Blocks the sources while a subscriber is behind.
        dialect: The dialect of each source that has none of its own; ``None`` for the default one.
        on_end: Called once, when no source is left and nothing keeps the stream open.
        max_connections: How many sources are read at once; further ones wait for the end of one, in order. A source
            keeps its place while it is between two connections: a run in progress has priority over a new one.
        clock: The clock of the batches of events.

    Attributes:
        queue: Makes the calls into the engine one after another.
        handles: The sources that have not ended.
        started: True after `start`.
        ended: True after the end of the stream.
        on_reading: Called with a source when its reading begins.
        on_read: Called with a source when its reading has ended.
    """

    def __init__(
        self,
        engine: Engine,
        gate: Gate,
        dialect: DialectLike | None,
        on_end: Callable[[], None],
        max_connections: int = 2_048,
        *,
        clock: BatchClock | None = None,
    ) -> None:
        check_counts(max_connections=max_connections)
        self.max_connections = max_connections
        self.queue = FeedQueue(clock)
        gate.on_block = self.queue.interrupt
        self.handles: dict[SourceHandle, None] = {}
        self._by_name: dict[tuple[str, str], SourceHandle] = {}
        self.started = False
        self.ended = False
        self.on_reading: Callable[[SourceHandle], None] | None = None
        self.on_reading_ended: Callable[[SourceHandle], None] | None = None
        self._engine = engine
        engine.on_dialect = _log_dialect
        self._gate = gate
        self._dialect = find_dialect(dialect) if dialect is not None else None
        # Of the sources with a dialect of their own. A state exists as long as a run that its source sent last.
        self._dialects: WeakKeyDictionary[SourceState, ResolvedFactory] = WeakKeyDictionary()
        self._on_end = on_end
        self._reading = 0
        self._waiting: OrderedDict[SourceHandle, None] = OrderedDict()
        self._warned = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._keep_open = 0
        self._names: OrderedDict[str, int] = OrderedDict()
        self._attached = False
        self._failed: dict[RunKey, SourceFailed] = {}
        self._removed: dict[RunKey, str] = {}  # why the application removed the source of an open run
        self._removed_unfed: str | None = None  # the same of a source that had delivered nothing
        self._failure: SourceFailed | None = None
        self._unfed_failure: SourceFailed | None = None

    def attach(
        self, source: Source, scope: str, name: str, dialect: DialectLike | None = None, continues: str | None = None
    ) -> SourceHandle:
        """Add a source. If reading has started and the limit permits, its reading begins at once.

        Args:
            source: The source.
            scope: The scope of its runs.
            name: Its name.
            dialect: Its dialect; ``None`` for the source's own, else that of the run that it continues, else that of
                the stream.
            continues: The id of the run that it continues.

        Raises:
            RuntimeError: The stream has ended.
            ValueError: The dialect is not registered, or the run has ended.
            TypeError: The dialect is neither a name nor a factory.
        """
        if self.ended or self._closed:
            raise RuntimeError("the stream has ended and takes no further source; RunStream.keep_open keeps it open")
        # All checks come before the name is used: a source that is refused takes no number.
        if continues is not None and (reason := self._engine.ended_reason(continues, scope)) is not None:
            raise ValueError(reason)
        factory = find_dialect(dialect) if dialect is not None else self._dialect_of(source, continues, scope)
        return self._attach(source, scope, name, factory, continues)

    def attach_answer(self, source: Source, run_id: str, scope: str) -> SourceHandle:
        """Add a source that a handler of ``ActionRequired`` returned: it continues the run of the signal.

        If the run has ended meanwhile, the source continues no run, and this is an error of the source.

        Raises:
            RuntimeError: The stream has ended.
        """
        reason = self._engine.ended_reason(run_id, scope)
        if reason is None:
            return self.attach(source, scope, source.name, continues=run_id)
        handle = self.attach(source, scope, source.name, self._dialect_of(source, run_id, scope))
        self.queue.run(handle._intake.failed, reason, 0, None, "", run_id)
        return handle

    def _dialect_of(self, source: Source, run_id: str | None, scope: str) -> ResolvedFactory | None:
        """The source's own dialect, else that of the source that sent its run last, else that of the stream."""
        own: DialectLike | None = getattr(source, "dialect", None)
        if own is not None:
            return find_dialect(own)
        record = self._engine.registry.record(scope, run_id) if run_id is not None else None
        last = record.last_source if record is not None else None
        return self._dialect if last is None else self._dialects.get(last, self._dialect)

    def _attach(
        self, source: Source, scope: str, name: str, factory: ResolvedFactory | None, continues: str | None
    ) -> SourceHandle:
        self._attached = True
        intake = self._engine.intake(self._unique(name), scope=scope, dialect=factory, continues=continues)
        if factory is not None and factory is not self._dialect:
            self._dialects[intake.state] = factory
        intake.snapshots = getattr(source, "snapshots", False) is True
        receiver = SourceReceiver(intake, self.queue, self._gate)
        handle = SourceHandle(source, intake, receiver, self.remove, self.is_waiting)
        self.handles[handle] = None
        self._by_name[scope, handle.name] = handle
        if self.started:
            self._read(handle)
        return handle

    def start(self) -> None:
        """Begin to read; only the first call has an effect."""
        if not self.started:
            self._loop = asyncio.get_running_loop()
            self.started = True
            for handle in tuple(self.handles):
                self._read(handle)
            self.check_end()

    @property
    def reading(self) -> int:
        """The number of sources that are read now."""
        return self._reading

    @property
    def waiting(self) -> int:
        """The number of sources that wait for the end of another one."""
        return len(self._waiting)

    def is_waiting(self, handle: SourceHandle) -> bool:
        """True if this source waits for the end of another one."""
        return handle in self._waiting

    def redactor_of(self, scope: str, name: str) -> Callable[[str], str] | None:
        """Return the function that masks in a text what a source has sent; ``None`` for a source that sends nothing.

        It is that of the present connection, and stays valid after a later one.
        """
        handle = self._by_name.get((scope, name))
        sent = getattr(handle._source, "sent", None) if handle is not None else None
        redact: Callable[[str], str] | None = getattr(sent, "redact", None)
        return redact if callable(redact) else None

    def remove_source(self, source: SourceState, reason: str) -> None:
        """Stop the source that has this state in the engine."""
        for handle in self.handles:
            if handle._intake.state is source:
                self.remove(handle, reason)
                return

    def fail(self, handle: SourceHandle, failure: SourceFailed) -> None:
        """Stop a source that is read, with a failure."""
        if handle in self.handles and handle._removed is None and handle._task is not None:
            handle._failure = failure
            self._cancel(handle, handle._task)

    def remove(self, handle: SourceHandle, reason: str) -> None:
        """Stop one source."""
        if handle not in self.handles or handle._removed is not None:
            return
        handle._removed = reason
        if handle._task is None:
            self._waiting.pop(handle, None)
            self._finish(handle, reason)
        else:
            self._cancel(handle, handle._task)

    def yield_to_loop(self) -> None:
        """Let the loop run before any source delivers a further event."""
        for handle in self.handles:
            handle._receiver.yield_to_loop()

    def close(self, reason: str) -> list[asyncio.Task[None]]:
        """Refuse further sources, stop all others, and return the tasks of those that are read."""
        self._closed = True
        for handle in tuple(self.handles):
            self.remove(handle, reason)
        return [handle._task for handle in self.handles if handle._task is not None]

    def keep_open(self) -> None:
        """Keep the stream from ending until :meth:`release`, which is called once for each call."""
        self._keep_open += 1

    def release(self) -> None:
        """Undo one :meth:`keep_open`."""
        self._keep_open -= 1
        self.check_end()

    def check_end(self, delay: int = _END_DELAY) -> None:
        """End the stream after ``delay`` loop iterations, unless a source or :meth:`keep_open` keeps it open: a task
        that awaits the last signal has time to attach a further source.
        """
        loop = self._loop
        if loop is None or self.ended or self.handles or self._keep_open or loop.is_closed():
            return
        if delay:
            loop.call_soon(self.check_end, delay - 1)
        else:
            self.end()

    def end(self) -> None:
        """End the stream now."""
        if not self.ended:
            self.ended = True
            self._on_end()

    def stream_end(self) -> StreamEnd:
        """How the stream ended."""
        reason = self._removed_unfed or ("the stream ended" if self._attached else "no source was attached")
        engine = self._engine
        return StreamEnd(
            engine.states(), self._failed, self._removed, self._failure, self._unfed_failure, reason, engine.unused
        )

    def interrupt(self, record: RunRecord, reason: str) -> None:
        """Interrupt a run that gets no further source."""
        self._note(self._removed, (record.state,), reason)
        self.queue.run(self._engine.expire, record, reason)

    @staticmethod
    def _cancel(handle: SourceHandle, task: asyncio.Task[None]) -> None:
        task.cancel()
        handle._receiver.yield_to_loop()

    def _read(self, handle: SourceHandle) -> None:
        if self._reading >= self.max_connections:
            if not self._warned:  # once: the counts have the rest
                self._warned = True
                LOG.warning("sources_wait", source=handle.name, max_connections=self.max_connections)
            self._waiting[handle] = None
            return
        self._reading += 1
        task = asyncio.get_running_loop().create_task(
            _run(handle._source, handle._receiver), name=f"runstream source {handle.name}"
        )
        handle._task = task
        # Not in the coroutine: a task that is cancelled before its first step runs none of it.
        task.add_done_callback(lambda task: self._on_done(handle, task))
        if self.on_reading is not None:
            self.on_reading(handle)

    def _on_done(self, handle: SourceHandle, task: asyncio.Task[None]) -> None:
        try:
            self._close(handle, task)
        finally:
            self._read_next(handle)

    def _read_next(self, handle: SourceHandle) -> None:
        """Replace a source that has ended by the one that has waited longest."""
        self._reading -= 1
        if self.on_reading_ended is not None:
            self.on_reading_ended(handle)
        if self._waiting:
            self._read(self._waiting.popitem(last=False)[0])

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
            failure = SourceFailed(f"{type(error).__name__} in the source")  # its own message may contain secrets
            failure.__cause__ = error
        LOG.error(
            "source_failed",
            source=handle.name,
            scope=handle.scope,
            reason=failure.summary,
            attempts=failure.attempts,
            error=type(error).__name__,
            where=location_of(error.__traceback__),
        )
        if handle._removed is not None:
            self._finish(handle, handle._removed)  # a failure while closing is no failure of its runs
        else:
            self._finish(handle, failure.summary, failure)

    def _finish(self, handle: SourceHandle, reason: str, failure: SourceFailed | None = None) -> None:
        intake = handle._intake
        open_runs = intake.open_runs()
        handle._receiver.closed = True
        if failure is None:
            self._forget(open_runs)
            if handle._removed is not None and not self._closed:
                self._note(self._removed, open_runs, reason)
                self._removed_unfed = None if handle._receiver.fed else reason
        else:
            self._remember(handle, open_runs, failure)
        try:
            if failure is not None:
                self.queue.run(intake.failed, failure.summary, failure.attempts, None, failure.server_message)
            clean = failure is None and handle._removed is None
            attempts, said = (failure.attempts, failure.server_message) if failure is not None else (0, "")
            self.queue.run(self._end_intake, intake, reason, attempts, clean, said)
        finally:
            # Only now: the sources that handlers have attached meanwhile keep the stream open.
            self.handles.pop(handle, None)
            self._by_name.pop((handle.scope, handle.name), None)
            self.check_end()

    @staticmethod
    def _end_intake(intake: Intake, reason: str, attempts: int, clean: bool, server_message: str) -> None:
        intake.end(reason, last_id=intake.last_id, attempts=attempts, clean=clean, server_message=server_message)

    def _forget(self, runs: Iterable[RunState]) -> None:
        """Drop what is known about the ends of earlier sources of these runs."""
        for state in runs:
            self._failed.pop(key_of(state), None)
            self._removed.pop(key_of(state), None)

    def _remember(self, handle: SourceHandle, open_runs: tuple[RunState, ...], failure: SourceFailed) -> None:
        handle.error = self._failure = failure
        if not handle._receiver.fed:
            self._unfed_failure = failure
        self._note(self._failed, open_runs, failure)
        if not handle._receiver.fed and (continued := handle._intake.continues) is not None:
            # The request that should have continued a run: its answers were refused, or lost.
            state = self._engine.state(continued, handle.scope)
            if state is not None and not state.is_terminal:
                self._note(self._failed, (state,), failure)

    def _note(self, ends: dict[RunKey, T], runs: Iterable[RunState], end: T) -> None:
        """Note how the source of open runs has ended."""
        if len(ends) > _MAX_FAILURES:
            states = {key: self._engine.state(key[1], key[0]) for key in ends}
            for key, state in states.items():
                if state is None or state.is_terminal:
                    del ends[key]
        ends.update((key_of(state), end) for state in runs)

    def _unique(self, name: str) -> str:
        """A name that no other recent source had: it is part of the keys of the source's signals."""
        count = self._names.pop(name, 0) + 1
        unique = name if count == 1 else f"{name}#{count}"
        while unique != name and unique in self._names:
            count += 1
            unique = f"{name}#{count}"
        self._names[name] = count
        self._names.setdefault(unique, 1)
        while len(self._names) > _MAX_NAMES:
            self._names.popitem(last=False)
        return unique


def _log_dialect(source: str, dialect: str) -> None:
    if dialect != COMMON_DIALECT:
        LOG.debug("dialect_found", source=source, dialect=dialect)


async def _run(source: Source, receiver: SourceReceiver) -> None:
    await source.run(receiver)
