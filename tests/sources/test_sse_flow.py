"""The flow of the SSE source: back-pressure and cancellation."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from runstream.model.raw import RawItem
from tests.sources.sse_reading import (
    flood,
    no_answer_in_time,
    read,
    reading,
    saying,
)
from tests.support.http_peer import block, http_serving
from tests.support.receiver import FakeReceiver, eventually


async def test_while_the_pipeline_is_blocked_the_sender_is_blocked() -> None:
    """Nothing piles up in between."""
    sent = [0]
    receiver = FakeReceiver()
    async with http_serving(lambda exchange, number: flood(sent, exchange)) as peer, reading(peer.url, receiver):
        await receiver.until(10, within=25)
        receiver.gate.clear()
        held = -1
        async with asyncio.timeout(20):
            while held != sent[0]:
                held = sent[0]
                await asyncio.sleep(0.3)
        fed = len(receiver.items)
        assert held - fed < 2000  # what is on its way: both sides' socket buffers
        await asyncio.sleep(0.1)
        assert sent[0] == held  # the sender's `drain` waits
        assert len(receiver.items) == fed
        receiver.gate.set()
        await receiver.until(held + 10, within=25)  # and goes on, with nothing lost


async def test_a_piece_with_thousands_of_events_is_held_in_the_midst() -> None:
    """A few kilobytes on the wire may hold more events than a bounded buffer takes."""

    def hold(item: RawItem) -> None:
        if len(receiver.items) == 1000:
            receiver.gate.clear()

    receiver = FakeReceiver(on_feed=hold)
    body = gzip.compress(block("x").encode() * 20_000)
    async with (
        http_serving(saying(body, headers={"Content-Encoding": "gzip"})) as peer,
        reading(peer.url, receiver) as task,
    ):
        await receiver.until(1000, within=25)
        await asyncio.sleep(0.2)
        assert len(receiver.items) < 1100
        receiver.gate.set()
        async with asyncio.timeout(20):
            await task
    assert len(receiver.items) == 20_000


@pytest.mark.parametrize("held", [False, True])
async def test_cancelling_closes_the_connection_soon(held: bool) -> None:
    sent = [0]
    receiver = FakeReceiver()
    async with http_serving(lambda exchange, number: flood(sent, exchange)) as peer:
        async with reading(peer.url, receiver) as task:
            await receiver.until(10, within=25)
            if held:
                receiver.gate.clear()
                await asyncio.sleep(0.2)
            task.cancel()
            await asyncio.wait({task}, timeout=10)
            assert task.cancelled()
        await eventually(lambda: not peer.open, within=25)


async def test_cancelling_while_nothing_comes_closes_the_connection() -> None:
    receiver = FakeReceiver()
    async with http_serving(no_answer_in_time) as peer:
        async with reading(peer.url, receiver) as task:
            await eventually(lambda: peer.open == 1, within=25)
            task.cancel()
            await asyncio.wait({task}, timeout=10)
            assert task.cancelled()
        await eventually(lambda: not peer.open, within=25)


async def test_what_a_subscriber_raises_comes_through_and_closes_the_connection() -> None:
    def raises(item: RawItem) -> None:
        raise TimeoutError("the subscriber's own")

    async with http_serving(lambda exchange, number: flood([0], exchange)) as peer:
        with pytest.raises(TimeoutError, match="the subscriber's own"):
            await read(peer.url, FakeReceiver(on_feed=raises))
        await eventually(lambda: not peer.open, within=25)
