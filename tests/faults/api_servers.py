"""Servers of the Responses API that misbehave as a case demands: one over HTTP, one over WebSockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.faults.api_cases import ApiCase
from tests.support.http_peer import Exchange, block
from tests.support.responses import ResponseScript

__all__ = ["HttpServer", "SocketServer"]

_STATUSES = (408, 429, 500, 503)
_NOT_EXECUTED = (408, 429)  # after which a client sends a POST again


class HttpServer:
    """A server of one response: each exchange has the next fault of the case.

    Attributes:
        posts: The number of POSTs that were carried out.
    """

    def __init__(self, case: ApiCase, script: ResponseScript) -> None:
        self.posts = 0
        self._case = case
        self._script = script
        self._streams = 0
        self._faults = [fault for fault in case.faults if fault not in ("forgets", "gone")]

    async def __call__(self, exchange: Exchange, number: int) -> None:
        """Answer a request."""
        request, rng = exchange.request, self._case.rng("exchange", number)
        query = parse_qs(urlsplit(request.path).query)
        fault = self._faults.pop(0) if self._faults else None
        if fault == "status":
            await exchange.answer(rng.choice(_NOT_EXECUTED if request.method == "POST" else _STATUSES), {}, b"{}")
            return
        self.posts += request.method == "POST"
        if request.method == "GET" and self._streams and "gone" in self._case.faults:
            await exchange.answer(404, {}, b'{"error": {"message": "no such response"}}')
            return
        if request.method == "GET" and "stream" not in query:
            if fault == "cut":
                exchange.abort()
                return
            value = self._script.response if fault == "old" else self._script.events[-1]["response"]
            await exchange.answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())
            return
        if request.method == "GET" and self._streams and "forgets" in self._case.faults:
            await exchange.answer(400, {}, b'{"error": {"message": "too old"}}')
            return
        self._streams += 1
        first = int(query["starting_after"][0]) + 1 if "starting_after" in query else 0
        first = max(0, first - rng.randint(1, 5)) if fault == "back" else first
        raws = self._script.raws()[first:]
        if fault == "twice" and self._script.numbered:
            raws = [raw for raw in raws for _ in range(2)]
        body = "".join(block(raw.data.decode(), event=raw.event) for raw in raws).encode()
        cut = len(body) if fault is None or not body else rng.randrange(len(body) + 1)
        at = 0
        while at < cut:
            size = rng.choice((1, 50, 700, 5_000))
            await exchange.send(body[at : min(cut, at + size)])
            at += size
        if fault is not None and rng.random() < 0.7:
            await asyncio.sleep(0.01)
            exchange.abort()


class SocketServer:
    """A server of several responses: each has the fault at its place.

    Attributes:
        whole: The ids of the responses whose events were all sent.
        refused: The ids of those that were refused.
        lost: Those whose socket was closed while they were sent.
    """

    def __init__(self, case: ApiCase, scripts: dict[str, ResponseScript]) -> None:
        self.whole: set[str] = set()
        self.refused: set[str] = set()
        self.lost: set[str] = set()
        self._case = case
        self._scripts = scripts
        self._names = "nameless" not in case.faults
        kinds = [fault for fault in case.faults if fault not in ("nameless", "aged")]
        self._faults = dict(zip(case.rng("order").sample(sorted(scripts), len(scripts)), kinds, strict=False))
        self._open: dict[ServerConnection, set[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[str]:
        """Serve; yields the base URL."""
        async with serve(self._connected, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            yield f"http://127.0.0.1:{port}/v1"
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _connected(self, socket: ServerConnection) -> None:
        lock = asyncio.Lock()
        self._open[socket] = set()
        with suppress(ConnectionClosed):
            async for text in socket:
                self._tasks.add(asyncio.ensure_future(self._play(socket, json.loads(text), lock)))

    async def _play(self, socket: ServerConnection, message: dict[str, Any], lock: asyncio.Lock) -> None:
        id = message["input"]
        lane = {"stream_id": message["stream_id"]} if self._names and "stream_id" in message else {}
        fault, rng = self._faults.get(id), self._case.rng("response", id)
        events = self._scripts[id].events
        cut = rng.randrange(1, len(events)) if fault == "cut" else None
        open_ones = self._open[socket]
        async with asyncio.Lock() if self._names else lock:
            open_ones.add(id)
            if fault == "refused":
                self.refused.add(id)
                error = {"type": "error", "status": 400, "error": {"code": "previous_response_not_found"}, **lane}
                await socket.send(json.dumps(error))
                open_ones.discard(id)
                return
            for number, event in enumerate(events):
                if number == cut:
                    self.lost |= open_ones
                    rng.choice((socket.transport.abort, socket.transport.close))()
                    return
                if fault == "junk" and rng.random() < 0.3:
                    await socket.send(rng.choice(("no JSON", "[]", "null", '{"type": 5}', "{}")))
                await socket.send(json.dumps({**event, **lane}))
                await asyncio.sleep(0)
            self.whole.add(id)
            open_ones.discard(id)
            if fault == "limit":
                self.lost |= open_ones
                code = {"code": "websocket_connection_limit_reached", "message": "60 minutes"}
                await socket.send(json.dumps({"type": "error", "status": 400, "error": code}))
                await socket.close()
