"""The connection to a real broker: batches, the fence, direct reads, and errors that say what to do."""

from __future__ import annotations

import asyncio
import sys

import pytest

from runstream.cluster import broker as broker_module
from runstream.cluster.broker import Broker, NoRoom, Outgoing, Refused, Unanswered
from runstream.cluster.embedded import EmbeddedBroker
from runstream.cluster.operations import init_cluster, load_topology, read_status
from runstream.cluster.topology import Retention, Topology
from runstream.errors import ClusterError
from tests.support.ports import free_port

TOPOLOGY = Topology(partitions=4)


async def test_a_batch_is_stored_as_a_whole(broker: Broker) -> None:
    """Messages of several subjects are stored together, and a wrong expected sequence refuses all of them."""
    place, state = TOPOLOGY.place(0), TOPOLOGY.state(0, "r")
    seq = await broker.write([Outgoing(state, b"1", None, True, 0), Outgoing(place, b"p", 0, True, 0)])
    with pytest.raises(Refused):
        await broker.write([Outgoing(state, b"2", None, True, 0), Outgoing(place, b"q", 0, True, 0)])
    found = await broker.last_of(TOPOLOGY.results, [state, place, TOPOLOGY.state(0, "none")])
    assert {subject: message.data for subject, message in found.items()} == {state: b"1", place: b"p"}
    await broker.write([Outgoing(state, b"3", None, True, 0), Outgoing(place, b"r", seq, True, 0)])
    assert [each.data async for each in broker.read(TOPOLOGY.results, state, 1, until=2**60)] == [b"3"]


async def test_a_write_without_room_says_why(broker: Broker) -> None:
    """A message beyond the server's bound, and a full stream, are errors that say what to do."""
    with pytest.raises(ClusterError, match="raise its max_payload"):
        await broker.write([Outgoing(TOPOLOGY.pack(0), b"x" * 2_000_000)])
    await init_cluster(broker, TOPOLOGY, retention=Retention(max_bytes=10_000), pin_timeout=1.0)
    with pytest.raises(NoRoom, match="refused a write"):
        await broker.write([Outgoing(TOPOLOGY.pack(0), b"x" * 9_000)] * 2)


async def test_reads_go_on_over_many_messages(broker: Broker) -> None:
    """A read of more messages than one request returns has all of them, in order, up to its end."""
    await broker.write([Outgoing(TOPOLOGY.pack(1), str(number).encode()) for number in range(50)])
    found = [each async for each in broker.read(TOPOLOGY.events, TOPOLOGY.pack(1), 3, until=40, step=7)]
    assert [each.data for each in found] == [str(number).encode() for number in range(2, 40)]
    assert await broker.last(TOPOLOGY.events, TOPOLOGY.pack(2)) is None


async def test_the_number_of_partitions_is_fixed(broker: Broker) -> None:
    """Streams may be changed, but not the number of partitions; the status names server, streams and partitions."""
    await init_cluster(broker, TOPOLOGY, retention=Retention(facts_age=60.0), pin_timeout=1.0)
    with pytest.raises(ClusterError, match="has 4 partitions"):
        await init_cluster(broker, Topology(partitions=5))
    assert await load_topology(broker) == TOPOLOGY
    status = await read_status(broker, TOPOLOGY)
    assert [each.partition for each in status.partitions] == [0, 1, 2, 3]
    assert all(each.lag == 0 and not each.owner for each in status.partitions)
    with pytest.raises(ClusterError, match="runstream nats init"):
        await load_topology(broker, "other")


async def test_an_old_server_is_refused(server: EmbeddedBroker, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server without atomic batches is named, with the release that has them."""
    monkeypatch.setattr(broker_module, "MIN_VERSION", (99, 0))
    with pytest.raises(ClusterError, match=r"is of version 2\.\d+\.\d+; atomic batches need 99\.0"):
        await Broker(server.url).open()


async def test_no_server_is_named_without_credentials(program: str) -> None:
    """A broker that can't be reached is named by its address alone."""
    with pytest.raises(ClusterError, match=r"no NATS server answers at nats://127\.0\.0\.1") as caught:
        await Broker(f"nats://user:secret@127.0.0.1:{free_port()}", timeout=0.5).open()
    assert "secret" not in str(caught.value)
    with pytest.raises(ClusterError, match="the address of a NATS server"):
        await Broker("http://user:secret@host").open()


async def test_a_lost_broker_is_unanswered(program: str) -> None:
    """A request to a broker that has gone is unanswered; after its restart the connection and the data are there."""
    async with EmbeddedBroker() as server, Broker(server.url, timeout=0.5) as broker:
        await init_cluster(broker, TOPOLOGY)
        await broker.write([Outgoing(TOPOLOGY.pack(0), b"x")])
        await server.stop(kill=True)
        with pytest.raises(Unanswered):
            await broker.last(TOPOLOGY.events, TOPOLOGY.pack(0))
        await server.start()
        async with asyncio.timeout(20):
            while not broker.connected:
                await asyncio.sleep(0.05)
        message = await broker.last(TOPOLOGY.events, TOPOLOGY.pack(0))
        assert message is not None
        assert message.data == b"x"


async def test_a_request_ends_with_its_connection(program: str) -> None:
    """A request whose connection is lost is unanswered at once, not after its time-out; the next one is served."""
    again = asyncio.Event()
    async with EmbeddedBroker() as server, Broker(server.url, timeout=60.0) as broker:
        await init_cluster(broker, TOPOLOGY)
        broker.on_reconnect.add(again.set)

        async def be_silent(message: object) -> None: ...

        await broker.subscribe("silent", be_silent)
        await broker.flush()
        asking = asyncio.create_task(broker.request("silent"))
        await broker.flush()
        await server.stop(kill=True)
        with pytest.raises(Unanswered):
            await asyncio.wait_for(asking, 10)
        await server.start()
        await asyncio.wait_for(again.wait(), 20)
        assert (await load_topology(broker)) == TOPOLOGY


def test_a_missing_client_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the client library the error says what to install."""
    monkeypatch.setitem(sys.modules, "nats", None)
    with pytest.raises(ImportError, match=r"pip install 'runstream\[jetstream\]'"):
        broker_module.client_library()
