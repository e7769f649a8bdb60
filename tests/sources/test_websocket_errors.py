"""The WebSocket source against servers that refuse the connection or never answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runstream.sources.reconnect import Reconnect
from tests.sources.websocket_reading import Answers, failure, read, reading, saying
from tests.support.peers import raw_peer, serving
from tests.support.receiver import FakeReceiver


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
async def test_a_refusal_is_final_and_says_what_the_server_said(status: int) -> None:
    body = b'{"error": {"code": "x", "message": "No run of\\nthis name"}}'
    async with serving(answers=[(status, {"Content-Type": "application/json"}, body)]) as peer:
        failed = await failure(f"{peer.url}/runs?key=abcdef")
    assert failed.reason.startswith(f"{peer.url}/runs?key=*** refused the connection with HTTP {status} ")
    assert failed.server_message == "No run of this name"
    assert failed.server_message not in failed.summary
    assert failed.reason == f"{failed.summary}: No run of this name"
    assert (failed.attempts, len(peer.requests)) == (1, 1)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_busy_server_is_tried_again_even_at_first(status: int) -> None:
    async with serving(saying("a"), answers=[(status, {}, b"busy"), (status, {}, b"busy")]) as peer:
        receiver = await read(peer.url)
    assert receiver.data == [b"a"]
    assert receiver.log == [("disconnected", 1), ("disconnected", 2), ("connected", 2)]
    assert "busy" not in receiver.reasons[0]
    assert receiver.server_messages == ["busy", "busy"]


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
    assert failed.reason.endswith("401 Unauthorized (credentials were asked for again)")
    assert failed.server_message == "expired"
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
    assert failed.reason.endswith("it redirects, which is not followed")
    assert failed.server_message == f"{other.url}/in?token=***"
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
