"""The SSE source against real HTTP on loopback: what comes in, and what becomes of a request."""

from __future__ import annotations

import asyncio
import gzip
import logging
import ssl
import sys
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import httpx2
import pytest

from runstream import demo
from runstream.engine.fold import fold
from runstream.errors import SourceFailed
from runstream.model.raw import Oversized, RawEvent, RawItem
from runstream.model.signals import Signal, TextDelta
from runstream.recordings.reader import read_recording
from runstream.sources import http_client
from runstream.sources.base import Source
from runstream.sources.connection_loop import Resume, ResumeInfo
from runstream.sources.http_client import HttpClient
from runstream.sources.reconnect import Reconnect
from runstream.sources.sse import SseSource
from runstream.stream.run_stream import RunStream
from tests.support.http_peer import Answer, Exchange, Respond, block, http_serving, sse_process
from tests.support.receiver import FakeReceiver, eventually

FAST = Reconnect(initial=0.001, maximum=0.01, jitter=0.0, max_attempts=3)
ONCE = "; the POST may have been carried out and is not sent again (resume= says how to go on)"


def options_of(options: dict[str, Any]) -> dict[str, Any]:
    return {"reconnect": FAST, "proxy": None, **options}


async def read(url: str, receiver: FakeReceiver | None = None, *, within: float = 10.0, **options: Any) -> FakeReceiver:
    """Read a URL to the source's end."""
    receiver = receiver or FakeReceiver()
    async with asyncio.timeout(within):
        await SseSource(url, **options_of(options)).run(receiver)
    return receiver


async def failure(url: str, receiver: FakeReceiver | None = None, **options: Any) -> SourceFailed:
    """Read a URL, and return how it failed."""
    with pytest.raises(SourceFailed) as caught:
        await read(url, receiver, **options)
    return caught.value


@asynccontextmanager
async def reading(url: str, receiver: FakeReceiver, **options: Any) -> AsyncIterator[asyncio.Task[None]]:
    """Read a URL meanwhile."""
    task = asyncio.create_task(SseSource(url, **options_of(options)).run(receiver))
    try:
        yield task
    finally:
        task.cancel()
        async with asyncio.timeout(10):
            await asyncio.wait({task})


def saying(*pieces: str | bytes, framing: Any = "chunked", headers: dict[str, str] | None = None) -> Respond:
    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.start(framing=framing, headers=headers)
        for piece in pieces:
            await exchange.send(piece)

    return respond


# What comes in


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
        await receiver.until(1, within=10)  # it is not held back until the end
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


# Ends and losses


async def test_an_end_with_no_run_live_is_the_end() -> None:
    async with http_serving(saying(block("a"))) as peer:
        receiver = await read(peer.url)
    assert (receiver.data, receiver.connections, len(peer.requests)) == ([b"a"], 1, 1)


async def test_an_end_while_a_run_is_live_is_a_loss_and_is_resumed_by_the_last_id() -> None:
    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.event(f"{number}", id=f"e{number}-ö")
        receiver.live = number < 2

    receiver = FakeReceiver(live=True)
    async with http_serving(respond) as peer:
        await read(peer.url, receiver)
    assert receiver.data == [b"0", b"1", b"2"]
    assert receiver.log == [
        ("connected", 0),
        ("disconnected", 1),
        ("connected", 1),
        ("disconnected", 1),
        ("connected", 1),
    ]
    assert set(receiver.reasons) == {"the server ended the response"}
    assert [request.header("Last-Event-ID") for request in peer.requests] == [None, "e0-ö", "e1-ö"]


@pytest.mark.parametrize(
    ("sent", "last"),
    [
        ("id: a\n\n", "a"),  # without data it is no event, but counts (WHATWG "dispatch the event", step 1)
        ("id: a\ndata: 1\n\nid\ndata: 2\n\n", None),
        ("id: a\ndata: 1\n\nid: b\0c\ndata: 2\n\n", "a"),
        ("id: a\ndata: 1\n\nid: b\ndata: cut", "a"),
        ("id: a\ndata: 1\n\nid: \x01\ndata: 2\n\n", None),  # HTTP can't carry it
        ("data: 1\n\n", None),
    ],
)
async def test_which_id_is_sent_on_connecting_again(sent: str, last: str | None) -> None:
    async def respond(exchange: Exchange, number: int) -> None:
        receiver.live = number < 1
        if number == 0:
            await exchange.send(sent)

    receiver = FakeReceiver(live=True)
    async with http_serving(respond) as peer:
        await read(peer.url, receiver)
    assert peer.requests[1].header("Last-Event-ID") == last


