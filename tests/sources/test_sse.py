"""The SSE source against real HTTP on loopback: the request, the events, compression, secrets."""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
import zlib
from typing import Any

import pytest

from runstream import demo
from runstream.engine.fold import fold
from runstream.errors import SourceFailed
from runstream.model.raw import Oversized, RawEvent
from runstream.model.signals import Signal, TextDelta
from runstream.recordings.reader import read_recording
from runstream.sources.base import Source
from runstream.sources.reconnect import Reconnect
from runstream.sources.sse import SseSource
from runstream.stream.run_stream import RunStream
from tests.sources.sse_reading import (
    cut,
    failure,
    read,
    saying,
    sse,
)
from tests.support.http_peer import Answer, Exchange, block, http_serving, sse_process
from tests.support.receiver import FakeReceiver, eventually

# Events and requests


@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_events_come_in_as_they_were_sent(framing: str) -> None:
    before = time.time()
    pieces = (": hi\n\nevent: a\nid: 7\nda", b"ta: \xc3\xb6\n\n", "data: 1\ndata: 2\n\ndata: unfinished")
    receiver = FakeReceiver()
    receiver.live = False
    async with http_serving(saying(*pieces[:2], "data: 1\ndata: 2\n\n", framing=framing)) as peer:
        await read(peer.url, receiver)
    first, second = receiver.items
    assert isinstance(first, RawEvent)
    assert isinstance(second, RawEvent)
    assert (first.event, first.data, first.id, first.last_id) == ("a", "ö".encode(), "7", "7")
    assert (second.event, second.data, second.id, second.last_id) == (None, b"1\n2", None, "7")
    assert first.at is not None
    assert before <= first.at <= time.time()
    assert receiver.log == [("connected", 0)]


async def test_the_request_is_that_of_an_event_stream() -> None:
    async with http_serving() as peer:
        await read(
            f"{peer.url}/runs?after=1", headers={"X-Team": "blue", "accept": "text/event-stream;v=2"}, auth="t0k"
        )
    request = peer.requests[0]
    assert (request.method, request.path, request.body) == ("GET", "/runs?after=1", b"")
    assert request.header("Accept") == "text/event-stream;v=2"
    assert request.header("Cache-Control") == "no-store"
    assert request.header("Accept-Encoding") == "gzip, deflate"
    assert request.header("X-Team") == "blue"
    assert request.header("Authorization") == "Bearer t0k"
    assert request.header("Last-Event-ID") is None
    assert request.header("Content-Type") is None


@pytest.mark.parametrize(
    ("options", "kind", "body"),
    [
        ({"json": {"stream": True}}, "application/json", b'{"stream":true}'),
        ({"content": "a=ö", "headers": {"content-type": "text/x"}}, "text/x", "a=ö".encode()),
        ({"content": b"\x00"}, None, b"\x00"),
        ({}, None, b""),
    ],
)
async def test_a_post_carries_its_body(options: dict[str, Any], kind: str | None, body: bytes) -> None:
    async with http_serving(saying(block("a"))) as peer:
        assert (await read(peer.url, method="POST", **options)).data == [b"a"]
    request = peer.requests[0]
    assert (request.method, request.header("Content-Type"), request.body) == ("POST", kind, body)


@pytest.mark.parametrize(
    "options",
    [{"method": "PUT"}, {"json": {}}, {"content": b"x"}, {"method": "POST", "json": 1, "content": b"1"}],
)
def test_options_that_make_no_request_are_refused_at_once(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"method|POST|both"):
        SseSource("http://h/", **options)


async def test_credentials_in_the_url_become_basic_ones_unless_others_are_given() -> None:
    async with http_serving() as peer:
        url = peer.url.replace("http://", "http://al%40:p%3Aw@")
        await read(url)
        await read(url, auth="t0ken-value")
    assert peer.requests[0].header("Authorization") == "Basic YWxAOnA6dw=="
    assert peer.requests[1].header("Authorization") == "Bearer t0ken-value"


async def test_a_url_without_a_path_and_with_a_fragment() -> None:
    async with http_serving() as peer:
        await read(f"{peer.url}#part")
    assert peer.requests[0].path == "/"


# Compression


