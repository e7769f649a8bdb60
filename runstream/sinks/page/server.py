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
from runstream.sinks.page.origins import Access, is_loopback
from runstream.stream.run_stream import RunStream

__all__ = ["PageServer", "serve_page"]


_MAX_RECEIVED: Final = 1024  # bytes of a message; the page sends none
_CLOSE: Final = 1.0  # seconds for the closing handshake


class PageServer(Struct, frozen=True):
    """A page that is being served.

    Attributes:
        url: What to open in a browser.
        feed: What it shows.
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

    Whoever opens it, or reconnects, gets the present state first, then what changes, at most ten times a second. A
    browser that is slow skips what came between, and holds up nobody. Reading the stream does not start by this.

    ::

        async with runstream.connect(url) as stream, serve_page(stream) as page:
            print(page.url)
            await stream.results()

    The page shows text and tool arguments to whoever can reach the port: there is no password. By default that is
    this machine alone; on any other ``host`` a warning is logged. To put it on a network, mount it in an application
    that knows its users (:class:`~runstream.PageApp`), or put a proxy that does before it.

    Args:
        stream: The stream, or a feed of it.
        host: Where to listen: an address or a name.
        port: The port; 0 for a free one.
        origins: Sites (``https://host``) whose pages may connect besides this page itself, such as the proxy's.
        max_clients: Browsers served at once; a further one gets 503.
        send_timeout: Seconds after which a client that does not read is dropped.

    Raises:
        OSError: The address can't be had.
        ValueError: An origin is none.
    """
    # A name to listen on is a name to be called by; the wildcards are neither.
    access = Access(origins, [host])
    feed = stream if isinstance(stream, PageFeed) else PageFeed(stream)
    clients: set[ServerConnection] = set()
    if not is_loopback(host):
        LOG.warning("page_exposed", host=host, reason="whoever can reach this address can read the runs")

    def answer(_: ServerConnection, request: Request) -> Response | None:
        return _answer(request, access, full=len(clients) >= max_clients)

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
            # Browsers open connections that they never use, and anybody can send anything: no news for a log.
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
    gone = asyncio.create_task(discard_messages(connection))
    sending = asyncio.create_task(_send(connection, feed, send_timeout))
    try:
        await asyncio.wait({gone, sending}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in (gone, sending):
            task.cancel()
        results = await asyncio.gather(gone, sending, return_exceptions=True)
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


def _answer(request: Request, access: Access, *, full: bool) -> Response | None:
    """The HTTP answer; ``None`` goes on with the WebSocket's handshake."""
    path = request.path.partition("?")[0]
    hosts, found = request.headers.get_all("Host"), request.headers.get_all("Origin")
    refusal = "Several hosts or origins." if len(hosts) > 1 or len(found) > 1 else None
    refusal = refusal or access.refusal(next(iter(hosts), None), next(iter(found), None))
    if refusal is not None:
        return _text(HTTPStatus.FORBIDDEN, refusal)
    if path == SOCKET:
        return _text(HTTPStatus.SERVICE_UNAVAILABLE, "Too many browsers are connected.") if full else None
    held = asset(path)
    if held is None:
        return _text(HTTPStatus.NOT_FOUND, "There is nothing here. The page is at /.")
    return _response(HTTPStatus.OK, *held)


def _text(status: HTTPStatus, text: str) -> Response:
    return _response(status, "text/plain; charset=utf-8", f"{text}\n".encode())


def _response(status: HTTPStatus, kind: str, body: bytes) -> Response:
    headers: Any = Headers(HEADERS)
    headers["Content-Type"] = kind
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    return Response(status.value, status.phrase, headers, body)
