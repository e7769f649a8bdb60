"""The WebSocket source over several connections: ends, losses, and connecting again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from runstream.sources.connection_loop import Resume, ResumeInfo
from runstream.sources.reconnect import Reconnect
from tests.sources.websocket_reading import failure, flood, read, reading, saying
from tests.support.peers import raw_peer, serving
from tests.support.receiver import FakeReceiver, eventually

# Ends and losses


@pytest.mark.parametrize("code", [1000, 1001])
async def test_a_normal_close_with_no_run_live_is_the_end(code: int) -> None:
    async with serving(saying("a", code=code)) as peer:
        receiver = await read(peer.url)
    assert (receiver.data, receiver.connections, len(peer.requests)) == ([b"a"], 1, 1)


async def test_a_close_frame_without_a_code_is_normal() -> None:
    async def bare(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x81\x01a\x88\x00")
        await reader.read(100)

    async with raw_peer(bare) as url:
        assert (await read(url)).data == [b"a"]


@pytest.mark.parametrize("code", [1000, 1001])
async def test_a_normal_close_while_a_run_is_live_is_a_loss(code: int) -> None:
    receiver = FakeReceiver(live=True)

    async def handler(connection: ServerConnection, number: int) -> None:
        await connection.send(f"{number}")
        receiver.live = number < 1
        await asyncio.sleep(0.01)
        await connection.close(code)

    async with serving(handler) as peer:
        await read(peer.url, receiver)
    assert receiver.data == [b"0", b"1"]
    assert receiver.log == [("connected", 0), ("disconnected", 1), ("connected", 1)]
    assert receiver.reasons == [f"the server closed the connection with code {code}"]


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("code", [1003, 1008, 1011, 1012, 1013, 4000])
async def test_any_other_close_is_a_loss(code: int, live: bool) -> None:
    async def handler(connection: ServerConnection, number: int) -> None:
        await connection.send(f"{number}")
        receiver.live = live and number < 1
        await connection.close(1000 if number else code, "" if number else "back soon\nforged")

    receiver = FakeReceiver(live=live)
    async with serving(handler) as peer:
        await read(peer.url, receiver)
    assert receiver.data == [b"0", b"1"]
    assert receiver.reasons == [f"the server closed the connection with code {code}"]
    assert receiver.server_messages == ["back soon forged"]


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1009])
async def test_a_server_that_wants_nothing_of_what_we_send_is_not_asked_again(code: int) -> None:
    async with serving(saying(code=code, reason="no such run")) as peer:
        failed = await failure(peer.url, FakeReceiver(live=True))
    assert str(failed) == failed.reason == f"the server closed the connection with code {code}"
    assert failed.server_message == "no such run"
    assert len(peer.requests) == 1


async def test_a_connection_that_breaks_off_is_a_loss() -> None:
    async def handler(connection: ServerConnection, number: int) -> None:
        await connection.send(f"{number}")
        if number == 0:
            await asyncio.sleep(0.01)
            connection.transport.abort()

    async with serving(handler) as peer:
        receiver = await read(peer.url)
    assert receiver.data == [b"0", b"1"]
    assert receiver.reasons == ["the connection broke off"]


@pytest.mark.parametrize(
    ("bytes_sent", "reason"),
    [
        (b"\x81\x7e\x01\x00half of it", "the connection broke off"),
        (b"\xff\xff\xff\xffgarbage", "the server broke the WebSocket protocol"),
    ],
)
async def test_half_a_message_and_garbage_are_losses_and_no_messages(bytes_sent: bytes, reason: str) -> None:
    async def bad(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes_sent)
        await writer.drain()

    receiver = FakeReceiver()
    async with raw_peer(bad) as url:
        failed = await failure(url, receiver)
    assert (failed.reason, failed.attempts, receiver.items) == (reason, 3, [])


async def test_a_peer_that_falls_silent_is_found_out() -> None:
    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x81\x01a")
        await asyncio.sleep(2)

    receiver = FakeReceiver(live=True)
    async with raw_peer(stalls) as url:
        failed = await failure(url, receiver, reconnect=None, ping_interval=0.05, ping_timeout=0.05, close_timeout=0.05)
    assert receiver.data == [b"a"]
    assert failed.reason == "the server did not answer a ping for 0.05 seconds"


async def test_a_slow_consumer_is_not_taken_for_a_silent_peer() -> None:
    """While reading is held no pong is seen; that is our doing, not the peer's."""
    sent = [0]
    receiver = FakeReceiver()
    options = {"ping_interval": 0.03, "ping_timeout": 0.03, "close_timeout": 0.05}
    async with serving(await flood(sent)) as peer, reading(peer.url, receiver, **options):
        await receiver.until(10)
        receiver.gate.clear()
        await asyncio.sleep(0.4)
        count = len(receiver.items)
        receiver.gate.set()
        await receiver.until(count + 1000)
    assert receiver.log == [("connected", 0)]