async def test_an_id_stays_in_force_over_connections_that_give_none() -> None:
    async def respond(exchange: Exchange, number: int) -> None:
        receiver.live = number < 2
        if number == 0:
            await exchange.event("a", id="7")
        elif number == 1:
            await exchange.event("b")

    receiver = FakeReceiver(live=True)
    async with http_serving(respond) as peer:
        await read(peer.url, receiver, last_event_id="3")
    assert [request.header("Last-Event-ID") for request in peer.requests] == ["3", "7", "7"]
    assert isinstance(receiver.items[1], RawEvent)
    assert receiver.items[1].last_id == "7"


async def test_a_restarted_process_says_what_it_had_last() -> None:
    """The id of an earlier process, which the store kept, goes into the very first request, and to the hook."""
    asked: list[ResumeInfo] = []

    def resume(info: ResumeInfo) -> Resume | None:
        asked.append(info)
        return None

    async with http_serving(saying("data: 1\n\n")) as peer:
        await read(peer.url, FakeReceiver(last_id="e7"), resume=resume, reconnect=None)
    assert peer.requests[0].header("Last-Event-ID") == "e7"
    assert asked == [ResumeInfo(last_id="e7", attempt=0, reason="")]


async def test_a_response_that_breaks_off_is_a_loss_although_no_run_is_live() -> None:
    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.event(f"{number}")
        if number == 0:
            await asyncio.sleep(0.01)
            exchange.abort()

    async with http_serving(respond) as peer:
        receiver = await read(peer.url)
    assert receiver.data == [b"0", b"1"]
    assert receiver.reasons == ["the connection broke off"]


async def test_a_chunked_body_without_its_end_is_a_loss() -> None:
    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.event(f"{number}")
        if number == 0:
            exchange.writer.write_eof()
            await asyncio.sleep(10)

    async with http_serving(respond) as peer:
        receiver = await read(peer.url)
    assert receiver.reasons == ["the connection broke off"]
    assert receiver.data == [b"0", b"1"]


async def test_half_an_event_at_the_end_of_an_unframed_body_is_a_loss() -> None:
    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.start(framing="close")
        await exchange.send(block("whole") + ("data: ha" if number == 0 else ""))

    async with http_serving(respond) as peer:
        receiver = await read(peer.url)
    assert receiver.reasons == ["the connection broke off within an event"]
    assert receiver.data == [b"whole", b"whole"]


async def test_204_is_the_end() -> None:
    async with http_serving(saying(block("a")), answers=[(204, {}, b"")]) as peer:
        receiver = await read(peer.url)
    assert (receiver.items, len(peer.requests)) == ([], 1)


async def test_204_while_a_run_is_live_stops_and_says_so() -> None:
    async with http_serving(saying(block("a")), answers=[None, (204, {}, b"")]) as peer:
        failed = await failure(peer.url, FakeReceiver(live=True))
    assert failed.reason == "the server has nothing more to send (HTTP 204)"
    assert len(peer.requests) == 2


async def test_done_ends_nothing_after_a_get() -> None:
    async with http_serving(saying(block("[DONE]", event="done"), block("more"))) as peer:
        assert (await read(peer.url)).data == [b"[DONE]", b"more"]


async def test_done_ends_a_post_though_the_server_holds_the_connection() -> None:
    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.send(block("a") + block("[DONE]"))
        await asyncio.sleep(60)

    async with http_serving(respond) as peer:
        assert (await read(peer.url, method="POST")).data == [b"a", b"[DONE]"]
        await eventually(lambda: not peer.open, within=10)


# Silence


async def test_a_stalled_run_is_lost_and_asked_for_again() -> None:
    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.event(f"{number}", id=f"{number}")
        if number == 0:
            await asyncio.sleep(60)
        receiver.live = False

    receiver = FakeReceiver(live=True)
    async with http_serving(respond) as peer:
        await read(peer.url, receiver, read_timeout=0.1)
    assert receiver.reasons == ["nothing came for 0.1 seconds"]
    assert receiver.data == [b"0", b"1"]


