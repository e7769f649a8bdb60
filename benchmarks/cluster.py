"""What a cluster costs: CPU of an ingest and of a worker for an event, against the fold of the same events in one
process; the same for 1, 2, 4 and 8 partitions; and the memory of a worker with many open runs.

Run: python benchmarks/cluster.py [--runs N] [--open N]. Needs the extra ``jetstream``. ``--open 100000`` takes some
minutes, ``--open 1000000`` ten times as long.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from measuring import memory
from streams import fragment, life_cycle, open_runs

from runstream import Engine, RawEvent
from runstream.cluster.broker import Broker
from runstream.cluster.embedded import EmbeddedBroker
from runstream.cluster.ingest import Ingest
from runstream.cluster.ingest_handle import IngestOptions
from runstream.cluster.operations import init_cluster, read_status
from runstream.cluster.topology import Topology
from runstream.cluster.worker import Worker
from runstream.sources.base import Receiver

__all__ = ["main"]

CHUNK = 64  # events that a source delivers at once
LANE = 100  # open runs of one source


class Chunks:
    """A source that delivers its events as fast as they are welcome."""

    def __init__(self, items: Sequence[RawEvent], name: str) -> None:
        self.name = name
        self.dialect = "assistants"
        self._items = items

    async def run(self, receiver: Receiver) -> None:
        receiver.connected()
        for at in range(0, len(self._items), CHUNK):
            await receiver.feed_all(self._items[at : at + CHUNK])


def workload(runs: int) -> list[tuple[str, list[RawEvent]]]:
    """One source a run."""
    return [(f"run_{number:05d}", life_cycle(f"run_{number:05d}")) for number in range(runs)]


def fold_cpu(runs: int) -> tuple[float, int]:
    """CPU seconds of the fold in this process, and the events."""
    sources = workload(runs)
    engine, facts = Engine(), []
    engine.on_signal = facts.append
    started = time.process_time()
    for name, items in sources:
        intake = engine.intake(name, dialect="assistants")
        intake.feed_all(items)
        intake.end()
    return time.process_time() - started, engine.stats().events


async def ingest_cpu(url: str, runs: int) -> dict[str, Any]:
    """CPU seconds of an ingest."""
    sources = workload(runs)
    async with Ingest(url, packs=IngestOptions(max_items=20_000, max_bytes=512 * 2**10)) as ingest:
        started = time.process_time()
        for name, items in sources:
            ingest.attach(Chunks(items, name), name=name)
        await ingest.join()
        return {"cpu": time.process_time() - started, "events": sum(len(items) for _, items in sources)}


async def worker_cpu(url: str, events: int, progress: bool) -> dict[str, Any]:
    """CPU seconds of a worker that reads what is there."""
    worker = Worker(url, progress=progress)
    started = time.process_time()
    running = asyncio.create_task(worker.run())
    while worker.stats.events < events and not running.done():  # noqa: ASYNC110 - no event of the worker says it
        await asyncio.sleep(0.05)
    cpu = time.process_time() - started
    worker.stop()
    await running
    return {"cpu": cpu, "events": worker.stats.events, "commits": worker.stats.commits, "memory": memory()}


async def open_ingest(url: str, count: int) -> dict[str, Any]:
    """Open so many runs, and send a further fragment to each, in sources of a hundred."""
    async with Ingest(url, packs=IngestOptions(max_items=20_000, max_bytes=512 * 2**10)) as ingest:
        for first in range(0, count, 200 * LANE):
            handles = []
            for lane in range(first, min(first + 200 * LANE, count), LANE):
                numbers = range(lane, min(lane + LANE, count))
                items = _open(numbers) + [fragment(number) for number in numbers]
                handles.append(ingest.attach(_Open(items, f"lane_{lane}"), name=f"lane_{lane}"))
            await asyncio.gather(*[handle._task for handle in handles if handle._task is not None])
        await asyncio.sleep(1)
    return {"memory": memory()}


def _open(numbers: range) -> list[RawEvent]:
    found = []
    for number in numbers:
        run, message = f"run_{number:06d}", f"msg_{number:06d}"
        for raw in open_runs(1):
            data = raw.data.replace(b"run_000000", run.encode()).replace(b"msg_000000", message.encode())
            found.append(RawEvent(data=data, at=raw.at))
    return found


class _Open(Chunks):
    """A source that stays open: its task ends, and its runs do not."""

    async def run(self, receiver: Receiver) -> None:
        await super().run(receiver)
        raise asyncio.CancelledError


async def open_worker(url: str, events: int) -> dict[str, Any]:
    """The memory of a worker that has reduced them."""
    worker = Worker(url, progress=False, max_hot=2_000)
    running = asyncio.create_task(worker.run())
    peak = 0.0
    while worker.stats.events < events and not running.done():
        peak = max(peak, memory())
        await asyncio.sleep(0.1)
    worker.stop()
    await running
    return {"peak": max(peak, memory()), "events": worker.stats.events}


def child(*options: object) -> dict[str, Any]:
    """Run this script in another process, and return what it prints."""
    done = subprocess.run(
        [sys.executable, __file__, *map(str, options)],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


async def measure(partitions: int, runs: int, *, progress: bool = False) -> tuple[float, float, int]:
    """CPU seconds of ingest and worker, and the events."""
    async with EmbeddedBroker() as server:
        async with Broker(server.url) as broker:
            await init_cluster(broker, Topology(partitions=partitions))
        sent = await asyncio.to_thread(child, "--child", "ingest", "--url", server.url, "--runs", runs)
        read = await asyncio.to_thread(
            child,
            "--child",
            "worker",
            "--url",
            server.url,
            "--events",
            sent["events"],
            *(["--progress"] if progress else []),
        )
        return sent["cpu"], read["cpu"], sent["events"]


def resident(pid: int | None) -> float:
    """Resident memory of a process (MB); 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * 4096 / 1e6
    except OSError:
        return 0.0


