"""The asynchronous doors of a stream: handlers and iterators, each with its buffer, and the end of their tasks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterable, Callable, Hashable, Iterable, Iterator
from typing import Any, Final

from reactivex import abc
from reactivex.disposable import Disposable

from runstream.core.run_filter import Match
from runstream.core.selection import PROGRESS
from runstream.core.state import RunState
from runstream.errors import SlowConsumer
from runstream.logs import LOG
from runstream.model.raw import RawEvent
from runstream.model.signals import ActionRequired
from runstream.model.validation import require_counts
from runstream.sources.base import Source
from runstream.stream.buffers import Buffer, Gate, LatestBuffer, Policy, QueueBuffer
from runstream.stream.channel import Channel, RunKey
from runstream.stream.consumers import KeepAlive, StreamIterator, Worker
from runstream.stream.error_reports import ErrorReports, caller
from runstream.stream.handlers import Handler, is_coroutine_function
from runstream.stream.persistence import AckTracker, PendingAcks
from runstream.stream.source_handle import SourceHandle
from runstream.stream.source_runner import SourceRunner
from runstream.stream.subscriber_set import Subscriber, name_of

__all__ = ["Subscriptions"]


_LAST_CALL: Final = 1.0  # seconds that cancelled tasks have at least to clean up


class Subscriptions:
    """All asynchronous subscribers of one stream.

    Args:
        hubs: The channels.
        gate: Held while a buffer of policy ``wait`` is full.
        pump: Told to stay open while a handler may bring a source.
        failures: Where exceptions go.
        attach: Attaches what a handler returned.
        size: Items that a buffer holds.
        held_runs: How many runs the stream holds at most: states that wait can't be more.
        leavers: Of a stream with a store, which is told who is through with which signal.
    """

    def __init__(
        self,
        hubs: Iterable[Channel[Any]],
        gate: Gate,
        pump: SourceRunner,
        failures: ErrorReports,
        attach: Callable[..., SourceHandle],
        *,
        size: int,
        held_runs: int,
        leavers: PendingAcks | None = None,
    ) -> None:
        require_counts(buffer=size)
        self._hubs = {hub.channel: hub for hub in hubs}
        self._gate = gate
        self._pump = pump
        self._failures = failures
        self._attach = attach
        self._size = size
        self._held_runs = held_runs
        self._leavers = leavers
        self._workers: set[Worker[Any]] = set()
        self._buffers: set[Buffer[Any]] = set()
        self._conflated = 0

    @property
    def conflated(self) -> int:
        """Values that were superseded by, or joined with, another one while they waited."""
        return self._conflated + sum(buffer.conflated for buffer in self._buffers)

    def on(
        self, kinds: frozenset[type], fn: Callable[[Any], object], match: Match, policy: Policy | None
    ) -> Disposable:
        """Subscribe a function or coroutine function to signals."""
        if not callable(fn):
            raise TypeError(f"a handler is a function, not {type(fn).__name__}")
        is_async = is_coroutine_function(fn)
        if policy is not None and not is_async:
            raise TypeError("a policy is for coroutine functions: a plain function is called as the signal happens")
        handler = Handler(fn, name_of(fn), self.returned)
        worker = self._worker(handler, policy or "wait", awaiting=not is_async)
        take: Callable[[Any], None] = worker.put if is_async else handler.call
        # By id alone, or by id and scope, the hub itself finds who is meant.
        asks = match.by_run or (match.run_id is None and match.scope is not None)

        def deliver(signal: Any) -> None:
            if type(signal) in kinds and (not asks or match(signal)):
                take(signal)

        def finish(_: object = None) -> None:
            worker.finish()
            self._retire(worker)

        subscriber = Subscriber(
            deliver,
            finish,
            finish,
            name=handler.name,
            progress=not kinds.isdisjoint(PROGRESS),
            run_id=match.run_id,
            scope=match.scope,
        )
        hub = self._hubs["signals"]
        subscription = hub.connect(subscriber)
        handler.disconnect = subscription.dispose

        def dispose() -> None:
            subscription.dispose()
            worker.dispose()
            self._retire(worker)

        return Disposable(dispose)

    def iterator(
        self, kind: str, policy: str | None, start: Callable[[], None], run: RunKey | None = None
    ) -> StreamIterator[Any]:
        """Subscribe an iterator to a channel, or to what it says of one run."""
        if kind not in {"signals", "runs", "events"}:
            raise ValueError(f"{kind!r} can not be iterated; there are 'signals', 'runs' and 'events'")
        policy = policy or ("latest" if kind == "runs" else "wait")
        name = f"async for in {caller()}"
        subscription = Disposable()

        def ended(error: SlowConsumer) -> None:
            self._failures.ended(kind, name, error, buffered=len(buffer))
            subscription.dispose()

        buffer = self._buffer(policy, ended, states=kind == "runs")
        holds = self._holds(_brings_source, self._gate.timeout) if kind == "signals" else KeepAlive[Any]()

        def take_signal(item: Any) -> None:
            if buffer.put(item) and type(item) not in PROGRESS:
                holds.add(item)

        take = take_signal if kind == "signals" else buffer.put
        self._buffers.add(buffer)
        scope, run_id = run or (None, None)
        subscription = self._hubs[kind].connect(
            Subscriber(take, buffer.finish, buffer.finish, name=name, run_id=run_id, scope=scope)
        )
        if buffer.closed:  # by the replay already
            subscription.dispose()

        def dispose() -> None:
            subscription.dispose()
            self._forget(buffer)

        return StreamIterator(buffer, start, dispose, holds, self._failures.raised)

    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks of all handlers."""
        return [worker.task for worker in self._workers if worker.task is not None]

    async def close(self, timeout: float, *, drain: bool) -> None:  # noqa: ASYNC109 - it bounds several waits
        """Stop the sources, end the stream, and leave no task behind.

        Args:
            timeout: How long it may take, in seconds; what is not done then is cancelled.
            drain: Whether handlers may finish what waits for them.
        """
        deadline = time.monotonic() + timeout
        sources = self._pump.close("the stream was closed")
        try:
            await _settle(sources, deadline)
            self._pump.end()
            if drain:
                await _settle(self.tasks(), deadline)
            if self._leavers is not None:
                self._leavers.settle()
        finally:
            self._pump.end()
            await self._cancel(sources, deadline)

    async def _cancel(self, sources: Iterable[asyncio.Task[None]], deadline: float) -> None:
        """Cancel what is left, and wait until it is gone; what refuses to go is logged, not waited for."""
        for worker in tuple(self._workers):
            if worker.task is not asyncio.current_task():
                worker.cancel()
        left = _others([*sources, *self.tasks()])
        if left:
            seconds = max(deadline - time.monotonic(), _LAST_CALL)
            _, left = await asyncio.wait(left, timeout=seconds)
        if left:
            LOG.error("close_timed_out", tasks=sorted(task.get_name() for task in left))

    def returned(self, signal: Any, outcome: object) -> None:
        """Attach what a handler of ActionRequired returned, if it is a source; anything else is ignored."""
        if _brings_source(signal) and _is_source(outcome):
            self._attach(outcome, scope=signal.scope)

    def _worker(self, handler: Handler, policy: str, *, awaiting: bool) -> Worker[Any]:
        def ended(error: SlowConsumer) -> None:
            self._failures.ended("signals", handler.name, error, buffered=len(buffer))
            handler.disconnect()

        buffer = self._buffer(policy, ended, states=False)
        assert isinstance(buffer, QueueBuffer)
        matters = (lambda item: _brings_source(item[0])) if awaiting else _brings_source
        worker: Worker[Any] = Worker(
            handler.finish_call if awaiting else handler.call_async,
            buffer,
            self._failures,
            channel="signals",
            name=handler.name,
            holds=self._holds(matters, None, worker=True),
        )
        handler.worker = worker
        self._workers.add(worker)
        self._buffers.add(buffer)
        return worker

    def _buffer(self, policy: str, ended: Callable[[SlowConsumer], None], *, states: bool) -> Buffer[Any]:
        if policy == "latest" and states:
            return LatestBuffer(self._held_runs, _run_key)
        if policy == "wait":
            return QueueBuffer(self._size, self._gate, on_end=ended)
        if policy == "error":
            return QueueBuffer(self._size, on_end=ended)
        if policy == "latest":
            raise ValueError(
                "policy 'latest' is for runs: a state supersedes the one before, a signal or event does not"
            )
        raise ValueError(f"{policy!r} is no policy; there are 'wait', 'latest' and 'error'")

    def _holds(self, matters: Callable[[Any], bool], timeout: float | None, *, worker: bool = False) -> KeepAlive[Any]:
        hold, release = self._pump.hold, self._pump.release
        if self._leavers is None:
            return KeepAlive(matters, hold, release, timeout)
        return AckTracker(self._leavers, matters, hold, release, timeout, worker=worker)

    def _retire(self, worker: Worker[Any]) -> None:
        """Forget a worker, once a call that goes on has returned: closing the stream must still find it."""

        def forget(_: object = None) -> None:
            self._workers.discard(worker)
            self._forget(worker.buffer)

        if worker.task is None or worker.task.done():
            forget()
        else:
            worker.task.add_done_callback(forget)

    def _forget(self, buffer: Buffer[Any]) -> None:
        if buffer in self._buffers:
            self._buffers.discard(buffer)
            self._conflated += buffer.conflated


def _brings_source(signal: object) -> bool:
    return type(signal) is ActionRequired


def _is_source(outcome: object) -> bool:
    """Whether it can be meant as one. Iterable are many things that a handler returns for nothing: a client library's
    answer, a dict; an iterator (of a generator function, a recording) is none of them, nor are raw events.
    """
    if isinstance(outcome, list | tuple):
        return bool(outcome) and all(type(item) is RawEvent for item in outcome)
    return isinstance(outcome, Source | AsyncIterable | abc.ObservableBase | Iterator)


def _run_key(state: RunState) -> Hashable:
    return state.scope, state.run_id


async def _settle(tasks: Iterable[asyncio.Task[None]], deadline: float) -> None:
    """Wait for tasks, until the deadline (monotonic seconds) at most."""
    waiting = _others(tasks)
    if waiting:
        await asyncio.wait(waiting, timeout=max(deadline - time.monotonic(), 0.0))


def _others(tasks: Iterable[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """Tasks that are not done, without the one that asks: a handler may close its own stream."""
    current = asyncio.current_task()
    return {task for task in tasks if not task.done() and task is not current}
