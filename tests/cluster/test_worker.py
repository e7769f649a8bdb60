"""Ingests and workers on a real broker, in this process: from sources to states and facts."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest

from runstream import RawEvent, RunState, SourceFailed, Watchdogs
from runstream.cluster.broker import Broker, Outgoing
from runstream.cluster.cluster import Cluster
from runstream.cluster.embedded import EmbeddedBroker
from runstream.cluster.ingest import Ingest
from runstream.cluster.ingest_handle import IngestOptions
from runstream.cluster.ingest_source import read_place
from runstream.cluster.recorded import RecordedItems
from runstream.cluster.topology import Topology
from runstream.cluster.worker import Worker
from runstream.errors import ClusterError
from runstream.sources.base import Receiver
from runstream.testing import script
from tests.cluster.waiting import fact_keys, settled, until, working
from tests.cluster.workload import TIME, expected, source_of

TOPOLOGY = Topology(partitions=4)


async def test_states_and_facts_are_those_of_the_fold(server: EmbeddedBroker, broker: Broker) -> None:
    """Two workers and one ingest: each state equals the fold, and each fact stands once."""
    async with working(Worker(server.url)), working(Worker(server.url)):
        async with Ingest(server.url, clock=lambda: TIME) as ingest:
            for number in range(30):
                scope, name, items = source_of(number)
                ingest.attach(RecordedItems(items, name), scope=scope, name=name)
            await ingest.join()
        await settled(broker, TOPOLOGY)
        wanted: Counter[str] = Counter()
        async with Cluster(server.url) as cluster:
            for number in range(30):
                states, keys = expected(number)
                wanted.update(keys)
                for run_id, state in states.items():
                    found = await cluster.state(run_id, source_of(number)[0])
                    assert found is not None
                    assert (found.run, found.messages, found.steps) == (state.run, state.messages, state.steps)
        assert Counter(await fact_keys(broker, TOPOLOGY)) == wanted


async def test_partitions_are_shared_and_handed_over(server: EmbeddedBroker, broker: Broker) -> None:
    """A second worker gets a fair share; when it stops, the first one has all again."""
    async with working(Worker(server.url, name="a")) as first:
        await until(lambda: len(first.stats.partitions) == 4)
        async with working(Worker(server.url, name="b")) as second:
            await until(lambda: len(first.stats.partitions) == len(second.stats.partitions) == 2)
        await until(lambda: len(first.stats.partitions) == 4)


async def test_a_second_ingest_takes_the_source(server: EmbeddedBroker, broker: Broker) -> None:
    """The first ingest loses its source to the second, which goes on where it was: each fact stands once."""
    items = script("run_1").start().say("word " * 60, pieces=["word "] * 60).end().raw_events()
    async with (
        working(Worker(server.url)),
        Ingest(server.url, name="one") as one,
        Ingest(server.url, name="two") as two,
    ):
        first = one.attach(RecordedItems(items, delay=0.02), name="s")
        await until(lambda: one.published > 10)
        refused = two.attach(RecordedItems(items), name="s", take=False)
        await refused.done.wait()
        assert isinstance(refused.error, ClusterError)
        second = two.attach(RecordedItems(items), name="s")
        await asyncio.wait_for(first.done.wait(), 20)
        assert "another ingest has the source" in str(first.error)
        await asyncio.wait_for(second.done.wait(), 20)
        await settled(broker, TOPOLOGY)
        state = await _state(server.url, "run_1")
        assert state.text == "word " * 60
        keys = await fact_keys(broker, TOPOLOGY)
        assert len(keys) == len(set(keys))
        assert "run_1/completed" in keys


async def _state(url: str, run_id: str) -> RunState:
    async with Cluster(url) as cluster:
        found = await cluster.state(run_id)
    assert found is not None
    return found


async def test_duplicated_packs_change_nothing(server: EmbeddedBroker, broker: Broker) -> None:
    """Packs that are published twice, also much later, are skipped."""
    items = script("run_1").start().say("abc", pieces=list("abc")).end().raw_events()
    async with working(Worker(server.url)) as worker:
        async with Ingest(server.url) as ingest:
            ingest.attach(RecordedItems(items, delay=0.03), name="s")
            await ingest.join()
        packs = [each async for each in broker.read(TOPOLOGY.events, "runstream.pack.*", 1, until=2**60)]
        before = worker.stats.packs
        for pack in packs:
            await broker.write([Outgoing(pack.subject, pack.data)])
        await until(lambda: worker.stats.packs >= before + len(packs))
        await settled(broker, TOPOLOGY)
        keys = await fact_keys(broker, TOPOLOGY)
        assert len(keys) == len(set(keys))
        assert (await _state(server.url, "run_1")).text == "abc"


async def test_a_source_that_fails_interrupts_its_runs(server: EmbeddedBroker, broker: Broker) -> None:
    """The failure of a source is in the handle, and its open runs are interrupted."""

    class Failing:
        name = "failing"

        async def run(self, receiver: Receiver) -> None:
            receiver.connected()
            for item in script("run_1").start().raw_events():
                receiver.feed(item)
            raise SourceFailed("the server said no", attempts=3)

    async with working(Worker(server.url)):
        async with Ingest(server.url) as ingest:
            handle = ingest.attach(Failing())
            await ingest.join()
        assert isinstance(handle.error, SourceFailed)
        await settled(broker, TOPOLOGY)
        assert "run_1/interrupted/1" in await fact_keys(broker, TOPOLOGY)


async def test_a_silent_run_stalls_once(server: EmbeddedBroker, broker: Broker) -> None:
    """The watchdogs of a worker report a silent run, and the fact is stored."""

    async def endless() -> AsyncIterator[RawEvent]:
        for item in script("run_1").start().raw_events():
            yield item
        await asyncio.sleep(60)

    async with working(Worker(server.url, watchdogs=Watchdogs(idle=0.3))), Ingest(server.url) as ingest:
        ingest.attach(endless(), name="s")
        async with asyncio.timeout(20):
            while "run_1/stalled/1" not in await fact_keys(broker, TOPOLOGY):
                await asyncio.sleep(0.05)


async def test_an_item_beyond_the_payload_is_a_reject(server: EmbeddedBroker, broker: Broker) -> None:
    """An event that the broker can't take marks the open objects as partial; everything else goes on."""
    start = script("run_1").start().say("abc", pieces=list("abc"))
    items = start.raw_events()
    huge = RawEvent("thread.message.delta", b'{"id":"m","delta":{"content":[]},"x":"%b"}' % (b"y" * 2_000_000))
    async with working(Worker(server.url)):
        async with Ingest(server.url, packs=IngestOptions(max_bytes=8192)) as ingest:
            ingest.attach(RecordedItems([*items[:-1], huge, items[-1]]), name="s")
            await ingest.join()
        await settled(broker, TOPOLOGY)
        assert (await _state(server.url, "run_1")).run_id == "run_1"


