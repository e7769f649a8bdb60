"""A client of ASGI applications, in this process: requests, and sockets that read at their own pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

__all__ = ["AsgiApp", "Socket", "request", "socket"]

Message: TypeAlias = MutableMapping[str, Any]
AsgiApp: TypeAlias = Callable[
    [Message, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]
]

_PATIENCE = 20.0  # seconds


def _scope(kind: str, path: str, headers: dict[str, str], **more: Any) -> dict[str, Any]:
    encoded = [(name.lower().encode(), value.encode()) for name, value in {"host": "app.example", **headers}.items()]
    return {"type": kind, "path": path, "headers": encoded, "root_path": "", "query_string": b"", **more}


async def request(app: AsgiApp, path: str, *, method: str = "GET", **more: Any) -> tuple[int, dict[str, str], bytes]:
    """Ask for a page; gives status, headers and body."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    asked: list[None] = []

    async def receive() -> Message:
        if asked:
            await asyncio.Event().wait()  # the client stays
        asked.append(None)
        return {"type": "http.request", "body": b"", "more_body": False}

    async with asyncio.timeout(_PATIENCE):
        await app(_scope("http", path, {}, method=method, **more), receive, send)
    start, *bodies = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return start["status"], headers, b"".join(body.get("body", b"") for body in bodies)


class Socket:
    """A client's end of a WebSocket. What the application sends waits until it is read: its server's back-pressure.

    Attributes:
        accepted: Whether the application accepted.
        code: The code that the application closed with.
    """

    def __init__(self) -> None:
        self.accepted = False
        self.code: int | None = None
        self.broken = False
        self._out: asyncio.Queue[Message] = asyncio.Queue()
        self._in: asyncio.Queue[Message] = asyncio.Queue(maxsize=1)
        self._out.put_nowait({"type": "websocket.connect"})

    async def receive(self) -> Message:
        return await self._out.get()

    async def send(self, message: Message) -> None:
        if self.broken:
            raise OSError("the client has left")
        if message["type"] == "websocket.accept":
            self.accepted = True
        elif message["type"] == "websocket.close":
            self.code = message["code"]
        else:
            await self._in.put(message)

    async def read(self) -> str:
        """The next message.

        Raises:
            TimeoutError: There is none.
        """
        async with asyncio.timeout(_PATIENCE):
            text = (await self._in.get())["text"]
        assert isinstance(text, str)
        return text

    def say(self, text: str) -> None:
        """Send something to the application."""
        self._out.put_nowait({"type": "websocket.receive", "text": text})

    def leave(self) -> None:
        """Close the connection."""
        self._out.put_nowait({"type": "websocket.disconnect", "code": 1001})


@asynccontextmanager
async def socket(
    app: AsgiApp, path: str, *, headers: dict[str, str] | None = None, **more: Any
) -> AsyncIterator[Socket]:
    """A WebSocket to an application; what the application raises is raised here."""
    made = Socket()
    task = asyncio.ensure_future(app(_scope("websocket", path, headers or {}, **more), made.receive, made.send))
    try:
        yield made
    finally:
        made.leave()
        async with asyncio.timeout(_PATIENCE):
            await task
