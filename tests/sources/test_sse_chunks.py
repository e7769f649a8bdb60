"""Event streams from any chunks of bytes: however they are cut, whoever gives them."""

from __future__ import annotations

import asyncio
import io
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream import demo
from runstream.engine.fold import fold
from runstream.model.raw import Oversized, RawEvent
from runstream.recordings.reader import read_recording
from runstream.sources.base import Source
from runstream.sources.sse_chunks import SseChunks
from runstream.stream.run_stream import RunStream
from tests.support.http_peer import Exchange, http_serving
from tests.support.receiver import FakeReceiver

BODY = demo.load("text.sse")


async def read(chunks: Any, **options: Any) -> FakeReceiver:
    receiver = FakeReceiver()
    async with asyncio.timeout(25):
        await SseChunks(chunks, **options).run(receiver)
    return receiver


async def later(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


@given(st.lists(st.integers(1, len(BODY)), max_size=30))
def test_however_it_is_cut_the_same_comes_in(cuts: list[int]) -> None:
    places = sorted({0, *cuts, len(BODY)})
    pieces = [BODY[start:end] for start, end in itertools.pairwise(places)]
    receiver = asyncio.run(read(pieces))
    whole = [item for item in read_recording(BODY) if isinstance(item, RawEvent)]
    assert [(item.event, item.data) for item in receiver.items] == [(item.event, item.data) for item in whole]  # type: ignore[union-attr]
    assert receiver.log == [("connected", 0)]


@pytest.mark.parametrize(
    "chunks",
    [
        [b"data: a\n\ndata: b\n\n"],
        [bytearray(b"data: a\n\n"), memoryview(b"data: b\n\n")],
        io.BytesIO(b"data: a\n\ndata: b\n\n"),
        later(b"data: a\n", b"\ndata: b\n\n"),
    ],
)
async def test_whatever_gives_bytes_will_do(chunks: Any) -> None:
    receiver = await read(chunks)
    assert receiver.data == [b"a", b"b"]
    assert all(isinstance(item, RawEvent) and item.at is not None for item in receiver.items)


async def test_a_stream_reader_of_asyncio() -> None:
    reader = asyncio.StreamReader()
    reader.feed_data(BODY)
    reader.feed_eof()
    async with asyncio.timeout(25), RunStream(SseChunks(reader)) as stream:
        assert (await stream.result()).status == "completed"


async def test_the_body_of_a_response() -> None:
    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.send(BODY)

    signals: list[str] = []
    async with (
        asyncio.timeout(25),
        http_serving(respond) as peer,
        httpx2.AsyncClient(trust_env=False) as client,
        client.stream("GET", peer.url) as response,
        RunStream(SseChunks(response.aiter_bytes(), name="mine")) as stream,
    ):
        stream.signals.subscribe(lambda signal: signals.append(signal.key))
        run = await stream.result()
    assert run.status == "completed"
    assert [key for key in signals if "mine" not in key] == [
        signal.key for signal in fold(read_recording(BODY)).signals if not signal.type.startswith("source.")
    ]


async def test_half_an_event_at_the_end_is_none() -> None:
    assert (await read([b"data: a\n\ndata: b\n"])).data == [b"a"]


async def test_what_is_too_large_is_said_and_the_rest_is_read() -> None:
    receiver = await read(
        [b"data: " + b"x" * 100 + b"\n\n", b"data: a\n\n", b"data: " + b"y" * 100], max_message_bytes=50
    )
    assert [type(item) for item in receiver.items] == [Oversized, RawEvent, Oversized]


@pytest.mark.parametrize("chunks", [b"data: a\n\n", "data: a\n\n", 7, None])
def test_what_gives_no_chunks_is_refused(chunks: Any) -> None:
    with pytest.raises(TypeError, match="iterable of bytes, not"):
        SseChunks(chunks)


async def test_lines_of_text_are_refused() -> None:
    with pytest.raises(TypeError, match="is bytes, not str"):
        await read(["data: a", ""])


@pytest.mark.parametrize("sync", [True, False])
async def test_an_error_of_its_own_comes_through_and_the_generator_is_closed(sync: bool) -> None:
    closed: list[bool] = []

    def now() -> Iterator[bytes]:
        try:
            yield b"data: a\n\n"
            raise ConnectionResetError("their own")
        finally:
            closed.append(True)

    async def soon() -> AsyncIterator[bytes]:
        for chunk in now():
            yield chunk

    with pytest.raises(ConnectionResetError, match="their own"):
        await read(now() if sync else soon())
    assert closed == [True]


def test_it_is_a_source_with_a_name() -> None:
    assert isinstance(SseChunks([]), Source)
    assert SseChunks([]).name == "event stream"
    assert repr(SseChunks([], name="runs")) == "SseChunks('runs')"
