"""The WebSocket source: a URL in, raw events out, over as many connections as necessary.

The socket is read only as fast as the pipeline processes its messages: a slow synchronous subscriber fills the small
receive queue, then TCP's window, and so slows the sender.
"""

from __future__ import annotations

import asyncio
import ssl as ssl_module
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Literal, TypeAlias
from urllib.request import getproxies

from msgspec.structs import replace
from websockets.exceptions import ConnectionClosed

from runstream.model.validation import check_counts, check_seconds
from runstream.sources.base import Receiver
from runstream.sources.connection_loop import (
    Disconnect,
    Resume,
    ResumeHook,
    ResumeInfo,
    call_hook,
    run_connections,
)
from runstream.sources.credentials import Credentials, merge_headers, redact_url, resolve_headers
from runstream.sources.grace import GRACE
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.reconnect import Reconnect, check_reconnect
from runstream.sources.sent_values import NOTHING_SENT, SentValues
from runstream.sources.websocket_batches import BatchConnection
from runstream.sources.websocket_connection import close_socket, open_socket, read_socket

__all__ = ["FirstMessages", "WebSocketSource"]

Messages: TypeAlias = str | bytes | Iterable[str | bytes]
# The messages to send first, or a function (sync or async) that returns them; its argument is the last event id,
# ``None`` at first.
FirstMessages: TypeAlias = Messages | Callable[[str | None], Messages | Awaitable[Messages]]


