"""The asynchronous subscriptions of a stream: handlers and iterators, each with its buffer, and their closing."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterable, Callable, Generator, Hashable, Iterable, Iterator
from functools import partial
from typing import Any, Final, TypeGuard

from reactivex import abc
from reactivex.disposable import Disposable

from runstream.core.run_filter import RunMatcher
from runstream.core.selection import PROGRESS
from runstream.errors import ReturnRefused, SlowConsumer, SubscriberFailed
from runstream.logs import LOG
from runstream.model.callables import check_call, is_coroutine_function
from runstream.model.raw import RawEvent
from runstream.model.run import RunKey
from runstream.model.signals import ActionRequired
from runstream.model.validation import check_counts
from runstream.sources.adapters import Adaptable, adapt
from runstream.sources.base import Source
from runstream.stream.buffers import Buffer, Gate, LatestBuffer, QueueBuffer
from runstream.stream.channel import Channel
from runstream.stream.consumers import KeepAlive, StreamIterator
from runstream.stream.error_reports import SUBSCRIBER_ERRORS, ErrorReports, caller_location
from runstream.stream.handler_options import CONCURRENCY, HandlerOptions
from runstream.stream.handlers import Handler
from runstream.stream.persistence import AckTracker, PendingAcks
from runstream.stream.replay import Replay
from runstream.stream.run_buffer import RunBuffer, run_of
from runstream.stream.source_runner import SourceRunner
from runstream.stream.subscriber_set import Subscriber, name_of
from runstream.stream.waiters import key_of
from runstream.stream.worker import Worker

__all__ = ["Subscriptions"]


_CLEANUP_SECONDS: Final = 1.0  # the least time that cancelled tasks have to clean up
_NO_REPLAY: Final = {"runs": "states begin with the latest ones anyway", "events": "events are not kept"}
_ANSWERED: Final = frozenset({ActionRequired})
_ANSWER: Final = (
    "the source that continues the run (a Source, an async iterable, an iterator, an Observable, or a list of "
    "RawEvent), or None"
)
_ANSWER_TYPES: Final = (list, tuple, dict, str, bytes)
_PLAIN: Final = frozenset({int, bool, str, list, dict})  # a look-up costs less than `isinstance` of a protocol
_STARTED: Final = (Source, AsyncIterable, abc.ObservableBase, Generator)


class Subscriptions:
    """All asynchronous subscriptions of one stream.

    Args:
        channels: The channels.
        gate: Blocked while a buffer of policy ``wait`` is full.
        runner: Keeps the stream open while a handler may attach a source, and attaches those that handlers return.
        reports: Receives the exceptions of subscribers.
        size: The maximum number of items in a buffer.
        max_runs: The maximum number of runs in memory, and so of states that wait.
        replay: The snapshots for iterators that begin with the state.
        pending_acks: Of a stream with a store: acknowledges the signals that subscribers have processed.
    """

    def __init__(
        self,
        channels: Iterable[Channel[Any]],
        gate: Gate,
        runner: SourceRunner,
        reports: ErrorReports,
        *,
        size: int,
        max_runs: int,
        replay: Replay,
        pending_acks: PendingAcks | None = None,
    ) -> None:
        check_counts(buffer=size)
        self._channels = {channel.name: channel for channel in channels}
        self._gate = gate
        self._runner = runner
        self._reports = reports
        self._size = size
        self._max_runs = max_runs
        self._replay = replay
        self._pending_acks = pending_acks
        self._workers: set[Worker[Any]] = set()
        self._buffers: set[Buffer[Any]] = set()
        self._conflated = 0

    @property
    def conflated(self) -> int:
        """The number of values that were replaced by, or joined with, another one while they waited."""
        return self._conflated + sum(buffer.conflated for buffer in self._buffers)

    @property
    def backlog(self) -> int:
        """The number of values that wait for the slowest asynchronous subscriber."""
        return max(map(len, self._buffers), default=0)

    def on(
        self, kinds: frozenset[type], fn: Callable[[Any], object], match: RunMatcher, options: HandlerOptions
    ) -> Disposable:
        """Subscribe a function or coroutine function to signals."""
        if not callable(fn):
            raise TypeError(f"a handler is a function, not {type(fn).__name__}")
        check_call(fn, "a handler", "the signal")
        is_async = is_coroutine_function(fn)
        options.check(is_async=is_async)
        answers = kinds == _ANSWERED
        on_return = partial(self.attach_returned, only_answers=answers)
        handler = Handler(fn, name_of(fn), options, self._reports, on_return)
        worker = self._worker(handler, options, awaiting=not is_async)
        call: Callable[[Any], None] = worker.put if is_async else handler.call
        # A filter by id alone, or by id and scope, is applied by the channel itself.
        of_scope = match.run_id is None and match.scope is not None
        needs_match = match.needs_run or of_scope or match.path is not None

        def on_next(signal: Any) -> None:
            if type(signal) in kinds and (not needs_match or match(signal)):
                call(signal)

        def on_end(_: object = None) -> None:
            worker.finish()
            self._forget_worker(worker)

        subscription = self._channels["signals"].subscribe(
            Subscriber(
                on_next,
                on_end,
                on_end,
                name=handler.name,
                progress=not kinds.isdisjoint(PROGRESS),
                run_id=match.run_id,
                scope=match.scope,
            )
        )
        handler.disconnect = subscription.dispose

        def dispose() -> None:
            subscription.dispose()
            worker.dispose()
            self._forget_worker(worker)

        return Disposable(dispose)

    def iterator(
        self,
        channel: str,
        policy: str | None,
        start: Callable[[], None],
        run: RunKey | None = None,
        *,
        replay: bool = False,
    ) -> StreamIterator[Any]:
        """Subscribe an iterator to a channel, or to one run of it.

        Args:
            channel: The name of the channel.
            policy: What happens when its buffer is full.
            start: Called at its first step.
            run: The only run.
            replay: True to begin with snapshots of the states.
        """
        if channel not in {"signals", "runs", "events"}:
            raise ValueError(f"{channel!r} can not be iterated; there are 'signals', 'runs' and 'events'")
        if replay and channel != "signals":
            raise ValueError(f"replay=True is for signals: {_NO_REPLAY[channel]}")
        policy = policy or ("latest" if channel == "runs" else "wait")
        name = f"async for in {caller_location()}"
        subscription = Disposable()

        def on_slow(error: SlowConsumer) -> None:
            # With policy "error" the overflow is the application's choice, and its loop receives the error.
            failure = SubscriberFailed(name, channel, None, error)
            self._reports.report_ended(failure, buffered=len(buffer), handled=policy == "error")
            subscription.dispose()

        buffer = self._buffer(policy, on_slow, states=channel == "runs")
        keep_alive: KeepAlive[Any] = KeepAlive()
        on_next: Callable[[Any], object] = buffer.put
        if channel == "signals":
            keep_alive = self._keep_alive(_may_attach, self._gate.timeout)

            def on_signal(signal: Any) -> None:
                if buffer.put(signal) and type(signal) not in PROGRESS:
                    keep_alive.add(signal)

            on_next = on_signal
        self._buffers.add(buffer)
        scope, run_id = run or (None, None)
        first: deque[Any] = deque()

        def subscribe() -> None:
            nonlocal subscription
            if buffer.closed:
                return  # the iterator was disposed before
            if replay:
                first.extend(self._replay.add(buffer.put, run))
            subscription = self._channels[channel].subscribe(
                Subscriber(on_next, buffer.finish, buffer.finish, name=name, run_id=run_id, scope=scope)
            )
            if buffer.closed:  # by the channel's own replay, or its end
                subscription.dispose()

        if replay:
            # Not in the middle of a delivery: the state is then ahead of the signals.
            self._runner.queue.run(subscribe)
        else:
            subscribe()

        def dispose() -> None:
            subscription.dispose()
            self._replay.remove(buffer.put)
            self._forget_buffer(buffer)

        return StreamIterator(buffer, start, dispose, keep_alive, self._reports.note_raised, first)

    def follow(self, on_item: Callable[[Any], object], on_end: Callable[[], object]) -> Disposable:
        """Subscribe a plain function to snapshots and signals of all runs.

        Args:
            on_item: Called with the snapshots of the runs that are known, then with all that follows.
            on_end: Called at the end of the stream.
        """
        subscription = Disposable()
        name, disposed = name_of(on_item), False

        def put(item: Any) -> None:
            try:
                on_item(item)
            except SUBSCRIBER_ERRORS as error:
                self._reports.report("signals", name, item, error)

        def subscribe() -> None:
            nonlocal subscription
            if disposed:
                return
            for snapshot in self._replay.add(put, None):
                put(snapshot)
            subscription = self._channels["signals"].subscribe(Subscriber(on_item, on_end, lambda _: on_end()))

        self._runner.queue.run(subscribe)

        def dispose() -> None:
            nonlocal disposed
            disposed = True
            subscription.dispose()
            self._replay.remove(put)

        return Disposable(dispose)

    def tasks(self) -> list[asyncio.Task[None]]:
        """The tasks of all handlers."""
        return [task for worker in self._workers for task in worker.tasks]

    async def drain(self, timeout: float) -> None:  # noqa: ASYNC109 - it bounds one wait
        """Wait until the handlers have processed their values, after the end of the stream.

        In a task of a handler it returns at once: it would wait for itself.

        Args:
            timeout: The longest time to wait, in seconds.
        """
        tasks = self.tasks()
        if asyncio.current_task() not in tasks:
            await _wait_until(time.monotonic() + timeout, tasks)

    async def close(self, timeout: float, *, drain: bool) -> None:  # noqa: ASYNC109 - it bounds several waits
        """Stop the sources, end the stream, and leave no task behind.

        Args:
            timeout: The time until the remaining tasks are cancelled, in seconds.
            drain: True if handlers may process the values that wait for them.
        """
        deadline = time.monotonic() + timeout
        sources = self._runner.close("the stream was closed")
        try:
            await _wait_until(deadline, sources)
            if sources:
                await asyncio.sleep(0)  # the end of a task that was done before is noted in the next iteration
            self._runner.end()
            if drain:
                await _wait_until(deadline, self.tasks())
            if self._pending_acks is not None:
                self._pending_acks.acknowledge()
        finally:
            self._runner.end()
            await self._cancel(sources, deadline)

    async def _cancel(self, sources: Iterable[asyncio.Task[None]], deadline: float) -> None:
        """Cancel the remaining tasks and wait for them; tasks that don't end are logged."""
        current = asyncio.current_task()
        for worker in tuple(self._workers):
            if current not in worker.tasks:
                worker.cancel()
        left = _pending([*sources, *self.tasks()])
        if left:
            seconds = max(deadline - time.monotonic(), _CLEANUP_SECONDS)
            _, left = await asyncio.wait(left, timeout=seconds)
        if left:
            LOG.error("close_timed_out", tasks=sorted(task.get_name() for task in left))

    def attach_returned(self, signal: Any, value: object, *, only_answers: bool = True) -> None:
        """Attach the value that a handler of ActionRequired returned.

        Args:
            signal: The signal.
            value: The value, not ``None``.
            only_answers: True if the handler receives no other signals. Otherwise only a value that looks like an
                answer is refused: ``write`` returns a number.

        Raises:
            ReturnRefused: The value is no source, or no source can be attached for the signal.
            RuntimeError: The stream has ended.
        """
        if _may_attach(signal):
            if _is_source(value):
                self._runner.attach_answer(adapt(value), signal.run_id, signal.scope)
            elif only_answers or isinstance(value, _ANSWER_TYPES):
                raise ReturnRefused(
                    f"a handler of ActionRequired returns {_ANSWER}; this one returned {_describe(value)}"
                )
        elif type(value) not in _PLAIN and isinstance(value, _STARTED):
            # Its code would never run, because no code iterates over it.
            raise ReturnRefused(
                f"a handler of {signal.type} returned {_describe(value)}: only a handler of ActionRequired returns "
                "a source, and an async generator function is no handler"
            )

    def _worker(self, handler: Handler, options: HandlerOptions, *, awaiting: bool) -> Worker[Any]:
        def on_slow(error: SlowConsumer) -> None:
            handler.end_slow(error, len(buffer))
            handler.disconnect()

        concurrency = options.concurrency or CONCURRENCY
        buffer: RunBuffer[Any] = RunBuffer(
            self._size,
            self._gate_of(options.policy or "wait"),
            key=_no_key if concurrency == 1 else _run_of_item if awaiting else run_of,
            on_end=on_slow,
        )
        may_attach = (lambda item: _may_attach(item[0])) if awaiting else _may_attach
        worker: Worker[Any] = Worker(
            handler.finish_call if awaiting else handler.call_async,
            buffer,
            self._reports,
            channel="signals",
            name=handler.name,
            keep_alive=self._keep_alive(may_attach, None, worker=True),
            concurrency=concurrency,
        )
        handler.worker = worker
        self._workers.add(worker)
        self._buffers.add(buffer)
        return worker

    def _buffer(self, policy: str, on_slow: Callable[[SlowConsumer], None], *, states: bool) -> Buffer[Any]:
        if policy == "latest" and states:
            return LatestBuffer(self._max_runs, key_of)
        return QueueBuffer(self._size, self._gate_of(policy), on_end=on_slow)

    def _gate_of(self, policy: str) -> Gate | None:
        """The gate that a full buffer of this policy blocks; ``None`` if it ends its consumer."""
        if policy == "wait":
            return self._gate
        if policy == "error":
            return None
        if policy == "latest":
            raise ValueError(
                "policy 'latest' is for runs: a state supersedes the one before, a signal or event does not"
            )
        raise ValueError(f"{policy!r} is no policy; there are 'wait', 'latest' and 'error'")

    def _keep_alive(
        self, may_attach: Callable[[Any], bool], timeout: float | None, *, worker: bool = False
    ) -> KeepAlive[Any]:
        keep_open, release = self._runner.keep_open, self._runner.release
        if self._pending_acks is None:
            return KeepAlive(may_attach, keep_open, release, timeout)
        return AckTracker(self._pending_acks, may_attach, keep_open, release, timeout, worker=worker)

    def _forget_worker(self, worker: Worker[Any]) -> None:
        """Forget a worker after its current call has returned: until then `close` must find it."""

        def forget() -> None:
            self._workers.discard(worker)
            self._forget_buffer(worker.buffer)

        worker.when_ended(forget)

    def _forget_buffer(self, buffer: Buffer[Any]) -> None:
        if buffer in self._buffers:
            self._buffers.discard(buffer)
            self._conflated += buffer.conflated


