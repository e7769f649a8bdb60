"""The SSE source over several requests: ends, losses, silence, and connecting again."""

from __future__ import annotations

import asyncio

import pytest

from runstream.model.raw import RawEvent
from runstream.sources.connection_loop import Resume, ResumeInfo
from runstream.sources.reconnect import Reconnect
from tests.sources.sse_reading import (
    failure,
    read,
    reading,
    saying,
)
from tests.support.http_peer import Exchange, block, http_serving
from tests.support.receiver import FakeReceiver, eventually

# Ends and losses


async def test_an_end_with_no_run_live_is_the_end() -> None:
    async with http_serving(saying(block("a"))) as peer:
        receiver = await read(peer.url)
    assert (receiver.data, receiver.connections, len(peer.requests)) == ([b"a"], 1, 1)


async def test_an_end_while_a_run_is_live_is_a_loss() -> None:
    """It is resumed by the last id."""

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
        await eventually(lambda: not peer.open, within=25)


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
        await eventually(lambda: receiver.connections >= 6, within=25)
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
        await receiver.until(1, within=25)
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
        await eventually(lambda: receiver.connections >= 4, within=25)
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
