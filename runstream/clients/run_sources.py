"""The sources that clients attach: a request with its recovery, a run that is rejoined, and a limit of time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias, cast

from msgspec.structs import replace

from runstream.clients.session import Session
from runstream.clients.sessions import Sessions
from runstream.core.selection import RUN_ENDS
from runstream.core.state import RunState
from runstream.errors import IncompleteStream, RequestFailed, SourceFailed, UnsupportedRequest
from runstream.model.raw import Answer
from runstream.model.run import RunStatus
from runstream.model.signals import (
    ActionRequired,
    RunStatusChanged,
)
from runstream.sources.base import Receiver, Source
from runstream.sources.reconnect import Reconnect

__all__ = [
    "CANCELLED",
    "TIME_PASSED",
    "AnswerAfter",
    "FailingSource",
    "FollowAfter",
    "RecoveringSource",
    "ReportedRun",
    "TimeLimit",
    "Waits",
]

CANCELLED: Final = "the run was cancelled here"
TIME_PASSED: Final = f"{CANCELLED}: its time limit has passed"

_NOT_PROCESSED: Final = frozenset({408, 425, 429})
"""The HTTP statuses of a request that was not processed, and may be sent again."""

_REFUSED_IN_STATUS: Final = frozenset({400, 409})
"""The HTTP statuses of answers that a server does not accept in the present status of the run."""
_MAX_REFUSALS: Final = 3
"""How many times answers are sent again that were refused so, although the server reports that the run waits for them:
the part of a server that accepts answers may be behind the part that streams."""

_GOES_ON: Final = (RunStatusChanged, *RUN_ENDS)


def _goes_on(signal: Any) -> bool:
    return not isinstance(signal, RunStatusChanged) or signal.after is not RunStatus.REQUIRES_ACTION


Waits: TypeAlias = Callable[[], Awaitable[bool | None]]
"""Asks the server whether the run waits still for what the request sends; ``None`` if the protocol can't say. Raises
:class:`RequestFailed`."""


class RecoveringSource:
    """Sends a request once, reads its stream to the end, and follows the run by polling where the stream was lost.

    A request that sends answers is sent again if the server reports that the run waits for them still. A request that
    starts a run is not, unless the server says that it was not processed: a second run would begin.

    Attempts are counted over the request and its repetitions: what the source of the request has tried again by itself
    is part of the number.

    Args:
        request: Makes the source that sends the request and reads its stream, with the attempts that are left.
        poll: Makes the source that polls the run; returns ``None`` if the run is not known.
        waits: See :data:`Waits`; ``None`` for a request that starts a run.
        awaits: Returns True if the run has not ended and no later request of it was seen; ``None`` for a request that
            starts a run.
        asks_first: True to ask by ``waits`` before the answers are sent: another process may have sent them, and a
            server that does not refuse them would take them twice.
        reconnect: When the request is sent again; ``None``: never.
        name: The source's name.
    """

    def __init__(
        self,
        request: Callable[[Reconnect | None], Source],
        poll: Callable[[], Source | None],
        *,
        waits: Waits | None = None,
        awaits: Callable[[], bool] | None = None,
        asks_first: bool = False,
        reconnect: Reconnect | None,
        name: str,
    ) -> None:
        self.name = name
        self._request = request
        self._poll = poll
        self._waits = waits
        self._awaits = awaits
        self._refusals = 0
        self._asks_first = asks_first
        self._reconnect = reconnect

    def __repr__(self) -> str:
        return f"RecoveringSource({self.name!r})"

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until there is no more; see :class:`~runstream.sources.base.Source`.

        Raises:
            SourceFailed: The request was refused, or the run can't be followed.
        """
        attempt = 0
        if self._asks_first and (found := await self._find_answered()) is not None:
            await found.run(receiver)
            return
        while True:
            was_live, known = receiver.live, receiver.progress
            failure, retries = await self._send(receiver, attempt)
            is_live = receiver.live and (not was_live or receiver.progress > known)
            if failure is None and not is_live:
                return
            is_processed = failure is None or is_live
            attempt += 0 if is_processed else retries + 1
            if failure is None or is_processed or not await self._is_sent_again(failure, attempt):
                followed = self._poll()
                if followed is None:
                    if failure is not None:
                        raise failure
                    return
                await followed.run(receiver)
                if failure is None or is_processed or self._awaits is None or not self._awaits():
                    return
                # The server showed the run as one that goes on. Where it waits for the same answers now, that was late.
                if not await self._is_sent_again(failure, attempt):
                    return
            receiver.disconnected(failure.reason, attempt, failure.server_message)
            await self._pause(attempt)

    async def _send(self, receiver: Receiver, attempt: int) -> tuple[SourceFailed | None, int]:
        """Send the request, and read its stream.

        Args:
            receiver: Receives the stream.
            attempt: The number of attempts before.

        Returns:
            The failure if there was one, and how many times the source has tried again by itself.
        """
        source, counted = self._request(self._rest(attempt)), CountingReceiver(receiver, attempt)
        try:
            await source.run(cast(Receiver, counted))
        except SourceFailed as error:
            return error, max(counted.retries, error.attempts - 1)
        # Over a WebSocket a refusal is a message, and no failure of the source.
        refused = getattr(source, "refused", None)
        if refused in _NOT_PROCESSED or (refused is not None and refused >= 500 and self._waits is not None):
            return SourceFailed(f"the server refused the request (status {refused})", status=refused), 0
        return None, 0

    def _rest(self, attempt: int) -> Reconnect | None:
        """The policy with the attempts that are left."""
        policy = self._reconnect
        if policy is None or policy.max_attempts is None:
            return policy
        return replace(policy, max_attempts=max(policy.max_attempts - attempt, 0))

    async def _find_answered(self) -> Source | None:
        """The source that reads what follows answers which another process has sent; ``None`` if the run waits."""
        assert self._waits is not None
        try:
            return self._poll() if await self._waits() is False else None
        except RequestFailed:
            return None  # the request itself shows what is wrong

    async def _is_sent_again(self, failure: SourceFailed, attempt: int) -> bool:
        """True if the server says that it does not have the answers.

        Raises:
            SourceFailed: The answers can't be sent, or it is unknown whether they were.
        """
        status = failure.status
        is_last = self._reconnect is None or self._reconnect.is_exhausted(attempt)
        if is_last and status in _NOT_PROCESSED:
            raise failure  # there is nothing to ask
        if self._waits is None and status not in _NOT_PROCESSED:
            raise failure
        try:
            waits = None if self._waits is None else await self._waits()
        except RequestFailed as error:
            raise failure from error
        if waits is False:
            return False
        if status is not None and 400 <= status < 500 and status not in _NOT_PROCESSED:
            self._refusals += 1
            is_sent_again = waits and self._awaits is not None and status in _REFUSED_IN_STATUS
            if not is_sent_again or self._refusals > _MAX_REFUSALS:
                raise failure
        if is_last:
            raise failure
        return True

    async def _pause(self, attempt: int) -> None:
        assert self._reconnect is not None
        await asyncio.sleep(self._reconnect.delay(attempt))


