"""Latency from send to signal with two thousand live sources, WebSockets or server-sent events, in one process.

Another process serves on loopback: one run a connection, and once all are connected so many fragments a second, spread
evenly over the connections, each with its time of sending in it. Every run then completes, and what came is checked:
each fragment once, each run whole.

Run: python benchmarks/many_sources.py [--sources 2000] [--rate 1000] [--seconds 10] [--sse] [--freeze]. Prints a
Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from measuring import allow_open_files, memory, serving
from websockets.asyncio.server import ServerConnection, serve

from runstream import RunStream, Source, SseSource, TextDelta, WebSocketSource
from runstream.testing import WireEvent, script

PATIENCE = 120.0  # seconds for all to connect, and again for all to end


class ScriptedConnection:
    """One connection's run, and what was sent of it."""

    def __init__(self, path: str, send: Callable[[WireEvent], Awaitable[None]]) -> None:
        self.script = script("run_" + path.rsplit("/", 1)[-1]).start()
        self.writing = self.script.open_message()
        self.send = send
        self.sent = 0
        self.done = asyncio.Event()

    async def send_new(self) -> None:
        """Send the events that the script has made since the last call."""
        events = self.script.events
        for event in events[self.sent :]:
            await self.send(event)
        self.sent = len(events)

    async def fragment(self) -> None:
        """Send a fragment that says when it was sent; no part of the script, which would grow with each."""
        delta = {"content": [{"index": 0, "type": "text", "text": {"value": f"{time.time():.6f} "}}]}
        data = {"id": self.writing.id, "object": "thread.message.delta", "delta": delta}
        await self.send(WireEvent("thread.message.delta", data, 0, ""))

    async def end(self) -> None:
        """Complete the run."""
        self.script.end()
        await self.send_new()
        self.done.set()


Serve = Callable[[ScriptedConnection], Awaitable[None]]


@asynccontextmanager
async def websockets(serve_one: Serve) -> AsyncIterator[int]:
    """A WebSocket server that passes each connection to a function; gives its port."""

    async def handler(socket: ServerConnection) -> None:
        async def send(event: WireEvent) -> None:
            await socket.send(event.raw(enveloped=True).data.decode())

        await serve_one(ScriptedConnection(socket.request.path if socket.request else "", send))

    async with serve(handler, "127.0.0.1", 0, compression=None, backlog=4096, open_timeout=PATIENCE) as server:
        yield next(iter(server.sockets)).getsockname()[1]


@asynccontextmanager
async def event_streams(serve_one: Serve) -> AsyncIterator[int]:
    """The same for server-sent events: just enough HTTP for one GET a connection."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def send(event: WireEvent) -> None:
            writer.write(event.sse())
            await writer.drain()

        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        try:
            await serve_one(ScriptedConnection(path, send))
        finally:
            writer.close()

    async with await asyncio.start_server(handler, "127.0.0.1", 0, backlog=4096) as server:
        yield server.sockets[0].getsockname()[1]


async def serve_crowd(arguments: argparse.Namespace) -> None:
    """Serve until the standard input is closed; prints the port, then how many fragments were sent."""
    crowd: list[ScriptedConnection] = []
    complete = asyncio.Event()

    async def serve_one(connection: ScriptedConnection) -> None:
        await connection.send_new()
        crowd.append(connection)
        if len(crowd) == arguments.sources:
            complete.set()
        await connection.done.wait()

    async with event_streams(serve_one) if arguments.sse else websockets(serve_one) as port:
        print(port, flush=True)
        await asyncio.wait_for(complete.wait(), PATIENCE)
        await asyncio.to_thread(sys.stdin.readline)  # the reader is ready
        begin, count = time.perf_counter(), int(arguments.rate * arguments.seconds)
        for number in range(count):
            wait = begin + number / arguments.rate - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            await crowd[number % len(crowd)].fragment()
        print(count, flush=True)
        for connection in crowd:
            await connection.end()
        await asyncio.to_thread(sys.stdin.read)


def source(arguments: argparse.Namespace, port: str, number: int) -> Source:
    """The source of one run."""
    if arguments.sse:
        return SseSource(f"http://127.0.0.1:{port}/{number}", proxy=None, open_timeout=PATIENCE)
    return WebSocketSource(f"ws://127.0.0.1:{port}/{number}", proxy=None, open_timeout=PATIENCE)


async def measure(arguments: argparse.Namespace, process: subprocess.Popen[str]) -> dict[str, Any]:
    """Read all sources in one stream; what was measured."""
    assert process.stdin is not None
    assert process.stdout is not None
    port = process.stdout.readline().strip()
    latencies: list[float] = []
    before = memory()

    def on_delta(signal: TextDelta) -> None:
        now = time.time()
        latencies.extend(now - float(stamp) for stamp in signal.delta.split())

    stream = RunStream(max_connections=arguments.sources, on_subscriber_error="raise")
    async with stream:
        for number in range(arguments.sources):
            stream.attach(source(arguments, port, number), scope=str(number))
        stream.on(TextDelta, on_delta)
        begin = time.perf_counter()
        everything = asyncio.ensure_future(stream.results())
        try:
            async with asyncio.timeout(PATIENCE):
                while len(stream.latest) < arguments.sources and not everything.done():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            connected, grown = time.perf_counter() - begin, memory() - before
            if arguments.freeze:
                gc.collect()
                gc.freeze()
            await asyncio.sleep(0.5)
            process.stdin.write("go\n")
            process.stdin.flush()
            async with asyncio.timeout(PATIENCE + arguments.seconds):
                runs = await everything
                sent = int(await asyncio.to_thread(process.stdout.readline))
        finally:
            everything.cancel()
        stats = stream.stats
    assert len(runs) == arguments.sources
    assert all(run.is_complete for run in runs)
    assert len(latencies) == sent, f"{len(latencies)} of {sent} fragments"
    assert (stats.rejected, stats.failures, stats.orphans, stats.duplicates) == (0, 0, 0, 0)
    return {"latencies": sorted(latencies), "connected": connected, "memory": grown}


def main() -> None:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sources", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=1000.0, help="fragments a second, over all sources")
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--sse", action="store_true", help="server-sent events instead of WebSockets")
    parser.add_argument("--freeze", action="store_true", help="gc.freeze() once all are connected")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    allow_open_files(arguments.sources + 256)
    if arguments.serve:
        asyncio.run(serve_crowd(arguments))
        return
    options = [f"--{name}={getattr(arguments, name)}" for name in ("sources", "rate", "seconds")]
    if arguments.sse:
        options.append("--sse")
    with serving(__file__, *options) as process:
        found = asyncio.run(measure(arguments, process))
    latencies = found["latencies"]
    median, last = statistics.median(latencies), latencies[int(len(latencies) * 0.99)]
    print("| live sources | fragments a second | all connected after | memory a source | median | p99 | largest |")
    print("|---|---|---|---|---|---|---|")
    kind = "SSE" if arguments.sse else "WebSocket"
    print(
        f"| {arguments.sources:,} {kind} | {arguments.rate:,.0f} | {found['connected']:.1f} s "
        f"| {found['memory'] * 1000 / arguments.sources:.0f} kB "
        f"| {median * 1000:.2f} ms | {last * 1000:.2f} ms | {latencies[-1] * 1000:.2f} ms |"
    )


if __name__ == "__main__":
    main()
