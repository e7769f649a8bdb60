"""Waiting with a bound for what other tasks and processes do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from runstream.cluster.broker import Broker
from runstream.cluster.operations import read_status
from runstream.cluster.topology import Topology
from runstream.cluster.worker import Worker


async def until(is_true: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait until something is true."""
    async with asyncio.timeout(seconds):
        while not is_true():
            await asyncio.sleep(0.02)


async def settled(broker: Broker, topology: Topology, seconds: float = 30.0) -> None:
    """Wait until the results of all packs are stored."""
    async with asyncio.timeout(seconds):
        while any(each.lag for each in (await read_status(broker, topology)).partitions):
            await asyncio.sleep(0.05)


async def fact_keys(broker: Broker, topology: Topology) -> list[str]:
    """The keys of all facts of runs."""
    found = []
    async for message in broker.read(topology.results, topology.facts(), 1, until=2**60):
        found += [each["key"] for each in msgspec.json.decode(message.data) if not each["type"].startswith("source.")]
    return found


@asynccontextmanager
async def working(worker: Worker) -> AsyncIterator[Worker]:
    """A worker in this process, until the context is left."""
    task = asyncio.create_task(worker.run())
    try:
        yield worker
    finally:
        worker.stop()
        await asyncio.wait_for(task, 20)
