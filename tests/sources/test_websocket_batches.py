"""A connection that hands over many messages at once: whole, in order, bounded, and to the last one before the end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, ConnectionClosedOK
from websockets.frames import Frame, Opcode

from runstream import RunStream, Signal, WebSocketSource
from runstream.model.raw import RawItem
from runstream.sources.adapters import IterableSource
from runstream.sources.sent_values import NOTHING_SENT
from runstream.sources.websocket_batches import BatchConnection
from runstream.sources.websocket_connection import close_socket, open_socket
from runstream.testing import Conversation, script
from tests.support.peers import raw_peer, serving
from tests.support.receiver import FakeReceiver, eventually

CLOSE = Frame(Opcode.CLOSE, (1000).to_bytes(2, "big"))
Told = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def frames(*given: Frame) -> bytes:
    return b"".join(frame.serialize(mask=False) for frame in given)


def text(data: bytes, fin: bool = True) -> Frame:
    return Frame(Opcode.TEXT, data, fin)


def more(data: bytes, fin: bool = False) -> Frame:
    return Frame(Opcode.CONT, data, fin)


def writing(*pieces: bytes, stays: bool = False) -> Told:
    """A peer that writes this, and reads until the client is gone."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.01)
        if stays:
            await reader.read()
        else:
            await reader.read(100)

    return handler


@asynccontextmanager
async def connected(told: Told, **options: Any) -> AsyncIterator[BatchConnection]:
    async with asyncio.timeout(20), raw_peer(told) as url:
        socket = await open_socket(url, {}, {"proxy": None, "close_timeout": 0.5, **options}, NOTHING_SENT)
        try:
            yield socket
        finally:
            await close_socket(socket)


async def everything(socket: BatchConnection) -> tuple[list[list[bytes]], ConnectionClosed]:
    """All batches until the end, and the end."""
    batches = []
    while True:
        try:
            batches.append(await socket.receive())
        except ConnectionClosed as closed:
            return batches, closed


def flat(batches: list[list[bytes]]) -> list[bytes]:
    return [message for batch in batches for message in batch]


async def test_what_came_at_once_is_handed_over_at_once_in_order_and_to_the_last() -> None:
    sent = [b"%d" % n for n in range(300)]
    async with connected(writing(frames(*map(text, sent), CLOSE))) as socket:
        await eventually(lambda: len(socket._messages) == 300, within=25)
        batches, closed = await everything(socket)
    assert flat(batches) == sent
    assert [len(batch) for batch in batches] == [64, 64, 64, 64, 44]
    assert all(type(message) is bytes for message in flat(batches))
    assert isinstance(closed, ConnectionClosedOK)
    with pytest.raises(ConnectionClosedOK):
        await socket.receive()  # again and again


async def test_fragments_become_whole_messages_whatever_comes_between_them() -> None:
    ping, pong = Frame(Opcode.PING, b"?"), Frame(Opcode.PONG, b"!")
    told = writing(
        frames(text(b"one"), text(b"t", False), ping),
        frames(more(b"w"), pong),
        frames(more(b""), more(b"o", True), Frame(Opcode.BINARY, b"", False), more(b"", True), text(b"three")),
        frames(text(b"never whole", False)),
        frames(CLOSE),
    )
    async with connected(told) as socket:
        batches, closed = await everything(socket)
    assert flat(batches) == [b"one", b"two", b"", b"three"]
    assert closed.sent is not None
    assert closed.sent.code == 1002  # a close within a message breaks the protocol


async def test_many_tiny_fragments_are_one_message() -> None:
    count = 20_000
    pieces = [text(b"x", False), *([more(b"x")] * count), more(b"", True), CLOSE]
    async with connected(writing(frames(*pieces))) as socket:
        batches, closed = await everything(socket)
    assert batches == [[b"x" * (count + 1)]]
    assert isinstance(closed, ConnectionClosedOK)


@pytest.mark.parametrize("big", [frames(text(b"x" * 101)), frames(text(b"x" * 60, False), more(b"x" * 60, True))])
async def test_a_message_that_is_too_large_ends_it_after_those_before(big: bytes) -> None:
    told = writing(frames(text(b"a"), text(b"x" * 100)) + big + frames(text(b"never")))
    async with connected(told, max_size=100) as socket:
        batches, closed = await everything(socket)
    assert flat(batches) == [b"a", b"x" * 100]
    assert isinstance(closed, ConnectionClosedError)
    assert closed.sent is not None
    assert closed.sent.code == 1009


