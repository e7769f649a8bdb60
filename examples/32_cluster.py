"""A cluster on one machine: a broker, an ingest, a worker that is replaced by another, and a group of handlers.

In production each part is a process of its own, on any machine: ``runstream ingest``, ``runstream worker``, and a
program with the handlers.
"""

from __future__ import annotations

import asyncio

from runstream import (
    Broker,
    Cluster,
    EmbeddedBroker,
    HandlerGroup,
    Ingest,
    RecordedItems,
    RunCompleted,
    Topology,
    Worker,
    demo,
    init_cluster,
    read_recording,
)


async def main() -> None:
    """Play two recorded runs through the cluster."""
    async with EmbeddedBroker() as server:
        async with Broker(server.url) as broker:
            await init_cluster(broker, Topology(partitions=2), pin_timeout=1.0)

        completed = asyncio.Event()

        async def bill(signal: RunCompleted) -> None:
            usage = signal.run.usage
            print("billing", usage.total_tokens if usage else 0, "tokens under", signal.key)
            completed.set()

        group = HandlerGroup(server.url, "billing", pin_timeout=1.0)
        group.on(RunCompleted, bill)
        handling = asyncio.create_task(group.run())

        first = Worker(server.url, name="first")
        working = asyncio.create_task(first.run())
        async with Ingest(server.url) as ingest:
            for name in ("text.sse", "failed.sse"):
                # A live source is attached the same way: ingest.attach(WebSocketSource(url), name="gateway")
                items = list(read_recording(demo.load(name), format="sse"))
                ingest.attach(RecordedItems(items, name, delay=0.01))
            async with Cluster(server.url) as cluster:
                await anext(cluster.facts("all"))
            first.stop()
            await working
            print("the first worker has stopped; another one goes on")
            second = Worker(server.url, name="second")
            working = asyncio.create_task(second.run())
            await ingest.join()

        await completed.wait()
        async with Cluster(server.url) as cluster:
            for run_id in ("run_demo_text_0001", "run_demo_failed_0001"):
                state = await cluster.state(run_id)
                while state is None or not state.is_terminal:
                    await asyncio.sleep(0.05)
                    state = await cluster.state(run_id)
                print(run_id, "is", state.status.value)
        for part in (second, group):
            part.stop()
        await asyncio.gather(working, handling)


asyncio.run(main())
