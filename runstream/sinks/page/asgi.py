"""The page and its socket as an ASGI application, to be mounted in another: FastAPI, Starlette, or any other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from http import HTTPStatus

from runstream.logs import LOG
from runstream.sinks.asgi import Receive, Scope, Send, get_header, get_path, respond, run_lifespan
from runstream.sinks.page.assets import HEADERS, SOCKET, asset
from runstream.sinks.page.feed import PageFeed
from runstream.sinks.page.origins import OriginPolicy
from runstream.stream.run_stream import RunStream
from runstream.stream.subscriber_set import no_op

__all__ = ["PageApp"]


_POLICY_VIOLATION = 1008  # RFC 6455, section 7.4.1
_TRY_AGAIN_LATER = 1013


class PageApp:
    """An ASGI application (ASGI 3) with the page of :func:`~runstream.serve_page` and its socket.

    It needs no framework, and can be mounted in any::

        app.mount("/runs", PageApp(stream))      # FastAPI, Starlette

    The application in which it is mounted decides who may see the page. ``Host`` is not checked here: the application
    should have its own list of hosts.

    Args:
        stream: The stream, or a feed of it.
        origins: Sites (``https://host``) whose pages may connect besides the page itself.
        max_clients: Number of browsers served at once; a further one is closed with 1013.
        send_timeout: Seconds after which a client that does not read is dropped, where the server reports it.

    Raises:
        ValueError: An origin is not valid.
    """

    def __init__(
        self,
        stream: RunStream | PageFeed,
        *,
        origins: Iterable[str] = (),
        max_clients: int = 64,
        send_timeout: float = 10.0,
    ) -> None:
        self.feed = stream if isinstance(stream, PageFeed) else PageFeed(stream)
        self._policy = OriginPolicy(origins, None)
        self._max_clients = max_clients
        self._send_timeout = send_timeout

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to one request, or serve one socket."""
        if scope["type"] == "http":
            await self._http(scope, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "lifespan":
            await run_lifespan(receive, send, no_op)

    async def _http(self, scope: Scope, send: Send) -> None:
        path = get_path(scope)
        if scope["method"] not in {"GET", "HEAD"}:
            await _respond(send, HTTPStatus.METHOD_NOT_ALLOWED, b"Only GET.\n", allow="GET, HEAD")
        elif not path:
            # The page names its files by relative paths.
            await _respond(send, HTTPStatus.TEMPORARY_REDIRECT, b"", location=f"{scope.get('root_path', '')}/")
        elif (file := asset(path)) is None:
            await _respond(send, HTTPStatus.NOT_FOUND, b"There is nothing here.\n")
        else:
            kind, body = file
            await _respond(send, HTTPStatus.OK, body, kind, head=scope["method"] == "HEAD")

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        if get_path(scope) != SOCKET or self._policy.refusal(get_header(scope, b"host"), get_header(scope, b"origin")):
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})  # before the accept: HTTP 403
            return
        if self.feed.clients >= self._max_clients:
            await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER})
            return
        await send({"type": "websocket.accept"})
        closed = asyncio.create_task(_wait_until_closed(receive))
        sending = asyncio.create_task(self._relay(send))
        try:
            await asyncio.wait({closed, sending}, return_when=asyncio.FIRST_COMPLETED)
            left = closed.done()
        finally:
            for task in (closed, sending):
                task.cancel()
            _, result = await asyncio.gather(closed, sending, return_exceptions=True)
        if left:
            return  # the result of the last send does not matter
        if isinstance(result, TimeoutError):
            LOG.warning("page_client_dropped", reason=f"it read nothing for {self._send_timeout:g} s")
        elif isinstance(result, OSError):  # the server's sign that the client has disconnected (ASGI 2.4)
            return
        elif isinstance(result, BaseException):
            raise result
        await send({"type": "websocket.close", "code": 1000 if result is None else _TRY_AGAIN_LATER})

    async def _relay(self, send: Send) -> None:
        async with aclosing(self.feed.frames()) as frames:
            async for frame in frames:
                async with asyncio.timeout(self._send_timeout):
                    await send({"type": "websocket.send", "text": frame})


async def _wait_until_closed(receive: Receive) -> None:
    while (await receive())["type"] != "websocket.disconnect":
        pass


async def _respond(
    send: Send,
    status: HTTPStatus,
    body: bytes,
    kind: str = "text/plain; charset=utf-8",
    *,
    head: bool = False,
    **more: str,
) -> None:
    await respond(send, status, body, kind, headers=[*HEADERS, *more.items()], head=head)
