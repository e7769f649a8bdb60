"""An ingest of the harness in a process of its own: sources in a range of numbers, some at a time, then the end."""

from __future__ import annotations

import asyncio
import sys

from runstream.cluster.broker import Broker, Unanswered
from runstream.cluster.ingest import Ingest
from runstream.cluster.ingest_source import read_place
from runstream.cluster.operations import load_topology
from runstream.cluster.recorded import RecordedItems
from runstream.errors import ClusterError
from tests.cluster.workload import TIME, source_of


async def main(url: str, first: int, last: int, at_once: int, delay: float) -> None:
    """Play the sources that have not ended yet.

    Args:
        url: The broker.
        first: The first number.
        last: The number behind the last one.
        at_once: The sources that are read at once.
        delay: Seconds between two items of a source.
    """
    async with Ingest(url, clock=lambda: TIME) as ingest:
        topology = ingest.topology
        numbers = {
            topology.ingest(scope, name): number
            for number in range(first, last)
            for scope, name, _ in [source_of(number)]
        }
        places = await ingest._broker.last_of(topology.events, numbers)
        ended = {subject for subject, message in places.items() if read_place(message.data).ended}
        waiting = [number for subject, number in numbers.items() if subject not in ended]
        slots = asyncio.Semaphore(at_once)

        async def play(number: int) -> None:
            async with slots:
                scope, name, items = source_of(number)
                handle = ingest.attach(RecordedItems(items, name, delay=delay), scope=scope, name=name)
                await handle.done.wait()

        await asyncio.gather(*map(play, waiting))
    print("ended", flush=True)


async def wait_for_broker(url: str) -> None:
    """Wait as a service manager does that starts a process again: the broker may be restarting."""
    for _ in range(100):
        try:
            async with Broker(url, timeout=1.0) as broker:
                await load_topology(broker)
                return
        except ClusterError:
            await asyncio.sleep(0.2)


async def _run() -> None:
    _, url, first, last, at_once, delay = sys.argv
    while True:
        await wait_for_broker(url)
        try:
            await main(url, int(first), int(last), int(at_once), float(delay))
        except Unanswered:
            continue  # the broker was lost before the first source was attached
        return


if __name__ == "__main__":
    asyncio.run(_run())
