"""The page in an ASGI application."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest
from structlog.testing import capture_logs

from runstream import PageApp, PageFeed
from runstream.sinks.page.diff import apply
from tests.sinks.page.support import fed, said
from tests.support.asgi import Socket, request, socket
from tests.support.receiver import eventually

WITHIN = 20.0


def app_of(source: Any, **options: Any) -> PageApp:
    return PageApp(PageFeed(source.stream, rate=200), **options)


def texts(page: dict[str, Any]) -> list[str]:
    return [block["text"] for run in page.get("runs", {}).values() for block in run["blocks"].values()]


async def read_until(client: Socket, holds: Any) -> dict[str, Any]:
    page: dict[str, Any] = {}
    async with asyncio.timeout(WITHIN):
        while not holds(page):
            page = apply(page, msgspec.json.decode(await client.read()))
    return page


MOUNTS = [
    ("", "/", "/page.js", "/socket"),
    ("/runs", "/runs/", "/runs/page.js", "/runs/socket"),  # the path has its root (ASGI's own rule, Starlette today)
    ("/runs", "/", "/page.js", "/socket"),  # it has not (servers with a root path, Starlette of old)
]


@pytest.mark.parametrize(("root", "home", "script", "socket_path"), MOUNTS)
async def test_it_works_wherever_it_is_mounted(root: str, home: str, script: str, socket_path: str) -> None:
    async with fed() as source:
        app = app_of(source)
        await source.feed(said("run_1", "Hello."))
        status, headers, body = await request(app, home, root_path=root)
        assert (status, headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert b"page.js" in body
        assert "default-src 'none'" in headers["content-security-policy"]
        assert (await request(app, script, root_path=root))[0] == 200
        async with socket(app, socket_path, root_path=root) as client:
            await read_until(client, lambda page: texts(page) == ["Hello."])


async def test_without_its_slash_it_sends_on() -> None:
    """The page names its files relative to itself."""
    async with fed() as source:
        status, headers, _ = await request(app_of(source), "/runs", root_path="/runs")
        assert (status, headers["location"]) == (307, "/runs/")


async def test_what_is_not_there_and_what_may_not_be_done() -> None:
    async with fed() as source:
        app = app_of(source)
        assert (await request(app, "/nothing"))[0] == 404
        status, headers, _ = await request(app, "/", method="POST")
        assert (status, headers["allow"]) == (405, "GET, HEAD")
        status, headers, body = await request(app, "/", method="HEAD")
        assert (status, body) == (200, b"")
        assert int(headers["content-length"]) > 0


@pytest.mark.parametrize(
    ("path", "origin", "accepted"),
    [
        ("/socket", None, True),
        ("/socket", "https://app.example", True),
        ("/socket", "https://friend.example", True),
        ("/socket", "https://evil.example", False),
        ("/other", None, False),
    ],
)
async def test_who_may_connect(path: str, origin: str | None, accepted: bool) -> None:
    async with fed() as source:
        app = app_of(source, origins=["https://friend.example"])
        async with socket(app, path, headers={"origin": origin} if origin else {}) as client:
            await eventually(lambda: client.accepted or client.code is not None, WITHIN)
            assert client.accepted is accepted
            assert client.code == (None if accepted else 1008)


async def test_what_clients_send_is_thrown_away() -> None:
    async with fed() as source, socket(app_of(source), "/socket") as client:
        for _ in range(20):
            client.say("hello?")
        await source.feed(said("run_1", "Hello."))
        await read_until(client, lambda page: texts(page) == ["Hello."])


async def test_a_client_that_leaves_is_forgotten() -> None:
    async with fed() as source:
        app = app_of(source)
        async with socket(app, "/socket") as client:
            await client.read()
            assert app.feed.clients == 1
        assert app.feed.clients == 0


async def test_a_client_that_left_without_a_word_is_no_error() -> None:
    async with fed() as source:
        app = app_of(source)
        async with socket(app, "/socket") as client:
            await client.read()
            client.broken = True
            await source.feed(said("run_1", "Hello."))
            await eventually(lambda: app.feed.clients == 0, WITHIN)


async def test_a_client_that_does_not_read_is_dropped_and_slows_nobody() -> None:
    async with fed() as source:
        app = app_of(source, send_timeout=1.0)
        with capture_logs() as logs:
            async with socket(app, "/socket") as deaf, socket(app, "/socket") as client:
                for number in range(5):
                    await source.feed(said(f"run_{number}", "Hello."))
                    await eventually(lambda: True)
                await read_until(client, lambda page: len(texts(page)) == 5)
                reading = asyncio.create_task(read_until(client, lambda page: False))
                for number in range(5, 1000):
                    if deaf.code is not None:
                        break
                    await source.feed(said(f"run_{number}", "Hello."))
                    await asyncio.sleep(0.01)
                assert deaf.code == 1013
                assert client.code is None
                reading.cancel()
                await asyncio.gather(reading, return_exceptions=True)
        assert [log["event"] for log in logs] == ["page_client_dropped"]


async def test_more_clients_than_the_bound_are_sent_away() -> None:
    async with fed() as source:
        app = app_of(source, max_clients=1)
        async with socket(app, "/socket") as first:
            await first.read()
            async with socket(app, "/socket") as second:
                await eventually(lambda: second.code is not None, WITHIN)
                assert (second.accepted, second.code) == (False, 1013)


async def test_a_closed_feed_closes_its_sockets() -> None:
    async with fed() as source:
        app = app_of(source)
        async with socket(app, "/socket") as client:
            await client.read()
            app.feed.close()
            await eventually(lambda: client.code is not None, WITHIN)
            assert client.code == 1000


async def test_alone_it_starts_and_stops() -> None:
    async with fed() as source:
        asked = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
        said: list[str] = []

        async def receive() -> dict[str, Any]:
            return next(asked)

        async def send(message: Any) -> None:
            said.append(message["type"])

        await app_of(source)({"type": "lifespan"}, receive, send)
        assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
