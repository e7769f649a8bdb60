"""States, places and facts that are larger than the messages that a server accepts."""

from __future__ import annotations

import asyncio
import random

import msgspec
import pytest

from runstream import MessageCompleted, fold
from runstream.cluster.broker import Broker, Message, Outgoing
from runstream.cluster.cluster import Cluster
from runstream.cluster.embedded import EmbeddedBroker
from runstream.cluster.facts import fit_facts, read_facts, write_facts
from runstream.cluster.ingest import Ingest
from runstream.cluster.large import is_part, join_message, split_message
from runstream.cluster.operations import init_cluster
from runstream.cluster.recorded import RecordedItems
from runstream.cluster.topology import Topology
from runstream.cluster.worker import Worker
from runstream.errors import ClusterError
from runstream.testing import script
from tests.cluster.waiting import fact_keys, settled, until, working

TOPOLOGY = Topology(partitions=2)


async def test_a_large_state_is_several_messages(program: str) -> None:
    """A run whose state is larger than the payload is stored, taken over and read; nothing of it is lost."""
    words = [f"{random.Random(number).getrandbits(2_000):x} " for number in range(150)]  # zlib makes little of them
    items = script("run_1").start().say("".join(words), pieces=words).raw_events()
    half = len(items) // 2
    async with EmbeddedBroker(config="max_payload: 32768") as server, Broker(server.url) as broker:
        await init_cluster(broker, TOPOLOGY, pin_timeout=1.0)
        for part in (items[:half], items):
            async with working(Worker(server.url)) as worker:
                async with Ingest(server.url) as ingest:
                    handle = ingest.attach(RecordedItems(part), name="s", continues=None)
                    await until(lambda handle=handle: handle.done.is_set())  # type: ignore[misc]
                await settled(broker, TOPOLOGY)
                assert worker.stats.lost_items == 0
        async with Cluster(server.url) as cluster:
            state = await cluster.state("run_1")
        assert state is not None
        assert state.text == "".join(words)
        assert "run_1/created" in await fact_keys(broker, TOPOLOGY)


def test_a_message_is_split_to_fit() -> None:
    """Each part has a subject of its own and the size that fits; the head has the subject and the fence."""
    message = Outgoing("p.state.0.run", bytes(range(256)) * 40, 7, True, 0)
    assert split_message(message, 20_000) == [message]
    *parts, head = split_message(message, 5_000)
    assert [is_part(each.subject) for each in (*parts, head)] == [True] * len(parts) + [False]
    assert (head.subject, head.expect) == (message.subject, 7)
    assert all(each.expect is None and len(each.data) <= 5_000 for each in parts)


async def test_parts_that_are_missing_are_an_error() -> None:
    """A head whose parts are gone can't be read, and is no endless loop."""
    *_, head = split_message(Outgoing("p.state.0.run", b"x" * 9_000), 5_000)

    class Empty:
        async def last_of(self, stream: str, subjects: list[str]) -> dict[str, Message]:
            return {}

        async def last(self, stream: str, subject: str) -> None: ...

    with pytest.raises(ClusterError, match="parts of a large message are missing"):
        await asyncio.wait_for(join_message(Empty(), "s", Message(head.subject, head.data, 1)), 5)  # type: ignore[arg-type]


def test_a_large_fact_is_cut() -> None:
    """Facts are divided first; one that is too large has its texts cut, says so, and can be read by its type."""
    text = "word " * 20_000
    signals = fold(script("run_1").start().say(text).end().raw_events(), clock=lambda: 1.0).signals
    facts = [each for each in signals if not each.type.endswith(".delta")]
    messages = fit_facts(write_facts(facts), 40_000)
    assert all(len(each) <= 40_000 for each in messages)
    assert [each.key for data in messages for each in read_facts(data)] == [each.key for each in facts]
    (cut,) = [each for data in messages for each in read_facts(data) if isinstance(each, MessageCompleted)]
    assert text.startswith(cut.message.text)
    assert 0 < len(cut.message.text) < len(text)
    marks = [each["type"] for data in messages for each in msgspec.json.decode(data) if each.get("cut")]
    assert "message.completed" in marks
    assert fit_facts(write_facts(facts), 100_000_000) == [write_facts(facts)]


def test_a_fact_that_fits_in_no_way_has_its_scalars() -> None:
    """What can't be cut is left out: consumers have the type, the key and the ids; the Python reader leaves it out."""
    signals = fold(script("run_1").start().say("abc").end().raw_events(), clock=lambda: 1.0).signals
    (fact,) = [each for each in signals if isinstance(each, MessageCompleted)]
    (data,) = fit_facts(write_facts([fact]), 2_048 + 400)
    (found,) = msgspec.json.decode(data)
    assert (found["type"], found["key"], found["run_id"], found["cut"]) == (fact.type, fact.key, "run_1", True)
    assert read_facts(data) == []