# Connecting again


async def test_a_server_that_accepts_and_closes_causes_no_storm() -> None:
    policy = Reconnect(initial=0.02, maximum=1.0, jitter=0.0, max_attempts=4)
    receiver = FakeReceiver(live=True)
    async with serving(saying()) as peer:
        failed = await failure(peer.url, receiver, reconnect=policy)
    pauses = [b - a for a, b in zip(peer.times, peer.times[1:], strict=False)]
    assert len(pauses) == 4
    assert all(pause >= least for pause, least in zip(pauses, (0.02, 0.04, 0.08, 0.16), strict=True))
    assert failed.attempts == 4
    assert receiver.log == [("connected", 0), *((w, n) for n in range(1, 5) for w in ("disconnected", "connected"))]


async def test_a_message_starts_the_count_anew() -> None:
    async def handler(connection: ServerConnection, number: int) -> None:
        if number % 3 == 2:
            await connection.send(f"{number}")
        receiver.live = number < 11
        await connection.close(1000 if number == 11 else 1011)

    receiver = FakeReceiver(live=True)
    async with serving(handler) as peer:
        await read(peer.url, receiver)
    assert receiver.data == [b"2", b"5", b"8", b"11"]
    assert max(attempt for _, attempt in receiver.log) == 3


async def test_half_a_run_told_again_and_again_is_not_asked_for_without_end() -> None:
    """A replay that comes no further is no progress, although it is made of messages."""
    receiver = FakeReceiver(live=True)
    async with serving(saying("created", "in progress")) as peer:
        failed = await failure(peer.url, receiver)
    assert failed.reason == "the server closed the connection with code 1000"
    assert len(peer.requests) == 4


async def test_without_a_policy_a_loss_is_final() -> None:
    async with serving(saying("a")) as peer:
        failed = await failure(peer.url, FakeReceiver(live=True), reconnect=None)
    assert (failed.attempts, len(peer.requests)) == (0, 1)


async def test_a_restarted_process_says_what_it_had_last() -> None:
    """The id of an earlier process, which the store kept, goes to the hooks at the very first connection."""
    asked: list[ResumeInfo] = []
    got: list[Any] = []

    def resume(info: ResumeInfo) -> Resume | None:
        asked.append(info)
        return Resume(url=f"{peer.url}/again")

    async def handler(connection: ServerConnection, number: int) -> None:
        got.append(await connection.recv())

    async with serving(handler) as peer:
        await read(peer.url, FakeReceiver(last_id="e7"), resume=resume, first_messages=lambda last: [f"start {last}"])
    assert asked == [ResumeInfo(last_id="e7", attempt=0, reason="")]
    assert got == ["start e7"]
    assert [request.path for request in peer.requests] == ["/again"]


