"""One WebSocket connection: opened, read into a receiver until it ends, and closed; in the end, why it ended."""

from __future__ import annotations

import asyncio
import inspect
import logging
import ssl
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any, Final, cast

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI, WebSocketException

from runstream.model.raw import RawEvent
from runstream.sources.base import Receiver
from runstream.sources.connection_loop import Disconnect
from runstream.sources.credentials import INVALID_URL, redact_text, redact_url
from runstream.sources.http_errors import ConnectFailed, http_refusal
from runstream.sources.websocket_batches import BatchConnection

__all__ = ["close_socket", "open_socket", "read_socket"]

# RFC 6455, section 7.4.1: done, going away, and (1005) a close frame without a code.
_NORMAL: Final = frozenset({1000, 1001, 1005})
# Likewise: what says that the server will not take what we sent, today or tomorrow.
_UNWANTED: Final = frozenset({1002, 1003, 1007, 1008, 1009, 1010})
_TOO_BIG: Final = 1009
_NO_ANSWER: Final = 1011  # what websockets itself sends after a missing pong

# websockets 14 has no such option.
_KNOWS_PROXY: Final = "proxy" in inspect.signature(connect.__init__).parameters


class _Connect(connect):
    """A connection attempt that follows no redirect: the headers are meant for this server alone."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class _NoHandshakes(logging.LoggerAdapter[logging.Logger]):
    """websockets' own logger without its debug level, at which it writes headers and messages out."""

    def isEnabledFor(self, level: int) -> bool:
        return level > logging.DEBUG and super().isEnabledFor(level)


_log: Final = _NoHandshakes(logging.getLogger("websockets.client"), {})


async def open_socket(
    url: str, headers: Mapping[str, str], options: Mapping[str, Any], secrets: Iterable[str]
) -> BatchConnection:
    """Shake hands.

    Args:
        url: Where.
        headers: Of the request.
        options: Passed to ``websockets``.
        secrets: What must not be shown, though the server may repeat it.

    Raises:
        Refused: There is no connection.
    """
    if redact_url(url) == INVALID_URL:
        # Not left to websockets: the standard library's words for it may repeat the URL.
        raise ConnectFailed(f"Not a WebSocket URL: {INVALID_URL}")
    options = dict(options)
    if not _KNOWS_PROXY and options.pop("proxy", True) not in (True, None):
        raise ConnectFailed("A proxy needs websockets 15 or later")
    try:
        socket = await _Connect(
            url,
            additional_headers=headers,
            ping_interval=None,
            ping_timeout=None,
            logger=_log,
            create_connection=BatchConnection,
            **options,
        )
        return cast(BatchConnection, socket)
    except InvalidStatus as error:
        answer = error.response
        raise http_refusal(
            url,
            answer.status_code,
            phrase=answer.reason_phrase,
            headers=answer.headers,
            body=bytes(answer.body or b""),
            secrets=secrets,
            now=time.time(),
        ) from None
    except InvalidURI:
        raise ConnectFailed(f"Not a WebSocket URL: {redact_url(url)}") from None
    except (OSError, InvalidHandshake, EOFError) as error:
        # Of what went wrong only the kind: the words of an exception may quote the URL, a proxy or a header.
        detail = "it took too long" if isinstance(error, TimeoutError) and not error.errno else _kind_of(error)
        final = isinstance(error, ssl.SSLCertVerificationError)
        raise ConnectFailed(f"Could not connect to {redact_url(url)}: {detail}", retry=not final) from None
    except WebSocketException as error:  # an invalid proxy, whose URL its words repeat
        raise ConnectFailed(f"Could not connect to {redact_url(url)}: {type(error).__name__} in the options") from None
    except (ValueError, TypeError, ImportError) as error:
        # Options that don't fit: TLS settings for ws://, a SOCKS proxy without its package. The cause says more.
        raise ConnectFailed(f"Could not connect to {redact_url(url)}: {type(error).__name__} in the options") from error


