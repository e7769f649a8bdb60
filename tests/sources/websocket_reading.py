"""The WebSocket source in tests: reading of URLs, and the handlers of servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from websockets.asyncio.server import ServerConnection

from runstream.sources.websocket import WebSocketSource
from tests.sources.reading import FAST, UrlReader

__all__ = ["Answers", "failure", "flood", "read", "reading", "saying"]

Answers = list[tuple[int, dict[str, str], bytes] | None]

_websocket = UrlReader(WebSocketSource, within=3.0, reconnect=FAST)
read, failure, reading = _websocket.read, _websocket.failure, _websocket.reading


def saying(*messages: str | bytes, code: int = 1000, reason: str = "") -> Callable[..., Any]:
    async def handler(connection: ServerConnection, number: int) -> None:
        for message in messages:
            await connection.send(message)
        await connection.close(code, reason)

    return handler


async def flood(sent: list[int]) -> Callable[..., Any]:
    async def handler(connection: ServerConnection, number: int) -> None:
        while True:
            await connection.send(b"x" * 10_000)
            sent[0] += 1

    return handler