@pytest.mark.parametrize(("coding", "wbits"), [("gzip", 31), ("deflate", 15)])
async def test_compressed_events_come_in_as_they_are_sent(coding: str, wbits: int) -> None:
    receiver = FakeReceiver()

    async def respond(exchange: Exchange, number: int) -> None:
        packer = zlib.compressobj(wbits=wbits)
        await exchange.start(headers={"Content-Encoding": coding})
        await exchange.send(packer.compress(block("one").encode()) + packer.flush(zlib.Z_SYNC_FLUSH))
        await receiver.until(1, within=25)  # it is not held back until the end
        await exchange.send(packer.compress(block("two").encode()) + packer.flush())

    async with http_serving(respond) as peer:
        await read(peer.url, receiver)
    assert receiver.data == [b"one", b"two"]


async def test_what_is_inflated_is_bounded_by_the_size_of_a_message() -> None:
    body = gzip.compress(block("x" * 50_000_000).encode() + block("after").encode())
    assert len(body) < 100_000
    async with http_serving(saying(body, headers={"Content-Encoding": "gzip"})) as peer:
        receiver = await read(peer.url, max_message_bytes=1000)
    huge, after = receiver.items
    assert isinstance(huge, Oversized)
    assert (huge.size, huge.limit) == (50_000_006, 1000)
    assert isinstance(after, RawEvent)
    assert after.data == b"after"


async def test_broken_compression_is_a_loss() -> None:
    async with http_serving(saying(b"no gzip at all", headers={"Content-Encoding": "gzip"})) as peer:
        failed = await failure(peer.url)
    assert (failed.reason, failed.attempts) == ("the server broke its compression", 3)


# In another process


@pytest.mark.slow
async def test_a_server_that_is_killed_and_comes_back_costs_nothing(unused_tcp_port: int) -> None:
    """The run goes on where it was: nothing is lost, nothing is told twice."""
    signals: list[Signal] = []
    policy = Reconnect(initial=0.05, maximum=0.2, jitter=0.0, max_attempts=200)
    with sse_process("code_interpreter.sse", gap=0.02, port=unused_tcp_port) as (url, process):
        stream = RunStream(SseSource(url, reconnect=policy, proxy=None))
        stream.signals.subscribe(signals.append)
        async with asyncio.timeout(60), stream:
            stream.start()
            await eventually(lambda: any(isinstance(signal, TextDelta) for signal in signals), within=20)
            process.kill()
            process.wait(25)
            with sse_process("code_interpreter.sse", port=unused_tcp_port):
                run = await stream.result()
    assert run.status == "completed"
    told = [signal.key for signal in signals if not signal.type.startswith("source.")]
    clean = fold(read_recording(demo.load("code_interpreter.sse"))).signals
    assert told == [signal.key for signal in clean if not signal.type.startswith("source.")]
    assert [signal.type for signal in signals].count("source.resumed") == 1


# Secrets


async def test_no_secret_is_in_any_reason_name_or_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = ("alice-user", "p4ssw0rd", "qu3ry-value", "t0ken-value", "h3ader-value")
    echo = " ".join(secrets).encode()

    seen: list[str] = []
    plans: list[list[Answer | None]] = [
        [None, (403, {}, echo)],
        [(503, {}, echo)] * 9,
        [(200, {"Content-Type": "text/plain"}, echo)],
        [(200, {"Content-Type": echo.decode()}, b"")],
    ]
    for answers in plans:
        async with http_serving(cut, answers=answers) as peer:
            url = peer.url.replace("http://", "http://alice-user:p4ssw0rd@") + "/runs?token=qu3ry-value"
            source = sse.source(url, auth="t0ken-value", headers={"X-Key": "h3ader-value"})
            receiver = FakeReceiver(live=True)
            with pytest.raises(SourceFailed) as failed:
                await source.run(receiver)
            seen += [source.name, repr(source), failed.value.reason, repr(failed.value), *receiver.reasons]
    seen += [
        record.getMessage()
        for record in caplog.records
        # The server's own words in its headers are what httpcore writes at DEBUG.
        if "receive_response_headers.complete" not in record.getMessage()
    ]
    assert len(seen) > 10
    assert not [text for text in seen for secret in secrets if secret in text]


def test_it_is_a_source_with_a_name() -> None:
    assert isinstance(SseSource("http://h/"), Source)
    assert SseSource("http://u:p@h/?k=v").name == "http://***@h/?k=***"
    assert SseSource("http://h/", name="runs").name == "runs"
