"""The WebSocket source against real sockets on loopback: messages, the handshake, secrets."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.typing import Subprotocol

from runstream.errors import SourceFailed
from runstream.model.raw import RawEvent
from runstream.sources.base import Source
from runstream.sources.websocket import WebSocketSource
from tests.sources.reading import FAST
from tests.sources.websocket_reading import failure, read, saying
from tests.support.peers import serving
from tests.support.receiver import FakeReceiver

# Messages


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


# The handshake and first messages


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
