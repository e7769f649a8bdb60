"""The WebSocket source: a URL in, raw events out, over as many connections as it takes.

The socket is read only as fast as the pipeline takes what it gives: a slow synchronous subscriber fills the small
receive queue, then TCP's window, and so slows the sender.
"""

from __future__ import annotations

import asyncio
import inspect
import ssl as ssl_module
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias, cast

from msgspec import Struct
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from runstream.errors import SourceFailed
from runstream.raw import RawEvent
from runstream.sources.base import Inlet
from runstream.sources.reconnect import Reconnect
from runstream.sources.urls import redact_url

__all__ = ["Credentials", "FirstMessages", "Resume", "WebSocketSource"]

# A bearer token, or headers.
Secret: TypeAlias = str | Mapping[str, str]
# The secret itself, or what gives it; asked anew for each connection.
Credentials: TypeAlias = Secret | Callable[[], Secret | Awaitable[Secret]]
Messages: TypeAlias = Iterable[str | bytes]
# What to send first, or what gives it from the last event id (``None`` at first).
FirstMessages: TypeAlias = Messages | Callable[[str | None], Messages | Awaitable[Messages]]

_NORMAL = (1000, 1001)  # RFC 6455, section 7.4.1: done, going away
_TOO_BIG = 1009
_BUSY = (429, 500, 502, 503, 504)


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


