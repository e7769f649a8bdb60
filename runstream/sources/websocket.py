"""The WebSocket source: a URL in, raw events out, over as many connections as it takes.

The socket is read only as fast as the pipeline takes what it gives: a slow synchronous subscriber fills the small
receive queue, then TCP's window, and so slows the sender.
"""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

from msgspec import Struct
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from runstream.errors import SourceFailed
from runstream.sources.base import Inlet
from runstream.sources.credentials import Credentials, ask_for_headers, merge_headers, settled
from runstream.sources.reconnect import Reconnect
from runstream.sources.refusals import Refused
from runstream.sources.urls import redact_url, url_secrets
from runstream.sources.websocket_connection import Loss, close_socket, open_socket, read_socket

__all__ = ["FirstMessages", "Resume", "ResumeHook", "ResumeInfo", "WebSocketSource"]

Messages: TypeAlias = str | bytes | Iterable[str | bytes]
# What to send first, or what gives it (sync or async) from the last event id, ``None`` at first.
FirstMessages: TypeAlias = Messages | Callable[[str | None], Messages | Awaitable[Messages]]


class ResumeInfo(Struct, frozen=True, kw_only=True):
    """What is known when a source connects again.

    Attributes:
        last_id: The last event id that came in, ``None`` where the server gives none.
        attempt: Number of the attempt since the last message, from 1.
        reason: Why the last connection ended.
    """

    last_id: str | None
    attempt: int
    reason: str


class Resume(Struct, frozen=True, kw_only=True):
    """How to connect again so that the server goes on where it was.

    Attributes:
        url: Another URL to use.
        headers: Further headers to send.
        first_messages: What to send instead of the usual first messages.
    """

    url: str | None = None
    headers: Mapping[str, str] | None = None
    first_messages: Sequence[str | bytes] | None = None


ResumeHook: TypeAlias = Callable[[ResumeInfo], Resume | Awaitable[Resume | None] | None]