async def test_a_server_that_always_stalls_is_given_up() -> None:
    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.start()
        await asyncio.sleep(60)

    async with http_serving(respond) as peer:
        failed = await failure(peer.url, FakeReceiver(live=True), read_timeout=0.05)
    assert (failed.reason, failed.attempts, len(peer.requests)) == ("nothing came for 0.05 seconds", 3, 4)


async def test_a_quiet_stream_without_a_run_is_not_given_up() -> None:
    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.start()
        await asyncio.sleep(60)

    receiver = FakeReceiver()
    async with http_serving(respond) as peer, reading(peer.url, receiver, read_timeout=0.02) as task:
        await eventually(lambda: receiver.connections >= 6, within=10)
        assert not task.done()


async def test_comments_are_life() -> None:
    async def respond(exchange: Exchange, number: int) -> None:
        for _ in range(20):
            await exchange.send(": still here\n\n")
            await asyncio.sleep(0.05)
        await exchange.event("a")

    receiver = FakeReceiver(live=False)
    async with http_serving(respond) as peer:
        await read(peer.url, receiver, read_timeout=0.6)
    assert (receiver.data, receiver.connections) == ([b"a"], 1)


async def test_a_slow_consumer_is_not_taken_for_a_silent_server() -> None:
    receiver = FakeReceiver()
    many = [block("x" * 20_000)] * 500
    async with http_serving(saying(*many)) as peer, reading(peer.url, receiver, read_timeout=0.3) as task:
        await receiver.until(1, within=10)
        receiver.gate.clear()
        await asyncio.sleep(0.8)
        receiver.gate.set()
        async with asyncio.timeout(20):
            await task
    assert len(receiver.items) == 500
    assert receiver.log == [("connected", 0)]


# Connecting again


async def test_the_servers_retry_is_the_delay() -> None:
    async def respond(exchange: Exchange, number: int) -> None:
        receiver.live = number < 1
        if number == 0:
            await exchange.send("retry: 200\n\n")

    receiver = FakeReceiver(live=True)
    async with http_serving(respond) as peer:
        await read(peer.url, receiver)
    assert peer.times[1] - peer.times[0] >= 0.2


async def test_an_aged_connection_is_replaced_at_once() -> None:
    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.event(f"{number}", id=f"{number}")
        await asyncio.sleep(60)

    receiver = FakeReceiver(live=True)
    policy = Reconnect(initial=10, maximum=10, jitter=0.0, max_attempts=1, max_connection_age=0.05)
    async with http_serving(respond) as peer, reading(peer.url, receiver, reconnect=policy):
        await eventually(lambda: receiver.connections >= 4, within=10)
    assert set(receiver.reasons) == {"the connection reached its age limit"}
    assert peer.requests[3].header("Last-Event-ID") == "2"


async def test_half_a_run_told_again_and_again_is_not_asked_for_without_end() -> None:
    async with http_serving(saying(block("created"), block("in progress"))) as peer:
        failed = await failure(peer.url, FakeReceiver(live=True))
    assert failed.reason == "the server ended the response"
    assert len(peer.requests) == 4


async def test_how_to_resume_is_asked_with_what_is_known() -> None:
    asked: list[ResumeInfo] = []

    async def resume(info: ResumeInfo) -> Resume | None:
        asked.append(info)
        return Resume(url=f"{peer.url}/again", headers={"X-From": "1"}) if info.last_id == "e1" else None

    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.event(f"{number}", id=f"e{number}")
        receiver.live = number < 2

    receiver = FakeReceiver(live=True)
    async with http_serving(respond) as peer:
        await read(peer.url, receiver, resume=resume)
    reason = "the server ended the response"
    assert asked == [ResumeInfo(last_id=f"e{n}", attempt=1, reason=reason) for n in (0, 1)]
    assert [request.path for request in peer.requests] == ["/", "/", "/again"]
    assert peer.requests[2].header("X-From") == "1"
    assert peer.requests[2].header("Last-Event-ID") == "e1"


# A POST is sent once


async def cut(exchange: Exchange, number: int) -> None:
    await exchange.event("a")
    exchange.abort()


async def stall(exchange: Exchange, number: int) -> None:
    await exchange.event("a")
    await asyncio.sleep(60)


async def no_answer(exchange: Exchange, number: int) -> None:
    exchange.abort()


async def no_answer_in_time(exchange: Exchange, number: int) -> None:
    await asyncio.sleep(60)


POST_LOSSES = [
    (cut, "the connection broke off"),
    (stall, "nothing came for 0.1 seconds"),
    (saying(block("a")), "the server ended the response"),
    (no_answer, None),
    (no_answer_in_time, "did not answer: it took too long"),
]