class _Refused(Exception):
    """A handshake that failed: with the status, if there was an answer, and whether trying again may help."""

    def __init__(self, reason: str, status: int | None, retry: bool, wait: float | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.retry = retry
        self.wait = wait


class WebSocketSource:
    """Reads a ``ws://`` or ``wss://`` URL; each message, text or binary, is one raw event.

    A connection that ends normally (close codes 1000, 1001) while no run is live is the end of the source. One
    that is lost, or that ends while a run is live, is tried again after ``reconnect``; the first one is not.

    Args:
        url: The URL. Its credentials and query values appear in no message and no log.
        name: The source's name; the URL without secrets by default.
        headers: Headers of the handshake.
        auth: A bearer token or headers, or a function (sync or async) that gives them; asked for each connection.
        subprotocols: Offered to the server.
        ssl: TLS settings.
        proxy: A proxy's URL, ``None`` for none, ``True`` for the system's.
        first_messages: Sent after each handshake; a function (sync or async) gets the last event id.
        resume: Says how to connect again from the last event id.
        reconnect: When to try again; ``None``: never.
        max_message_bytes: A larger message ends the connection with 1009 and the source with an error.
        open_timeout: Limit for connecting (seconds).
        ping_interval: Time between pings (seconds), ``None`` for none.
        ping_timeout: How long a pong may take (seconds); a subscriber must not block longer.
        close_timeout: Limit for closing (seconds).
        max_queue: Messages that wait between socket and pipeline.
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
        resume: Callable[[str | None], Resume | None] | None = None,
        reconnect: Reconnect | None = Reconnect(),  # noqa: B008 - frozen
        max_message_bytes: int = 16 * 2**20,
        open_timeout: float = 10.0,
        ping_interval: float | None = 20.0,
        ping_timeout: float | None = 20.0,
        close_timeout: float = 5.0,
        max_queue: int = 64,
    ) -> None:
        self.name = name or redact_url(url)
        self._url = url
        self._headers = dict(headers or {})
        self._auth = auth
        self._first_messages = first_messages
        self._resume = resume
        self._reconnect = reconnect
        self._max_bytes = max_message_bytes
        self._options: dict[str, Any] = {
            "subprotocols": cast("Sequence[Subprotocol] | None", subprotocols),
            "proxy": proxy,
            "max_size": max_message_bytes,
            "max_queue": max_queue,
            "open_timeout": open_timeout,
            "ping_interval": ping_interval,
            "ping_timeout": ping_timeout,
            "close_timeout": close_timeout,
        }
        if ssl is not None:
            self._options["ssl"] = ssl

    async def run(self, inlet: Inlet) -> None:
        """Read until there is no more; see :class:`~runstream.sources.base.Source`."""
        attempt = 0
        established = False
        refused_before = False
        while True:
            wait = None
            try:
                socket = await self._open(inlet.last_id if established else None, established)
            except _Refused as refusal:
                reason, wait = str(refusal), refusal.wait
                # Credentials may have expired since the last connection: they are asked for once more.
                again = refusal.status == 401 and established and not refused_before
                refused_before = refusal.status == 401
                if not (again or (refusal.retry and (established or refusal.status is not None))):
                    raise SourceFailed(reason, attempts=attempt + 1) from refusal
            else:
                established, refused_before = True, False
                inlet.connected(attempt)
                attempt, ended, reason = await self._read(socket, inlet, attempt)
                if ended:
                    return
            attempt += 1
            policy = self._reconnect
            if policy is None or policy.gives_up(attempt):
                raise SourceFailed(reason, attempts=attempt - 1)
            inlet.disconnected(reason, attempt)
            await asyncio.sleep(policy.delay(attempt) if wait is None else min(wait, policy.maximum))

    async def _open(self, last_id: str | None, again: bool) -> ClientConnection:
        """Connect and send the first messages; :class:`_Refused` if that fails."""
        resume = self._resume(last_id) if self._resume is not None and again else None
        url, headers = self._url, dict(self._headers)
        messages: Messages | None = None
        if resume is not None:
            url = resume.url or url
            headers.update(resume.headers or {})
            messages = resume.first_messages
        headers.update(await self._secret())
        if messages is None:
            given = self._first_messages
            messages = await _value(given(last_id)) if callable(given) else given
        try:
            socket = await connect(url, additional_headers=headers, **self._options)
        except InvalidStatus as error:
            raise self._refused(error) from None
        except InvalidURI:
            raise _Refused(f"Not a WebSocket URL: {redact_url(url)}", None, False) from None
        except (OSError, TimeoutError, InvalidHandshake) as error:
            detail = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise _Refused(f"Could not connect to {redact_url(url)}: {detail}", None, True) from None
        try:
            for message in messages:
                await socket.send(message)
        except ConnectionClosed:
            pass  # reading will tell why
        except BaseException:
            await socket.close()
            raise
        return socket

    async def _secret(self) -> dict[str, str]:
        secret = await _value(self._auth()) if callable(self._auth) else self._auth
        if secret is None:
            return {}
        return {"Authorization": f"Bearer {secret}"} if isinstance(secret, str) else dict(secret)

    def _refused(self, error: InvalidStatus) -> _Refused:
        status = error.response.status_code
        reason = f"{redact_url(self._url)} refused the connection with HTTP {status}"
        if error.response.reason_phrase:
            reason += f" {error.response.reason_phrase[:80]}"
        after = error.response.headers.get("Retry-After", "")
        wait = float(after) if after.isascii() and after.isdigit() else None
        return _Refused(reason, status, status in _BUSY, wait)

    async def _read(self, socket: ClientConnection, inlet: Inlet, attempt: int) -> tuple[int, bool, str]:
        """Read one connection to its end: attempts without a message, whether the source has ended, and why."""
        age = self._reconnect.max_connection_age if self._reconnect is not None else None
        received = False
        feed, ready, clock = inlet.feed, inlet.ready, time.time
        try:
            async with asyncio.timeout(age):
                while True:
                    # Returns at once, without a turn of the loop, while messages are queued.
                    data = await socket.recv(decode=False)
                    received = True
                    feed(RawEvent(None, data, None, None, clock()))
                    await ready()
        except TimeoutError:
            return 0, False, "the connection reached its age limit"
        except ConnectionClosed as closed:
            received_code = closed.rcvd.code if closed.rcvd is not None else None
            if closed.sent is not None and closed.sent.code == _TOO_BIG and received_code != _TOO_BIG:
                raise SourceFailed(
                    f"A message is larger than {self._max_bytes} bytes (max_message_bytes)", attempts=attempt + 1
                ) from None
            reason = (
                f"the connection was closed with code {received_code}" if received_code else "the connection broke"
            )
            ended = not inlet.live and (received_code in _NORMAL or received)
            return (0 if received else attempt), ended, reason
        finally:
            await socket.close()


async def _value(given: Any) -> Any:
    return await given if inspect.isawaitable(given) else given