class CountingReceiver:
    """Passes everything on to a receiver, and counts how many times the source has tried again in a row.

    Attributes:
        retries: The number.

    Args:
        receiver: The receiver.
        before: The number of attempts before those of the source: its attempts are reported with them.
    """

    def __init__(self, receiver: Receiver, before: int) -> None:
        self.retries = 0
        self._receiver = receiver
        self._before = before
        self.feed = receiver.feed  # not looked up for each item
        self.feed_all = receiver.feed_all

    def __getattr__(self, name: str) -> Any:
        return getattr(self._receiver, name)

    def disconnected(self, reason: str, attempt: int, server_message: str = "") -> None:
        """Note and report an attempt."""
        self.retries = attempt
        self._receiver.disconnected(reason, self._before + attempt, server_message)


class AnswerAfter:
    """Follows a run, and answers its calls if it waits then; for a run that a new stream begins with.

    Args:
        source: Follows the run.
        run_id: The id of the run.
        session: Answers the calls. It has answered those of a request that came while the run was followed.
    """

    def __init__(self, source: Source, run_id: str, session: Session) -> None:
        self.name = source.name
        self._source = source
        self._run_id = run_id
        self._session = session

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until there is no more; see :class:`~runstream.sources.base.Source`."""
        await self._source.run(receiver)
        state = self._session.stream.latest.get(self._run_id)
        if state is None or not state.run.requires_action or self._session.waits(("", self._run_id)):
            return
        # The request was delivered before, by an earlier stream: it is not delivered again.
        signal = await self._session.stream.when(ActionRequired, run_id=self._run_id)
        answers = await self._session.answer(signal)
        if answers is not None:
            # A source of its own: its stream may be that of another run on the server, which continues this one.
            self._session.attach(answers, continues=self._run_id)


class FollowAfter:
    """Follows a run whose calls another stream of the client has answered: from the place where that one goes on.

    Args:
        run_id: The id of the run.
        sessions: The sessions of the client, which have the state of the run.
        other: The session that has submitted the answers; ``None`` if it has ended.
        follow: Makes the source, from the state of the run in that session.
    """

    def __init__(
        self, run_id: str, sessions: Sessions, other: Session | None, follow: Callable[[RunState | None], Source]
    ) -> None:
        self.name = f"follow {run_id}"
        self._run_id = run_id
        self._sessions = sessions
        self._other = other
        self._follow = follow

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until there is no more; see :class:`~runstream.sources.base.Source`.

        Raises:
            SourceFailed: The answers were not accepted, or the protocol can't follow a run.
        """
        try:
            if self._other is None:
                state = self._sessions.state(self._run_id)
            else:
                stream = self._other.stream
                await stream.when(_GOES_ON, run_id=self._run_id, predicate=_goes_on)
                state = stream.latest.get(self._run_id)
            source = self._follow(state)
        except (IncompleteStream, LookupError, UnsupportedRequest) as error:
            raise SourceFailed(
                "another stream of the client has answered the calls, and the run can't be followed"
            ) from error
        await source.run(receiver)


