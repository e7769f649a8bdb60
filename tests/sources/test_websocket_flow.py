"""The flow of the WebSocket source: limits, back-pressure and cancellation."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

import pytest
from websockets.asyncio.server import ServerConnection

from runstream.model.raw import RawItem
from runstream.sources.reconnect import Reconnect
from tests.sources.websocket_reading import failure, flood, read, reading, saying
from tests.support.peers import raw_peer, serving
from tests.support.receiver import FakeReceiver, eventually

# Bounds


async def test_a_message_beyond_the_limit_ends_the_source() -> None:
    """It is not read into memory."""
    closed: list[int | None] = []

    async def handler(connection: ServerConnection, number: int) -> None:
        await connection.send("small")
        with suppress(Exception):
            await connection.send("x" * 2_000_000)
        await connection.wait_closed()
        closed.append(connection.close_code)

    receiver = FakeReceiver(live=True)
    async with serving(handler) as peer:
        failed = await failure(peer.url, receiver, max_message_bytes=1000)
        await asyncio.sleep(0.02)
    assert failed.reason == "a message is larger than max_message_bytes (1000)"
    assert receiver.data == [b"small"]
    assert len(peer.requests) == 1  # connecting again would bring the same message


async def test_a_message_at_the_limit_comes_in() -> None:
    async with serving(saying("x" * 1000)) as peer:
        assert (await read(peer.url, max_message_bytes=1000)).data == [b"x" * 1000]


async def test_a_compressed_message_beyond_the_limit_is_not_inflated() -> None:
    async with serving(saying("x" * 1_000_000), compression="deflate") as peer:
        failed = await failure(peer.url, max_message_bytes=100_000)
    assert "max_message_bytes (100000)" in failed.reason


async def test_a_synchronous_consumer_that_is_slow_slows_the_sender() -> None:
    sent = [0]
    lag: list[int] = []

    def slow(item: RawItem) -> None:
        time.sleep(0.002)
        lag.append(sent[0] - len(receiver.items))

    receiver = FakeReceiver(on_feed=slow)
    async with serving(await flood(sent)) as peer, reading(peer.url, receiver):
        await receiver.until(100)
    # What is on its way: both sides' socket buffers, 32 KiB before the sender waits, one read, the queue.
    assert max(lag) < 1500
    assert max(lag[50:]) < max(lag[:50]) + 500


async def test_while_the_pipeline_is_blocked_the_sender_is_blocked() -> None:
    """Nothing piles up in between."""
    sent = [0]
    receiver = FakeReceiver()
    async with serving(await flood(sent)) as peer, reading(peer.url, receiver):
        await receiver.until(10)
        receiver.gate.clear()
        held = -1
        async with asyncio.timeout(25):
            while held != sent[0]:
                held = sent[0]
                await asyncio.sleep(0.1)
        fed = len(receiver.items)
        await asyncio.sleep(0.1)
        assert sent[0] == held  # the sender's `send` blocks
        assert len(receiver.items) <= fed + 1
        receiver.gate.set()
        await receiver.until(held + 10)  # and goes on, with nothing lost


# Leaving


@pytest.mark.parametrize("held", [False, True])
async def test_cancelling_closes_the_socket_soon(held: bool) -> None:
    sent = [0]
    receiver = FakeReceiver()
    async with serving(await flood(sent)) as peer:
        async with reading(peer.url, receiver, close_timeout=3600) as task:
            await receiver.until(10)
            if held:
                receiver.gate.clear()
                await asyncio.sleep(0.2)
            task.cancel()
            await asyncio.wait({task}, timeout=25)
            assert task.cancelled()
        await eventually(lambda: not peer.open)


async def test_cancelling_does_not_wait_for_a_peer_that_is_gone() -> None:
    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x81\x01a")
        await asyncio.sleep(3600)

    receiver = FakeReceiver()
    async with raw_peer(stalls) as url, reading(url, receiver, close_timeout=0.1) as task:
        await receiver.until(1)
        task.cancel()
        await asyncio.wait({task}, timeout=25)
        assert task.cancelled()


async def test_cancelling_while_it_waits_to_connect_again_is_heeded() -> None:
    receiver = FakeReceiver(live=True)
    slow = Reconnect(initial=60, maximum=60, jitter=0.0)
    async with serving(saying("a")) as peer, reading(peer.url, receiver, reconnect=slow) as task:
        await eventually(lambda: bool(receiver.reasons))
        task.cancel()
        await asyncio.wait({task}, timeout=25)
        assert task.cancelled()


async def test_what_a_subscriber_raises_comes_through_and_closes_the_socket() -> None:
    def raises(item: RawItem) -> None:
        raise TimeoutError("the subscriber's own")

    async with serving(await flood([0])) as peer:
        with pytest.raises(TimeoutError, match="the subscriber's own"):
            await read(peer.url, FakeReceiver(on_feed=raises))
        await eventually(lambda: not peer.open)


async def test_what_is_raised_at_the_connection_closes_the_socket_too() -> None:
    class Raises(FakeReceiver):
        def connected(self, attempt: int = 0) -> None:
            raise LookupError("the subscriber's own")

    async with serving(saying("1")) as peer:
        with pytest.raises(LookupError, match="the subscriber's own"):
            await read(peer.url, Raises())
        await eventually(lambda: not peer.open)