class WebSocketSource:
    """Reads a ``ws://`` or ``wss://`` URL; each message, text or binary, is one raw event.

    A connection that ends normally (RFC 6455, section 7.4.1: codes 1000 and 1001, or none) while no run is live is
    the end of the source. One that is lost, or that ends while a run is live, is replaced after ``reconnect``. A
    first connection that can't be made is an error at once, unless the server says that it is busy.

    Args:
        url: The URL. Its credentials and query values appear in no message and no log.
        name: The source's name; the URL without secrets by default.
        headers: Headers of the handshake. Redirects are not followed: headers are meant for this server alone.
        auth: A bearer token or headers, or a function (sync or async) that gives them; asked for each connection.
            A function is asked once more after a 401 that follows earlier success.
        subprotocols: Offered to the server.
        ssl: TLS settings.
        proxy: A proxy's URL, ``None`` for none, ``True`` for the system's.
        first_messages: Sent after each handshake; a function (sync or async) gets the last event id.
        resume: Says (sync or async) how to connect again; ``None`` from it means as before.
        reconnect: When to try again; ``None``: never.
        max_message_bytes: A larger message is not held in memory: it ends the connection with 1009 (RFC 6455,
            section 7.4.1) and the source with an error.
        open_timeout: Limit for connecting, and for sending the first messages (seconds).
        ping_interval: Time between pings (seconds), ``None`` for none.
        ping_timeout: How long nothing may come after a ping (seconds), ``None`` for any time. Time in which a
            subscriber holds the source does not count.
        close_timeout: Limit for closing (seconds).
        max_queue: Frames that wait between socket and pipeline before reading pauses; what came in one read of the
            socket (256 KiB at most) may go beyond it.
    """

    def __init__(
        self,
        url: str,
        *,
        name: str | None = None,
        headers: Mapping[str, str] | None = None,
        auth: Credentials | None = None,
        subprotocols: Sequence[str] | None = None,
        ssl: ssl_module.SSLContext | None = None,
        proxy: str | Literal[True] | None = True,
        first_messages: FirstMessages = (),
        resume: ResumeHook | None = None,
        reconnect: Reconnect | None = Reconnect(),  # noqa: B008 - frozen
        max_message_bytes: int = 16 * 2**20,
        open_timeout: float = 10.0,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        close_timeout: float = 2.0,
        max_queue: int = 16,
    ) -> None:
        self.name = name or redact_url(url)
        self._url = url
        self._headers = dict(headers or {})
        self._auth = auth
        self._first_messages = first_messages
        self._resume = resume
        self._reconnect = reconnect
        self._max_bytes = max_message_bytes
        self._open_timeout = open_timeout
        self._pings = {"ping_interval": ping_interval, "ping_timeout": ping_timeout}
        self._secrets: set[str] = set()
        self._options: dict[str, Any] = {
            "subprotocols": subprotocols,
            "proxy": proxy,
            "max_size": max_message_bytes,
            "max_queue": max_queue,
            "open_timeout": open_timeout,
            "close_timeout": close_timeout,
        }
        if ssl is not None:
            self._options["ssl"] = ssl

    def __repr__(self) -> str:
        return f"WebSocketSource({self.name!r})"

    async def run(self, inlet: Inlet) -> None:
        """Read until there is no more; see :class:`~runstream.sources.base.Source`.

        Raises:
            SourceFailed: The source is gone for good.
        """
        attempt = 0
        last: int | None = None
        opened = asked_again = False
        loss = Loss(reason="")
        while True:
            wait = None
            try:
                socket = await self._open(inlet, ResumeInfo(last_id=inlet.last_id, attempt=attempt, reason=loss.reason))
            except Refused as refusal:
                # Credentials may have expired since: who can be asked for others is asked once more.
                again = refusal.status == 401 and opened and not asked_again and callable(self._auth)
                asked_again = asked_again or again
                # Nothing but an answer tells a server that will be there later from one that never was.
                later = refusal.retry and (opened or refusal.status is not None)
                if not (again or later):
                    said = f"{refusal.reason} (credentials were asked for again)" if asked_again else refusal.reason
                    raise SourceFailed(said, attempts=max(attempt, 1)) from refusal.__cause__
                loss, wait = Loss(reason=refusal.reason), refusal.wait
            else:
                opened = True
                try:
                    inlet.connected(attempt)
                except BaseException:  # a subscriber's own, or of a recording that can't be written
                    await close_socket(socket)
                    raise
                age = self._reconnect.age() if self._reconnect is not None else None
                loss = await read_socket(socket, inlet, age=age, secrets=self._secrets, **self._pings)
                if loss.normal and not inlet.live:
                    return
                if loss.final:
                    raise SourceFailed(self._explained(loss), attempts=attempt)
                # The same last message as before is a replay that came no further, hence no progress: a server
                # that tells of half a run, from its beginning, again and again would be asked for ever.
                if loss.planned or (loss.received and loss.last != last):
                    attempt, asked_again = 0, False
                last = loss.last if loss.received else last
            attempt += 1
            policy = self._reconnect
            if policy is None or policy.gives_up(attempt):
                raise SourceFailed(loss.reason, attempts=attempt - 1)
            inlet.disconnected(loss.reason, attempt)
            if not loss.planned:
                await asyncio.sleep(policy.delay(attempt, asked=wait))

    def _explained(self, loss: Loss) -> str:
        return loss.reason.replace("max_message_bytes", f"max_message_bytes ({self._max_bytes})")

    async def _open(self, inlet: Inlet, info: ResumeInfo) -> ClientConnection:
        """Connect and send the first messages.

        Raises:
            Refused: There is no connection.
        """
        resume = await _asked("resume", self._resume, info) if info.attempt else None
        resume = resume or Resume()
        url = resume.url or self._url
        secret = await _asked("auth", ask_for_headers, self._auth, retry=True)
        messages = resume.first_messages
        if messages is None:
            given = self._first_messages
            messages = await _asked("first_messages", given, info.last_id) if callable(given) else given
        if isinstance(messages, str | bytes):
            messages = (messages,)
        headers = merge_headers(self._headers, resume.headers, secret)
        # What the server may repeat in its answers.
        words = {word for value in headers.values() for word in (value, *value.split()[1:])}
        self._secrets = {*url_secrets(url), *words}
        socket = await open_socket(url, headers, self._options, self._secrets)
        try:
            async with asyncio.timeout(self._open_timeout):
                for message in messages:
                    await socket.send(message)
        except ConnectionClosed:
            pass  # reading will tell why
        except TimeoutError:
            await close_socket(socket)
            raise Refused(f"{redact_url(url)} did not take the first messages in time", retry=True) from None
        except BaseException:
            await close_socket(socket)
            raise
        return socket


async def _asked(what: str, hook: Callable[..., Any] | None, *args: Any, retry: bool = False) -> Any:
    """What the application's function says; where it raises, there is no connection, and it was not the server."""
    if hook is None:
        return None
    try:
        return await settled(hook(*args))
    except Exception as error:
        # Its own words may hold secrets; whoever wants them finds the exception as the cause.
        raise Refused(f"{what} raised {type(error).__name__}", retry=retry) from error
