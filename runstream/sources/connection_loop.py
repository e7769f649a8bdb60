"""Connecting again and again: the loop that sources with a connection share. What a connection is, they know."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

from msgspec import Struct

from runstream.errors import SourceFailed
from runstream.sources.base import Receiver
from runstream.sources.credentials import settled, url_secrets
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.reconnect import Reconnect

__all__ = ["Disconnect", "Resume", "ResumeHook", "ResumeInfo", "ask", "keep_reading", "words_to_mask"]

Connection = TypeVar("Connection")


class ResumeInfo(Struct, frozen=True, kw_only=True):
    """What is known when a source connects again.

    Attributes:
        last_id: The last event id that came in, ``None`` where the server gives none.
        attempt: Number of the attempt since the last message, from 1; 0 for the first connection of a restarted
            process, which has ``last_id`` from its store.
        reason: Why the last connection ended; "" after a restart.
    """

    last_id: str | None
    attempt: int
    reason: str


class Resume(Struct, frozen=True, kw_only=True):
    """How to connect again so that the server goes on where it was.

    Attributes:
        url: Another URL to use.
        headers: Further headers to send.
        first_messages: What a WebSocket sends instead of the usual first messages.
        method: Of the HTTP request. ``"POST"`` sends the source's own body again: only for a server that knows a
            repetition when it sees one (by an ``Idempotency-Key``, say).
    """

    url: str | None = None
    headers: Mapping[str, str] | None = None
    first_messages: Sequence[str | bytes] | None = None
    method: Literal["GET", "POST"] = "GET"


ResumeHook: TypeAlias = Callable[[ResumeInfo], Resume | Awaitable[Resume | None] | None]


class Disconnect(Struct, frozen=True, kw_only=True):
    """How a connection ended.

    Attributes:
        reason: Why, in words, without credentials.
        normal: Whether the server closed it as one that is done.
        planned: Whether we closed it, as was foreseen.
        final: Whether connecting again would end in the same way.
        received: How many messages it gave.
        last: A hash of the last one.
        status: The HTTP status of the answer that was a refusal.
        base: The delay that the server set for connecting again (seconds), if it did.
    """

    reason: str
    normal: bool = False
    planned: bool = False
    final: bool = False
    received: int = 0
    last: int | None = None
    status: int | None = None
    base: float | None = None


async def keep_reading(
    receiver: Receiver,
    policy: Reconnect | None,
    *,
    open: Callable[[ResumeInfo], Awaitable[Connection]],
    read: Callable[[Connection, float | None], Awaitable[Disconnect]],
    close: Callable[[Connection], Awaitable[None]],
    renewable: bool,
    resumes: bool = True,
) -> None:
    """Connect, read, and connect again, until a connection ends normally while no run is live.

    Args:
        receiver: What is told of connections.
        policy: When to try again; ``None``: never.
        open: Connects, or raises :class:`~runstream.sources.http_errors.ConnectFailed`.
        read: Reads a connection to its end, which it closes; takes the age at which to replace it (seconds).
        close: Closes a connection that was not read.
        renewable: Whether there is anybody to ask for other credentials.
        resumes: Whether the server will be told the last event id.

    Raises:
        SourceFailed: The source is gone for good.
    """
    attempt = 0
    last: int | None = None
    base: float | None = None
    opened = known = asked_again = False
    loss = Disconnect(reason="")
    while True:
        wait = None
        try:
            last_id = receiver.last_id if resumes else None  # asking for it promises to go on there
            connection = await open(ResumeInfo(last_id=last_id, attempt=attempt, reason=loss.reason))
        except ConnectFailed as refusal:
            # Credentials may have expired since: who can be asked for others is asked once more.
            again = refusal.status == 401 and opened and not asked_again and renewable
            asked_again = asked_again or again
            # Nothing but an answer tells a server that will be there later from one that never was.
            known = known or refusal.reached
            later = refusal.retry and known
            if not (again or later):
                said = f"{refusal.reason} (credentials were asked for again)" if asked_again else refusal.reason
                raise SourceFailed(said, attempts=max(attempt, 1), status=refusal.status) from refusal.__cause__
            loss, wait = Disconnect(reason=refusal.reason, status=refusal.status), refusal.wait
        else:
            opened = known = True
            try:
                receiver.connected(attempt)
            except BaseException:  # a subscriber's own, or of a recording that can't be written
                await close(connection)
                raise
            loss = await read(connection, policy.age() if policy is not None else None)
            if loss.normal and not receiver.live:
                return
            if loss.final:
                raise SourceFailed(loss.reason, attempts=attempt, status=loss.status)
            # The same last message as before is a replay that came no further, hence no progress: a server
            # that tells of half a run, from its beginning, again and again would be asked for ever.
            if loss.planned or (loss.received and loss.last != last):
                attempt, asked_again = 0, False
            last = loss.last if loss.received else last
            base = loss.base if loss.base is not None else base
        attempt += 1
        if policy is None or policy.gives_up(attempt):
            raise SourceFailed(loss.reason, attempts=attempt - 1, status=loss.status)
        receiver.disconnected(loss.reason, attempt)
        if not loss.planned:
            await asyncio.sleep(policy.delay(attempt, asked=wait, base=base))


async def ask(what: str, hook: Callable[..., Any] | None, *args: Any, retry: bool = False) -> Any:
    """What the application's function says; where it raises, there is no connection, and it was not the server.

    Raises:
        Refused: It raised.
    """
    if hook is None:
        return None
    try:
        return await settled(hook(*args))
    except Exception as error:
        # Its own words may hold secrets; whoever wants them finds the exception as the cause.
        raise ConnectFailed(f"{what} raised {type(error).__name__}", retry=retry) from error


def words_to_mask(urls: Iterable[str], headers: Mapping[str, str]) -> set[str]:
    """What of a request must not be shown, though the server may repeat it."""
    words = {word for value in headers.values() for word in (value, *value.split()[1:])}
    return words.union(*(url_secrets(url) for url in urls))
