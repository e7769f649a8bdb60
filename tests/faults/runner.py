"""Runs cases, many at once in one loop, and records everything that a user could observe."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

from msgspec import Struct

from runstream.core.state import RunState
from runstream.errors import IncompleteStream
from runstream.model.events import Reject
from runstream.model.limits import Limits, Stats
from runstream.model.run import Run
from runstream.model.signals import Signal
from runstream.stream.run_stream import RunStream
from tests.faults.cases import Case
from tests.faults.clients import make_source, repair_of
from tests.faults.content import MAX_BYTES
from tests.faults.expected import expected_of
from tests.faults.process import Server

__all__ = ["Leaks", "Observation", "observe", "run_all", "run_jobs"]

AnyCase = TypeVar("AnyCase")
Result = TypeVar("Result")

BOUND: Final = 180.0
"""Time limit of a case (seconds). A case takes milliseconds, or seconds if its run has no end and its server is killed:
each attempt then waits. On a busy machine with many cases at once this has taken more than a minute."""


class Observation(Struct, kw_only=True):
    """Everything that a user could observe of a case, and what the server did.

    Attributes:
        states: The final states.
        signals: All signals, progress included.
        rejects: The rejects.
        results: The return value of ``result()`` for each run of the clean stream, or the exception that it raised.
        everything: The return value of ``results()``, or the exception that it raised.
        stats: The counts.
        sent: The numbers of the events that the server sent completely.
        executed_posts: Number of POSTs that the server received and that may have started a run.
        without_last_id: Number of later connections that sent no last event id.
        hung: Whether the case exceeded the time limit.
        error: An exception that may never occur.
    """

    states: tuple[RunState, ...] = ()
    signals: list[Signal]
    rejects: list[Reject]
    results: dict[str, Run | IncompleteStream]
    everything: tuple[Run, ...] | IncompleteStream | None = None
    stats: Stats | None = None
    sent: frozenset[int] = frozenset()
    executed_posts: int = 0
    without_last_id: int = 0
    hung: bool = False
    error: str = ""


class Leaks(Struct, frozen=True):
    """Leaks of the cases.

    Attributes:
        tasks: Names of tasks that did not end.
        loop_errors: Errors reported by the event loop, such as exceptions never retrieved.
    """

    tasks: list[str]
    loop_errors: list[str]


async def observe(case: Case, server: Server) -> Observation:
    """Run a case."""
    observed = Observation(signals=[], rejects=[], results={})
    async with server.endpoint(case) as endpoint:
        try:
            async with asyncio.timeout(BOUND):
                stream = RunStream(
                    make_source(case, endpoint),
                    dialect=case.protocol,
                    limits=Limits(max_message_bytes=MAX_BYTES),
                    close_timeout=5.0,
                    fetch_run=repair_of(case),
                )
                async with stream:
                    await _watch(stream, case, observed)
        except TimeoutError:
            observed.hung = True
        except Exception as error:
            observed.error = f"{type(error).__name__}: {error}"
        slot = endpoint.slot
        observed.sent = slot.sent()
        observed.executed_posts = slot.executed_posts
        observed.without_last_id = slot.without_last_id
    return observed


async def _watch(stream: RunStream, case: Case, observed: Observation) -> None:
    stream.signals.subscribe(observed.signals.append)
    stream.rejects.subscribe(observed.rejects.append)
    try:
        observed.everything = await stream.results()
    except IncompleteStream as error:
        observed.everything = error
    for run_id in expected_of(case.streams, case.source).runs:
        try:
            observed.results[run_id] = await stream.result(run_id)
        except IncompleteStream as error:
            observed.results[run_id] = error
    observed.states = tuple(stream.latest.values())
    observed.stats = stream.stats


async def run_all(
    cases: Iterable[Case], server: Server, leaks: Leaks, at_once: int = 40
) -> AsyncIterator[tuple[Case, Observation]]:
    """Run cases concurrently and yield each with its observation, in the order in which they end.

    Args:
        cases: The cases.
        server: The server.
        leaks: Receives the leaks.
        at_once: Number of cases that run at the same time.

    Raises:
        TimeoutError: Sockets stayed open.
    """

    async def one(case: Case) -> Observation:
        return await observe(case, server)

    async for found in run_jobs(cases, one, leaks, at_once):
        yield found


async def run_jobs(
    cases: Iterable[AnyCase], run: Callable[[AnyCase], Awaitable[Result]], leaks: Leaks, at_once: int = 40
) -> AsyncIterator[tuple[AnyCase, Result]]:
    """Run cases of any kind concurrently and yield each with its result, in the order in which they end.

    Args:
        cases: The cases.
        run: Runs one.
        leaks: Receives the leaks.
        at_once: Number of cases that run at the same time.

    Raises:
        TimeoutError: Sockets stayed open.
    """
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: leaks.loop_errors.append(_describe_error(context)))
    waiting = iter(cases)
    running: set[asyncio.Task[tuple[AnyCase, Result]]] = set()
    before, handles = asyncio.all_tasks(), _sockets()

    async def one(case: AnyCase) -> tuple[AnyCase, Result]:
        return case, await run(case)

    while True:
        while len(running) < at_once and (case := next(waiting, None)) is not None:
            running.add(asyncio.create_task(one(case)))
        if not running:
            break
        done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            yield task.result()
    for _ in range(20):
        await asyncio.sleep(0)
    gc.collect()
    gc.freeze()  # what is left lives on, such as expected results: the next collection does not go through it again
    async with asyncio.timeout(BOUND):
        while _sockets() > handles:  # a closed socket disappears after the answer of its peer
            await asyncio.sleep(0.01)
    leaks.tasks.extend(task.get_name() for task in asyncio.all_tasks() - before if not task.done())


def _sockets() -> int:
    """Number of open sockets of this process, if the system reports it."""
    found = 0
    for handle in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):
            found += os.readlink(handle).startswith("socket:")
    return found


def _describe_error(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{context.get('message')}: {error!r}"
