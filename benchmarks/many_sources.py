"""Latency from send to signal with two thousand live WebSocket sources in one process.

Another process serves on loopback: one run a connection, and once all are connected so many fragments a second, spread
evenly over the connections, each with its time of sending in it. Every run then completes, and what came is checked:
each fragment once, each run whole.

Run: python benchmarks/many_sources.py [--sources 2000] [--rate 1000] [--seconds 10]. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from typing import Any

from measuring import allow_open_files, memory, serving
from websockets.asyncio.server import ServerConnection, serve

from runstream import RunStream, TextDelta, WebSocketSource
from runstream.testing import Script, script

PATIENCE = 120.0  # seconds for all to connect, and again for all to end


class Telling:
    """One connection's run, and what was sent of it."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket
        self.run_id = "run_" + (socket.request.path if socket.request else "").rsplit("/", 1)[-1]
        self.told: Script = script(self.run_id).start()
        self.writing = self.told.open_message()
        self.sent = 0
        self.done = asyncio.Event()

    async def tell(self) -> None:
        """Send what the script has told since."""
        raws = self.told.raw_events(enveloped=True)
        for raw in raws[self.sent :]:
            await self.socket.send(raw.data.decode())
        self.sent = len(raws)

    async def fragment(self) -> None:
        """Send a fragment that says when it was sent; no script: a script tells all from its start each time."""
        delta = {"content": [{"index": 0, "type": "text", "text": {"value": f"{time.time():.6f} "}}]}
        data = {"id": self.writing.id, "object": "thread.message.delta", "delta": delta}
        await self.socket.send(json.dumps({"event": "thread.message.delta", "data": data}))

    async def end(self) -> None:
        """Complete the run."""
        self.told.end()
        await self.tell()
        self.done.set()


async def serve_crowd(sources: int, rate: float, seconds: float) -> None:
    """Serve until the standard input is closed; prints the port, then how many fragments were sent."""
    crowd: list[Telling] = []
    complete = asyncio.Event()

    async def handler(socket: ServerConnection) -> None:
        telling = Telling(socket)
        await telling.tell()
        crowd.append(telling)
        if len(crowd) == sources:
            complete.set()
        await telling.done.wait()

    async with serve(handler, "127.0.0.1", 0, compression=None, backlog=4096, open_timeout=PATIENCE) as server:
        print(next(iter(server.sockets)).getsockname()[1], flush=True)
        await asyncio.wait_for(complete.wait(), PATIENCE)
        await asyncio.sleep(0.5)
        begin, count = time.perf_counter(), int(rate * seconds)
        for number in range(count):
            wait = begin + number / rate - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            await crowd[number % sources].fragment()
        print(count, flush=True)
        for telling in crowd:
            await telling.end()
        await asyncio.to_thread(sys.stdin.read)


async def measure(arguments: argparse.Namespace, process: subprocess.Popen[str]) -> dict[str, Any]:
    """Read all sources in one stream; what was measured."""
    assert process.stdout is not None
    port = process.stdout.readline().strip()
    latencies: list[float] = []
    before = memory()

    def heard(signal: TextDelta) -> None:
        now = time.time()
        latencies.extend(now - float(stamp) for stamp in signal.delta.split())

    stream = RunStream(max_connections=arguments.sources, on_subscriber_error="raise")
    async with stream:
        for number in range(arguments.sources):
            stream.attach(
                WebSocketSource(f"ws://127.0.0.1:{port}/{number}", proxy=None, open_timeout=PATIENCE), scope=str(number)
            )
        stream.on(TextDelta, heard)
        begin = time.perf_counter()
        everything = asyncio.ensure_future(stream.results())
        try:
            async with asyncio.timeout(PATIENCE):
                while len(stream.latest) < arguments.sources and not everything.done():  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
            connected, grown = time.perf_counter() - begin, memory() - before
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
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    allow_open_files(arguments.sources + 256)
    if arguments.serve:
        asyncio.run(serve_crowd(arguments.sources, arguments.rate, arguments.seconds))
        return
    options = [f"--{name}={getattr(arguments, name)}" for name in ("sources", "rate", "seconds")]
    with serving(__file__, *options) as process:
        found = asyncio.run(measure(arguments, process))
    latencies = found["latencies"]
    median, last = statistics.median(latencies), latencies[int(len(latencies) * 0.99)]
    print("| live sources | fragments a second | all connected after | memory a source | median | p99 | largest |")
    print("|---|---|---|---|---|---|---|")
    print(
        f"| {arguments.sources:,} | {arguments.rate:,.0f} | {found['connected']:.1f} s "
        f"| {found['memory'] * 1000 / arguments.sources:.0f} kB "
        f"| {median * 1000:.2f} ms | {last * 1000:.2f} ms | {latencies[-1] * 1000:.2f} ms |"
    )


if __name__ == "__main__":
    main()
