"""The SSE source in tests: reading of URLs, and the responses of servers."""

from __future__ import annotations

import asyncio
from typing import Any

from runstream.sources.sse import SseSource
from tests.sources.reading import FAST, UrlReader
from tests.support.http_peer import Exchange, Respond

__all__ = ["cut", "failure", "flood", "no_answer", "no_answer_in_time", "read", "reading", "saying", "sse", "stall"]

sse = UrlReader(SseSource, within=25.0, reconnect=FAST, proxy=None)
read, failure, reading = sse.read, sse.failure, sse.reading


def saying(*pieces: str | bytes, framing: Any = "chunked", headers: dict[str, str] | None = None) -> Respond:
    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.start(framing=framing, headers=headers)
        for piece in pieces:
            await exchange.send(piece)

    return respond


async def cut(exchange: Exchange, number: int) -> None:
    await exchange.event("a")
    exchange.abort()


async def stall(exchange: Exchange, number: int) -> None:
    await exchange.event("a")
    await asyncio.sleep(60)


async def no_answer(exchange: Exchange, number: int) -> None:
    exchange.abort()


async def no_answer_in_time(exchange: Exchange, number: int) -> None:
    await asyncio.sleep(60)


async def flood(sent: list[int], exchange: Exchange) -> None:
    while True:
        await exchange.event("x" * 10_000)
        sent[0] += 1
