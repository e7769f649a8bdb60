"""Fetches runs that may have gaps, on demand, and reconciles their states with the answers."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from msgspec import Struct

from runstream.core.run_record import RunRecord
from runstream.core.state import RunState
from runstream.dialects.base import BaseDialect, Dialect
from runstream.dialects.registry import make_dialect
from runstream.engine.engine import Engine
from runstream.engine.source_state import SourceState
from runstream.logs import LOG
from runstream.model.events import Event, MessageEvent, Reject, RunDetached, RunEvent, StepEvent, TextAppend
from runstream.model.raw import RawItem
from runstream.model.run import RunKey
from runstream.model.validation import check_numbers
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.poll_answers import PollResult, names_run, read_answer
from runstream.sources.reconnect import Reconnect, check_reconnect
from runstream.sources.user_calls import UserCallback, classify_error
from runstream.stream.buffers import Gate
from runstream.stream.source_runner import SourceRunner
from runstream.stream.waiters import key_of

__all__ = ["Repair", "RepairDialect", "Repairs"]


_MAX_REMEMBERED: Final = 4_096  # runs whose last fetch is remembered, before old fetches are dropped


class Repair(Struct, frozen=True, kw_only=True):
    """How runs that may have gaps are fetched; see :class:`~runstream.RunStream`.

    ::

        RunStream(source, fetch_run=Repair(fetch_run=fetch, interval=30))

    Attributes:
        fetch_run: Takes the :class:`~runstream.RunState` (with ``run_id``, ``thread_id`` and ``scope``) and returns
            the run as it is on the server, in any form that :class:`~runstream.PollSource` accepts, or a list of the
            run, its steps and its messages. A plain function (then it runs in a thread) or a coroutine function.
        interval: The shortest time between two fetches of one run (seconds).
        concurrency: How many runs are fetched at a time.
        timeout: The longest time of one call (seconds).
        reconnect: When to retry after a temporary error; ``None``: never.

    Raises:
        TypeError: ``fetch_run`` is not a function, or another value has another type.
        ValueError: A value is outside its range.
    """

    fetch_run: Callable[[RunState], Any]
    interval: float = 5.0
    concurrency: int = 8
    timeout: float = 10.0
    reconnect: Reconnect | None = Reconnect(maximum=5.0, max_attempts=2)

    def __post_init__(self) -> None:
        if not callable(self.fetch_run):
            raise TypeError(f"fetch_run is a function that gives a run, not a {type(self.fetch_run).__name__}")
        check_numbers(interval=self.interval, concurrency=self.concurrency, timeout=self.timeout)
        check_reconnect(self.reconnect)
        # `not (a <= b)`, so that NaN is refused too.
        if not 0 <= self.interval < math.inf:
            raise ValueError("interval must be a number of seconds")
        if not self.concurrency >= 1:
            raise ValueError("concurrency must be 1 or more")
        if not 0 < self.timeout < math.inf:
            raise ValueError("timeout must be a positive number of seconds")


class Repairs:
    """Fetches runs on demand: one fetch of a run at a time, with a minimum interval and a limited concurrency.

    Errors are logged and counted; they never end the stream.

    Args:
        engine: The engine whose runs are fetched. Its ``on_gap`` is connected.
        runner: Keeps the stream open while a run is fetched.
        gate: Delays the processing of an answer while a subscriber blocks the sources.
        repair: How to fetch; ``None``: not at all.
        clock: Returns monotonic seconds; for tests.
        sleep: Waits; for tests.
    """

    def __init__(
        self,
        engine: Engine,
        runner: SourceRunner,
        gate: Gate,
        repair: Repair | Callable[[RunState], Any] | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if repair is not None and not isinstance(repair, Repair):
            repair = Repair(fetch_run=repair)
        self._engine = engine
        self._runner = runner
        self._gate = gate
        self._repair = repair
        self._clock = clock
        self._sleep = sleep
        self._closed = False
        self._jobs: dict[RunKey, asyncio.Task[None]] = {}
        self._requested: dict[RunKey, str] = {}  # the reasons of requests during a fetch: one more fetch follows
        self._started: dict[RunKey, float] = {}  # the times of the last fetches
        self._slots = asyncio.Semaphore(repair.concurrency) if repair is not None else None
        if repair is not None:
            engine.on_gap = self.request

    def request(self, state: RunState, why: str) -> None:
        """Request a fetch of a run that may have a gap.

        Args:
            state: The current state of the run.
            why: The reason, for logs.
        """
        if self._repair is None or self._closed or (state.is_terminal and not state.partial):
            return
        key = key_of(state)
        if key in self._jobs:
            self._requested[key] = why
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # a source was removed before reading started
        job = loop.create_task(self._work(key, why), name=f"runstream repair {state.run_id}")
        self._jobs[key] = job
        # Not in the coroutine: a task that is cancelled before its first step runs none of it.
        job.add_done_callback(lambda job: self._on_done(key, job))
        self._runner.keep_open()

    def is_fetching(self, state: RunState) -> bool:
        """True if a fetch of the run is in progress or waits for its start."""
        return key_of(state) in self._jobs

    async def close(self) -> None:
        """Cancel all fetches and wait for their tasks; further requests are ignored."""
        self._closed = True
        jobs = tuple(self._jobs.values())
        for job in jobs:
            job.cancel()
        if jobs:
            await asyncio.wait(jobs)

    def _on_done(self, key: RunKey, job: asyncio.Task[None]) -> None:
        self._jobs.pop(key, None)
        self._requested.pop(key, None)
        if not job.cancelled() and (error := job.exception()) is not None:  # for example of a store that fails
            self._report_failed(key, "taking it in", f"{type(error).__name__} in the stream")
        self._runner.release()

    def _report_failed(self, key: RunKey, why: str, reason: str, attempts: int = 1) -> None:
        self._engine.counts.failed_repairs += 1
        LOG.warning("repair_failed", run_id=key[1], scope=key[0], why=why, reason=reason, attempts=attempts)

    async def _work(self, key: RunKey, why: str) -> None:
        assert self._repair is not None
        assert self._slots is not None
        reason: str | None = why
        while reason is not None:
            if (started := self._started.get(key)) is not None:
                wait = started + self._repair.interval - self._clock()
                if wait > 0:
                    await self._sleep(wait)
            async with self._slots:
                self._remember_start(key)
                self._requested.pop(key, None)  # this fetch serves all requests until now
                await self._fetch(key, reason)
            reason = self._requested.pop(key, None)

    def _remember_start(self, key: RunKey) -> None:
        assert self._repair is not None
        now = self._clock()
        self._started.pop(key, None)
        if len(self._started) >= _MAX_REMEMBERED:
            interval = self._repair.interval
            self._started = {run: started for run, started in self._started.items() if now - started < interval}
        self._started[key] = now

    async def _fetch(self, key: RunKey, why: str) -> None:
        """Fetch one run and reconcile its state; errors are logged and counted."""
        record = self._engine.registry.record(*key)
        if record is None:
            return  # evicted meanwhile
        source = record.last_source
        make: Callable[..., Dialect] = source.make_decoder if source is not None else make_dialect
        assert self._repair is not None
        callback = UserCallback(self._repair.fetch_run, f"repair {key[1]}")
        attempt = 0
        while True:
            try:
                answer = await self._call(callback, record, make(continues=key[1]))
                break
            except ConnectFailed as error:
                attempt += 1
                policy = self._repair.reconnect
                if error.retry and policy is not None and not policy.is_exhausted(attempt):
                    await self._sleep(policy.delay(attempt, asked=error.wait))
                    continue
                self._report_failed(key, why, error.reason, attempt)
                return
        if (undecided := _undecided(answer, key[1])) is not None:
            LOG.info("not_repaired", run_id=key[1], scope=key[0], why=why, reason=undecided)
            return
        if not self._gate.open:
            await self._gate.wait()
        self._runner.queue.run(self._reconcile, record, source, answer, make(continues=key[1]))
        LOG.info("repaired", run_id=key[1], scope=key[0], why=why, status=record.state.status.value)

    async def _call(self, callback: UserCallback, record: RunRecord, decoder: Dialect) -> PollResult:
        assert self._repair is not None
        within = self._repair.timeout
        try:
            answer = await read_answer(await callback(record.state, within=within), decoder, within=within)
        except ConnectFailed as error:
            if error.status is None:  # of `read_answer`, with a message of the library
                raise ConnectFailed(f"fetch_run: {error.reason}", retry=error.retry) from error
            raise classify_error("fetch_run", error) from error
        except Exception as error:
            raise classify_error("fetch_run", error) from error
        run_id = record.state.run_id
        if not _names(answer, run_id) and _undecided(answer, run_id) is None:
            raise ConnectFailed("fetch_run gave nothing of the run that it was asked for")
        return answer

    def _reconcile(self, record: RunRecord, source: SourceState | None, answer: PollResult, decoder: Dialect) -> None:
        """Process the answer as events of the run's own source: the run stays assigned to that source."""
        state = record.state
        if record.source is not None:
            source = record.source
        elif not any(run.is_terminal for run in answer.runs if run.id == state.run_id):
            return  # a watchdog has expired the run, or its source has no more of it: only its end is new
        if source is None:
            return
        dialect = RepairDialect(decoder, state, live=not source.ended)
        self._engine.apply_snapshots(source, [item.item for item in answer.objects], dialect)
        self._engine.counts.repairs += 1