@pytest.mark.parametrize(("respond", "reason"), POST_LOSSES)
async def test_a_post_that_may_have_arrived_is_not_sent_again(respond: Respond, reason: str | None) -> None:
    async with http_serving(respond) as peer:
        failed = await failure(peer.url, FakeReceiver(live=True), method="POST", json={}, read_timeout=0.1)
    assert failed.reason.endswith(f"{reason or ''}{ONCE}")
    assert len(peer.requests) == 1


async def test_a_post_is_not_replaced_for_its_age() -> None:
    """It could not be sent again."""

    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.event("a")
        await asyncio.sleep(0.3)
        await exchange.event("b")
        receiver.live = False

    receiver = FakeReceiver(live=True)
    policy = Reconnect(max_connection_age=0.05)
    async with http_serving(respond) as peer:
        await read(peer.url, receiver, method="POST", reconnect=policy)
    assert receiver.data == [b"a", b"b"]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
async def test_a_gateway_that_is_busy_does_not_say_that_nothing_was_done(status: int) -> None:
    async with http_serving(answers=[(status, {}, b"busy")]) as peer:
        failed = await failure(peer.url, method="POST")
    assert f"HTTP {status}" in failed.reason
    assert failed.reason.endswith(f": busy{ONCE}")
    assert len(peer.requests) == 1


@pytest.mark.parametrize("status", [408, 425, 429])
async def test_a_post_that_was_turned_away_is_sent_again(status: int) -> None:
    async with http_serving(saying(block("a")), answers=[(status, {}, b"")]) as peer:
        receiver = await read(peer.url, method="POST", json=[1])
    assert receiver.data == [b"a"]
    assert [request.body for request in peer.requests] == [b"[1]", b"[1]"]


@pytest.mark.parametrize(("respond", "reason"), POST_LOSSES)
async def test_a_lost_post_goes_on_as_the_hook_says(respond: Respond, reason: str | None) -> None:
    async def once(exchange: Exchange, number: int) -> None:
        if number == 0:
            await respond(exchange, number)
        else:
            receiver.live = False
            await exchange.event("b")

    def resume(info: ResumeInfo) -> Resume:
        return Resume(url=f"{peer.url}/runs/1/events")

    receiver = FakeReceiver(live=True)
    async with http_serving(once) as peer:
        await read(
            peer.url, receiver, method="POST", json={}, resume=resume, read_timeout=0.1, headers={"X-Team": "blue"}
        )
    assert receiver.data[-1:] == [b"b"]
    first, second = peer.requests
    assert (first.method, second.method, second.path, second.body) == ("POST", "GET", "/runs/1/events", b"")
    assert (second.header("X-Team"), second.header("Content-Type")) == ("blue", None)


async def test_a_hook_that_does_not_know_ends_a_lost_post() -> None:
    async with http_serving(cut) as peer:
        failed = await failure(peer.url, FakeReceiver(live=True), method="POST", resume=lambda info: None)
    assert failed.reason == f"the connection broke off{ONCE}"
    assert len(peer.requests) == 1


async def test_a_hook_may_ask_for_the_same_post_again() -> None:
    async def respond(exchange: Exchange, number: int) -> None:
        receiver.live = number < 1
        await exchange.event(f"{number}")

    receiver = FakeReceiver(live=True)
    key = {"Idempotency-Key": "k1"}
    async with http_serving(respond) as peer:
        again = Resume(method="POST")
        await read(peer.url, receiver, method="POST", json=[1], headers=key, resume=lambda info: again)
    assert [(r.method, r.body, r.header("Idempotency-Key")) for r in peer.requests] == [("POST", b"[1]", "k1")] * 2


async def test_a_post_that_could_not_connect_again_is_still_the_first(unused_tcp_port: int) -> None:
    """The server was busy, then away, then back: the hook is not asked, for nothing was carried out."""
    port = unused_tcp_port
    asked: list[ResumeInfo] = []
    receiver = FakeReceiver()
    policy = Reconnect(initial=0.05, maximum=0.05, jitter=0.0, max_attempts=200)
    async with http_serving(answers=[(429, {}, b"")], port=port) as peer:
        source = SseSource(peer.url, method="POST", proxy=None, reconnect=policy, resume=asked.append)
        task = asyncio.create_task(source.run(receiver))
        await eventually(lambda: bool(receiver.reasons), within=10)
    await eventually(lambda: len(receiver.reasons) > 1, within=10)
    async with http_serving(saying(block("a")), port=port), asyncio.timeout(10):
        await task
    assert receiver.data == [b"a"]
    assert asked == []


