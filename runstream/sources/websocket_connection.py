"""One WebSocket connection: opened, read into a receiver until it ends, and closed; returns the reason of its end."""

from __future__ import annotations

import asyncio
import inspect
import logging
import ssl
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, cast

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException

from runstream.model.raw import RawEvent
from runstream.sources.base import Receiver
from runstream.sources.connection_loop import Disconnect
from runstream.sources.credentials import INVALID_URL, redact_url
from runstream.sources.grace import GraceTimer
from runstream.sources.http_errors import ConnectFailed, http_error, system_message
from runstream.sources.sent_values import SentValues
from runstream.sources.websocket_batches import BatchConnection

__all__ = ["close_socket", "open_socket", "read_socket"]

# RFC 6455, section 7.4.1: done, going away, and (1005) a close frame without a code.
_NORMAL: Final = frozenset({1000, 1001, 1005})
# Likewise: the server does not accept the messages of this client, now or later.
_REJECTED: Final = frozenset({1002, 1003, 1007, 1008, 1009, 1010})
_TOO_BIG: Final = 1009
_NO_PONG: Final = 1011  # the code that websockets itself sends after a missing pong

# websockets 14 has no such option.
_HAS_PROXY_OPTION: Final = "proxy" in inspect.signature(connect.__init__).parameters