def _kind_of(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return redact_text(error.strerror, limit=120)
    return type(error).__name__


class _Progress:
    """What the reader tells those who mind the connection."""

    __slots__ = ("aged", "received", "silent", "waiting")

    def __init__(self) -> None:
        self.received = 0
        self.waiting = False
        self.aged = False
        self.silent = False


async def read_socket(
    socket: BatchConnection,
    receiver: Receiver,
    *,
    age: float | None,
    ping_interval: float | None,
    ping_timeout: float | None,
    secrets: Iterable[str],
) -> Disconnect:
    """Give every message to the receiver until the connection ends, then say why it did. The socket is closed.

    Args:
        socket: The connection.
        receiver: Where messages go.
        age: When to close it (seconds); what comes until it is closed still counts.
        ping_interval: Time between pings (seconds).
        ping_timeout: How long nothing at all, not even a pong, may come while we wait (seconds).
        secrets: What must not be shown of the server's words.
    """
    progress = _Progress()
    minders = []
    if age is not None:
        minders.append(asyncio.create_task(_replace_at(socket, progress, age)))
    if ping_interval is not None:
        minders.append(asyncio.create_task(_keep_alive(socket, progress, ping_interval, ping_timeout)))
    take, feed_all, clock = socket.take, receiver.feed_all, time.time
    data = b""
    try:
        while True:
            progress.waiting = True
            try:
                # Does not give the loop a turn while messages wait; the receiver sees to that.
                messages = await take()
            except ConnectionClosed as closed:
                return _loss(closed, progress, data, ping_timeout, secrets)
            progress.waiting = False
            progress.received += len(messages)
            data, at = messages[-1], clock()
            await feed_all([RawEvent(None, message, None, None, at) for message in messages])
    finally:
        for minder in minders:
            minder.cancel()
        await close_socket(socket)


async def close_socket(socket: BatchConnection) -> None:
    """Close a connection, within its close_timeout."""
    closing = asyncio.ensure_future(socket.close())
    try:
        with suppress(ConnectionClosed):
            # Where back-pressure has stopped the reading of the socket, the peer's answer would never be seen.
            while not closing.done():
                await socket.take()
        await closing
    except asyncio.CancelledError:
        socket.transport.abort()
        closing.cancel()
        raise


async def _replace_at(socket: BatchConnection, progress: _Progress, age: float) -> None:
    await asyncio.sleep(age)
    progress.aged = True
    await socket.close()


async def _keep_alive(socket: BatchConnection, progress: _Progress, interval: float, patience: float | None) -> None:
    """Ping at intervals; close the connection if nothing comes back (RFC 6455, section 5.5.2).

    Not left to websockets: while a slow consumer holds the reading of the socket, it sees no pongs and would
    take a healthy peer for dead.
    """
    with suppress(ConnectionClosed):
        while True:
            await asyncio.sleep(interval)
            before = progress.received
            pong = asyncio.ensure_future(await socket.ping())
            if patience is None:
                continue
            while not (await asyncio.wait({pong}, timeout=patience))[0]:
                if progress.waiting and progress.received == before:
                    progress.silent = True
                    await socket.close(_NO_ANSWER, "no pong")
                    return
                before = progress.received


def _loss(
    closed: ConnectionClosed, progress: _Progress, data: bytes, timeout: float | None, secrets: Iterable[str]
) -> Disconnect:
    received, last = progress.received, hash(data) if progress.received else None
    if progress.aged:
        return Disconnect(reason="the connection reached its age limit", planned=True, received=received, last=last)
    if progress.silent:
        return Disconnect(
            reason=f"the server did not answer a ping for {timeout:g} seconds", received=received, last=last
        )
    if closed.sent is not None and not closed.rcvd_then_sent:
        # We closed it because of what came.
        if closed.sent.code == _TOO_BIG:
            return Disconnect(
                reason="a message is larger than max_message_bytes", final=True, received=received, last=last
            )
        return Disconnect(reason="the server broke the WebSocket protocol", received=received, last=last)
    if closed.rcvd is None:
        return Disconnect(reason="the connection broke off", received=received, last=last)
    code = closed.rcvd.code
    reason = f"the server closed the connection with code {code}"
    if said := redact_text(closed.rcvd.reason, secrets):
        reason += f": {said}"
    return Disconnect(
        reason=reason,
        normal=code in _NORMAL,
        # After messages it is a loss like others: a token that expired, a proxy that restarted.
        final=code in _UNWANTED and not received,
        received=received,
        last=last,
    )