# Refusals


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
async def test_a_refusal_is_final_and_says_what_the_server_said(status: int, method: str) -> None:
    body = b'{"error": {"code": "x", "message": "No run of\\nthis name"}}'
    async with http_serving(answers=[(status, {"Content-Type": "application/json"}, body)]) as peer:
        failed = await failure(f"{peer.url}/runs?key=abcdef", method=method)
    assert failed.reason.startswith(f"{peer.url}/runs?key=*** refused the connection with HTTP {status} ")
    assert failed.reason.endswith(": No run of this name")
    assert (failed.attempts, len(peer.requests)) == (1, 1)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_busy_server_is_tried_again_even_at_first(status: int) -> None:
    async with http_serving(saying(block("a")), answers=[(status, {}, b"busy"), (status, {}, b"busy")]) as peer:
        receiver = await read(peer.url)
    assert receiver.data == [b"a"]
    assert receiver.log == [("disconnected", 1), ("disconnected", 2), ("connected", 2)]
    assert receiver.reasons[0].endswith(": busy")


async def test_the_server_says_how_long_to_wait() -> None:
    policy = Reconnect(initial=0.001, jitter=0.0, max_retry_after=0.15)
    async with http_serving(saying(block("a")), answers=[(429, {"Retry-After": "60"}, b"")]) as peer:
        await read(peer.url, reconnect=policy)
    assert peer.times[1] - peer.times[0] >= 0.15


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("application/json", b'{"error": {"message": "stream must be true"}}', ": stream must be true"),
        ("text/html; charset=utf-8", b"<html>", ""),
        ("text/event-streams", b"", ""),
        (None, b"data: 1\n\n", ": data: 1"),
    ],
)
async def test_another_media_type_is_refused(kind: str | None, body: bytes, said: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    async with http_serving(answers=[(200, headers, body)]) as peer:
        failed = await failure(peer.url)
    shown = kind or "no content type"
    assert failed.reason == f"{peer.url} answered with {shown} where text/event-stream is needed{said}"
    assert len(peer.requests) == 1


@pytest.mark.parametrize("kind", ["text/event-stream;charset=utf-8", "Text/Event-Stream ; x=y"])
@pytest.mark.parametrize("status", [200, 201])
async def test_the_media_type_may_have_parameters_and_a_run_may_be_created(kind: str, status: int) -> None:
    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.start(status, content_type=kind)
        await exchange.event("a")

    async with http_serving(respond) as peer:
        assert (await read(peer.url)).data == [b"a"]


async def test_the_body_of_an_error_is_read_to_a_bound_only() -> None:
    sent = 0

    async def respond(exchange: Exchange, number: int) -> None:
        nonlocal sent
        await exchange.start(404, content_type="text/plain")
        while True:
            await exchange.send(b"x" * 10_000)
            sent += 10_000

    async with http_serving(respond) as peer:
        failed = await failure(peer.url)
        await eventually(lambda: not peer.open, within=10)
    assert failed.reason.endswith("404 Not Found")
    assert sent < 20_000_000  # what both sides' socket buffers may hold


async def test_credentials_that_expired_are_asked_for_once_more() -> None:
    tokens = iter(["first-token", "stale-token", "fresh-token"])
    receiver = FakeReceiver(live=True)

    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.event(f"{number}")
        receiver.live = number < 2

    async with http_serving(respond, answers=[None, (401, {}, b""), None]) as peer:
        await read(peer.url, receiver, auth=lambda: next(tokens))
    sent = [request.header("Authorization") for request in peer.requests]
    assert sent == ["Bearer first-token", "Bearer stale-token", "Bearer fresh-token"]


async def test_a_second_401_is_final_and_says_so() -> None:
    answers: list[Answer | None] = [None, (401, {}, b"expired"), (401, {}, b"expired")]
    async with http_serving(saying(block("a")), answers=answers) as peer:
        failed = await failure(peer.url, FakeReceiver(live=True), auth=lambda: "t0ken-value")
    assert failed.reason.endswith("401 Unauthorized: expired (credentials were asked for again)")
    assert len(peer.requests) == 3


async def test_a_first_connection_that_nobody_answers_is_an_error_at_once() -> None:
    async with http_serving() as peer:
        pass
    failed = await failure(peer.url, reconnect=Reconnect(initial=60, maximum=60))
    assert failed.reason.startswith(f"Could not connect to {peer.url}: ")


@pytest.mark.parametrize("respond", [no_answer, no_answer_in_time])
async def test_a_first_get_that_is_not_answered_is_an_error_at_once(respond: Respond) -> None:
    async with http_serving(respond) as peer:
        policy = Reconnect(initial=60, maximum=60)
        failed = await failure(peer.url, read_timeout=0.1, reconnect=policy)
    assert failed.reason.startswith(f"{peer.url} did not answer: ")
    assert len(peer.requests) == 1


@pytest.mark.parametrize("url", ["ws://127.0.0.1/", "no url", "http://", "http://u:s3cretpw@/", "http://[s3cret"])
async def test_what_is_no_http_url_is_refused_without_showing_it(url: str) -> None:
    failed = await failure(url)
    assert failed.reason == f"Not an HTTP URL: {url if url.startswith('ws') else '(invalid URL)'}"


@pytest.mark.parametrize(
    "options",
    [
        {"proxy": "nonsense"},
        {"proxy": "ftp://al:s3cretpw@proxy.example"},
        {"headers": {"X-Key": "s3cretpw\r\nX: y"}},
        {"headers": {"X Key": "s3cretpw"}},
    ],
)
async def test_options_that_can_not_be_sent_are_final_and_not_shown(options: dict[str, Any]) -> None:
    async with http_serving() as peer:
        failed = await failure(peer.url, **options)
    assert failed.reason.startswith(f"Could not connect to {peer.url}: ")
    assert "s3cretpw" not in failed.reason
    assert peer.requests == []


@pytest.mark.parametrize("what", ["auth", "resume"])
async def test_a_hook_that_raises_ends_the_source_without_its_words(what: str) -> None:
    def hook(*args: Any) -> Any:
        raise RuntimeError("s3cret")

    async with http_serving(saying(block("a"))) as peer:
        failed = await failure(peer.url, FakeReceiver(live=True), **{what: hook})
    assert failed.reason == f"{what} raised RuntimeError"
    assert isinstance(failed.__cause__, RuntimeError)


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_within_the_origin_is_followed_with_all_headers(status: int) -> None:
    async with http_serving(saying(block("a")), answers=[(status, {"Location": "/there?x=1"}, b"")]) as peer:
        url = peer.url.replace("http://", "http://al:pw@")
        assert (await read(f"{url}/here", headers={"api-key": "k3y"})).data == [b"a"]
    assert [request.path for request in peer.requests] == ["/here", "/there?x=1"]
    assert [request.header("api-key") for request in peer.requests] == ["k3y", "k3y"]
    assert peer.requests[1].header("Authorization") == peer.requests[0].header("Authorization") != None  # noqa: E711


@pytest.mark.parametrize("status", [302, 307])
async def test_a_redirect_to_another_origin_is_not_followed(status: int) -> None:
    async with http_serving() as other:
        answers: list[Answer | None] = [(status, {"Location": f"{other.url}/in?token=abcdef"}, b"")]
        async with http_serving(answers=answers) as peer:
            failed = await failure(peer.url, auth="t0ken-value")
    assert failed.reason.endswith(f"it redirects to {other.url}/in?token=***, which is not followed")
    assert other.requests == []


async def test_redirects_in_a_circle_end() -> None:
    async with http_serving(answers=[(307, {"Location": "/"}, b"")] * 20) as peer:
        failed = await failure(peer.url)
    assert "HTTP 307" in failed.reason
    assert len(peer.requests) == 6


@pytest.mark.parametrize(("status", "method"), [(303, "GET"), (307, "POST"), (308, "POST"), (302, None)])
async def test_where_a_post_may_be_redirected(status: int, method: str | None) -> None:
    async with http_serving(saying(block("a")), answers=[(status, {"Location": "/there"}, b"")]) as peer:
        if method is None:
            assert "HTTP 302" in (await failure(peer.url, method="POST", json=[1])).reason
            assert len(peer.requests) == 1
        else:
            await read(peer.url, method="POST", json=[1])
            second = peer.requests[1]
            assert (second.method, second.path, second.body) == (method, "/there", b"[1]" if method == "POST" else b"")


# Flow, and leaving


async def flood(sent: list[int], exchange: Exchange) -> None:
    while True:
        await exchange.event("x" * 10_000)
        sent[0] += 1


async def test_while_the_pipeline_is_held_the_sender_is_held_and_nothing_piles_up() -> None:
    sent = [0]
    receiver = FakeReceiver()
    async with http_serving(lambda exchange, number: flood(sent, exchange)) as peer, reading(peer.url, receiver):
        await receiver.until(10, within=10)
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
        await receiver.until(held + 10, within=10)  # and goes on, with nothing lost


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
        await receiver.until(1000, within=10)
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
            await receiver.until(10, within=10)
            if held:
                receiver.gate.clear()
                await asyncio.sleep(0.2)
            task.cancel()
            await asyncio.wait({task}, timeout=10)
            assert task.cancelled()
        await eventually(lambda: not peer.open, within=10)


async def test_cancelling_while_nothing_comes_closes_the_connection() -> None:
    receiver = FakeReceiver()
    async with http_serving(no_answer_in_time) as peer:
        async with reading(peer.url, receiver) as task:
            await eventually(lambda: peer.open == 1, within=10)
            task.cancel()
            await asyncio.wait({task}, timeout=10)
            assert task.cancelled()
        await eventually(lambda: not peer.open, within=10)


async def test_what_a_subscriber_raises_comes_through_and_closes_the_connection() -> None:
    def raises(item: RawItem) -> None:
        raise TimeoutError("the subscriber's own")

    async with http_serving(lambda exchange, number: flood([0], exchange)) as peer:
        with pytest.raises(TimeoutError, match="the subscriber's own"):
            await read(peer.url, FakeReceiver(on_feed=raises))
        await eventually(lambda: not peer.open, within=10)


# The client


@pytest.mark.parametrize("library", [httpx2, httpx])
async def test_a_ready_client_is_used_and_left_open(library: Any) -> None:
    async with http_serving(cut) as peer, library.AsyncClient(headers={"X-Mine": "yes"}, trust_env=False) as client:
        failed = await failure(peer.url, FakeReceiver(live=True), client=client)
        assert not client.is_closed
    assert failed.reason == "the connection broke off"
    assert [request.header("X-Mine") for request in peer.requests] == ["yes"] * 4


async def test_a_ready_client_of_a_derived_class() -> None:
    class Mine(httpx2.AsyncClient):
        pass

    async with http_serving(saying(block("a"))) as peer, Mine(trust_env=False) as client:
        assert (await read(peer.url, client=client)).data == [b"a"]


def test_what_is_no_client_is_refused() -> None:
    with pytest.raises(TypeError, match=r"httpx2\.AsyncClient, not a object"):
        SseSource("http://h/", client=object())  # type: ignore[arg-type]


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ImportError, match=r"pip install 'runstream\[http\]'"):
        SseSource("http://h/")


