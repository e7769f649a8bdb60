"""The small part of ASGI that the scripted server needs: requests, JSON, event streams, WebSockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import parse_qsl, unquote

import msgspec
from msgspec import Struct

__all__ = ["App", "Body", "ConnectionCut", "HttpRequest", "Receive", "Reply", "Send", "error_reply", "read_request"]

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
Body: TypeAlias = bytes | AsyncIterator[bytes]


class ConnectionCut(Exception):
    """The connection breaks off here, as the script says."""


class HttpRequest(Struct, frozen=True):
    """A request.

    Attributes:
        method: The method.
        path: The decoded path.
        query: The parameters; of several with one name the last.
        headers: The headers; names in lower case.
        body: The decoded JSON body; ``None`` for none.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


class Reply(Struct, frozen=True):
    """A response.

    Attributes:
        value: JSON, or an iterator of the blocks of an event stream.
        status: The HTTP status.
        headers: Further headers.
    """

    value: Any
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()

    async def send(self, receive: Receive, send: Send) -> None:
        """Send it.

        Raises:
            ConnectionCut: The stream breaks off.
        """
        if not isinstance(self.value, AsyncIterator):
            await _start(send, self.status, b"application/json", self.headers)
            await send({"type": "http.response.body", "body": msgspec.json.encode(self.value)})
            return
        await _start(send, self.status, b"text/event-stream", self.headers)
        # A client that leaves is noticed by the next message, and ends the iterator.
        left = asyncio.ensure_future(_wait_for_end(receive))
        try:
            async for block in self.value:
                if left.done():
                    return
                await send({"type": "http.response.body", "body": block, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        finally:
            left.cancel()
            await self.value.aclose()  # type: ignore[attr-defined]


def error_reply(status: int, message: str, *, code: str | None = None, kind: str = "invalid_request_error") -> Reply:
    """The response that refuses a request.

    Args:
        status: The HTTP status.
        message: What is wrong.
        code: Its code.
        kind: Its type.
    """
    return Reply({"error": {"message": message, "type": kind, "param": None, "code": code}}, status)


async def read_request(scope: MutableMapping[str, Any], receive: Receive) -> HttpRequest:
    """The request with its whole body.

    Raises:
        ValueError: The body is not JSON.
    """
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    try:
        value = msgspec.json.decode(body) if body else None
    except msgspec.DecodeError as error:
        raise ValueError(f"the body is not JSON: {error}") from error
    return HttpRequest(
        scope["method"],
        unquote(scope["path"]),
        dict(parse_qsl(scope["query_string"].decode())),
        {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]},
        value,
    )


async def _start(send: Send, status: int, kind: bytes, more: tuple[tuple[bytes, bytes], ...]) -> None:
    headers = [(b"content-type", kind), (b"x-request-id", b"req_scripted"), *more]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _wait_for_end(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
