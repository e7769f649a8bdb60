"""Consumers of a cluster: facts, progress, groups of handlers, and a stream over all sources."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import Any

from runstream import RunCompleted, RunCreated, RunStream, Signal, TextDelta
from runstream.cluster.broker import Broker
from runstream.cluster.cluster import Cluster
from runstream.cluster.embedded import EmbeddedBroker
from runstream.cluster.groups import HandlerGroup
from runstream.cluster.ingest import Ingest
from runstream.cluster.recorded import RecordedItems
from runstream.cluster.source import ClusterSource
from runstream.cluster.topology import Topology
from runstream.cluster.worker import Worker
from runstream.testing import script
from tests.cluster.waiting import settled, until, working

TOPOLOGY = Topology(partitions=4)


async def play(url: str, *runs: str, words: int = 5, delay: float = 0.0) -> None:
    """Publish whole runs."""
    async with Ingest(url) as ingest:
        for run in runs:
            items = script(run).start().say("word " * words, pieces=["word "] * words).end().raw_events()
            ingest.attach(RecordedItems(items, delay=delay), name=run)
        await ingest.join()


async def test_facts_are_replayed_and_followed(server: EmbeddedBroker, broker: Broker) -> None:
    """All facts from the beginning, in order for each run, then those that come; a position goes on behind one."""
    async with working(Worker(server.url)), Cluster(server.url) as cluster:
        await play(server.url, "a", "b")
        await settled(broker, TOPOLOGY)
        found: list[Signal] = []
        later = asyncio.create_task(play(server.url, "c"))
        async with asyncio.timeout(30):
            async for signal in cluster.facts("all"):
                found.append(signal)
                if sum(isinstance(each, RunCompleted) for each in found) == 3:
                    break
        await later
        of_a = [each.type for each in found if getattr(each, "run_id", None) == "a"]
        assert (of_a[0], of_a[-1]) == ("run.created", "run.completed")
        assert len({each.key for each in found}) == len(found)


async def test_progress_is_live(server: EmbeddedBroker) -> None:
    """Texts are published as they grow, with their offsets."""
    async with working(Worker(server.url)) as worker, Cluster(server.url) as cluster:
        await until(lambda: len(worker.stats.partitions) == 4)
        playing = asyncio.create_task(play(server.url, "a", words=30, delay=0.02))
        text = ""
        async with asyncio.timeout(30):
            async for signal in cluster.progress("a"):
                assert isinstance(signal, TextDelta)
                assert signal.offset == len(text)
                text += signal.delta
                if len(text) == 150:
                    break
        await playing
        assert text == "word " * 30


async def test_a_group_shares_the_facts(server: EmbeddedBroker, broker: Broker) -> None:
    """Two processes of a group call their handlers once for each fact, one at a time for each run, in order."""
    calls: list[tuple[str, str]] = []
    busy: set[str] = set()

    def group() -> HandlerGroup:
        async def handle(signal: Any) -> None:
            assert signal.run_id not in busy
            busy.add(signal.run_id)
            await asyncio.sleep(0.005)
            busy.discard(signal.run_id)
            calls.append((signal.run_id, signal.type))

        found = HandlerGroup(server.url, "billing", pin_timeout=1.0)
        found.on((RunCreated, RunCompleted), handle)
        return found

    groups = [group(), group()]
    tasks = [asyncio.create_task(each.run()) for each in groups]
    runs = [f"run_{number}" for number in range(12)]
    async with working(Worker(server.url)):
        await play(server.url, *runs)
        await until(lambda: len(calls) >= 24)
        await asyncio.sleep(0.3)
    for each in groups:
        each.stop()
    await asyncio.wait_for(asyncio.gather(*tasks), 20)
    assert Counter(calls) == Counter([(run, kind) for run in runs for kind in ("run.created", "run.completed")])
    for run in runs:
        assert [kind for each, kind in calls if each == run] == ["run.created", "run.completed"]
    assert not any(each.failures for each in groups)


async def test_a_group_goes_on_after_a_kill(server: EmbeddedBroker, broker: Broker) -> None:
    """What a process had not finished is delivered again, with an equal key; a handler that raises is called again."""
    async with working(Worker(server.url)):
        await play(server.url, "a", "b", "c")
        await settled(broker, TOPOLOGY)
    seen: list[str] = []
    stuck = asyncio.Event()

    async def hang(signal: Any) -> None:
        seen.append(signal.key)
        stuck.set()
        await asyncio.sleep(60)

    first = HandlerGroup(server.url, "billing", pin_timeout=1.0)
    first.on(RunCompleted, hang)
    task = asyncio.create_task(first.run())
    await asyncio.wait_for(stuck.wait(), 20)
    await asyncio.sleep(0.2)
    for each in first._tasks.values():
        each.cancel()  # as a kill does: nothing is acknowledged
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    again: list[str] = []

    async def fail_once(signal: Any) -> None:
        again.append(signal.key)
        if again.count(signal.key) == 1:
            raise ValueError("not yet")

    second = HandlerGroup(server.url, "billing", pin_timeout=1.0, retry_delay=0.01)
    second.on(RunCompleted, fail_once)
    task = asyncio.create_task(second.run())
    await until(lambda: len(again) == 6)
    second.stop()
    await asyncio.wait_for(task, 20)
    assert Counter(again) == {"a/completed": 2, "b/completed": 2, "c/completed": 2}
    assert set(seen) <= set(again)


async def test_a_stream_follows_a_cluster(server: EmbeddedBroker) -> None:
    """A stream over a cluster has the runs of all its sources, text and all, with the keys of the facts."""
    await play(server.url, "a", "b", words=8)
    signals: list[Signal] = []
    async with RunStream(ClusterSource(server.url, start="all")) as stream:
        stream.signals.subscribe(signals.append)
        stream.start()
        await until(lambda: sum(isinstance(each, RunCompleted) for each in signals) == 2)
        assert stream.latest["a"].text == stream.latest["b"].text == "word " * 8
    assert any(isinstance(each, TextDelta) for each in signals)
    assert {"a/completed", "b/completed"} <= {each.key for each in signals}


async def test_a_plain_handler_runs_in_a_thread(server: EmbeddedBroker) -> None:
    """A function that blocks does not block the group."""
    threads: list[str] = []

    def handle(signal: Any) -> None:
        threads.append(threading.current_thread().name)

    group = HandlerGroup(server.url, "plain", pin_timeout=1.0)
    group.on(RunCompleted, handle)
    task = asyncio.create_task(group.run())
    async with working(Worker(server.url)):
        await play(server.url, "a")
        await until(lambda: len(threads) == 1)
    group.stop()
    await asyncio.wait_for(task, 20)
    assert threads[0] != threading.main_thread().name
    assert not group.failures