async def test_a_proxy_of_the_system_is_used_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    async with http_serving(saying(block("by proxy"))) as proxy, http_serving(saying(block("direct"))) as peer:
        for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "HTTP_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", proxy.url)
        assert (await read(peer.url, proxy=True)).data == [b"by proxy"]
        assert (await read(peer.url)).data == [b"direct"]
        assert (await read(peer.url, proxy=proxy.url)).data == [b"by proxy"]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        assert (await read(peer.url, proxy=True)).data == [b"direct"]
    assert proxy.requests[0].path == f"{peer.url}/"


def test_tls_settings_are_made_once_for_all_sources() -> None:
    http = http_client.client_library()
    assert http_client._default_ssl(http) is http_client._default_ssl(http)
    assert http_client._default_ssl(http).verify_mode is ssl.CERT_REQUIRED


def test_a_certificate_that_is_not_trusted_is_no_reason_to_try_again() -> None:
    http = http_client.client_library()
    error = http.ConnectError("s3cret")
    error.__context__ = ExceptionGroup("several", [ssl.SSLCertVerificationError(1, "certificate verify failed")])
    refused = HttpClient(proxy=None)._connect_failed("https://h/", error)
    assert refused.reason == "Could not connect to https://h/: certificate verify failed"
    assert not refused.retry
    assert HttpClient(proxy=None)._connect_failed("https://h/", http.ConnectError("s3cret")).retry


# In another process


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
            process.wait(10)
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
            options = options_of({"auth": "t0ken-value", "headers": {"X-Key": "h3ader-value"}})
            source = SseSource(url, **options)
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
