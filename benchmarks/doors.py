"""The stream's own doors, and a live socket: `RunStream` with its subscribers, and WebSocket messages on loopback
against a bare loop that receives them.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from core import bare_decode
from measuring import serving
from pairing import Ratio, Row, paired, ratio_of, table
from streams import messages
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from runstream import RunStream, WebSocketSource
from runstream.sources.base import Receiver

__all__ = ["door_rows", "live_rows"]

RUNS = 100  # more than elsewhere: making a loop and a stream is paid once
LIVE_RUNS = 40


def bare() -> None:
    """The same floor, for so many runs."""
    for raw in messages(RUNS):
        bare_decode(raw.data)


class Ready:
    """A source that has everything at hand."""

    name = "bench"

    async def run(self, receiver: Receiver) -> None:
        receiver.connected()
        await receiver.feed_all(messages(RUNS))


def subscribed(*channels: str) -> tuple[int, ...]:
    """A whole stream through `RunStream`, with one plain subscriber to each of these; how many items each got."""
    counts = dict.fromkeys(channels, 0)

    def counting(channel: str) -> Callable[[Any], None]:
        def count(item: Any) -> None:
            counts[channel] += 1

        return count

    async def main() -> None:
        async with RunStream(Ready()) as stream:
            for channel in channels:
                getattr(stream, channel).subscribe(counting(channel))
            runs = await stream.results()
        assert len(runs) == RUNS

    asyncio.run(main())
    return tuple(counts.values())


def door_rows(rounds: int) -> list[Row]:
    """`RunStream` against bare decoding."""
    (signals,) = subscribed("signals")
    events, states, again = subscribed("events", "runs", "signals")
    assert signals == again > 200 * RUNS
    assert events == len(messages(RUNS))
    assert 200 * RUNS < states < events
    all_three = paired(lambda: subscribed("events", "runs", "signals"), bare, rounds)
    return [
        Row(
            "`RunStream`, one subscriber to the signals, against bare decode",
            "≤ 3.3",
            paired(lambda: subscribed("signals"), bare, rounds),
        ),
        Row("`RunStream`, `events`, `runs` and `signals` all subscribed, against the same", "≤ 4.5", all_three),
    ]


async def _serve() -> None:
    """Every client gets all messages, as fast as it takes them."""

    async def handler(socket: ServerConnection) -> None:
        for raw in messages(LIVE_RUNS):
            await socket.send(raw.data, text=True)

    async with serve(handler, "127.0.0.1", 0, compression=None, max_size=None) as server:
        print(server.sockets[0].getsockname()[1], flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def live_rows(rounds: int) -> list[Row]:
    """A live WebSocket against a bare `recv` loop on the same server; the CPU time of this process alone."""
    expected = len(messages(LIVE_RUNS))

    async def bare_recv(url: str) -> int:
        count = 0
        async with connect(url, compression=None) as socket:
            async for _ in socket:
                count += 1
        return count

    async def through(url: str) -> int:
        counts = [0]

        def count(signal: Any) -> None:
            counts[0] += 1

        async with RunStream(WebSocketSource(url)) as stream:
            stream.signals.subscribe(count)
            assert len(await stream.results()) == LIVE_RUNS
            return stream.stats.events

    def timed(call: Callable[[str], Awaitable[int]], url: str) -> float:
        async def measured() -> float:
            gc.collect()  # what the other one left is not to be this one's work
            start = time.process_time()
            assert await call(url) == expected
            return time.process_time() - start

        return asyncio.run(measured())

    ratios, each = [], []
    with serving(__file__) as server:
        assert server.stdout is not None
        url = f"ws://127.0.0.1:{server.stdout.readline().strip()}"
        timed(bare_recv, url)
        for _ in range(rounds):
            one, other = timed(through, url), timed(bare_recv, url)
            ratios.append(one / other)
            each.append(one / expected * 1e6)
    ratio: Ratio = ratio_of(ratios)
    note = f"{min(each):.1f} µs a message"
    return [Row("live WebSocket on loopback to signals, against a bare `recv` loop", "≤ 1.3", ratio, note)]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=9)
    args = parser.parse_args()
    if args.serve:
        asyncio.run(_serve())
    else:
        print(table([*door_rows(args.rounds), *live_rows(args.rounds)]))