async def measure_open(count: int) -> None:
    """Memory of a worker, and of the broker, with so many open runs."""
    async with EmbeddedBroker() as server:
        topology = Topology(partitions=4)
        async with Broker(server.url) as broker:
            await init_cluster(broker, topology)
            started = time.monotonic()
            await asyncio.to_thread(child, "--child", "open-ingest", "--url", server.url, "--runs", count)
            found = await asyncio.to_thread(child, "--child", "open-worker", "--url", server.url, "--events", 4 * count)
            status = await read_status(broker, topology)
        rss = await asyncio.to_thread(resident, server.pid)
        sizes = ", ".join(f"{name} {size / 1e6:.0f} MB" for name, (_, size) in status.streams.items())
        print(
            f"{count} open runs in {time.monotonic() - started:.0f} s: worker at most {found['peak']:.0f} MB, "
            f"broker {rss:.0f} MB resident; {sizes}"
        )


async def main(runs: int, opened: int) -> None:
    """Print the figures."""
    cpu, events = min(fold_cpu(runs) for _ in range(3))
    base = cpu / events * 1e6
    print(f"fold in one process: {base:.2f} µs of CPU for an event ({events} events)")
    print("| partitions | ingest (µs) | worker (µs) | both, times the fold |")
    print("|---|---|---|---|")
    for partitions in (1, 2, 4, 8):
        # The least of two: what else the machine does only adds to it.
        sent, read, count = min([await measure(partitions, runs) for _ in range(2)], key=lambda each: each[0] + each[1])
        one, other = sent / count * 1e6, read / count * 1e6
        print(f"| {partitions} | {one:.2f} | {other:.2f} | {(one + other) / base:.2f} |")
    _, read, count = await measure(8, runs, progress=True)
    print(f"with progress published: worker {read / count * 1e6:.2f} µs")
    if opened:
        await measure_open(opened)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--open", type=int, default=0)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--events", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--progress", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child == "ingest":
        print(json.dumps(asyncio.run(ingest_cpu(args.url, args.runs))))
    elif args.child == "worker":
        print(json.dumps(asyncio.run(worker_cpu(args.url, args.events, args.progress))))
    elif args.child == "open-ingest":
        print(json.dumps(asyncio.run(open_ingest(args.url, args.runs))))
    elif args.child == "open-worker":
        print(json.dumps(asyncio.run(open_worker(args.url, args.events))))
    else:
        asyncio.run(main(args.runs, args.open))
