"""Fetching runs that may have missed something, and taking in what was fetched."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct

from runstream.core.registry import RunRecord
from runstream.core.state import RunState
from runstream.dialects.assistants import AssistantsDialect
from runstream.engine.engine import Engine
from runstream.logs import LOG
from runstream.model.raw import RawEvent
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.poll_answers import Answer, Snapshot, read_answer
from runstream.sources.reconnect import Reconnect
from runstream.sources.user_calls import UserCallback, trouble
from runstream.stream.buffers import Gate
from runstream.stream.source_runner import SourceRunner
from runstream.stream.waiters import Key, key_of

__all__ = ["Repair", "Repairs", "usable"]


_REMEMBERED = 4_096  # runs whose last fetch is remembered, before those of long ago are swept out


class Repair(Struct, frozen=True, kw_only=True):
    """How runs that may have missed something are fetched; see :class:`~runstream.RunStream`.

    ::

        RunStream(source, fetch_run=Repair(fetch_run=fetch, interval=30))

    Attributes:
        fetch_run: Gets the :class:`~runstream.RunState` (with ``run_id``, ``thread_id`` and ``scope``) and gives the
            run as it is on the server, in any form that :class:`~runstream.PollSource` takes, or a list of the run,
            its steps and its messages. Sync (then it runs in a thread) or async.
        interval: Shortest time between two fetches of one run (seconds).
        concurrency: How many runs are fetched at a time.
        timeout: How long one call may take (seconds).
        reconnect: When to try again after an error that may pass; ``None``: never.

    Raises:
        TypeError: ``fetch_run`` is no function.
        ValueError: A value outside its range.
    """

    fetch_run: Callable[[RunState], Any]
    interval: float = 5.0
    concurrency: int = 8
    timeout: float = 10.0
    reconnect: Reconnect | None = Reconnect(maximum=5.0, max_attempts=2)

    def __post_init__(self) -> None:
        if not callable(self.fetch_run):
            raise TypeError(f"fetch_run is a function that gives a run, not a {type(self.fetch_run).__name__}")
        # `not (a <= b)`, so that NaN is refused too.
        if not 0 <= self.interval < math.inf:
            raise ValueError("interval must be a number of seconds")
        if not self.concurrency >= 1:
            raise ValueError("concurrency must be 1 or more")
        if not 0 < self.timeout < math.inf:
            raise ValueError("timeout must be a positive number of seconds")


class Repairs:
    """Fetches runs on demand: one fetch of a run at a time, not too often, not too many at once; never fatal.

    Args:
        engine: Whose runs they are.
        pump: Kept from ending while a run is fetched.
        gate: Holds what was fetched while a consumer is behind.
        repair: How to fetch; ``None``: not at all.
        clock: Gives seconds that never run backwards; for tests.
        sleep: Waits; for tests.
    """

    def __init__(
        self,
        engine: Engine,
        pump: SourceRunner,
        gate: Gate,
        repair: Repair | Callable[[RunState], Any] | None,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if repair is not None and not isinstance(repair, Repair):
            repair = Repair(fetch_run=repair)
        self._engine = engine
        self._pump = pump
        self._gate = gate
        self._repair = repair
        self._clock = clock
        self._sleep = sleep
        self._closed = False
        self._jobs: dict[Key, asyncio.Task[None]] = {}
        self._again: dict[Key, str] = {}
        self._begun: dict[Key, float] = {}
        self._places = asyncio.Semaphore(repair.concurrency) if repair is not None else None
        if repair is not None:
            engine.on_gap = self.repair

    def repair(self, state: RunState, why: str) -> None:
        """Have a run fetched soon, because it may have missed something.

        Args:
            state: The run as it is known.
            why: What happened, for the log.
        """
        if self._repair is None or self._closed or (state.is_terminal and not state.partial):
            return
        key = key_of(state)
        if key in self._jobs:
            self._again[key] = why
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # a source was removed before anything was read
        job = loop.create_task(self._work(key, why), name=f"runstream repair {state.run_id}")
        self._jobs[key] = job
        # Not in the coroutine: one that is cancelled before its first step runs nothing of itself.
        job.add_done_callback(lambda job: self._done(key, job))
        self._pump.hold()

    def fetching(self, state: RunState) -> bool:
        """Whether a run is being fetched, or about to be."""
        return key_of(state) in self._jobs

    async def close(self) -> None:
        """Fetch nothing more, and leave nothing behind."""
        self._closed = True
        jobs = tuple(self._jobs.values())
        for job in jobs:
            job.cancel()
        if jobs:
            await asyncio.wait(jobs)

    def _done(self, key: Key, job: asyncio.Task[None]) -> None:
        self._jobs.pop(key, None)
        self._again.pop(key, None)
        if not job.cancelled() and (error := job.exception()) is not None:  # a store that fails, say
            self._failed(key, "taking it in", f"{type(error).__name__} in the stream")
        self._pump.release()

    def _failed(self, key: Key, why: str, reason: str, attempts: int = 1) -> None:
        self._engine.counts.failed_repairs += 1
        LOG.warning("repair_failed", run_id=key[1], scope=key[0], why=why, reason=reason, attempts=attempts)

    async def _work(self, key: Key, why: str) -> None:
        assert self._repair is not None
        assert self._places is not None
        reason: str | None = why
        while reason is not None:
            if (begun := self._begun.get(key)) is not None:
                wait = begun + self._repair.interval - self._clock()
                if wait > 0:
                    await self._sleep(wait)
            async with self._places:
                self._note(key)
                self._again.pop(key, None)  # what was asked for until now, this fetch serves too
                await self._fetch(key, reason)
            reason = self._again.pop(key, None)

    def _note(self, key: Key) -> None:
        assert self._repair is not None
        now = self._clock()
        self._begun.pop(key, None)
        if len(self._begun) >= _REMEMBERED:
            self._begun = {held: at for held, at in self._begun.items() if now - at < self._repair.interval}
        self._begun[key] = now

    async def _fetch(self, key: Key, why: str) -> None:
        """Fetch one run and take it in; what goes wrong is logged and counted."""
        record = self._engine.registry.record(*key)
        if record is None:
            return  # forgotten since
        intake = record.intake
        assert self._repair is not None
        caller = UserCallback(self._repair.fetch_run, f"repair {key[1]}")
        attempt = 0
        while True:
            try:
                answer = await self._ask(caller, record)
                break
            except ConnectFailed as refusal:
                attempt += 1
                policy = self._repair.reconnect
                if refusal.retry and policy is not None and not policy.gives_up(attempt):
                    await self._sleep(policy.delay(attempt, asked=refusal.wait))
                    continue
                self._failed(key, why, refusal.reason, attempt)
                return
        if not self._gate.open:
            await self._gate.wait()
        self._pump.turns.run(self._take_in, record, intake, answer)
        LOG.info("repaired", run_id=key[1], scope=key[0], why=why, status=record.state.status.value)

    async def _ask(self, caller: UserCallback, record: RunRecord) -> Answer:
        assert self._repair is not None
        within = self._repair.timeout
        try:
            answer = await read_answer(await caller(record.state, within=within), within=within)
        except ConnectFailed as refusal:
            if refusal.status is None:  # what it gave, in our own words
                raise ConnectFailed(f"fetch_run: {refusal.reason}", retry=refusal.retry) from refusal
            raise trouble("fetch_run", refusal) from refusal
        except Exception as error:
            raise trouble("fetch_run", error) from error
        if not any(item.run_id == record.state.run_id for item in answer.snapshots):
            raise ConnectFailed("fetch_run gave nothing of the run that it was asked for")
        return answer

    def _take_in(self, record: RunRecord, intake: Any, answer: Answer) -> None:
        """Reconcile, as the run's own source would have told it: the run stays with that source."""
        state = record.state
        if record.intake is not None:
            intake = record.intake
        elif not any(run.ended for run in answer.runs if run.id == state.run_id):
            return  # a watchdog has given it up; only its end is news
        if intake is None:
            return
        limits = self._engine.limits
        dialect = AssistantsDialect(max_message_bytes=limits.max_message_bytes, max_nesting=limits.max_nesting)
        intake.heal(usable(answer, state, live=not intake.ended), dialect)
        self._engine.counts.repairs += 1


def usable(answer: Answer, state: RunState, *, live: bool) -> tuple[RawEvent, ...]:
    """What of an answer heals a state, in order.

    The run, and each step and message that has ended. One that is open and still told by a stream is left to it:
    nobody knows which of the fragments to come the snapshot holds already, and a fragment taken twice is wrong text.

    Args:
        answer: What was fetched.
        state: What is known.
        live: Whether a stream tells of it.
    """
    known = {item.id for item in state._objects}

    def counts(item: Snapshot) -> bool:
        if item.kind == "thread.run":
            return item.is_run and item.id == state.run_id
        if item.run_id is not None and item.run_id != state.run_id:
            return False
        return (item.run_id is not None or item.id in known) and (item.ended or not live)

    return tuple(item.raw for item in answer.snapshots if counts(item))
