"""The SSE source with POST: the request is sent once, unless the server did nothing or a hook decides."""

from __future__ import annotations

import asyncio
from http import HTTPStatus

import pytest

from runstream.sources.connection_loop import Resume, ResumeInfo
from runstream.sources.reconnect import Reconnect
from runstream.sources.sse import SseSource
from tests.sources.sse_reading import (
    cut,
    failure,
    no_answer,
    no_answer_in_time,
    read,
    saying,
    stall,
)
from tests.support.http_peer import Exchange, Respond, block, http_serving
from tests.support.receiver import FakeReceiver, eventually

ONCE = "; the POST may have been carried out and is not sent again (resume= says how to go on)"


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
    assert failed.reason.endswith(f"{HTTPStatus(status).phrase}{ONCE}")
    assert failed.server_message == "busy"
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
        await eventually(lambda: bool(receiver.reasons), within=25)
    await eventually(lambda: len(receiver.reasons) > 1, within=25)
    async with http_serving(saying(block("a")), port=port), asyncio.timeout(25):
        await task
    assert receiver.data == [b"a"]
    assert asked == []


async def test_a_new_post_is_not_continued_at_an_old_place() -> None:
    """The id that an earlier process stored belongs to the run of its own POST, until this one has sent an id."""
    receiver = FakeReceiver(live=True, last_id="old")
    asked: list[str | None] = []

    def resume(info: ResumeInfo) -> Resume:
        asked.append(info.last_id)
        return Resume(url=f"{peer.url}/events")

    async def respond(exchange: Exchange, number: int) -> None:
        receiver.live = number < 2
        if number:
            receiver.last_id = f"{number}"
            await exchange.event(f"{number}", id=f"{number}")

    async with http_serving(respond) as peer:
        await read(peer.url, receiver, method="POST", json={}, resume=resume)
    assert asked == [None, "1"]
    assert [request.header("Last-Event-ID") for request in peer.requests] == [None, None, "1"]
