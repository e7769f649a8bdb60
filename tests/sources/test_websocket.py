"""The WebSocket source against real sockets on loopback: what comes in, and what becomes of a connection."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.typing import Subprotocol

from runstream.errors import SourceFailed
from runstream.model.raw import RawEvent, RawItem
from runstream.sources.base import Source
from runstream.sources.connection_loop import Resume, ResumeInfo
from runstream.sources.reconnect import Reconnect
from runstream.sources.websocket import WebSocketSource
from tests.support.peers import raw_peer, serving
from tests.support.receiver import FakeReceiver, eventually

Answers = list[tuple[int, dict[str, str], bytes] | None]

FAST = Reconnect(initial=0.001, maximum=0.01, jitter=0.0, max_attempts=3)


async def read(url: str, receiver: FakeReceiver | None = None, *, within: float = 25.0, **options: Any) -> FakeReceiver:
    """Read a URL to the source's end."""
    receiver = receiver or FakeReceiver()
    async with asyncio.timeout(within):
        await WebSocketSource(url, **{"reconnect": FAST, **options}).run(receiver)
    return receiver


async def failure(url: str, receiver: FakeReceiver | None = None, **options: Any) -> SourceFailed:
    """Read a URL, and return how it failed."""
    with pytest.raises(SourceFailed) as caught:
        await read(url, receiver, **options)
    return caught.value


@asynccontextmanager
async def reading(url: str, receiver: FakeReceiver, **options: Any) -> AsyncIterator[asyncio.Task[None]]:
    """Read a URL meanwhile."""
    task = asyncio.create_task(WebSocketSource(url, **{"reconnect": FAST, **options}).run(receiver))
    try:
        yield task
    finally:
        task.cancel()
        async with asyncio.timeout(25):
            await asyncio.wait({task})


def saying(*messages: str | bytes, code: int = 1000, reason: str = "") -> Callable[..., Any]:
    async def handler(connection: ServerConnection, number: int) -> None:
        for message in messages:
            await connection.send(message)
        await connection.close(code, reason)

    return handler


# What comes in


async def test_text_and_binary_messages_come_in_as_they_were_sent() -> None:
    before = time.time()
    async with serving(saying('{"event":"ö"}', b'{"event":"\xc3\xb6"}', b"\xff\x00", "")) as peer:
        receiver = await read(peer.url)
    assert receiver.data == ['{"event":"ö"}'.encode(), b'{"event":"\xc3\xb6"}', b"\xff\x00", b""]
    assert receiver.log == [("connected", 0)]
    for item in receiver.items:
        assert isinstance(item, RawEvent)
        assert (item.event, item.id, item.last_id, item.line) == (None, None, None, 0)
        assert item.at is not None
        assert before <= item.at <= time.time()


async def test_a_fragmented_message_is_one_event() -> None:
    async def handler(connection: ServerConnection, number: int) -> None:
        await connection.send(["{", '"a"', ":1}"])

    async with serving(handler) as peer:
        assert (await read(peer.url)).data == [b'{"a":1}']


async def test_what_is_not_utf8_is_for_the_dialect_to_reject_and_ends_nothing() -> None:
    async def handler(connection: ServerConnection, number: int) -> None:
        await connection.send(b"\xff", text=True)
        await connection.send("after")

    async with serving(handler) as peer:
        assert (await read(peer.url)).data == [b"\xff", b"after"]


async def test_messages_of_a_compressed_connection_come_in_whole() -> None:
    async with serving(saying("a" * 10_000), compression="deflate") as peer:
        assert (await read(peer.url)).data == [b"a" * 10_000]


# What the server is told


async def test_headers_credentials_and_subprotocols_reach_the_server() -> None:
    async with serving(saying(), subprotocols=[Subprotocol("runs.v1")]) as peer:
        await read(peer.url, headers={"X-Team": "blue"}, auth="t0ken-value", subprotocols=["runs.v2", "runs.v1"])
    headers = peer.requests[0].headers
    assert headers["X-Team"] == "blue"
    assert headers["Authorization"] == "Bearer t0ken-value"
    assert headers["Sec-WebSocket-Protocol"] == "runs.v2, runs.v1"


async def later() -> dict[str, str]:
    await asyncio.sleep(0)
    return {"api-key": "k3y-value"}


@pytest.mark.parametrize(
    ("auth", "name", "value"),
    [
        ({"api-key": "k3y-value"}, "api-key", "k3y-value"),
        (lambda: "t0ken-value", "Authorization", "Bearer t0ken-value"),
        (later, "api-key", "k3y-value"),
        (lambda: None, "Authorization", None),
        (None, "Authorization", None),
    ],
)
async def test_credentials_are_values_or_functions(auth: Any, name: str, value: str | None) -> None:
    async with serving(saying()) as peer:
        await read(peer.url, auth=auth)
    assert peer.requests[0].headers.get(name) == value


