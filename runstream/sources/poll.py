"""Polling: a function that retrieves a run, asked again until the run has ended.

What it gives enters the pipeline as snapshots, so signals, text and states come as from a stream, only later.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from runstream.errors import SourceFailed
from runstream.model.run import RunStatus
from runstream.model.validation import check_seconds
from runstream.sources.base import Receiver
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.poll_answers import Answer, Snapshot, read_answer
from runstream.sources.reconnect import Reconnect
from runstream.sources.user_calls import UserCallback, trouble

__all__ = ["PollSource"]

_SOONEST: Final = 0.05  # seconds; a server that says "at once" is not asked in a tight loop


class PollSource:
    """Asks for a run until it has ended: completed, failed, cancelled, expired or incomplete.

    ::

        def retrieve():
            return client.beta.threads.runs.retrieve(run_id, thread_id=thread_id)

        async with RunStream(PollSource(retrieve)) as stream:
            run = await stream.result()

    ``retrieve`` takes no argument and gives the run in any form: a :class:`~runstream.Run`, a mapping, JSON as bytes or
    text, an object of a client library (with ``model_dump``, ``to_dict`` or ``as_dict``), or an HTTP response with
    ``headers`` and a body, such as ``with_raw_response`` of the openai client gives: then the server's
    ``openai-poll-after-ms`` and ``Retry-After`` count. It may also give a list of these, such as the run, its steps and
    its messages; lists that run backwards are turned round, and what belongs to another run is left out. A plain
    function runs in a thread, so it may block; an ``async`` one runs in the loop. It is never called twice at a time.

    The time between two polls grows from ``interval`` by ``factor`` up to ``max_interval`` while nothing changes, and
    starts again with a change. In a status that is not known it is ``max_interval``. A time-out, a lost connection, and
    the statuses 408, 425, 429 and 5xx (told by the exception's ``status_code`` or ``status``, or by the response's) are
    tried again after ``reconnect``; a 401 that follows earlier success once; any other status is final.

    A run that waits for action is polled on by default: its outputs are usually submitted elsewhere, by a handler or
    another process, and if nobody does, the run expires, which is an end too. With ``stop_on_action=True`` the source
    ends there, which is told as ``run.paused``.

    Args:
        retrieve: Gives the run, sync or async.
        interval: Shortest time between polls (seconds).
        max_interval: Longest time between polls (seconds), unless the server asks for more.
        factor: By which the time grows while nothing changes; 1 or more.
        jitter: Share of the time that is left to chance, from 0 to 1.
        deadline: After this time (seconds) without an end of the run the source fails; ``None``: never.
        call_timeout: How long one call may take (seconds); ``None``: any time.
        stop_on_action: Whether the source ends when the run waits for action.
        reconnect: When to try again after an error; ``None``: never.
        name: The source's name.
        clock: Gives seconds that never run backwards; for tests.
        sleep: Waits; for tests.

    Raises:
        TypeError: ``retrieve`` is no function.
        ValueError: A value outside its range.
    """

    snapshots: Final = True
    """Each poll tells the whole: after a lost connection nothing can be missing."""

    def __init__(
        self,
        retrieve: Callable[[], Any],
        *,
        interval: float = 1.0,
        max_interval: float = 10.0,
        factor: float = 1.5,
        jitter: float = 0.1,
        deadline: float | None = None,
        call_timeout: float | None = 60.0,
        stop_on_action: bool = False,
        reconnect: Reconnect | None = Reconnect(),  # noqa: B008 - frozen
        name: str = "poll",
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        if not callable(retrieve):
            raise TypeError(f"retrieve is a function that gives the run, not a {type(retrieve).__name__}")
        # `not (a <= b)`, so that NaN is refused too.
        if not 0 < interval < math.inf:
            raise ValueError("interval must be a positive number of seconds")
        if not interval <= max_interval < math.inf:
            raise ValueError("max_interval must be a number of seconds, and not less than interval")
        if not 1 <= factor < math.inf:
            raise ValueError("factor must be a number, 1 or more")
        if not 0 <= jitter <= 1:
            raise ValueError("jitter must be from 0 to 1")
        check_seconds(deadline=deadline, call_timeout=call_timeout)
        self.name = name
        self._retrieve = retrieve
        self._pace = Reconnect(initial=interval, maximum=max_interval, factor=factor, jitter=jitter)
        self._deadline = deadline
        self._call_timeout = call_timeout
        self._stop_on_action = stop_on_action
        self._reconnect = reconnect
        self._clock = clock
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"PollSource({self.name!r})"

    async def run(self, receiver: Receiver) -> None:
        """Poll until there is no more; see :class:`~runstream.sources.base.Source`.

        Raises:
            SourceFailed: The run can not be retrieved, or the deadline has passed.
        """
        ask = _Asking(self, self._clock)
        told: dict[tuple[str, str], int] = {}
        unchanged = 0
        attempt = 0
        connected = asked_again = False
        while True:
            try:
                answer = await ask()
                if not answer.runs:
                    await self._tell(receiver, answer, told)  # what can't be used is a reject there
                    if answer.snapshots or not connected:
                        raise ConnectFailed(
                            f"{self.name} gave no run with an id and a status", retry=bool(answer.snapshots)
                        )
            except ConnectFailed as refusal:
                again = refusal.status == 401 and connected and not asked_again
                attempt += 1
                policy = self._reconnect
                if not (again or refusal.retry) or policy is None or policy.gives_up(attempt):
                    twice = " (it was asked once more)" if refusal.status == 401 and asked_again else ""
                    failed = SourceFailed(refusal.reason + twice, attempts=attempt, status=refusal.status)
                    raise failed from refusal.__cause__
                asked_again = asked_again or again
                receiver.disconnected(refusal.reason, attempt)
                await ask.pause(policy.delay(attempt, asked=refusal.wait, chance=random.random))
                continue
            if not connected or attempt:
                receiver.connected(attempt)
            connected, attempt, asked_again = True, 0, False
            changed = await self._tell(receiver, answer, told)
            runs = answer.runs
            if runs and all(run.ended for run in runs):
                if len(answer.snapshots) > len(runs):
                    await self._last_look(receiver, ask, told)
                return
            if self._stop_on_action and runs and all(run.ended or _waits(run) for run in runs):
                return
            unchanged = 0 if changed else unchanged + 1
            await ask.pause(self._until_next(answer, unchanged))

    async def _tell(self, receiver: Receiver, answer: Answer, told: dict[tuple[str, str], int]) -> bool:
        """Feed the runs, and what else has changed since the last answer; whether anything has."""
        before = dict(told)
        told.clear()
        changed = False
        for item in answer.snapshots:
            key, content = (item.kind, item.id), hash((item.raw.event, item.raw.data))
            told[key] = content
            if before.get(key) != content:
                changed = True
            elif not item.is_run:  # a run that is as it was is still heard of, which watchdogs want to know
                continue
            receiver.feed(item.raw)
        if not answer.snapshots:
            told.update(before)
        await receiver.ready()
        return changed

    async def _last_look(self, receiver: Receiver, ask: _Asking, told: dict[tuple[str, str], int]) -> None:
        """Ask once more after the end: steps and messages may have been retrieved before the run was."""
        try:
            answer = await ask()
        except ConnectFailed:
            return  # what matters is known
        await self._tell(receiver, answer, told)

    def _until_next(self, answer: Answer, unchanged: int) -> float:
        """Seconds until the next poll."""
        own = self._pace.delay(unchanged + 1, chance=random.random)
        if any(not RunStatus(run.status).is_known for run in answer.runs):
            own = max(own, self._pace.maximum * (1 - self._pace.jitter))
        limit = self._reconnect.max_retry_after if self._reconnect is not None else Reconnect().max_retry_after
        if answer.poll_after is not None:
            own = min(max(answer.poll_after, _SOONEST), limit)
        return max(own, min(answer.retry_after or 0.0, limit))


class _Asking:
    """One run of a source: its calls and pauses, within its deadline."""

    def __init__(self, source: PollSource, clock: Callable[[], float]) -> None:
        self._source = source
        self._caller = UserCallback(source._retrieve, source.name)
        self._clock = clock
        self._started = clock()

    async def __call__(self) -> Answer:
        source = self._source
        left = self._left()
        bounds = [bound for bound in (left, source._call_timeout) if bound is not None]
        within = min(bounds) if bounds else None
        try:
            return await read_answer(await self._caller(within=within), within=within)
        except ConnectFailed as refusal:
            if refusal.status is None:  # what it gave, in our own words
                raise ConnectFailed(f"{source.name}: {refusal.reason}", retry=refusal.retry) from refusal
            raise trouble(source.name, refusal) from refusal
        except Exception as error:
            if isinstance(error, TimeoutError) and left is not None and left == within:
                raise self._late() from None
            raise trouble(source.name, error) from error

    async def pause(self, seconds: float) -> None:
        """Wait, but not beyond the deadline.

        Raises:
            SourceFailed: It has passed.
        """
        left = self._left()
        await self._source._sleep(seconds if left is None else min(seconds, left))
        self._left()

    def _left(self) -> float | None:
        deadline = self._source._deadline
        if deadline is None:
            return None
        left = deadline - (self._clock() - self._started)
        if left <= 0:
            raise self._late()
        return left

    def _late(self) -> SourceFailed:
        return SourceFailed(f"{self._source.name}: the run had not ended after {self._source._deadline:g} seconds")


def _waits(run: Snapshot) -> bool:
    return run.status == RunStatus.REQUIRES_ACTION
