"""The time of 200 runs with a tool of 0.2 s each, over loopback, against the floor of the same requests alone.

Usage: ``python benchmarks/clients.py [--runs 200] [--rounds 3]``. The server runs in a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from typing import Any

import httpx2

from runstream import AssistantsClient, ResponsesClient, RunStatus
from runstream.testing import Turn, serve_script

SECONDS = 0.2
RESPONSE = {"model": "m", "input": "Hello"}
BODIES = {"assistants": {"assistant_id": "asst_1"}, "responses": RESPONSE, "responses over a WebSocket": RESPONSE}
LANES = 16  # as many responses at the same time as servers allow on one socket


async def work() -> str:
    """A tool that takes a while."""
    await asyncio.sleep(SECONDS)
    return "done"


async def by_client(kind: str, url: str, runs: int) -> tuple[float, float]:
    """The seconds that all runs take by a client of runstream, and those of its CPU."""
    made: Any = AssistantsClient if kind == "assistants" else ResponsesClient
    options = {"websocket": True, "lanes": LANES} if "WebSocket" in kind else {}
    async with made(url, tools=[work], **options) as client:

        async def one() -> None:
            async with client.run(BODIES[kind]) as stream:
                assert (await stream.result()).status == RunStatus.COMPLETED

        started, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(one() for _ in range(runs)))
        return time.perf_counter() - started, time.process_time() - cpu


async def by_requests(kind: str, url: str, runs: int) -> float:
    """The seconds that the same requests take, their streams read and not decoded, without the tool."""

    async def post(client: httpx2.AsyncClient, path: str, body: Any) -> bytes:
        async with client.stream("POST", url + path, json={**body, "stream": True}) as response:
            return b"".join([chunk async for chunk in response.aiter_bytes()])

    async def one() -> None:
        limits = httpx2.Limits(max_keepalive_connections=0)
        async with httpx2.AsyncClient(limits=limits, verify=False) as client:
            if kind == "assistants":
                await post(client, "/threads/runs", BODIES[kind])
                return
            await post(client, "/responses", BODIES[kind])

    started = time.perf_counter()
    await asyncio.gather(*(one() for _ in range(2 * runs)))
    return time.perf_counter() - started


async def measure(url: str, runs: int, rounds: int) -> None:
    """Print the best of some rounds for each protocol."""
    for kind in BODIES:
        client, cpu = min([await by_client(kind, url, runs) for _ in range(rounds)])
        floor = ""
        if "WebSocket" not in kind:
            requests = min([await by_requests(kind, url, runs) for _ in range(rounds)])
            floor = f"; their requests alone {requests:.2f} s"
        print(f"{kind}: {runs} runs in {client:.2f} s ({cpu:.2f} s of CPU){floor}; the tool {SECONDS} s")


async def serve() -> None:
    """Serve until standard input is closed."""
    async with serve_script([Turn(calls={"work": {}}), "Done."]) as server:
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(serve())
        return
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            asyncio.run(measure(process.stdout.readline().strip(), args.runs, args.rounds))
        finally:
            process.stdin.close()


if __name__ == "__main__":
    main()
