"""Polling: calls a function that retrieves a run until the run has ended.

Its answers enter the pipeline as snapshots, so signals, text and states are those of a stream, only later.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from runstream.dialects.base import Dialect
from runstream.errors import SourceFailed
from runstream.model.validation import check_numbers, check_seconds
from runstream.sources.base import Receiver
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.poll_answers import PollResult, read_answer
from runstream.sources.reconnect import Reconnect, check_reconnect
from runstream.sources.user_calls import UserCallback, classify_error

__all__ = ["PollSource"]

_MIN_POLL_AFTER: Final = 0.05  # seconds; a server that asks for a poll at once is not called in a tight loop


class PollSource:
    """Polls a run until it has ended: completed, failed, cancelled, expired or incomplete.

    ::

        def retrieve():
            return client.beta.threads.runs.retrieve(run_id, thread_id=thread_id)

        async with RunStream(PollSource(retrieve)) as stream:
            run = await stream.result()

    ``retrieve`` takes no argument and returns the run in any form: a :class:`~runstream.Run`, a mapping, JSON as bytes
    or text, an object of a client library (with ``model_dump``, ``to_dict`` or ``as_dict``), or an HTTP response with
    ``headers`` and a body, such as ``with_raw_response`` of the openai client returns: then the server's
    ``openai-poll-after-ms`` and ``Retry-After`` count. It may also return a list of these, such as the run, its steps
    and its messages; lists that start with the newest object are reversed, and objects of other runs are skipped. A
    plain function runs in a thread, so it may block; an ``async`` one runs in the loop. It is never called twice at a
    time.

    The time between two polls grows from ``interval`` by ``factor`` up to ``max_interval`` while nothing changes, and
    starts again with a change. In an unknown status it is ``max_interval``. A time-out, a lost connection, and the
    statuses 408, 425, 429 and 5xx (from the ``status_code`` or ``status`` of the exception or of the response) are
    tried again after ``reconnect``; a 401 that follows earlier success once; any other status is final.

    A run that waits for action is polled further by default: its outputs are usually submitted elsewhere, by a handler
    or another process, and without outputs the run expires, which is an end too. With ``stop_on_action=True`` the
    source ends there, which is emitted as ``run.paused``.

    Args:
        retrieve: Returns the run, sync or async.
        interval: Shortest time between polls (seconds).
        max_interval: Longest time between polls (seconds), unless the server asks for more.
        factor: Factor by which the time grows while nothing changes; 1 or more.
        jitter: Share of the time that is random, from 0 to 1.
        deadline: After this time (seconds) without an end of the run the source fails; ``None``: never.
        call_timeout: How long one call may take (seconds); ``None``: any time.
        stop_on_action: True if the source ends when the run waits for action.
        reconnect: When to try again after an error; ``None``: never.
        name: The source's name.
        clock: Returns monotonic seconds; for tests.
        sleep: Waits; for tests.

    Raises:
        TypeError: ``retrieve`` is no function.
        ValueError: A value outside its range.
    """

    snapshots: Final = True
    """Each poll returns whole objects: after a lost connection nothing can be missing."""

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
        # `not (a <= b)`, so that NaN is rejected too.
        check_reconnect(reconnect)
        check_numbers(interval=interval, max_interval=max_interval, factor=factor, jitter=jitter)
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
        self._backoff = Reconnect(initial=interval, maximum=max_interval, factor=factor, jitter=jitter)
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
        session = _Session(self, self._clock, receiver.decoder())
        contents: dict[tuple[Any, ...], int] = {}
        unchanged = 0
        attempt = 0
        connected = retried_401 = False
        while True:
            try:
                answer = await session.call()
                if not answer.runs:
                    await self._feed_changes(receiver, answer, contents)  # an unusable object becomes a reject
                    if answer.objects or not connected:
                        raise ConnectFailed(
                            f"{self.name} gave no run with an id and a status", retry=bool(answer.objects)
                        )
            except ConnectFailed as error:
                retry_401 = error.status == 401 and connected and not retried_401
                attempt += 1
                policy = self._reconnect
                if not (retry_401 or error.retry) or policy is None or policy.is_exhausted(attempt):
                    suffix = " (it was asked once more)" if error.status == 401 and retried_401 else ""
                    said = error.server_message
                    reason = error.reason + suffix
                    failed = SourceFailed(reason, attempts=attempt, status=error.status, server_message=said)
                    raise failed from error.__cause__
                retried_401 = retried_401 or retry_401
                receiver.disconnected(error.reason, attempt, error.server_message)
                await session.pause(policy.delay(attempt, asked=error.wait, chance=random.random))
                continue
            if not connected or attempt:
                receiver.connected(attempt)
            connected, attempt, retried_401 = True, 0, False
            changed = await self._feed_changes(receiver, answer, contents)
            runs = answer.runs
            if runs and all(run.is_terminal for run in runs):
                if any(not item.runs for item in answer.objects):
                    await self._poll_after_end(receiver, session, contents)
                return
            if self._stop_on_action and runs and all(run.is_terminal or run.requires_action for run in runs):
                return
            unchanged = 0 if changed else unchanged + 1
            await session.pause(self._next_interval(answer, unchanged))

    async def _feed_changes(self, receiver: Receiver, answer: PollResult, contents: dict[tuple[Any, ...], int]) -> bool:
        """Feed the runs, and the other objects that have changed since the last answer; return whether any has.

        Args:
            receiver: Receives the objects.
            answer: The answer.
            contents: Hashes of the objects in the last answer, by kind and id; updated.
        """
        previous = dict(contents)
        contents.clear()
        changed = False
        for item in answer.objects:
            key, content = item.key, hash(item.item.data)
            contents[key] = content
            if previous.get(key) != content:
                changed = True
            elif not item.runs:  # an unchanged run is fed nevertheless: watchdogs see that it is alive
                continue
            receiver.feed(item.item)
        if not answer.objects:
            contents.update(previous)
        await receiver.ready()
        return changed

    async def _poll_after_end(
        self, receiver: Receiver, session: _Session, contents: dict[tuple[Any, ...], int]
    ) -> None:
        """Poll once more after the end: steps and messages may have been retrieved before the run was."""
        try:
            answer = await session.call()
        except ConnectFailed:
            return  # the end of the run is known
        await self._feed_changes(receiver, answer, contents)

    def _next_interval(self, answer: PollResult, unchanged: int) -> float:
        """Return the seconds until the next poll."""
        interval = self._backoff.delay(unchanged + 1, chance=random.random)
        if any(not run.status.is_known for run in answer.runs):
            interval = max(interval, self._backoff.maximum * (1 - self._backoff.jitter))
        limit = self._reconnect.max_retry_after if self._reconnect is not None else Reconnect().max_retry_after
        if answer.poll_after is not None:
            interval = min(max(answer.poll_after, _MIN_POLL_AFTER), limit)
        return max(interval, min(answer.retry_after or 0.0, limit))


class _Session:
    """The calls and pauses of one run of a source, within its deadline."""

    def __init__(self, source: PollSource, clock: Callable[[], float], decoder: Dialect) -> None:
        self._decoder = decoder
        self._source = source
        self._retrieve = UserCallback(source._retrieve, source.name)
        self._clock = clock
        self._started = clock()

    async def call(self) -> PollResult:
        """Call the function once and return its answer.

        Raises:
            ConnectFailed: It raised, or returned no answer.
            SourceFailed: The deadline has passed.
        """
        source = self._source
        remaining = self._remaining()
        limits = [limit for limit in (remaining, source._call_timeout) if limit is not None]
        within = min(limits) if limits else None
        try:
            return await read_answer(await self._retrieve(within=within), self._decoder, within=within)
        except ConnectFailed as error:
            if error.status is None:  # the answer was unusable; the reason contains none of it
                raise ConnectFailed(f"{source.name}: {error.reason}", retry=error.retry) from error
            raise classify_error(source.name, error) from error
        except Exception as error:
            if isinstance(error, TimeoutError) and remaining is not None and remaining == within:
                raise self._deadline_passed() from None
            raise classify_error(source.name, error) from error

    async def pause(self, seconds: float) -> None:
        """Wait, but not beyond the deadline.

        Raises:
            SourceFailed: The deadline has passed.
        """
        remaining = self._remaining()
        await self._source._sleep(seconds if remaining is None else min(seconds, remaining))
        self._remaining()

    def _remaining(self) -> float | None:
        deadline = self._source._deadline
        if deadline is None:
            return None
        remaining = deadline - (self._clock() - self._started)
        if remaining <= 0:
            raise self._deadline_passed()
        return remaining

    def _deadline_passed(self) -> SourceFailed:
        return SourceFailed(f"{self._source.name}: the run had not ended after {self._source._deadline:g} seconds")
