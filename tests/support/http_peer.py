"""HTTP servers that behave as a test wants, on loopback, made by hand so that they can misbehave in every way.

In this process: `http_serving(handler)`. In another one, to be killed: `sse_process(name)`, which is
``python -m tests.support.http_peer NAME [GAP] [PORT]``: it serves a demo recording as an event stream, with ids that
count from 1, goes on after a ``Last-Event-ID``, and answers 204 where nothing is left. It prints its URL.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from http import HTTPStatus
from typing import Literal

from msgspec import Struct

from runstream import demo
from runstream.model.raw import RawEvent
from runstream.recordings.reader import read_recording
from tests.support.processes import server_process

__all__ = ["Answer", "Exchange", "HttpPeer", "HttpRequest", "Respond", "block", "http_serving", "sse_process"]

Answer = tuple[int, dict[str, str], bytes]
EVENT_STREAM = "text/event-stream"


def phrase_of(status: int) -> str:
    """The usual phrase, and any for a status that is none of HTTP's."""
    return HTTPStatus(status).phrase if status in set(HTTPStatus) else "Any"


class HttpRequest(Struct, frozen=True, kw_only=True):
    """What came. Names of headers are in lower case; of repeated ones all values are there, in order."""

    method: str
    path: str
    headers: dict[str, list[str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The only value of a header."""
        values = self.headers.get(name.lower(), [])
        assert len(values) < 2, f"{name} came {len(values)} times"
        return values[0] if values else None


class Exchange:
    """A request and its response, which is an empty event stream unless something else is sent."""

    def __init__(self, request: HttpRequest, writer: asyncio.StreamWriter) -> None:
        self.request = request
        self.writer = writer
        self._framing: Literal["chunked", "close"] | None = None
        self._ended = False

    async def start(
        self,
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        *,
        content_type: str | None = EVENT_STREAM,
        framing: Literal["chunked", "close"] = "chunked",
    ) -> None:
        """Send the head. With the framing ``close`` only the connection's end says where the body ends."""
        self._framing = framing
        lines = [f"HTTP/1.1 {status} {phrase_of(status)}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if content_type is not None:
            lines.append(f"Content-Type: {content_type}")
        if framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
        await self.raw("\r\n".join([*lines, "", ""]).encode("latin-1"))

    async def send(self, data: bytes | str) -> None:
        """Send a piece of the body, after the head if need be; it waits for a reader that is behind."""
        if self._framing is None:
            await self.start()
        data = data.encode() if isinstance(data, str) else data
        if data:
            await self.raw(b"%x\r\n%b\r\n" % (len(data), data) if self._framing == "chunked" else data)

    async def event(
        self, data: str, *, event: str | None = None, id: str | None = None, retry: int | None = None
    ) -> None:
        """Send one event."""
        await self.send(block(data, event=event, id=id, retry=retry))

    async def answer(self, status: int, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        """Send a whole response that is no stream."""
        lines = [f"HTTP/1.1 {status} {phrase_of(status)}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if status != HTTPStatus.NO_CONTENT:
            lines.append(f"Content-Length: {len(body)}")
        self._framing, self._ended = "close", True
        await self.raw("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    async def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def end(self) -> None:
        """End the body as it should be ended."""
        if self._framing is None:
            await self.start()
        if self._framing == "chunked" and not self._ended:
            await self.raw(b"0\r\n\r\n")
        self._ended = True

    def abort(self) -> None:
        """Break the connection off."""
        self._ended = True
        self.writer.transport.abort()


Respond = Callable[[Exchange, int], Awaitable[None]]


class HttpPeer:
    """A running server.

    Attributes:
        url: Where it listens.
        requests: The requests that came, in order.
        times: When they came (seconds of the loop's clock).
        open: Connections open now.
    """

    def __init__(self) -> None:
        self.url = ""
        self.requests: list[HttpRequest] = []
        self.times: list[float] = []
        self.open = 0


def block(data: str, *, event: str | None = None, id: str | None = None, retry: int | None = None) -> str:
    """One event as it stands in a stream."""
    fields = [("retry", retry), ("id", id), ("event", event), *(("data", line) for line in data.split("\n"))]
    return "".join(f"{name}: {value}\n" for name, value in fields if value is not None) + "\n"


@asynccontextmanager
async def http_serving(
    respond: Respond | None = None, *, answers: list[Answer | None] | None = None, port: int = 0
) -> AsyncIterator[HttpPeer]:
    """Serve with a function, which gets each exchange and its number (from 0); its return ends the body.

    Args:
        respond: What to do; without it every response is an empty event stream.
        answers: Whole responses (status, headers, body) for the first requests; ``None`` leaves one to `respond`.
        port: Where to listen; 0 for any free port.
    """
    peer = HttpPeer()
    plan = list(answers or [])
    tasks: set[asyncio.Task[None]] = set()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        peer.open += 1
        gone: asyncio.Future[None] | None = None
        try:
            with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                request = await _read_request(reader)
                number = len(peer.requests)
                peer.requests.append(request)
                peer.times.append(asyncio.get_running_loop().time())
                exchange = Exchange(request, writer)
                answer = plan.pop(0) if plan else None
                # A client that leaves is noticed although nothing is being sent.
                gone = asyncio.ensure_future(_when_gone(reader, task))
                if answer is not None:
                    await exchange.answer(*answer)
                elif respond is not None:
                    await respond(exchange, number)
                    await exchange.end()
                else:
                    await exchange.end()
        finally:
            if gone is not None:
                gone.cancel()
            peer.open -= 1
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", port)
    peer.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield peer
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        if tasks:
            await asyncio.wait(tuple(tasks), timeout=5)
        await asyncio.sleep(0)  # transports close in the next turn


async def _when_gone(reader: asyncio.StreamReader, task: asyncio.Task[None]) -> None:
    with suppress(OSError):
        await reader.read()
    task.cancel()


async def _read_request(reader: asyncio.StreamReader) -> HttpRequest:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")[:-2]
    method, path, _ = first.split(" ")
    headers: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line.partition(":")
        headers.setdefault(name.lower(), []).append(value.strip().encode("latin-1").decode())
    body = await reader.readexactly(int(headers.get("content-length", ["0"])[0]))
    return HttpRequest(method=method, path=path, headers=headers, body=body)


@contextmanager
def sse_process(name: str, *, gap: float = 0.0, port: int = 0) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve a demo recording in another process; yields the URL and the process, which may be killed."""
    with server_process(__name__, name, gap, port, kill=True) as (url, process):
        assert url.startswith("http://")
        yield url, process


async def _serve(name: str, gap: float, port: int) -> None:
    items = [item for item in read_recording(demo.load(name)) if isinstance(item, RawEvent)]

    async def respond(exchange: Exchange, number: int) -> None:
        last = int(exchange.request.header("Last-Event-ID") or 0)
        if last >= len(items):
            await exchange.answer(HTTPStatus.NO_CONTENT)
            return
        for id, item in enumerate(items[last:], last + 1):
            await exchange.event(item.data.decode(), event=item.event, id=str(id))
            if gap:
                await asyncio.sleep(gap)

    async with http_serving(respond, port=port) as peer:
        print(peer.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