class ReportedRun:
    """What a server has answered about a run: the stream of the run may have no further event.

    Args:
        objects: The run and what belongs to it, each as JSON (bytes).
    """

    snapshots: Final = True
    name = "reported run"

    def __init__(self, objects: Sequence[bytes]) -> None:
        self._objects = objects

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until there is no more; see :class:`~runstream.sources.base.Source`."""
        receiver.connected()
        for data in self._objects:
            receiver.feed(Answer(data=data, at=time.time()))


class FailingSource:
    """Answers that can't be sent.

    Args:
        name: The source's name.
        reason: Why, and what to do.
    """

    def __init__(self, name: str, reason: str) -> None:
        self.name = name
        self._reason = reason

    async def run(self, receiver: Receiver) -> None:
        """Fail.

        Raises:
            SourceFailed: Always.
        """
        raise SourceFailed(self._reason)


class TimeLimit:
    """A source with a limit of time, which begins with its reading and ends with the run and not with the source.

    Args:
        source: The source.
        seconds: The limit.
        session: Its session.
        stop: Called with the id of the run when the time has passed.
    """

    def __init__(
        self, source: Source, seconds: float, session: Session, stop: Callable[[str], Awaitable[None]]
    ) -> None:
        self.name = source.name
        self._source = source
        self._seconds = seconds
        self._session = session
        self._stop = stop

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until there is no more; see :class:`~runstream.sources.base.Source`."""
        self._session.start_timer(self._seconds, self._stop, TIME_PASSED)
        await self._source.run(receiver)