def _no_key(item: Any) -> Hashable:
    """One key for all values: they are processed in order, one at a time."""
    return None


def _run_of_item(item: tuple[Any, ...]) -> Hashable:
    return run_of(item[0])


def _describe(value: object) -> str:
    """The type of a returned value, without its content."""
    name = type(value).__name__
    if isinstance(value, list | tuple):
        return f"a {name} of {type(value[0]).__name__}" if value else f"an empty {name}"
    return f"a value of type {name}"


def _may_attach(signal: object) -> bool:
    """True if the handling of a signal may attach a further source."""
    return type(signal) is ActionRequired


def _is_source(value: object) -> TypeGuard[Adaptable]:
    """True if a returned value is a source.

    Sources are also an iterator (of a generator function, of a recording) and a list of raw events. Other iterables,
    such as a dict or the answer of a client library, are none.
    """
    if isinstance(value, list | tuple):
        return bool(value) and all(type(item) is RawEvent for item in value)
    return isinstance(value, Source | AsyncIterable | abc.ObservableBase | Iterator)


async def _wait_until(deadline: float, tasks: Iterable[asyncio.Task[None]]) -> None:
    """Wait for tasks, at the longest until the deadline (monotonic seconds)."""
    pending = _pending(tasks)
    if pending:
        await asyncio.wait(pending, timeout=max(deadline - time.monotonic(), 0.0))


def _pending(tasks: Iterable[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
    """The tasks that are not done, without the current one: a handler may close its own stream."""
    current = asyncio.current_task()
    return {task for task in tasks if not task.done() and task is not current}
