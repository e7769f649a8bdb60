"""`check_url`: real servers on loopback; what their responses break beside the rules of the protocol."""

from __future__ import annotations

import asyncio
import gzip
import json

import pytest

from runstream import SourceFailed, check_url
from tests.checker.streams import blocks_of, errors, notes, responses_events
from tests.support.http_peer import Exchange, http_serving
from tests.support.peers import serving

BODY = blocks_of([(event["type"], event, None) for event in responses_events()])


async def test_a_conforming_response() -> None:
    """One request with the method, body and headers; nothing is broken, and the URL's secrets are not in the report."""

    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.send(BODY[:100])
        await exchange.send(BODY[100:])

    async with http_serving(respond) as peer:
        url = peer.url.replace("://", "://me:secret@") + "?key=secret"
        report = await check_url(url, method="POST", content=b"{}", headers={"X-Own": "1"})
        assert len(peer.requests) == 1
        assert (peer.requests[0].method, peer.requests[0].body) == ("POST", b"{}")
        assert peer.requests[0].header("x-own") == "1"
    assert report.findings == ()
    assert [(run.status, run.characters) for run in report.runs] == [("requires_action", 11)]
    assert "secret" not in str(report)


async def test_wrong_heads() -> None:
    """The status, the content type, and a body that breaks off; the events of a wrong type are read nonetheless."""

    async def respond(exchange: Exchange, number: int) -> None:
        if number == 0:
            await exchange.answer(503, body=b"busy")
        elif number == 1:
            await exchange.start(content_type="application/json")
            await exchange.send(BODY)
        elif number == 2:
            await exchange.send(BODY[:-20])
            exchange.abort()
        elif number == 3:
            await exchange.start(headers={"Content-Encoding": "gzip"})
            await exchange.send(gzip.compress(BODY))
        else:
            await exchange.start(headers={"Content-Encoding": "gzip"})
            await exchange.send(b"no gzip")

    async with http_serving(respond) as peer:
        reports = [await check_url(peer.url) for _ in range(5)]
    assert errors(reports[0]) == {"http_status", "no_events"}
    assert reports[0].errors[0].places[0].detail == "status 503"
    assert errors(reports[1]) == {"content_type"}
    assert reports[1].events == 14
    assert errors(reports[2]) >= {"connection", "terminal_event"}
    assert reports[3].ok
    assert errors(reports[4]) == {"connection", "no_events"}


async def test_a_time_limit_ends_no_run() -> None:
    """A check that stops before the stream does checks no rule of the end."""

    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.send(BODY[:1000])
        await asyncio.sleep(30)

    async with http_serving(respond) as peer:
        report = await check_url(peer.url, timeout=1)
    assert report.stopped
    assert report.ok
    assert report.events


async def test_a_socket() -> None:
    """Frames of a WebSocket, until its normal end, and one that is cut."""
    frames = [json.dumps(event) for event in responses_events()]

    async def whole(socket, number) -> None:  # type: ignore[no-untyped-def]
        for frame in frames:
            await socket.send(frame)

    async with serving(whole) as peer:
        report = await check_url(peer.url)
    assert report.findings == ()
    assert report.events == len(frames)

    async def cut(socket, number) -> None:  # type: ignore[no-untyped-def]
        for frame in frames[:5]:
            await socket.send(frame)
        socket.transport.abort()

    async with serving(cut) as peer:
        report = await check_url(peer.url)
    assert errors(report) == {"connection", "terminal_event"}
    assert notes(report) == set()


@pytest.mark.parametrize("scheme", ["http", "ws"])
async def test_no_server(scheme: str) -> None:
    """A server that can't be reached gives no report."""
    with pytest.raises(SourceFailed, match="Could not connect"):
        await check_url(f"{scheme}://127.0.0.1:9/")


async def test_wrong_options() -> None:
    """A WebSocket has no body, and a time limit is positive."""
    with pytest.raises(ValueError, match="WebSocket"):
        await check_url("ws://127.0.0.1:9/", content=b"{}")
    with pytest.raises(ValueError, match="timeout"):
        await check_url("http://127.0.0.1:9/", timeout=-1)
