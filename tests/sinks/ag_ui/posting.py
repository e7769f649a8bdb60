"""A front end of an AG-UI endpoint, in this process: it posts inputs, and reads the events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from runstream.sinks.ag_ui.asgi import AgUiApp

__all__ = ["Post", "post", "posting", "run_input"]

_PATIENCE = 20.0  # seconds


def run_input(run_id: str = "run-1", text: str = "Hello", **fields: Any) -> dict[str, Any]:
    """A `RunAgentInput` with one message of the user."""
    return {
        "threadId": "thread-1",
        "runId": run_id,
        "protocolVersion": "1.0",
        "messages": [{"id": "u1", "role": "user", "content": text}],
        "state": {},
        "tools": [],
        "context": [],
        "forwardedProps": {},
        **fields,
    }


class Post:
    """One request, and what comes back.

    Attributes:
        status: The HTTP status, once it has come.
        headers: The headers.
    """

    def __init__(self, body: bytes, method: str) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.scope = {"type": "http", "method": method, "path": "/", "headers": [], "query_string": b""}
        self._in: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._out: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._in.put_nowait({"type": "http.request", "body": body, "more_body": False})

    async def receive(self) -> dict[str, Any]:
        return await self._in.get()

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        self._out.put_nowait(message.get("body", b""))
        if not message.get("more_body"):
            self._out.put_nowait(None)

    def leave(self) -> None:
        """Close the connection."""
        self._in.put_nowait({"type": "http.disconnect"})

    async def blocks(self) -> AsyncIterator[bytes]:
        """The pieces of the body."""
        while True:
            async with asyncio.timeout(_PATIENCE):
                piece = await self._out.get()
            if piece is None:
                return
            yield piece

    async def body(self) -> bytes:
        """The whole body."""
        return b"".join([piece async for piece in self.blocks()])

    async def events(self) -> list[dict[str, Any]]:
        """The events of the whole body."""
        body = await self.body()
        assert self.status == 200, body
        return [json.loads(block[6:]) for block in body.split(b"\n\n") if block.startswith(b"data: ")]

    async def until(self, type: str) -> None:
        """Read until an event of this type has come."""
        async for piece in self.blocks():
            if f'"type":"{type}"'.encode() in piece:
                return


@asynccontextmanager
async def posting(app: AgUiApp, body: Any, *, method: str = "POST") -> AsyncIterator[Post]:
    """A request that is going on; the connection closes at the end."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    made = Post(data, method)
    task = asyncio.ensure_future(app(made.scope, made.receive, made.send))
    try:
        yield made
    finally:
        made.leave()
        async with asyncio.timeout(_PATIENCE):
            await task


async def post(app: AgUiApp, body: Any) -> list[dict[str, Any]]:
    """The events of one request."""
    async with posting(app, body) as made:
        return await made.events()