class _Connect(connect):
    """Connects without following redirects: the headers are meant for this server alone."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _QuietLogger(logging.LoggerAdapter[logging.Logger]):
    """The logger of websockets without its debug level, at which it logs headers and messages."""

    def isEnabledFor(self, level: int) -> bool:
        return level > logging.DEBUG and super().isEnabledFor(level)


_log: Final = _QuietLogger(logging.getLogger("websockets.client"), {})


async def open_socket(
    url: str,
    headers: Mapping[str, str],
    options: Mapping[str, Any],
    sent: SentValues,
    make_connection: Callable[..., BatchConnection] = BatchConnection,
) -> BatchConnection:
    """Open a connection.

    Args:
        url: The URL.
        headers: The headers of the handshake.
        options: Options of ``websockets``.
        sent: What this side sends; the server may repeat it.
        make_connection: Makes the connection.

    Raises:
        ConnectFailed: There is no connection.
    """
    if redact_url(url) == INVALID_URL:
        # Not left to websockets: the standard library's message may repeat the URL.
        raise ConnectFailed(f"Not a WebSocket URL: {INVALID_URL}")
    options = dict(options)
    if not _HAS_PROXY_OPTION and options.pop("proxy", True) not in (True, None):
        raise ConnectFailed("A proxy needs websockets 15 or later")
    try:
        socket = await _Connect(
            url,
            additional_headers=headers,
            ping_interval=None,
            ping_timeout=None,
            logger=_log,
            create_connection=cast(Any, make_connection),
            **options,
        )
        return cast(BatchConnection, socket)
    except InvalidStatus as error:
        response = error.response
        raise http_error(
            url,
            response.status_code,
            phrase=response.reason_phrase,
            headers=response.headers,
            body=bytes(response.body or b""),
            sent=sent,
            now=time.time(),
        ) from None
    except InvalidURI:
        raise ConnectFailed(f"Not a WebSocket URL: {redact_url(url)}") from None
    except (OSError, InvalidHandshake, EOFError) as error:
        timed_out = isinstance(error, TimeoutError) and not error.errno
        detail = "it took too long" if timed_out else system_message([error]) or type(error).__name__
        final = isinstance(error, ssl.SSLCertVerificationError)
        raise ConnectFailed(f"Could not connect to {redact_url(url)}: {detail}", retry=not final) from None
    except WebSocketException as error:  # an invalid proxy, whose URL the message repeats
        raise ConnectFailed(f"Could not connect to {redact_url(url)}: {type(error).__name__} in the options") from None
    except (ValueError, TypeError, ImportError) as error:
        # Options that don't fit: TLS settings for ws://, a SOCKS proxy without its package. The cause has the details.
        raise ConnectFailed(f"Could not connect to {redact_url(url)}: {type(error).__name__} in the options") from error


class _Status:
    """The state of a connection, shared by its reader and its timers."""

    __slots__ = ("is_aged", "is_silent", "received", "waiting")

    def __init__(self) -> None:
        self.received = 0
        self.waiting = False
        self.is_aged = False
        self.is_silent = False


async def read_socket(
    socket: BatchConnection,
    receiver: Receiver,
    *,
    age: float | None,
    ping_interval: float | None,
    ping_timeout: float | None,
    sent: SentValues,
    grace: float | None = None,
) -> Disconnect:
    """Feed every message to the receiver until the connection ends, and return why it ended. The socket is closed.

    Args:
        socket: The connection.
        receiver: Receives the messages.
        age: The time after which to close it (seconds); messages that arrive until it is closed are fed too.
        ping_interval: Time between pings (seconds).
        ping_timeout: Longest time without any data, not even a pong, while the reader waits (seconds).
        sent: What this side has sent; the server may repeat it.
        grace: The grace time (seconds).
    """
    status = _Status()
    timers = []
    if age is not None:
        timers.append(asyncio.create_task(_close_at_age(socket, status, age)))
    if ping_interval is not None:
        timers.append(asyncio.create_task(_ping(socket, status, ping_interval, ping_timeout)))
    receive, feed_all, clock = socket.receive, receiver.feed_all, time.time
    try:
        with GraceTimer(receiver, grace) as silence:
            while True:
                status.waiting = True
                try:
                    # No other task runs while messages are queued; the receiver yields to the loop.
                    messages = await receive()
                except ConnectionClosed as closed:
                    return _disconnect(closed, status, ping_timeout, sent)
                silence.stop()
                status.waiting = False
                status.received += len(messages)
                at = clock()
                await feed_all([RawEvent(None, message, None, None, at) for message in messages])
                silence.start()
    finally:
        for timer in timers:
            timer.cancel()
        await close_socket(socket)


async def close_socket(socket: BatchConnection) -> None:
    """Close a connection within its close_timeout."""
    closing = asyncio.ensure_future(socket.close())
    try:
        with suppress(ConnectionClosed):
            # While back-pressure pauses the reading of the socket, the peer's close frame would not be received.
            while not closing.done():
                await socket.receive()
        await closing
    except asyncio.CancelledError:
        socket.transport.abort()
        closing.cancel()
        raise


async def _close_at_age(socket: BatchConnection, status: _Status, age: float) -> None:
    await asyncio.sleep(age)
    status.is_aged = True
    await socket.close()


async def _ping(socket: BatchConnection, status: _Status, interval: float, pong_timeout: float | None) -> None:
    """Ping at intervals; close the connection if no data arrive after a ping (RFC 6455, section 5.5.2).

    Not left to websockets: while a slow consumer blocks the reading of the socket, it receives no pongs, and would
    close the connection to a healthy peer.
    """
    with suppress(ConnectionClosed):
        while True:
            await asyncio.sleep(interval)
            before = status.received
            if pong_timeout is None:
                await socket.ping()
                continue
            # A ping can't be sent while the peer does not read; that is no answer either.
            pong = asyncio.create_task(_await_pong(socket))
            try:
                while not (await asyncio.wait({pong}, timeout=pong_timeout))[0]:
                    if status.waiting and status.received == before:
                        status.is_silent = True
                        pong.cancel()
                        await asyncio.wait({pong})  # a ping that waits for the peer would block the close frame
                        await socket.close(_NO_PONG, "no pong")
                        return
                    before = status.received
            finally:
                pong.cancel()


async def _await_pong(socket: BatchConnection) -> None:
    with suppress(ConnectionClosed):
        await asyncio.shield(await socket.ping())


def _disconnect(closed: ConnectionClosed, status: _Status, timeout: float | None, sent: SentValues) -> Disconnect:
    received = status.received
    if status.is_aged:
        return Disconnect(reason="the connection reached its age limit", planned=True, received=received)
    if status.is_silent:
        return Disconnect(reason=f"the server did not answer a ping for {timeout:g} seconds", received=received)
    if closed.sent is not None and not closed.rcvd_then_sent:
        # This side closed it because of the data received.
        if closed.sent.code == _TOO_BIG:
            return Disconnect(reason="a message is larger than max_message_bytes", final=True, received=received)
        return Disconnect(reason="the server broke the WebSocket protocol", received=received)
    if closed.rcvd is None:
        return Disconnect(reason="the connection broke off", received=received)
    code = closed.rcvd.code
    return Disconnect(
        # The close reason may quote anything: it is data, and no part of the reason.
        reason=f"the server closed the connection with code {code}",
        server_message=sent.redact(closed.rcvd.reason),
        normal=code in _NORMAL,
        # After messages it is a loss like others: a token that expired, a proxy that restarted.
        final=code in _REJECTED and not received,
        received=received,
    )
