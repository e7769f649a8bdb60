"""What waits at a WebSocket is bounded in bytes: inflated messages, and answers that a server does not read."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosedOK
from websockets.frames import Frame, Opcode

from runstream.errors import SourceFailed
from runstream.sources.sent_values import NOTHING_SENT
from runstream.sources.websocket import WebSocketSource
from runstream.sources.websocket_batches import BatchConnection
from runstream.sources.websocket_connection import close_socket, open_socket
from tests.support.peers import raw_peer, serving
from tests.support.receiver import FakeReceiver, eventually

MEBIBYTE = 2**20
PINGS = Frame(Opcode.PING, b"").serialize(mask=False) * 50_000


async def test_inflated_messages_that_wait_are_bounded() -> None:
    """Sixty messages of 1 MiB are 60 KiB on the wire, one read: few of them are inflated before they are wanted."""
    messages = [bytes([number]) * MEBIBYTE for number in range(60)]

    async def handler(connection: ServerConnection, number: int) -> None:
        for message in messages:
            await connection.send(message)

    make = partial(BatchConnection, max_queue_bytes=2 * MEBIBYTE)
    async with asyncio.timeout(25), serving(handler, compression="deflate") as peer:
        socket = await open_socket(peer.url, {}, {"proxy": None, "max_queue": 100}, NOTHING_SENT, make)
        await eventually(lambda: bool(socket._messages))
        await asyncio.sleep(0.3)
        received: list[bytes] = []
        with suppress(ConnectionClosedOK):
            while True:
                # A part of 4 KiB may inflate to about 4 MiB more.
                assert sum(map(len, socket._messages)) <= 8 * MEBIBYTE
                received += await socket.receive()
        assert received == messages
        assert socket.pauses >= 1
        await close_socket(socket)


async def test_a_source_counts_the_pauses() -> None:
    async def handler(connection: ServerConnection, number: int) -> None:
        for _ in range(30):
            await connection.send(b"x" * 100_000)

    async with asyncio.timeout(25), serving(handler, compression="deflate") as peer:
        source = WebSocketSource(peer.url, proxy=None, max_queue_bytes=1)
        receiver = FakeReceiver()
        await source.run(receiver)
    assert len(receiver.items) == 30
    assert source.pauses > 0


@pytest.mark.slow
async def test_a_server_that_reads_no_pongs_gets_no_more_of_them() -> None:
    """It sends pings without end and reads nothing: what waits for it stays small, and it is lost in time."""
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        while True:
            writer.write(PINGS)
            sent += 1
            await writer.drain()

    sizes: list[int] = []

    class Watched(BatchConnection):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            sizes.append(self.transport.get_write_buffer_size())

    async with asyncio.timeout(60), raw_peer(flood) as url:
        options: dict[str, Any] = {"ping_interval": 0.3, "ping_timeout": 0.5, "close_timeout": 0.2, "reconnect": None}
        source = WebSocketSource(url, proxy=None, max_unsent_bytes=10_000, **options)
        source._make_connection = partial(Watched, max_queue_bytes=MEBIBYTE)
        started = time.monotonic()
        with pytest.raises(SourceFailed):
            await source.run(FakeReceiver())
    assert time.monotonic() - started < 50  # seconds; without the bound it never ends
    assert max(sizes) < 2 * MEBIBYTE  # one read of 256 KiB of pings, each answered by six bytes
    assert source.pauses >= 1