async def test_how_to_resume_is_asked_with_what_is_known() -> None:
    asked: list[ResumeInfo] = []
    got: list[Any] = []

    async def resume(info: ResumeInfo) -> Resume | None:
        asked.append(info)
        if info.last_id is None:
            return None
        return Resume(url=f"{peer.url}/again", headers={"Last-Event-ID": info.last_id}, first_messages=["go on"])

    async def handler(connection: ServerConnection, number: int) -> None:
        got.append(await connection.recv())
        await connection.send(f"{number}")
        receiver.live = number < 2
        receiver.last_id = "e7" if number else None
        await asyncio.sleep(0.01)
        await connection.close(1000 if number == 2 else 1012)

    receiver = FakeReceiver(live=True)
    async with serving(handler) as peer:
        await read(peer.url, receiver, resume=resume, first_messages=lambda last: [f"start {last}"])
    assert asked == [
        ResumeInfo(last_id=None, attempt=1, reason="the server closed the connection with code 1012"),
        ResumeInfo(last_id="e7", attempt=1, reason="the server closed the connection with code 1012"),
    ]
    assert got == ["start None", "start None", "go on"]
    assert [request.path for request in peer.requests] == ["/", "/", "/again"]
    assert peer.requests[2].headers["Last-Event-ID"] == "e7"


async def test_an_aged_connection_is_replaced_at_once_and_loses_nothing() -> None:
    async def handler(connection: ServerConnection, number: int) -> None:
        for tick in range(1000):
            await connection.send(f"{number}/{tick}")
            sent.append(f"{number}/{tick}".encode())
            await asyncio.sleep(0.001)

    sent: list[bytes] = []
    receiver = FakeReceiver()
    policy = Reconnect(initial=10, maximum=10, jitter=0.0, max_attempts=0 + 1, max_connection_age=0.1)
    async with serving(handler) as peer, reading(peer.url, receiver, reconnect=policy):
        await eventually(lambda: receiver.connections >= 4)
        mine = set(receiver.data)
    assert set(receiver.reasons) == {"the connection reached its age limit"}
    assert {data for data in sent if data.startswith((b"0/", b"1/", b"2/"))} <= mine


async def test_a_quiet_connection_is_replaced_at_its_age_for_ever() -> None:
    async def quiet(connection: ServerConnection, number: int) -> None:
        await connection.wait_closed()

    receiver = FakeReceiver()
    policy = Reconnect(max_attempts=1, max_connection_age=0.02)
    async with serving(quiet) as peer, reading(peer.url, receiver, reconnect=policy) as task:
        await eventually(lambda: receiver.connections >= 6)
        assert not task.done()
        assert len(peer.requests) >= 6


async def test_first_messages_and_credentials_are_asked_for_on_each_connect() -> None:
    got: list[Any] = []
    tokens = iter(["token-1", "token-2", "token-3"])

    async def handler(connection: ServerConnection, number: int) -> None:
        got.append(await connection.recv())
        await connection.send(f"{number}")
        receiver.last_id = f"e{number}"
        receiver.live = number < 2
        await asyncio.sleep(0.01)
        await connection.close(1000 if number == 2 else 1012)

    receiver = FakeReceiver(live=True)
    async with serving(handler) as peer:
        await read(peer.url, receiver, first_messages=from_id_later, auth=lambda: next(tokens))
    assert got == ["from None", "from e0", "from e1"]
    assert [request.headers["Authorization"] for request in peer.requests] == [
        "Bearer token-1",
        "Bearer token-2",
        "Bearer token-3",
    ]


async def from_id_later(last_id: str | None) -> str:
    await asyncio.sleep(0)
    return f"from {last_id}"


async def test_a_server_that_goes_away_for_good_is_given_up() -> None:
    gone = asyncio.Event()

    async def handler(connection: ServerConnection, number: int) -> None:
        await connection.send("a")
        await gone.wait()
        connection.transport.abort()

    receiver = FakeReceiver(live=True)
    async with serving(handler) as peer:
        task = asyncio.create_task(failure(peer.url, receiver, within=25))
        await receiver.until(1)
        gone.set()
    failed = await task
    assert failed.reason.startswith("Could not connect to ")
    assert failed.attempts == 3
    assert receiver.data == [b"a"]
    assert [attempt for what, attempt in receiver.log if what == "disconnected"] == [1, 2, 3]