async def test_an_ingest_waits_for_the_broker(program: str) -> None:
    """While the broker is gone the ingest keeps what it reads, and loses nothing."""
    from runstream.cluster.operations import init_cluster

    items = script("run_1").start().say("word " * 40, pieces=["word "] * 40).end().raw_events()
    async with EmbeddedBroker() as server, Broker(server.url) as broker:
        await init_cluster(broker, TOPOLOGY, pin_timeout=1.0)
        async with Ingest(server.url) as ingest:
            handle = ingest.attach(RecordedItems(items, delay=0.02), name="s")
            await until(lambda: ingest.published > 5)
            await server.stop(kill=True)
            await asyncio.sleep(0.3)
            assert not handle.done.is_set()
            await server.start()
            await asyncio.wait_for(ingest.join(), 30)
        message = await broker.last(TOPOLOGY.events, TOPOLOGY.ingest("", "s"))
        assert message is not None
        assert read_place(message.data).ended
        async with working(Worker(server.url)):
            await settled(broker, TOPOLOGY)
            assert (await _state(server.url, "run_1")).text == "word " * 40


async def test_a_worker_without_a_cluster_says_so(server: EmbeddedBroker) -> None:
    """A worker for a prefix that does not exist ends with what to do."""
    with pytest.raises(ClusterError, match="runstream nats init"):
        await Worker(server.url, prefix="other").run()


async def test_a_cold_run_stalls_at_the_next_worker(server: EmbeddedBroker, broker: Broker) -> None:
    """A run that is silent stalls once, though its worker ended, and the next one never got an event of it."""

    async def endless() -> AsyncIterator[RawEvent]:
        for item in script("run_1").start().raw_events():
            yield item
        await asyncio.sleep(60)

    watchdogs = Watchdogs(idle=8.0, interval=0.1, expiry_grace=None)
    async with Ingest(server.url) as ingest:
        async with working(Worker(server.url, watchdogs=watchdogs)):
            ingest.attach(endless(), name="s")
            await until(lambda: ingest.published > 3)
            await settled(broker, TOPOLOGY)
        assert "run_1/stalled/1" not in await fact_keys(broker, TOPOLOGY)
        async with working(Worker(server.url, watchdogs=watchdogs)) as worker:
            await until(lambda: len(worker.stats.partitions) == 4)
            async with asyncio.timeout(30):
                while "run_1/stalled/1" not in await fact_keys(broker, TOPOLOGY):
                    await asyncio.sleep(0.1)
            await asyncio.sleep(0.5)
        async with working(Worker(server.url, watchdogs=watchdogs)) as worker:
            await until(lambda: len(worker.stats.partitions) == 4)
            await asyncio.sleep(1.0)
    assert [key for key in await fact_keys(broker, TOPOLOGY) if "stalled" in key] == ["run_1/stalled/1"]


async def test_an_expired_run_stays_interrupted(server: EmbeddedBroker, broker: Broker) -> None:
    """A run that a watchdog has ended is interrupted once, also where another worker goes on."""

    async def endless() -> AsyncIterator[RawEvent]:
        for item in script("run_1").start().raw_events():
            yield item
        await asyncio.sleep(60)

    watchdogs = Watchdogs(idle=0.5, interval=0.1, expiry_grace=None, end=True)
    async with Ingest(server.url) as ingest:
        ingest.attach(endless(), name="s")
        for _ in range(2):
            async with working(Worker(server.url, watchdogs=watchdogs)) as worker:
                await until(lambda worker=worker: len(worker.stats.partitions) == 4)  # type: ignore[misc]
                async with asyncio.timeout(20):
                    while "run_1/interrupted/1" not in await fact_keys(broker, TOPOLOGY):
                        await asyncio.sleep(0.1)
                await asyncio.sleep(0.8)
    found = [key for key in await fact_keys(broker, TOPOLOGY) if "interrupted" in key or "stalled" in key]
    assert sorted(found) == ["run_1/interrupted/1", "run_1/stalled/1"]