async def test_credentials_replace_a_header_of_another_case() -> None:
    async with serving(saying()) as peer:
        await read(peer.url, headers={"authorization": "Basic old"}, auth="t0ken-value")
    assert peer.requests[0].headers.get_all("Authorization") == ["Bearer t0ken-value"]


async def from_id(last_id: str | None) -> list[str]:
    return [f"from {last_id}"]


@pytest.mark.parametrize(
    ("first", "sent"),
    [
        (("hello", b"\x01"), ["hello", b"\x01"]),
        ("hello", ["hello"]),
        (b"\x01", [b"\x01"]),
        (lambda last_id: [f"from {last_id}"], ["from None"]),
        (from_id, ["from None"]),
        ((), []),
    ],
)
async def test_first_messages_are_sent_before_anything_is_read(first: Any, sent: list[str | bytes]) -> None:
    got: list[Any] = []

    async def handler(connection: ServerConnection, number: int) -> None:
        got.extend([await connection.recv() for _ in sent])
        await connection.send("answer")

    async with serving(handler) as peer:
        assert (await read(peer.url, first_messages=first)).data == [b"answer"]
    assert got == sent


@pytest.mark.parametrize("what", ["first_messages", "auth", "resume"])
async def test_a_hook_that_raises_ends_the_source_without_its_words(what: str) -> None:
    def hook(*args: Any) -> Any:
        raise RuntimeError("s3cret")

    async with serving(saying("a", code=1011)) as peer:
        options: dict[str, Any] = {what: hook}
        failed = await failure(peer.url, **options)
    assert failed.reason == f"{what} raised RuntimeError"
    assert isinstance(failed.__cause__, RuntimeError)


# Bounds


async def test_a_message_beyond_the_limit_ends_the_source_and_is_not_read_into_memory() -> None:
    closed: list[int | None] = []

    async def handler(connection: ServerConnection, number: int) -> None:
        await connection.send("small")
        with suppress(Exception):
            await connection.send("x" * 2_000_000)
        await connection.wait_closed()
        closed.append(connection.close_code)

    receiver = FakeReceiver(live=True)
    async with serving(handler) as peer:
        failed = await failure(peer.url, receiver, max_message_bytes=1000)
        await asyncio.sleep(0.02)
    assert failed.reason == "a message is larger than max_message_bytes (1000)"
    assert receiver.data == [b"small"]
    assert len(peer.requests) == 1  # connecting again would bring the same message


async def test_a_message_at_the_limit_comes_in() -> None:
    async with serving(saying("x" * 1000)) as peer:
        assert (await read(peer.url, max_message_bytes=1000)).data == [b"x" * 1000]


async def test_a_compressed_message_beyond_the_limit_is_not_inflated() -> None:
    async with serving(saying("x" * 1_000_000), compression="deflate") as peer:
        failed = await failure(peer.url, max_message_bytes=100_000)
    assert "max_message_bytes (100000)" in failed.reason


async def _flood(sent: list[int]) -> Callable[..., Any]:
    async def handler(connection: ServerConnection, number: int) -> None:
        while True:
            await connection.send(b"x" * 10_000)
            sent[0] += 1

    return handler


async def test_a_synchronous_consumer_that_is_slow_slows_the_sender() -> None:
    sent = [0]
    lag: list[int] = []

    def slow(item: RawItem) -> None:
        time.sleep(0.002)
        lag.append(sent[0] - len(receiver.items))

    receiver = FakeReceiver(on_feed=slow)
    async with serving(await _flood(sent)) as peer, reading(peer.url, receiver):
        await receiver.until(100)
    # What is on its way: both sides' socket buffers, 32 KiB before the sender waits, one read, the queue.
    assert max(lag) < 1500
    assert max(lag[50:]) < max(lag[:50]) + 500


