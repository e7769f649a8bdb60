"""The loop of connecting, reading and reconnecting, shared by all sources that have a connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, TypeVar

from msgspec import Struct

from runstream.errors import SourceFailed
from runstream.model.raw import Idle
from runstream.sources.base import Receiver
from runstream.sources.credentials import await_result
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.reconnect import Reconnect

__all__ = ["Disconnect", "Resume", "ResumeHook", "ResumeInfo", "call_hook", "run_connections"]

Connection = TypeVar("Connection")


class ResumeInfo(Struct, frozen=True, kw_only=True):
    """The facts known when a source connects again.

    Attributes:
        last_id: The last event id received, ``None`` if the server sends none.
        attempt: Number of the attempt since the last message, from 1; 0 for the first connection of a restarted
            process, whose ``last_id`` comes from its store.
        reason: Why the last connection ended; "" after a restart.
    """

    last_id: str | None
    attempt: int
    reason: str


class Resume(Struct, frozen=True, kw_only=True):
    """How to connect again so that the server continues after the last event.

    Attributes:
        url: Another URL to use.
        headers: Further headers to send.
        first_messages: Messages that a WebSocket sends instead of the usual first messages.
        method: The method of the HTTP request. ``"POST"`` sends the source's own body again: only for a server that
            recognises a repetition (for example by an ``Idempotency-Key``).
    """

    url: str | None = None
    headers: Mapping[str, str] | None = None
    first_messages: Sequence[str | bytes] | None = None
    method: Literal["GET", "POST"] = "GET"


ResumeHook: TypeAlias = Callable[[ResumeInfo], Resume | Awaitable[Resume | None] | None]


class Disconnect(Struct, frozen=True, kw_only=True):
    """How a connection ended.

    Attributes:
        reason: The reason, in words of this library, without credentials.
        message: The message of a structured error of the server, for an exception's text: masked; "" for none.
        normal: True if the server closed it because it was done.
        complete: True if a normal end is the end of the source, also while a run is live.
        planned: True if the client closed it as planned.
        final: True if connecting again would end in the same way.
        received: Number of messages received.
        status: The HTTP status of the response, if it refused the connection.
        base: The delay that the server set for connecting again (seconds), if any.
        server_message: The server's words about it, without credentials.
    """

    reason: str
    message: str = ""
    normal: bool = False
    complete: bool = False
    planned: bool = False
    final: bool = False
    received: int = 0
    status: int | None = None
    base: float | None = None
    server_message: str = ""


async def run_connections(
    receiver: Receiver,
    policy: Reconnect | None,
    *,
    open: Callable[[ResumeInfo], Awaitable[Connection]],
    read: Callable[[Connection, float | None], Awaitable[Disconnect]],
    close: Callable[[Connection], Awaitable[None]],
    renewable: bool,
    resumes: bool = True,
    begins: bool = False,
) -> None:
    """Connect, read, and connect again, until a connection ends normally while no run is live.

    Args:
        receiver: Receives the changes of the connection.
        policy: When to try again; ``None``: never.
        open: Connects, or raises :class:`~runstream.sources.http_errors.ConnectFailed`.
        read: Reads a connection to its end and closes it; takes the age at which to replace it (seconds).
        close: Closes a connection that was not read.
        renewable: True if other credentials can be requested, because a function supplies them.
        resumes: True if the last event id is sent to the server.
        begins: True if the first request begins something new: the last event id of an earlier process says nothing
            of it.

    Raises:
        SourceFailed: The source failed for good.
    """
    attempt = 0
    base: float | None = None
    progress = 0
    opened = reached = renewed = False
    has_place = not begins
    end = Disconnect(reason="")
    while True:
        wait = None
        try:
            # Reading it promises to resume after it.
            last_id = receiver.last_id if resumes and has_place else None
            connection = await open(ResumeInfo(last_id=last_id, attempt=attempt, reason=end.reason))
        except ConnectFailed as error:
            # Credentials may have expired since: a function that supplies them is called once more.
            renew = error.status == 401 and opened and not renewed and renewable
            renewed = renewed or renew
            # Only a response distinguishes a server that is available again later from one that never existed.
            reached = reached or error.reached
            retry = reached and (error.retry or (opened and error.retry_if_opened))
            if not (renew or retry):
                reason = f"{error.reason} (credentials were asked for again)" if renewed else error.reason
                raise SourceFailed(
                    reason,
                    message=error.message,
                    server_message=error.server_message,
                    attempts=max(attempt, 1),
                    status=error.status,
                ) from error.__cause__
            end = Disconnect(
                reason=error.reason, message=error.message, server_message=error.server_message, status=error.status
            )
            wait = error.wait
        else:
            opened = reached = True
            try:
                receiver.connected(attempt)
            except BaseException:  # raised by a subscriber, or by a recording that can't be written
                await close(connection)
                raise
            end = await read(connection, policy.age() if policy is not None else None)
            has_place = has_place or end.received > 0
            if end.normal and getattr(receiver, "expects_idle", False):
                receiver.feed(Idle(at=time.time()))  # nothing follows here: what the dialect keeps back is certain
            if end.normal and (end.complete or not receiver.live):
                return
            if end.final:
                raise _failure(end, attempt)
            # Only the state proves progress. A server that sends half a run again and again, cut at whatever places,
            # would be called without end.
            known, progress = progress, receiver.progress
            if end.planned or progress > known:
                attempt, renewed = 0, False
            base = end.base if end.base is not None else base
        attempt += 1
        if policy is None or policy.is_exhausted(attempt):
            raise _failure(end, attempt - 1)
        receiver.disconnected(end.reason, attempt, end.server_message)
        if not end.planned:
            await asyncio.sleep(policy.delay(attempt, asked=wait, base=base))


def _failure(end: Disconnect, attempts: int) -> SourceFailed:
    return SourceFailed(
        end.reason, message=end.message, server_message=end.server_message, attempts=attempts, status=end.status
    )


async def call_hook(name: str, hook: Callable[..., Any] | None, *args: Any, retry: bool = False) -> Any:
    """Call a function of the application, sync or async, and return its result; ``None`` if there is no function.

    Args:
        name: The name of the function, for the reason.
        hook: The function.
        args: Its arguments.
        retry: True if trying again may help if it raises.

    Raises:
        ConnectFailed: It raised, so no connection was made; the server has no part in it.
    """
    if hook is None:
        return None
    try:
        return await await_result(hook(*args))
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Not this task was cancelled, but something that the function awaited.
        raise ConnectFailed(f"{name} raised {type(error).__name__}", retry=retry) from error
    except ConnectFailed:
        raise  # of a source of the library, in its words
    except Exception as error:
        # The exception's message may contain secrets; the exception itself is kept as the cause.
        raise ConnectFailed(f"{name} raised {type(error).__name__}", retry=retry) from error
