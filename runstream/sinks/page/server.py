"""The page and its socket on one port, served by `websockets` alone."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

from msgspec import Struct
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from runstream.logs import LOG
from runstream.recordings.server import discard_messages, server_address, stop_server
from runstream.sinks.page.assets import HEADERS, SOCKET, asset
from runstream.sinks.page.feed import PageFeed
from runstream.sinks.page.origins import OriginPolicy, is_loopback
from runstream.stream.run_stream import RunStream

__all__ = ["PageServer", "serve_page"]


_MAX_RECEIVED: Final = 1024  # bytes of a message; the page sends none
_CLOSE: Final = 1.0  # seconds for the closing handshake


class PageServer(Struct, frozen=True):
    """A page that is being served.

    Attributes:
        url: The address to open in a browser.
        feed: The feed that it shows.
    """

    url: str
    feed: PageFeed


@asynccontextmanager
async def serve_page(
    stream: RunStream | PageFeed,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    origins: Iterable[str] = (),
    max_clients: int = 64,
    send_timeout: float = 10.0,
) -> AsyncIterator[PageServer]:
    """Serve a page that shows a stream live: its runs with status, step, time, text, tool calls and tokens.

    A browser that connects, or reconnects, receives the present state first, then the changes, at most ten times a
    second. A slow browser skips intermediate states, and delays no other. The page does not start reading the stream.

    ::

        async with runstream.connect(url) as stream, serve_page(stream) as page:
            print(page.url)
            await stream.results()

    The page shows text and tool arguments to everyone who can reach the port: there is no password. By default that
    is this machine alone; on any other ``host`` a warning is logged. For use in a network, mount the page in an
    application that authenticates its users (:class:`~runstream.PageApp`), or place such a proxy before it.

    Args:
        stream: The stream, or a feed of it.
        host: Where to listen: an address or a name.
        port: The number of the TCP port; 0 for a free one.
        origins: Sites (``https://host``) whose pages may connect besides this page itself, such as that of the proxy.
        max_clients: Number of browsers served at once; a further one receives 503.
        send_timeout: Seconds after which a client that does not read is dropped.

    Raises:
        OSError: The server can not listen on the address.
        ValueError: An origin is not valid.
    """
    # The name to listen on is a host name of the page; wildcards are not.
    policy = OriginPolicy(origins, [host])
    feed = stream if isinstance(stream, PageFeed) else PageFeed(stream)
    clients: set[ServerConnection] = set()
    if not is_loopback(host):
        LOG.warning("page_exposed", host=host, reason="anyone who can reach this address can read the runs")

    def answer(_: ServerConnection, request: Request) -> Response | None:
        return _answer(request, policy, full=len(clients) >= max_clients)

    async def client(connection: ServerConnection) -> None:
        clients.add(connection)
        try:
            await _relay(connection, feed, send_timeout)
        finally:
            clients.discard(connection)

    try:
        server = await serve(
            client,
            host,
            port,
            process_request=answer,
            compression=None,
            max_size=_MAX_RECEIVED,
            close_timeout=_CLOSE,
            # Browsers open connections that they never use, and clients may send anything: not worth a log line.
            logger=logging.Logger("runstream.page", logging.CRITICAL),
        )
        try:
            yield PageServer(f"http://{server_address(server)}/", feed)
        finally:
            await stop_server(server, clients)
    finally:
        if feed is not stream:
            feed.close()


async def _relay(connection: ServerConnection, feed: PageFeed, send_timeout: float) -> None:
    """Send one client its frames, one at a time, until it leaves or does not read."""
    # Reading notices a client that leaves while there is nothing to send.
    closed = asyncio.create_task(discard_messages(connection))
    sending = asyncio.create_task(_send(connection, feed, send_timeout))
    try:
        await asyncio.wait({closed, sending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (closed, sending):
            task.cancel()
        results = await asyncio.gather(closed, sending, return_exceptions=True)
    for result in results:
        match result:
            case None | asyncio.CancelledError() | ConnectionClosed():
                pass
            case TimeoutError():
                LOG.warning("page_client_dropped", reason=f"it read nothing for {send_timeout:g} s")
                connection.transport.abort()
            case BaseException():
                LOG.error("page_client_failed", error=type(result).__name__)


async def _send(connection: ServerConnection, feed: PageFeed, send_timeout: float) -> None:
    async with aclosing(feed.frames()) as frames:
        async for frame in frames:
            async with asyncio.timeout(send_timeout):
                await connection.send(frame)  # waits while the client is behind


def _answer(request: Request, policy: OriginPolicy, *, full: bool) -> Response | None:
    """The HTTP response; ``None`` continues with the WebSocket handshake."""
    path = request.path.partition("?")[0]
    hosts, found = request.headers.get_all("Host"), request.headers.get_all("Origin")
    refusal = "Several hosts or origins." if len(hosts) > 1 or len(found) > 1 else None
    refusal = refusal or policy.refusal(next(iter(hosts), None), next(iter(found), None))
    if refusal is not None:
        return _text(HTTPStatus.FORBIDDEN, refusal)
    if path == SOCKET:
        return _text(HTTPStatus.SERVICE_UNAVAILABLE, "Too many browsers are connected.") if full else None
    file = asset(path)
    if file is None:
        return _text(HTTPStatus.NOT_FOUND, "There is nothing here. The page is at /.")
    return _response(HTTPStatus.OK, *file)


def _text(status: HTTPStatus, text: str) -> Response:
    return _response(status, "text/plain; charset=utf-8", f"{text}\n".encode())


def _response(status: HTTPStatus, kind: str, body: bytes) -> Response:
    headers: Any = Headers(HEADERS)
    headers["Content-Type"] = kind
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    return Response(status.value, status.phrase, headers, body)