async def test_while_the_pipeline_is_held_the_sender_is_held_and_nothing_piles_up() -> None:
    sent = [0]
    receiver = FakeReceiver()
    async with serving(await _flood(sent)) as peer, reading(peer.url, receiver):
        await receiver.until(10)
        receiver.gate.clear()
        held = -1
        async with asyncio.timeout(25):
            while held != sent[0]:
                held = sent[0]
                await asyncio.sleep(0.1)
        fed = len(receiver.items)
        await asyncio.sleep(0.1)
        assert sent[0] == held  # the sender's `send` blocks
        assert len(receiver.items) <= fed + 1
        receiver.gate.set()
        await receiver.until(held + 10)  # and goes on, with nothing lost


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
    assert receiver.reasons == [f"the server closed the connection with code {code}: back soon forged"]


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1009])
async def test_a_server_that_wants_nothing_of_what_we_send_is_not_asked_again(code: int) -> None:
    async with serving(saying(code=code, reason="no such run")) as peer:
        failed = await failure(peer.url, FakeReceiver(live=True))
    assert failed.reason == f"the server closed the connection with code {code}: no such run"
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
    async with serving(await _flood(sent)) as peer, reading(peer.url, receiver, **options):
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


# Refusals


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
async def test_a_refusal_is_final_and_says_what_the_server_said(status: int) -> None:
    body = b'{"error": {"code": "x", "message": "No run of\\nthis name"}}'
    async with serving(answers=[(status, {"Content-Type": "application/json"}, body)]) as peer:
        failed = await failure(f"{peer.url}/runs?key=abcdef")
    assert failed.reason.startswith(f"{peer.url}/runs?key=*** refused the connection with HTTP {status} ")
    assert failed.reason.endswith(": No run of this name")
    assert (failed.attempts, len(peer.requests)) == (1, 1)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_busy_server_is_tried_again_even_at_first(status: int) -> None:
    async with serving(saying("a"), answers=[(status, {}, b"busy"), (status, {}, b"busy")]) as peer:
        receiver = await read(peer.url)
    assert receiver.data == [b"a"]
    assert receiver.log == [("disconnected", 1), ("disconnected", 2), ("connected", 2)]
    assert receiver.reasons[0].endswith(": busy")


async def test_a_busy_server_is_given_up_in_the_end() -> None:
    async with serving(answers=[(503, {}, b"")] * 9) as peer:
        failed = await failure(peer.url)
    assert "HTTP 503" in failed.reason
    assert (failed.attempts, len(peer.requests)) == (3, 4)


async def test_the_server_says_how_long_to_wait() -> None:
    policy = Reconnect(initial=0.001, jitter=0.0, max_retry_after=0.15)
    async with serving(saying("a"), answers=[(429, {"Retry-After": "60"}, b"")]) as peer:
        await read(peer.url, reconnect=policy)
    assert peer.times[1] - peer.times[0] >= 0.15


async def test_credentials_that_expired_are_asked_for_once_more() -> None:
    tokens = iter(["first-token", "stale-token", "fresh-token"])
    answers: Answers = [None, (401, {}, b""), None]
    async with serving(saying("a", code=1011), answers=answers) as peer:
        receiver = FakeReceiver()
        async with reading(peer.url, receiver, auth=lambda: next(tokens)):
            await receiver.until(2)
    sent = [request.headers["Authorization"] for request in peer.requests[:3]]
    assert sent == ["Bearer first-token", "Bearer stale-token", "Bearer fresh-token"]


async def test_a_second_401_is_final_and_says_so() -> None:
    answers: Answers = [None, (401, {}, b"expired"), (401, {}, b"expired")]
    receiver = FakeReceiver(live=True)
    async with serving(saying("a", code=1011), answers=answers) as peer:
        failed = await failure(peer.url, receiver, auth=lambda: "t0ken-value")
    assert failed.reason.endswith("401 Unauthorized: expired (credentials were asked for again)")
    assert len(peer.requests) == 3


@pytest.mark.parametrize(("auth", "first"), [("t0ken-value", True), (lambda: "t0ken-value", False)])
async def test_a_401_is_final_where_there_is_nobody_to_ask_or_never_was_success(auth: Any, first: bool) -> None:
    answers: Answers = [None, (401, {}, b"")] if first else [(401, {}, b"")]
    async with serving(saying("a", code=1011), answers=answers) as peer:
        failed = await failure(peer.url, FakeReceiver(live=True), auth=auth)
    assert "HTTP 401" in failed.reason
    assert len(peer.requests) == len(answers)


async def test_a_redirect_is_not_followed_because_headers_hold_secrets() -> None:
    async with serving() as other:
        answers: Answers = [(302, {"Location": f"{other.url}/in?token=abcdef"}, b"")]
        async with serving(answers=answers) as peer:
            failed = await failure(peer.url, auth="t0ken-value")
    assert failed.reason.endswith(f"it redirects to {other.url}/in?token=***, which is not followed")
    assert other.requests == []


async def test_a_first_connection_that_nobody_answers_is_an_error_at_once() -> None:
    async with serving() as peer:
        pass
    failed = await failure(peer.url, reconnect=Reconnect(initial=3600, maximum=3600, jitter=0.0))
    assert failed.reason.startswith(f"Could not connect to {peer.url}: ")