def _names(answer: PollResult, run_id: str) -> bool:
    return any(names_run(event) == run_id for item in answer.objects for event in item.events)


def _undecided(answer: PollResult, run_id: str) -> str | None:
    """Why the server can't say how a run is; ``None`` if it does.

    A later run of the thread has replaced the state, as where a LangGraph run was answered during the fetch.
    """
    if _names(answer, run_id):
        return None
    events = (event for item in answer.objects for event in item.events)
    return next((event.data for event in events if isinstance(event, RunDetached) and event.run_id == run_id), None)


class RepairDialect(BaseDialect):
    """Decodes fetched objects to those events that repair a state: of the run, and of each step and message that has
    ended.

    A step or message that is open is left to the stream that still delivers it: it is unknown which of the coming
    fragments the object contains already, and a fragment that is appended twice is wrong text.

    Args:
        decoder: A new decoder of the dialect of the run's source.
        state: The present state of the run.
        live: True if a stream still delivers events of the run.
    """

    __slots__ = ("_decoder", "_known", "_live", "_run_id")

    def __init__(self, decoder: Dialect, state: RunState, *, live: bool) -> None:
        super().__init__()
        self._decoder = decoder
        self._run_id = state.run_id
        self._known = {item.id for item in state._objects}
        self._live = live

    def decode(self, item: RawItem) -> list[Event | Reject]:
        """Decode one object."""
        decoded = self._decoder.decode(item)
        events = decoded if isinstance(decoded, list | tuple) else (decoded,)
        return [event for event in events if self._is_usable(event)]

    def _is_usable(self, event: Event | Reject) -> bool:
        run_id = names_run(event)
        if run_id is not None and run_id != self._run_id:
            return False
        if isinstance(event, StepEvent | MessageEvent):
            return (run_id is not None or event.data.id in self._known) and (event.data.is_terminal or not self._live)
        if isinstance(event, TextAppend):
            return not self._live
        return isinstance(event, RunEvent)