async def test_nothing_is_lost_when_the_connection_breaks() -> None:
    async def breaks(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(frames(*[text(b"x")] * 100)[:-1])  # the last one is not whole
        await writer.drain()

    async with connected(breaks) as socket:
        batches, closed = await everything(socket)
    assert flat(batches) == [b"x"] * 99
    assert closed.rcvd is None


async def test_reading_pauses_while_nothing_is_taken_and_goes_on_when_most_is() -> None:
    count = 0

    async def floods(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        while True:
            writer.write(frames(text(b"%06d" % count + b"x" * 20_000)))
            count += 1
            await writer.drain()

    async with connected(floods, max_queue=8) as socket:
        await eventually(lambda: not socket.transport.is_reading(), within=25)
        waiting = len(socket._messages)
        assert 8 < waiting <= 8 + 256 * 1024 // 20_000 + 1  # and one read of the socket
        held = -1
        while held != count:  # the peer can't send any more
            held = count
            await asyncio.sleep(0.1)
        assert len(socket._messages) == waiting
        taken = await socket.receive()
        assert len(taken) == waiting
        assert socket.transport.is_reading()
        while len(taken) < held + 50:
            taken += await socket.receive()
    assert [int(message[:6]) for message in taken] == list(range(len(taken)))


async def test_more_than_is_handed_over_at_once_pauses_reading_too() -> None:
    sent = [b"%d" % n for n in range(200)]
    async with connected(writing(frames(*map(text, sent)), stays=True)) as socket:
        got = await socket.receive()  # waits: the flood comes while somebody waits for it
        while len(got) < 200:
            left = len(socket._messages)
            if left > 16:
                assert not socket.transport.is_reading()
            elif left <= 4:
                assert socket.transport.is_reading()
            got += await socket.receive()
        assert socket.transport.is_reading()
    assert got == sent


async def test_cancelling_loses_nothing() -> None:
    sent = [b"%d" % n for n in range(30)]
    got: list[bytes] = []
    async with connected(writing(*(frames(text(data)) for data in sent))) as socket:
        while len(got) < 30:
            task = asyncio.ensure_future(socket.receive())
            if not (await asyncio.wait({task}, timeout=0.004))[0]:
                task.cancel()
                await asyncio.wait({task})
            if not task.cancelled():
                got += task.result()
    assert got == sent


async def test_cancelling_in_the_turn_in_which_messages_come_loses_none() -> None:
    async with connected(writing(frames(text(b"a"), text(b"b")), stays=True)) as socket:
        task = asyncio.ensure_future(socket.receive())
        await eventually(lambda: bool(socket._messages), within=25)
        task.cancel()
        await asyncio.wait({task})
        got = [] if task.cancelled() else task.result()
        while len(got) < 2:
            got += await socket.receive()
        assert got == [b"a", b"b"]


async def test_compressed_messages_come_in_whole() -> None:
    async def handler(connection: Any, number: int) -> None:
        for n in range(200):
            await connection.send(f"{n} " * 100)
        await connection.send(["frag", "ment", "ed"])

    async with asyncio.timeout(20), serving(handler, compression="deflate") as peer:
        socket = await open_socket(peer.url, {}, {"proxy": None}, NOTHING_SENT)
        batches, closed = await everything(socket)
    assert socket.response is not None
    assert "permessage-deflate" in socket.response.headers["Sec-WebSocket-Extensions"]
    assert flat(batches) == [*(f"{n} ".encode() * 100 for n in range(200)), b"fragmented"]
    assert isinstance(closed, ConnectionClosedOK)


async def test_where_websockets_keeps_its_frames_to_itself_recv_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(BatchConnection, "process_event")
    sent = [b"%d" % n for n in range(100)]
    async with connected(writing(frames(*map(text, sent), text(b"a", False), more(b"b", True), CLOSE))) as socket:
        batches, closed = await everything(socket)
    assert batches == [[message] for message in [*sent, b"ab"]]
    assert isinstance(closed, ConnectionClosedOK)


# Through the source


async def test_a_source_reads_no_more_than_a_slow_consumer_takes() -> None:
    """The sender waits for a subscriber that takes its time, and loses nothing by it."""
    sent = 0
    lag: list[int] = []

    async def handler(connection: Any, number: int) -> None:
        nonlocal sent
        for n in range(1500):
            await connection.send(b"%d " % n + b"x" * 10_000)
            sent += 1

    def slow(item: RawItem) -> None:
        time.sleep(0.0005)
        lag.append(sent - len(receiver.items))

    receiver = FakeReceiver(on_feed=slow)
    async with asyncio.timeout(60), serving(handler) as peer:
        await WebSocketSource(peer.url, proxy=None).run(receiver)
    assert [int(data.split()[0]) for data in receiver.data] == list(range(1500))
    assert max(lag) < 1400  # both sides' socket buffers, and what may wait here


def told_of(signal: Signal) -> tuple[str, str, str]:
    return signal.type, signal.key, getattr(signal, "delta", "")


@pytest.mark.parametrize("step", [1_000_000, 700, 1])
async def test_a_stream_tells_the_same_however_the_messages_fall_together(step: int) -> None:
    """All in one write, in pieces of no message's size, and one write a message."""
    scripts = [
        script(f"run_{n}").start().say("Hello there, friend. " * 4, pieces=["Hello ", "there, ", "friend. "] * 4).end()
        for n in range(5)
    ]
    raws = Conversation(scripts).raw_events(interleaved=True, seed=3, enveloped=True)
    each = [frames(text(raw.data)) for raw in raws]
    whole = b"".join(each)
    pieces = each if step == 1 else [whole[at : at + step] for at in range(0, len(whole), step)]

    async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(0)
        writer.write(frames(CLOSE))
        await reader.read(100)

    heard: list[Signal] = []
    async with (
        asyncio.timeout(20),
        raw_peer(told) as url,
        RunStream(WebSocketSource(url, name="peer", proxy=None)) as stream,
    ):
        stream.signals.subscribe(heard.append)
        runs = await stream.results()
    assert len(runs) == 5
    expected: list[Signal] = []
    async with RunStream(IterableSource(raws, name="peer")) as stream:
        stream.signals.subscribe(expected.append)
        assert runs == await stream.results()
    assert [told_of(one) for one in heard] == [told_of(one) for one in expected]