async def test_a_server_that_never_answers_the_handshake_is_left_in_time() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2)

    async with raw_peer(silent, handshake=False) as url:
        failed = await failure(url, open_timeout=0.05)
    assert failed.reason.endswith(": it took too long")


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "no url", "ws://", "ws://u:s3cretpw@/"])
async def test_what_is_no_websocket_url_is_refused_without_showing_it(url: str) -> None:
    failed = await failure(url)
    assert failed.reason == f"Not a WebSocket URL: {url if url.startswith('http') else '(invalid URL)'}"


# Leaving


@pytest.mark.parametrize("held", [False, True])
async def test_cancelling_closes_the_socket_soon(held: bool) -> None:
    sent = [0]
    receiver = FakeReceiver()
    async with serving(await _flood(sent)) as peer:
        async with reading(peer.url, receiver, close_timeout=3600) as task:
            await receiver.until(10)
            if held:
                receiver.gate.clear()
                await asyncio.sleep(0.2)
            task.cancel()
            await asyncio.wait({task}, timeout=25)
            assert task.cancelled()
        await eventually(lambda: not peer.open)


async def test_cancelling_does_not_wait_for_a_peer_that_is_gone() -> None:
    async def stalls(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x81\x01a")
        await asyncio.sleep(3600)

    receiver = FakeReceiver()
    async with raw_peer(stalls) as url, reading(url, receiver, close_timeout=0.1) as task:
        await receiver.until(1)
        task.cancel()
        await asyncio.wait({task}, timeout=25)
        assert task.cancelled()


async def test_cancelling_while_it_waits_to_connect_again_is_heeded() -> None:
    receiver = FakeReceiver(live=True)
    slow = Reconnect(initial=60, maximum=60, jitter=0.0)
    async with serving(saying("a")) as peer, reading(peer.url, receiver, reconnect=slow) as task:
        await eventually(lambda: bool(receiver.reasons))
        task.cancel()
        await asyncio.wait({task}, timeout=25)
        assert task.cancelled()


async def test_what_a_subscriber_raises_comes_through_and_closes_the_socket() -> None:
    def raises(item: RawItem) -> None:
        raise TimeoutError("the subscriber's own")

    async with serving(await _flood([0])) as peer:
        with pytest.raises(TimeoutError, match="the subscriber's own"):
            await read(peer.url, FakeReceiver(on_feed=raises))
        await eventually(lambda: not peer.open)


async def test_what_is_raised_at_the_connection_closes_the_socket_too() -> None:
    class Raises(FakeReceiver):
        def connected(self, attempt: int = 0) -> None:
            raise LookupError("the subscriber's own")

    async with serving(saying("1")) as peer:
        with pytest.raises(LookupError, match="the subscriber's own"):
            await read(peer.url, Raises())
        await eventually(lambda: not peer.open)


# Secrets


async def test_no_secret_is_in_any_reason_name_or_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secrets = ("alice-user", "p4ssw0rd", "qu3ry-value", "t0ken-value", "h3ader-value")
    echo = " ".join(secrets).encode()

    async def handler(connection: ServerConnection, number: int) -> None:
        await connection.send(f"{number}")
        await connection.close(1011, " ".join(secrets[:4]))

    seen: list[str] = []
    plans: list[Any] = [
        [None, (403, {}, echo)],
        [(503, {}, echo)] * 9,
        [(302, {"Location": "ws://h/?a=qu3ry-value"}, b"")],
    ]
    for answers in plans:
        logger = logging.getLogger("tests.silent")
        logger.setLevel(logging.CRITICAL)
        async with serving(handler, answers=answers, logger=logger) as peer:
            url = peer.url.replace("ws://", "ws://alice-user:p4ssw0rd@") + "/runs?token=qu3ry-value"
            source = WebSocketSource(url, auth="t0ken-value", headers={"X-Key": "h3ader-value"}, reconnect=FAST)
            receiver = FakeReceiver(live=True)
            with pytest.raises(SourceFailed) as failed:
                await source.run(receiver)
            seen += [source.name, repr(source), failed.value.reason, repr(failed.value), *receiver.reasons]
    seen += [record.getMessage() for record in caplog.records]
    assert len(seen) > 10
    assert not [text for text in seen for secret in secrets if secret in text]


def test_it_is_a_source_with_a_name() -> None:
    assert isinstance(WebSocketSource("ws://h/"), Source)
    assert WebSocketSource("ws://u:p@h/?k=v").name == "ws://***@h/?k=***"
    assert WebSocketSource("ws://h/", name="runs").name == "runs"
