"""WebSocket servers that behave as a test wants, on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol

__all__ = ["Peer", "Serve", "raw_peer", "serving"]

Serve = Callable[[ServerConnection, int], Awaitable[None]]


class Peer:
    """A running server.

    Attributes:
        url: Where it listens.
        requests: The handshakes that came, the refused ones too.
        times: When they came (seconds of the loop's clock).
        open: Connections open now.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.times: list[float] = []
        self.open = 0


@asynccontextmanager
async def serving(
    handler: Serve | None = None,
    *,
    answers: list[tuple[int, dict[str, str], bytes] | None] | None = None,
    **options: Any,
) -> AsyncIterator[Peer]:
    """Serve with a handler, which gets the connection and its number (from 0).

    Args:
        handler: What to do with a connection; it is closed with 1000 when this returns.
        answers: HTTP answers (status, headers, body) for the first handshakes; ``None`` accepts one.
        options: For ``websockets``.
    """
    peer = Peer()
    plan = list(answers or [])

    def request(connection: ServerConnection, request: Request) -> Response | None:
        peer.requests.append(request)
        peer.times.append(asyncio.get_running_loop().time())
        answer = plan.pop(0) if plan else None
        if answer is None:
            return None
        status, headers, body = answer
        response = connection.respond(HTTPStatus(status), body.decode())
        for name, value in headers.items():
            response.headers.pop(name, None)
            response.headers[name] = value
        return response

    async def handle(connection: ServerConnection) -> None:
        peer.open += 1
        try:
            with suppress(ConnectionClosed):
                if handler is not None:
                    await handler(connection, len(peer.requests) - 1)
        finally:
            peer.open -= 1

    options = {"compression": None, "close_timeout": 0.5, "ping_interval": None, **options}
    async with serve(handle, "127.0.0.1", 0, process_request=request, **options) as server:
        peer.url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        yield peer


@asynccontextmanager
async def raw_peer(
    after: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]], *, handshake: bool = True
) -> AsyncIterator[str]:
    """A server that shakes hands and then does anything with the bare socket; gives its URL.

    Args:
        after: What it does; the socket is closed when this returns, or at the end of the test.
        handshake: Whether it shakes hands.
    """
    tasks: set[asyncio.Task[Any]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            if handshake:
                protocol = ServerProtocol()
                protocol.receive_data(await reader.readuntil(b"\r\n\r\n"))
                request = protocol.events_received()[0]
                assert isinstance(request, Request)
                protocol.send_response(protocol.accept(request))
                writer.write(b"".join(protocol.data_to_send()))
            with suppress(OSError, asyncio.CancelledError):
                await after(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=1)
        await asyncio.sleep(0)  # transports close in the next turn
