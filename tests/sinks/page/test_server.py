"""The page's server with real sockets: what it serves, to whom, and what becomes of clients that do not read."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

import msgspec
import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from runstream import PageFeed, PageServer, serve_page
from runstream.sinks.page.diff import apply
from tests.sinks.page.support import Fed, fed, said, shown
from tests.support.receiver import eventually

WITHIN = 20.0


async def get(url: str, *lines: str, method: str = "GET", host: str | None = None) -> tuple[int, dict[str, str], bytes]:
    """Ask for a page, with any headers; gives status, headers and body."""
    parts = urlsplit(url)
    assert parts.port is not None
    async with asyncio.timeout(WITHIN):
        reader, writer = await asyncio.open_connection("127.0.0.1", parts.port)
        head = [f"{method} {parts.path or '/'} HTTP/1.1", f"Host: {host or parts.netloc}", *lines]
        writer.write("\r\n".join([*head, "", ""]).encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    top, _, body = answer.partition(b"\r\n\r\n")
    first, *fields = top.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}
    return int(first.split()[1]), headers, body


@asynccontextmanager
async def page_of(source: Fed, **options: Any) -> AsyncIterator[PageServer]:
    feed = PageFeed(source.stream, rate=200)
    async with serve_page(feed, **options) as page:
        yield page


def socket_url(page: PageServer) -> str:
    return page.url.replace("http://", "ws://") + "socket"


async def read_until(client: ClientConnection, page: dict[str, Any], holds: Any) -> dict[str, Any]:
    """Apply frames until the page is as wanted."""
    async with asyncio.timeout(WITHIN):
        while not holds(page):
            page = apply(page, msgspec.json.decode(await client.recv()))
    return page


def texts(page: dict[str, Any]) -> list[str]:
    return [block["text"] for run in page.get("runs", {}).values() for block in run["blocks"].values()]


# HTTP


async def test_the_page_and_its_files() -> None:
    async with fed() as source, page_of(source) as page:
        assert page.url.startswith("http://127.0.0.1:")
        status, headers, body = await get(page.url)
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert int(headers["content-length"]) == len(body)
        names = re.findall(r'(?:href|src)="([^"#]+)"', body.decode())
        assert sorted(names) == ["icon.svg", "page.css", "page.js"]
        for name in names:
            status, headers, body = await get(page.url + name)
            assert status == 200
            assert body
            assert "http" not in re.sub(r"http://www\.w3\.org/2000/svg|https?:\"", "", body.decode()), name


async def test_the_policy_lets_in_nothing_but_the_page_itself() -> None:
    async with fed() as source, page_of(source) as page:
        for path in ("", "page.js", "nothing"):
            _, headers, _ = await get(page.url + path)
            policy = headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
        _, _, html = await get(page.url)
        assert not re.search(rb"<style|<script(?! src=)| style=| on\w+=", html)
        _, _, script = await get(page.url + "page.js")
        assert not re.search(rb"\.(innerHTML|outerHTML|insertAdjacentHTML)|document\.write|eval\(", script)


@pytest.mark.parametrize("path", ["nothing", "../feed.py", "%2e%2e/feed.py", "static/page.js", "page.js/", "/page.js"])
async def test_there_is_nothing_else(path: str) -> None:
    async with fed() as source, page_of(source) as page:
        assert (await get(page.url + path))[0] == 404


async def test_the_socket_without_a_handshake_is_an_error_of_the_client() -> None:
    async with fed() as source, page_of(source) as page:
        assert (await get(page.url + "socket"))[0] == 426


async def test_junk_is_no_trouble() -> None:
    """Neither to the server nor to a log."""
    async with fed() as source, page_of(source) as page:
        with capture_logs() as logs:
            for junk in (b"", b"\x16\x03\x01junk", b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHo"):
                with socket.create_connection(("127.0.0.1", urlsplit(page.url).port or 0)) as plain:
                    plain.sendall(junk)
            assert (await get(page.url))[0] == 200
        assert logs == []


# Who may connect


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
async def test_pages_of_other_sites_may_not_connect(origin: str) -> None:
    async with fed() as source, page_of(source) as page:
        with pytest.raises(InvalidStatus) as refused:
            await connect(socket_url(page), origin=origin, proxy=None)  # type: ignore[arg-type]
        assert refused.value.response.status_code == 403
        assert page.feed.clients == 0


async def test_its_own_page_and_listed_sites_may_connect() -> None:
    async with fed() as source, page_of(source, origins=["https://friend.example"]) as page:
        for origin in (page.url.rstrip("/"), "https://friend.example", None):
            async with connect(socket_url(page), origin=origin, proxy=None) as client:  # type: ignore[arg-type]
                await read_until(client, {}, bool)


async def test_a_name_that_was_made_to_point_here_is_refused() -> None:
    async with fed() as source, page_of(source) as page:
        for path in ("", "page.js", "socket"):
            status, headers, body = await get(page.url + path, host="evil.example")
            assert status == 403
            assert b"origins" in body
            assert "content-security-policy" in headers


async def test_two_origins_are_none() -> None:
    async with fed() as source, page_of(source) as page:
        own = f"Origin: {page.url.rstrip('/')}"
        assert (await get(page.url, own))[0] == 200
        assert (await get(page.url, own, own))[0] == 403


async def test_listening_for_others_is_warned_of() -> None:
    async with fed() as source:
        with capture_logs() as logs:
            async with serve_page(source.stream, host="0.0.0.0"):
                pass
            async with serve_page(source.stream, host="localhost"):
                pass
        assert [(log["event"], log["log_level"], log["host"]) for log in logs] == [
            ("page_exposed", "warning", "0.0.0.0")
        ]


async def test_what_is_no_origin_is_refused_before_anything_listens() -> None:
    async with fed() as source:
        with pytest.raises(ValueError, match="an origin is written"):
            async with serve_page(source.stream, origins=["friend.example"]):
                pass


# What clients get


async def test_the_present_state_first_then_what_changes() -> None:
    async with fed() as source, page_of(source) as page:
        await source.feed(said("run_1", "Hello."))
        async with connect(socket_url(page), proxy=None) as client:
            seen = await read_until(client, {}, lambda page: texts(page) == ["Hello."])
            await source.feed(said("run_2", "Half a", " word", end=None))
            seen = await read_until(client, seen, lambda page: texts(page) == ["Hello.", "Half a word"])
            async with connect(socket_url(page), proxy=None) as late:
                first = shown([msgspec.json.decode(await late.recv())])
                assert first["runs"] == seen["runs"]


async def test_what_clients_send_is_thrown_away_and_too_much_ends_them() -> None:
    async with fed() as source, page_of(source) as page, connect(socket_url(page), proxy=None) as client:
        for _ in range(100):
            await client.send("hello?")
        await source.feed(said("run_1", "Hello."))
        await read_until(client, {}, lambda page: texts(page) == ["Hello."])
        await client.send("x" * 10_000)
        with pytest.raises(ConnectionClosed):
            await read_until(client, {}, lambda page: False)
        assert client.close_code == 1009


async def test_a_client_that_leaves_is_forgotten() -> None:
    async with fed() as source, page_of(source) as page:
        async with connect(socket_url(page), proxy=None):
            await eventually(lambda: page.feed.clients == 1, WITHIN)
        await eventually(lambda: page.feed.clients == 0, WITHIN)


async def test_more_clients_than_the_bound_are_sent_away() -> None:
    async with fed() as source, page_of(source, max_clients=1) as page:
        async with connect(socket_url(page), proxy=None) as client:
            await read_until(client, {}, bool)
            with pytest.raises(InvalidStatus) as refused:
                await connect(socket_url(page), proxy=None)
            assert refused.value.response.status_code == 503
            assert (await get(page.url))[0] == 200
        await eventually(lambda: page.feed.clients == 0, WITHIN)
        async with connect(socket_url(page), proxy=None) as client:
            await read_until(client, {}, bool)


@asynccontextmanager
async def deaf(page: PageServer) -> AsyncIterator[socket.socket]:
    """A client that shakes hands and then reads nothing."""
    parts = urlsplit(page.url)
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    plain.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_connect(plain, ("127.0.0.1", parts.port))
        await loop.sock_sendall(
            plain,
            f"GET /socket HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode(),
        )
        await eventually(lambda: page.feed.clients >= 1, WITHIN)
        yield plain
    finally:
        plain.close()


def heavy(number: int) -> list[Any]:
    return said(f"run_{number}", "x" * 20_000)


async def test_a_browser_that_does_not_read_is_dropped_and_slows_nobody() -> None:
    async with fed() as source:
        with capture_logs() as logs:
            async with (
                page_of(source, send_timeout=0.5) as page,
                deaf(page),
                connect(socket_url(page), proxy=None) as client,
            ):
                await eventually(lambda: page.feed.clients == 2, WITHIN)
                seen: dict[str, Any] = {}
                for number in range(150):  # far more than the sockets' buffers hold
                    await source.feed(heavy(number))
                seen = await read_until(client, seen, lambda page: len(texts(page)) == 150)
                assert all(text == "x" * 20_000 for text in texts(seen))
                # Only it is dropped; before that, its buffers have to be full.
                for number in range(150, 2000):
                    if page.feed.clients == 1:
                        break
                    await source.feed(heavy(number))
                    seen = await read_until(
                        client,
                        seen,
                        lambda page, n=number: any(r["facts"]["run"] == f"run_{n}" for r in page["runs"].values()),
                    )
                await eventually(lambda: page.feed.clients == 1, WITHIN)
                await client.ping()
        assert [(log["event"], log["log_level"]) for log in logs] == [("page_client_dropped", "warning")]


async def test_the_server_ends_though_a_client_does_not_read() -> None:
    async with fed() as source:
        await source.feed([raw for number in range(150) for raw in heavy(number)])
        async with asyncio.timeout(WITHIN):
            async with page_of(source) as page, deaf(page):
                pass
        assert page.feed.clients == 0


async def test_a_feed_of_ones_own_serves_several_doors_and_stays() -> None:
    async with fed() as source:
        feed = PageFeed(source.stream, rate=200)
        async with serve_page(feed) as one, serve_page(feed) as two:
            await source.feed(said("run_1", "Hello."))
            for page in (one, two):
                async with connect(socket_url(page), proxy=None) as client:
                    await read_until(client, {}, lambda page: texts(page) == ["Hello."])
        await source.feed(said("run_2", "Still here."))
        assert len(list(feed._snapshot.numbers())) == 2


async def test_leaving_closes_clients_and_frees_the_port() -> None:
    async with fed() as source:
        async with serve_page(source.stream) as page:
            client = await connect(socket_url(page), proxy=None)
            await client.recv()
        async with asyncio.timeout(WITHIN):
            await client.wait_closed()
        assert client.close_code == 1001
        async with serve_page(source.stream, port=urlsplit(page.url).port or 0):
            pass


async def test_a_port_that_is_taken_is_told() -> None:
    async with fed() as source, page_of(source) as page:
        with pytest.raises(OSError, match="in use"):
            async with serve_page(source.stream, port=urlsplit(page.url).port or 0):
                pass
