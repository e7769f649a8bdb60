"""Runs cases, many at once in one loop, and notes all that a user could see."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from msgspec import Struct

from runstream.core.state import RunState
from runstream.errors import IncompleteStream
from runstream.model.events import Reject
from runstream.model.limits import Limits, Stats
from runstream.model.run import Run
from runstream.model.signals import Signal
from runstream.stream.run_stream import RunStream
from tests.faults.cases import Case
from tests.faults.clients import fetching, make
from tests.faults.content import MAX_BYTES
from tests.faults.expected import clean
from tests.faults.process import Server

__all__ = ["Seen", "Stray", "observe", "run_all"]

BOUND: Final = 30.0
"""Seconds that no case may take; they take milliseconds."""


class Seen(Struct, kw_only=True):
    """All that a user could see of a case.

    Attributes:
        states: The final states.
        signals: All signals, progress too.
        rejects: What could not be used.
        results: What ``result()`` gave for each run of the clean stream; an exception where it raised.
        everything: Likewise ``results()``.
        stats: The counts.
        sent: The events that the server ever sent, whole.
        carried_out: How many POSTs the server got that may have started something.
        nameless: How many connections came, after events with ids, that named none of them.
        hung: Whether it had to be given up.
        error: What went wrong that may never go wrong.
    """

    states: tuple[RunState, ...] = ()
    signals: list[Signal]
    rejects: list[Reject]
    results: dict[str, Run | IncompleteStream]
    everything: tuple[Run, ...] | IncompleteStream | None = None
    stats: Stats | None = None
    sent: frozenset[int] = frozenset()
    carried_out: int = 0
    nameless: int = 0
    hung: bool = False
    error: str = ""


class Stray(Struct, frozen=True):
    """What was left behind by some of the cases.

    Attributes:
        tasks: Names of tasks that nobody ended.
        complaints: What the loop complained about, such as exceptions never retrieved.
    """

    tasks: list[str]
    complaints: list[str]


async def observe(case: Case, server: Server) -> Seen:
    """Run a case."""
    seen = Seen(signals=[], rejects=[], results={})
    async with server.place(case) as place:
        try:
            async with asyncio.timeout(BOUND):
                stream = RunStream(
                    make(case, place),
                    limits=Limits(max_message_bytes=MAX_BYTES),
                    close_timeout=5.0,
                    fetch_run=fetching(case),
                )
                async with stream:
                    await _watch(stream, case, seen)
        except TimeoutError:
            seen.hung = True
        except Exception as error:
            seen.error = f"{type(error).__name__}: {error}"
        slot = place.slot
        seen.sent, seen.carried_out, seen.nameless = slot.sent(), slot.carried_out, slot.nameless
    return seen


async def _watch(stream: RunStream, case: Case, seen: Seen) -> None:
    stream.signals.subscribe(seen.signals.append)
    stream.rejects.subscribe(seen.rejects.append)
    try:
        seen.everything = await stream.results()
    except IncompleteStream as error:
        seen.everything = error
    for run_id in clean(case.tellings, case.source).runs:
        try:
            seen.results[run_id] = await stream.result(run_id)
        except IncompleteStream as error:
            seen.results[run_id] = error
    seen.states = tuple(stream.latest.values())
    seen.stats = stream.stats


async def run_all(
    cases: Iterable[Case], server: Server, stray: Stray, at_once: int = 40
) -> AsyncIterator[tuple[Case, Seen]]:
    """Run cases, so many at once; gives each with what was seen, as they end.

    Args:
        cases: The cases.
        server: Serves them.
        stray: Takes what is left behind.
        at_once: How many run at the same time.

    Raises:
        TimeoutError: Sockets are left open.
    """
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: stray.complaints.append(_complaint(context)))
    waiting = iter(cases)
    running: set[asyncio.Task[tuple[Case, Seen]]] = set()
    before, handles = asyncio.all_tasks(), _sockets()

    async def one(case: Case) -> tuple[Case, Seen]:
        return case, await observe(case, server)

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
    async with asyncio.timeout(BOUND):
        while _sockets() > handles:  # those just closed are gone when their peer has answered
            await asyncio.sleep(0.01)
    stray.tasks.extend(task.get_name() for task in asyncio.all_tasks() - before if not task.done())


def _sockets() -> int:
    """How many sockets this process has open, where the system tells."""
    found = 0
    for handle in Path("/proc/self/fd").glob("*"):
        with suppress(OSError):
            found += os.readlink(handle).startswith("socket:")
    return found


def _complaint(context: dict[str, Any]) -> str:
    error = context.get("exception")
    return f"{context.get('message')}: {error!r}"
