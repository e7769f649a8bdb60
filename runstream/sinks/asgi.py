"""The small part of ASGI 3 that the sinks need: a request in, a response or a stream of chunks out. No framework."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import parse_qs

__all__ = [
    "AsgiApp",
    "BodyTooLarge",
    "ClientLeft",
    "Message",
    "OnDisconnect",
    "Receive",
    "Scope",
    "Send",
    "StreamEnd",
    "check_on_disconnect",
    "get_header",
    "get_path",
    "get_query",
    "read_body",
    "respond",
    "run_lifespan",
    "serve_http",
    "stream_response",
]

Scope: TypeAlias = MutableMapping[str, Any]
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
AsgiApp: TypeAlias = Callable[[Scope, Receive, Send], Awaitable[None]]

StreamEnd: TypeAlias = Literal["complete", "left", "slow", "closed"]
"""How a streamed response ended: all chunks were sent, the client left, it did not read, or the server closes."""

OnDisconnect: TypeAlias = Literal["cancel", "continue"]
"""What becomes of a run whose client leaves: it is cancelled, or it goes on."""

_LAST_CHUNK: Final = 1.0  # seconds for the end of a body that was cut short


class BodyTooLarge(Exception):
    """The body of a request has more bytes than permitted."""


class ClientLeft(Exception):
    """The client closed the connection."""


class _Slow(Exception):
    """The client reads nothing."""


def check_on_disconnect(value: str) -> None:
    """Check a value of :data:`OnDisconnect`.

    Raises:
        ValueError: It is another one.
    """
    if value not in ("cancel", "continue"):
        raise ValueError("on_disconnect is 'cancel' or 'continue'")


def get_path(scope: Scope) -> str:
    """The path below the mount point of the application; "" for the mount point without a slash."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    # Servers and frameworks differ in whether the path contains the root.
    return path[len(root) :] if root and (path == root or path.startswith(f"{root}/")) else path


def get_header(scope: Scope, name: bytes) -> str | None:
    """The value of a header; ``None`` if it is absent, "" if it is there several times.

    Args:
        scope: The scope of the request.
        name: The name in lower case.
    """
    found = [value for key, value in scope["headers"] if key.lower() == name]
    return found[0].decode("latin-1") if len(found) == 1 else None if not found else ""


def get_query(scope: Scope, name: str) -> str | None:
    """The last value of a parameter of the query; ``None`` if it is absent."""
    found = parse_qs(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True).get(name)
    return found[-1] if found else None


async def read_body(receive: Receive, limit: int) -> bytes:
    """The body of a request.

    Args:
        receive: Of the application.
        limit: The highest number of bytes.

    Raises:
        BodyTooLarge: It has more.
        ClientLeft: The client closed the connection before its end.
    """
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ClientLeft
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > limit:
            raise BodyTooLarge
        if not message.get("more_body"):
            return b"".join(parts)


async def respond(
    send: Send,
    status: HTTPStatus,
    body: bytes = b"",
    kind: str = "text/plain; charset=utf-8",
    *,
    headers: Iterable[tuple[str, str]] = (),
    head: bool = False,
) -> None:
    """Send a whole response.

    Args:
        send: Of the application.
        status: The status.
        body: The body.
        kind: Its content type.
        headers: Further headers.
        head: True to leave the body out, for a request ``HEAD``.
    """
    fields = [*headers]
    if status is not HTTPStatus.NO_CONTENT:  # which has no content, and so no length (RFC 9110, section 8.6)
        fields += [("Content-Type", kind), ("Content-Length", str(len(body)))]
    await send({"type": "http.response.start", "status": status.value, "headers": _encode(fields)})
    await send({"type": "http.response.body", "body": b"" if head else body})


async def stream_response(
    receive: Receive,
    send: Send,
    chunks: AsyncGenerator[bytes, None],
    *,
    headers: Iterable[tuple[str, str]] = (),
    status: HTTPStatus = HTTPStatus.OK,
    send_timeout: float = 10.0,
    closing: asyncio.Event | None = None,
) -> StreamEnd:
    """Send a response whose body is made while it is sent, until one of its ends. The generator is closed then.

    The body of the request must have been read, as far as it matters: the rest is dropped.

    Args:
        receive: Of the application.
        send: Of the application.
        chunks: The body.
        headers: The headers.
        status: The status.
        send_timeout: Seconds after which a client that reads nothing is dropped, where the server reports it.
        closing: Set when the server closes: the body is then ended at once, so that the server need not wait.

    Returns:
        How it ended. After ``"slow"`` the body has no end, and the server closes the connection.
    """
    sending = asyncio.ensure_future(_send_all(send, chunks, status, _encode(headers), send_timeout))
    # A client that leaves while there is nothing to send is noticed by the next message.
    leaving = asyncio.ensure_future(_wait_for_disconnect(receive))
    closed = asyncio.ensure_future(closing.wait()) if closing is not None else None
    tasks: list[asyncio.Future[Any]] = [task for task in (sending, leaving, closed) if task is not None]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        left = leaving.done() and not leaving.cancelled()
        done = sending.done()
    finally:
        for task in tasks:
            task.cancel()
        result, *_ = await asyncio.gather(*tasks, return_exceptions=True)
        await chunks.aclose()
    if left or isinstance(result, ClientLeft):
        return "left"
    if isinstance(result, _Slow):
        return "slow"
    if isinstance(result, BaseException) and not isinstance(result, asyncio.CancelledError):
        raise result
    with suppress(OSError):  # a time-out too
        async with asyncio.timeout(_LAST_CHUNK):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    return "complete" if done else "closed"


async def serve_http(
    scope: Scope,
    receive: Receive,
    send: Send,
    respond: Callable[[Scope, Receive, Send], Awaitable[None]],
    on_shutdown: Callable[[], object],
) -> None:
    """Serve one connection of an application without sockets: a WebSocket is refused (HTTP 403).

    Args:
        scope: Of the application.
        receive: Of the application.
        send: Of the application.
        respond: Responds to a request.
        on_shutdown: Called when the server stops.
    """
    if scope["type"] == "http":
        await respond(scope, receive, send)
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})  # before the accept: HTTP 403
    elif scope["type"] == "lifespan":
        await run_lifespan(receive, send, on_shutdown)


async def run_lifespan(receive: Receive, send: Send, on_shutdown: Callable[[], object]) -> None:
    """Confirm start and stop, which a server requests of an application that is not mounted.

    Args:
        receive: Of the application.
        send: Of the application.
        on_shutdown: Called before the stop is confirmed.
    """
    while True:
        kind = (await receive())["type"]
        if kind == "lifespan.shutdown":
            on_shutdown()
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def _send_all(
    send: Send,
    chunks: AsyncGenerator[bytes, None],
    status: HTTPStatus,
    headers: list[tuple[bytes, bytes]],
    send_timeout: float,
) -> None:
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    async for chunk in chunks:
        try:
            async with asyncio.timeout(send_timeout):
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        except TimeoutError:
            raise _Slow from None
        except OSError:  # the server's sign that the client has left, since ASGI 2.4
            raise ClientLeft from None


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _encode(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]
