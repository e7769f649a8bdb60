"""The SSE source against servers that refuse or redirect, and URLs and options that are invalid."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.sources.reconnect import Reconnect
from tests.sources.sse_reading import (
    failure,
    no_answer,
    no_answer_in_time,
    read,
    saying,
)
from tests.support.http_peer import Answer, Exchange, Respond, block, http_serving
from tests.support.receiver import FakeReceiver, eventually

# Refusals


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
async def test_a_refusal_is_final_and_says_what_the_server_said(status: int, method: str) -> None:
    body = b'{"error": {"code": "x", "message": "No run of\\nthis name"}}'
    async with http_serving(answers=[(status, {"Content-Type": "application/json"}, body)]) as peer:
        failed = await failure(f"{peer.url}/runs?key=abcdef", method=method)
    assert failed.reason.startswith(f"{peer.url}/runs?key=*** refused the connection with HTTP {status} ")
    assert failed.server_message == "No run of this name"
    assert failed.server_message not in failed.summary
    assert failed.reason == f"{failed.summary}: No run of this name"
    assert (failed.attempts, len(peer.requests)) == (1, 1)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
async def test_a_busy_server_is_tried_again_even_at_first(status: int) -> None:
    async with http_serving(saying(block("a")), answers=[(status, {}, b"busy"), (status, {}, b"busy")]) as peer:
        receiver = await read(peer.url)
    assert receiver.data == [b"a"]
    assert receiver.log == [("disconnected", 1), ("disconnected", 2), ("connected", 2)]
    assert "busy" not in receiver.reasons[0]
    assert receiver.server_messages == ["busy", "busy"]


async def test_the_server_says_how_long_to_wait() -> None:
    policy = Reconnect(initial=0.001, jitter=0.0, max_retry_after=0.15)
    async with http_serving(saying(block("a")), answers=[(429, {"Retry-After": "60"}, b"")]) as peer:
        await read(peer.url, reconnect=policy)
    assert peer.times[1] - peer.times[0] >= 0.15


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("application/json", b'{"error": {"message": "stream must be true"}}', "stream must be true"),
        ("text/html; charset=utf-8", b"<html>", ""),
        ("text/event-streams", b"", ""),
        ("no such type: try later", b"", ""),
        (None, b"data: 1\n\n", "data: 1"),
    ],
)
async def test_another_media_type_is_refused(kind: str | None, body: bytes, said: str) -> None:
    headers = {"Content-Type": kind} if kind else {}
    async with http_serving(answers=[(200, headers, body)]) as peer:
        failed = await failure(peer.url)
    shown = kind.partition(";")[0] if kind else "no content type"
    shown = "another content type" if " " in shown and kind else shown
    assert failed.summary == f"{peer.url} answered with {shown} where text/event-stream is needed"
    is_structured = kind == "application/json"
    assert failed.reason == (f"{failed.summary}: {said}" if is_structured else failed.summary)
    assert failed.server_message == said
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
        await eventually(lambda: not peer.open, within=25)
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
    assert failed.reason.endswith("401 Unauthorized (credentials were asked for again)")
    assert failed.server_message == "expired"
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
    assert failed.reason.endswith("it redirects, which is not followed")
    assert failed.server_message == f"{other.url}/in?token=***"
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
