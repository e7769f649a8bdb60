"""The SSE source behind gateways: their statuses, content codings, slow heads, and bodies that are no event stream."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
import zlib

import httpx2
import pytest

from runstream.errors import IncompleteStream, SourceFailed
from runstream.sources.reconnect import Reconnect
from runstream.sources.sse import SseSource
from runstream.sources.sse_chunks import SseChunks
from runstream.stream.run_stream import RunStream
from tests.sources.sse_reading import failure, read, saying
from tests.support.http_peer import Answer, Exchange, Respond, block, http_serving
from tests.support.receiver import FakeReceiver

ERROR = b'{"error": {"message": "Rate limit reached", "type": "tokens", "code": "rate_limit_exceeded"}}'


@pytest.mark.parametrize(
    "status", [408, 421, 425, 429, 499, 500, 501, 504, 507, 509, 511, 520, 524, 530, 598, 599, 999]
)
async def test_a_gateway_that_fails_after_a_success_is_a_loss(status: int) -> None:
    """The next request may succeed: it is made after `Retry-After`."""
    receiver = FakeReceiver(live=True)

    async def respond(exchange: Exchange, number: int) -> None:
        receiver.live = number == 0
        await exchange.event(f"{number}")

    answers: list[Answer | None] = [None, (status, {"Retry-After": "0"}, b""), None]
    async with http_serving(respond, answers=answers) as peer:
        await read(peer.url, receiver)
    assert len(peer.requests) == 3
    assert receiver.data[0] == b"0"


@pytest.mark.parametrize("status", [400, 403, 404, 410, 451])
async def test_another_refusal_stays_final_after_a_success(status: int) -> None:
    async with http_serving(saying(block("a")), answers=[None, (status, {}, b"")]) as peer:
        failed = await failure(peer.url, FakeReceiver(live=True))
    assert (failed.status, len(peer.requests)) == (status, 2)


async def test_a_wait_of_many_digits_is_bounded() -> None:
    """Who asks to be left alone longest is not asked at once."""
    policy = Reconnect(initial=0.001, maximum=0.002, max_retry_after=0.3)
    async with http_serving(saying(block("a")), answers=[(429, {"Retry-After": "9" * 40}, b"")]) as peer:
        await read(peer.url, reconnect=policy)
    assert peer.times[1] - peer.times[0] >= 0.3


# Content codings


@pytest.mark.parametrize(
    ("coding", "name"),
    [
        ("br", "br"),
        ("zstd", "zstd"),
        ("compress", "compress"),
        ("x-unknown", "x-unknown"),
        ("gzip, br", "br"),
        ("BR,gzip", "br"),
        ("gzip," * 5, "gzip, gzip, gzip, gzip, gzip"),
    ],
)
async def test_a_coding_that_nobody_asked_for_is_refused_by_name(coding: str, name: str) -> None:
    """At once: the next response would have it too."""
    async with http_serving(saying(b"\x1b\x99\x00", headers={"Content-Encoding": coding})) as peer:
        failed = await failure(peer.url, FakeReceiver(live=True))
    assert failed.reason.startswith(f"{peer.url} answered in the content coding {name}, which was not asked for")
    assert len(peer.requests) == 1


async def test_the_name_of_a_coding_is_no_place_for_a_servers_words() -> None:
    async with http_serving(saying(b"x", headers={"Content-Encoding": "my secret \x1b[31m words"})) as peer:
        failed = await failure(peer.url)
    assert "secret" not in failed.reason


@pytest.mark.parametrize("coding", ["identity", "", "gzip", "x-gzip", "deflate", "deflate, gzip"])
@pytest.mark.parametrize("own_client", [False, True])
async def test_known_codings_are_undone(coding: str, own_client: bool) -> None:
    """By the source itself, also behind a ready client."""
    body = block("a").encode() + block("b").encode()
    for name in filter(None, coding.split(", ")):
        body = {"identity": bytes, "deflate": zlib.compress}.get(name, gzip.compress)(body)
    headers = {"Content-Encoding": coding} if coding else {}
    async with http_serving(saying(body[:9], body[9:], headers=headers)) as peer, httpx2.AsyncClient() as client:
        assert (await read(peer.url, client=client if own_client else None)).data == [b"a", b"b"]


async def test_several_members_of_gzip_are_read() -> None:
    """A server that compresses each event by itself sends one member after the other."""
    members = [gzip.compress(block(f"{number}").encode()) for number in range(5)]
    async with http_serving(saying(*members, headers={"Content-Encoding": "gzip"})) as peer:
        assert (await read(peer.url)).data == [b"0", b"1", b"2", b"3", b"4"]


async def test_the_message_of_a_compressed_error_is_read() -> None:
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with http_serving(answers=[(400, headers, gzip.compress(ERROR))]) as peer:
        failed = await failure(peer.url)
    assert failed.reason.endswith("400 Bad Request (rate_limit_exceeded): Rate limit reached")


# Heads


async def drip(exchange: Exchange, number: int) -> None:
    """A head that never ends, byte by byte."""
    exchange._framing, exchange._ended = "close", True
    await exchange.raw(b"HTTP/1.1 200 OK\r\n")
    while True:
        await exchange.raw(b"X")
        await asyncio.sleep(0.05)


async def inform(exchange: Exchange, number: int) -> None:
    """Interim responses without end (RFC 9110, section 15.2)."""
    exchange._framing, exchange._ended = "close", True
    while True:
        await exchange.raw(b"HTTP/1.1 103 Early Hints\r\n\r\n")
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("respond", [drip, inform])
@pytest.mark.parametrize("options", [{}, {"method": "POST", "json": {"a": 1}}, {"client": True}])
async def test_one_time_out_covers_a_whole_head(respond: Respond, options: dict[str, object]) -> None:
    """Though each byte of it comes in time."""
    async with http_serving(respond) as peer, httpx2.AsyncClient() as client:
        more = {**options, "client": client} if "client" in options else options
        started = time.monotonic()
        failed = await failure(peer.url, read_timeout=0.4, open_timeout=1, reconnect=None, **more)
    assert failed.reason.startswith(f"{peer.url} did not answer: it took too long")
    assert time.monotonic() - started < 10


async def test_a_body_may_take_any_time() -> None:
    """The time-out ends with the head: events may come as slowly as the server likes."""

    async def respond(exchange: Exchange, number: int) -> None:
        for number in range(6):
            await exchange.event(f"{number}")
            await asyncio.sleep(0.2)

    async with http_serving(respond) as peer:
        assert len((await read(peer.url, read_timeout=0.6, open_timeout=0.3)).data) == 6


# Bodies that are no event stream


@pytest.mark.parametrize("framing", ["chunked", "close"])
async def test_an_error_as_an_event_stream_is_a_reject_and_a_reason(framing: str) -> None:
    """Status 200 and the type of an event stream, but the body is one JSON error."""
    async with http_serving(saying(ERROR, framing=framing)) as peer:
        receiver = FakeReceiver()
        failed = await failure(peer.url, receiver)
    assert [item.reason for item in receiver.items] == ["JSON without 'data:'"]  # type: ignore[union-attr]
    assert failed.summary == "the server sent JSON that is no event stream (rate_limit_exceeded)"
    assert failed.reason == f"{failed.summary}: Rate limit reached"
    assert len(peer.requests) == 1


async def test_text_as_an_event_stream_is_a_reject_and_data() -> None:
    """Its words are no part of the reason."""
    async with http_serving(saying(b"my diary is not available")) as peer:
        failed = await failure(peer.url)
    assert failed.reason == "the server sent text that is no event stream"


async def test_an_error_as_an_event_stream_is_a_loss_while_a_run_is_live() -> None:
    receiver = FakeReceiver(live=True)

    async def respond(exchange: Exchange, number: int) -> None:
        receiver.live = number < 2
        await exchange.send(ERROR if number == 1 else block(f"{number}"))

    async with http_serving(respond) as peer:
        await read(peer.url, receiver)
    assert receiver.data == [b"0", b"2"]
    assert receiver.reasons[1] == "the server sent JSON that is no event stream (rate_limit_exceeded)"


async def test_chunks_that_are_no_event_stream_are_a_failure() -> None:
    rejects: list[object] = []
    async with RunStream(SseChunks([ERROR[:20], ERROR[20:]])) as stream:
        stream.rejects.subscribe(rejects.append)
        with pytest.raises(IncompleteStream, match="Rate limit reached") as caught:
            await stream.result()
    assert isinstance(caught.value.__cause__, SourceFailed)
    assert len(rejects) == 1


async def test_what_a_server_repeats_is_in_no_exception_signal_or_log(caplog: pytest.LogCaptureFixture) -> None:
    """Everything that was sent, quoted in the message of a structured error."""

    async def respond(exchange: Exchange, number: int) -> None:
        request = exchange.request
        quoted = f"No: {request.body.decode()} {request.path} {json.dumps(request.headers)}"
        said = json.dumps({"error": {"message": quoted}})
        await exchange.answer(400, {"Content-Type": "application/json"}, said.encode())

    async with http_serving(respond) as peer:
        source = SseSource(
            peer.url.replace("://", "://ann:passw0rd@") + "/?token=QUERYSECRET",
            method="POST",
            json={"key": "BODYSECRET", "content": "my private diary"},
            headers={"Cookie": "session=COOKIESECRET", "X-Api-Key": "KEYSECRET-1"},
            proxy=None,
        )
        async with RunStream(source) as stream:
            reasons: list[str] = []
            stream.signals.subscribe(lambda signal: reasons.append(getattr(signal, "reason", "")))
            with pytest.raises(IncompleteStream) as caught:
                await stream.result()
    shown = f"{caught.value} {reasons} {caplog.text}"
    assert "HTTP 400 Bad Request" in shown
    for secret in ("SECRET", "passw0rd", "YW5uOnBhc3N3MHJk", "diary"):
        assert secret not in shown


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("separator", [b"\n\n", b"\n"])
async def test_a_json_error_before_the_done_marker_is_the_reason(method: str, separator: bytes) -> None:
    """A gateway writes the error as the body, and the end of its stream behind it."""
    options = {"method": "POST", "json": {}} if method == "POST" else {}
    async with http_serving(saying(ERROR + separator + b"data: [DONE]\n\n")) as peer:
        failed = await failure(peer.url, FakeReceiver(), **options)
    assert "(rate_limit_exceeded)" in failed.summary
    assert "Rate limit reached" in failed.reason


async def test_an_error_of_an_earlier_block_is_no_reason_behind_events() -> None:
    receiver = FakeReceiver()
    async with http_serving(saying(ERROR + b"\n\n", block("a"), b"data: [DONE]\n\n")) as peer:
        await read(peer.url, receiver)
    assert receiver.data[-2:] == [b"a", b"[DONE]"]