class WebSocketSource:
    """Reads a ``ws://`` or ``wss://`` URL; each message, text or binary, is one raw event.

    A connection that ends normally (RFC 6455, section 7.4.1: codes 1000 and 1001, or none) while no run is live is
    the end of the source. A connection that is lost, or that ends while a run is live, is replaced after
    ``reconnect``. A first connection that can't be made is an error at once, unless the server reports that it is
    busy.

    Args:
        url: The URL. Its credentials and query values appear in no message and no log.
        name: The source's name; the URL without secrets by default.
        headers: Headers of the handshake. Redirects are not followed: headers are meant for this server alone.
        auth: A bearer token or headers, or a function (sync or async) that returns them; called for each
            connection. A function is called once more after a 401 that follows earlier success.
        subprotocols: Subprotocols offered to the server.
        ssl: TLS settings.
        proxy: A proxy's URL, ``None`` for none, ``True`` for the system's.
        first_messages: Messages sent after each handshake; or a function (sync or async) that returns them, with the
            last event id as its argument.
        resume: Returns (sync or async) how to connect again; ``None`` from it means as before.
        reconnect: When to try again; ``None``: never.
        max_message_bytes: Size of one message (bytes). A larger one is not kept in memory: it ends the connection with
            1009 (RFC 6455, section 7.4.1) and the source with an error.
        open_timeout: Limit for connecting, and for sending the first messages (seconds).
        ping_interval: Time between pings (seconds), ``None`` for none.
        ping_timeout: Longest time without any data after a ping (seconds), ``None`` for any time. Time in which a
            subscriber blocks the source does not count.
        close_timeout: Limit for closing (seconds).
        max_queue: Number of frames queued between socket and pipeline at which reading pauses; the frames of one read
            of the socket (256 KiB at most) may exceed it.
        max_queue_bytes: Size of these frames, inflated, at which reading pauses (bytes). One message, and what 4 KiB of
            the socket inflate to, may exceed it.
        max_unsent_bytes: Number of bytes, most of them pongs, that wait for a server that does not read, at which
            reading pauses. After ``ping_timeout`` such a connection is lost.
        grace: After this time without a message (seconds) an :class:`~runstream.Idle` is delivered, if the dialect
            waits for it; ``None``: never.

    Attributes:
        sent: What the present connection has sent, which is masked where the server repeats it.
        pauses: The number of times that reading paused for one of these reasons.

    Raises:
        ValueError: A time that is not above 0, or a number less than 1.
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
        max_queue_bytes: int = 16 * 2**20,
        max_unsent_bytes: int = 64 * 2**10,
        grace: float | None = GRACE,
    ) -> None:
        check_reconnect(reconnect)
        check_seconds(
            open_timeout=open_timeout,
            ping_interval=ping_interval,
            ping_timeout=ping_timeout,
            close_timeout=close_timeout,
            grace=grace,
        )
        check_counts(
            max_message_bytes=max_message_bytes,
            max_queue=max_queue,
            max_queue_bytes=max_queue_bytes,
            max_unsent_bytes=max_unsent_bytes,
        )
        self.pauses = 0
        self.sent = NOTHING_SENT
        self.name = name or redact_url(url)
        self._url = url
        self._headers = dict(headers or {})
        self._auth = auth
        self._first_messages = first_messages
        self._resume = resume
        self._reconnect = reconnect
        self._max_bytes = max_message_bytes
        self._open_timeout = open_timeout
        self._grace = grace
        self._pings = {"ping_interval": ping_interval, "ping_timeout": ping_timeout}
        self._options: dict[str, Any] = {
            "subprotocols": subprotocols,
            "proxy": proxy,
            "max_size": max_message_bytes,
            "max_queue": max_queue,
            "write_limit": max_unsent_bytes,
            "open_timeout": open_timeout,
            "close_timeout": close_timeout,
        }
        self._make_connection = partial(BatchConnection, max_queue_bytes=max_queue_bytes)
        if ssl is not None:
            self._options["ssl"] = ssl

    def __repr__(self) -> str:
        return f"WebSocketSource({self.name!r})"

    async def run(self, receiver: Receiver) -> None:
        """Read until there is no more; see :class:`~runstream.sources.base.Source`.

        Raises:
            SourceFailed: The source failed for good.
        """
        await run_connections(
            receiver,
            self._reconnect,
            open=self._open,
            read=lambda socket, age: self._read(socket, receiver, age),
            close=close_socket,
            renewable=callable(self._auth),
            resumes=self._resume is not None or callable(self._first_messages),
        )

    async def _read(self, socket: BatchConnection, receiver: Receiver, age: float | None) -> Disconnect:
        try:
            end = await read_socket(socket, receiver, age=age, sent=self.sent, grace=self._grace, **self._pings)
        finally:
            self.pauses += socket.pauses
        reason = end.reason.replace("max_message_bytes", f"max_message_bytes ({self._max_bytes})")
        return replace(end, reason=reason) if end.final else end

    async def _open(self, info: ResumeInfo) -> BatchConnection:
        """Connect and send the first messages.

        Raises:
            ConnectFailed: There is no connection.
        """
        # An id at the first attempt comes from an earlier process.
        resumes = info.attempt or info.last_id is not None
        resume = await call_hook("resume", self._resume, info) if resumes else None
        resume = resume or Resume()
        url = resume.url or self._url
        secret = await call_hook("auth", resolve_headers, self._auth, retry=True)
        messages = resume.first_messages
        if messages is None:
            first = self._first_messages
            messages = await call_hook("first_messages", first, info.last_id) if callable(first) else first
        if isinstance(messages, str | bytes):
            messages = (messages,)
        headers = merge_headers(self._headers, resume.headers, secret)
        messages = tuple(messages)
        proxy = self._options["proxy"]
        proxies = getproxies().values() if proxy is True else [proxy] if proxy else []
        self.sent = SentValues(
            urls=[self._url, url, *proxies],
            headers=headers,
            secrets=self._options["subprotocols"] or (),
            messages=messages,
        )
        socket = await open_socket(url, headers, self._options, self.sent, self._make_connection)
        try:
            async with asyncio.timeout(self._open_timeout):
                for message in messages:
                    await socket.send(message)
        except ConnectionClosed:
            pass  # the reader finds the reason
        except TimeoutError:
            await close_socket(socket)
            raise ConnectFailed(f"{redact_url(url)} did not take the first messages in time", retry=True) from None
        except BaseException:
            await close_socket(socket)
            raise
        return socket
