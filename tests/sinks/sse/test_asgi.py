"""The relay as an application: its routes, served by uvicorn, and clients that leave, wait or do not read."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

pytest.importorskip("uvicorn")

from runstream import SseApp, SseRelay
from tests.sinks.page.support import fed
from tests.sinks.sse.support import LIMIT, Viewer, answer, serving
from tests.support.asgi import request
from tests.support.receiver import eventually


class Client:
    """A client of HTTP/1.1 that reads a stream of events."""

    def __init__(self, url: str, path: str) -> None:
        self.port, self.path = int(url.rsplit(":", 1)[1]), path
        self.viewer = Viewer()
        self.status = 0
        self.reader: asyncio.StreamReader
        self.writer: asyncio.StreamWriter

    async def open(self, **headers: str) -> None:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        lines = [f"GET {self.path} HTTP/1.1", "Host: localhost", *[f"{n}: {v}" for n, v in headers.items()], "", ""]
        self.writer.write("\r\n".join(lines).encode())
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.status = int(head.split(b" ")[1])

    async def read(self) -> bytes:
        """The next chunk; b"" at the end of the body, whole or cut."""
        size = int(await self.reader.readline() or b"0", 16)
        chunk = await self.reader.readexactly(size + 2)
        return chunk[:-2]

    async def view(self) -> Viewer:
        async with asyncio.timeout(LIMIT):
            while chunk := await self.read():
                self.viewer.add(chunk)
        return self.viewer

    def leave(self) -> None:
        self.writer.transport.abort()


async def test_routes() -> None:
    """Events of one run and of all; 404, 405, 503, and 204 after the end."""
    async with fed() as source:
        app = SseApp(source.stream)
        await source.feed(answer("a/b"))
        status, headers, body = await request(app, "/runs/a/b/events")
        assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert "access-control-allow-origin" not in headers
        viewer = Viewer()
        viewer.add(body)
        assert viewer.end["run_id"] == "a/b"
        query = f"last_event_id={viewer.last_id.replace('%', '%25')}".encode()
        assert (await request(app, "/runs/a/b/events", query_string=query))[0] == 204
        assert (await request(app, "/runs/events"))[0] == 404
        assert (await request(app, "/"))[0] == 404
        assert (await request(app, "/events", method="POST"))[0] == 405
        assert (await request(app, "/events", method="HEAD"))[::2] == (200, b"")
        assert (await request(SseApp(app.relay, max_clients=0), "/events"))[0] == 503
        await source.end()


async def test_clients_that_leave_are_noticed() -> None:
    """Those that close, while nothing happens."""
    async with fed() as source:
        app = SseApp(source.stream)
        async with serving(app) as (url, _):
            clients = [Client(url, "/events"), Client(url, "/runs/run_1/events")]
            for client in clients:
                await client.open()
            await eventually(lambda: app.relay.clients == 2, LIMIT)
            for client in clients:
                client.leave()
            await eventually(lambda: app.relay.clients == 0, LIMIT)
        await source.end()


async def test_client_that_does_not_read_is_dropped() -> None:
    """It leaves in silence: the buffers of its connection are full, and no heartbeat arrives."""
    relay_content = {"type": "big", "key": "k", "delta": "x" * 400_000}
    async with fed() as source:
        app = SseApp(SseRelay(source.stream, content=lambda _: relay_content), send_timeout=0.2)
        async with serving(app) as (url, _):
            silent = Client(url, "/events")
            await silent.open()
            with capture_logs() as logs:
                await source.feed(answer(text="x" * 200))
                await eventually(lambda: app.relay.clients == 0, LIMIT)
            silent.leave()
        await source.end()
    assert [log["event"] for log in logs if log["event"] == "sse_client_dropped"] == ["sse_client_dropped"]


async def test_uvicorn_stops_within_its_time_out() -> None:
    """Clients are connected, and the run goes on: the server is there no more after its time-out, not after the run."""
    async with fed() as source:
        app = SseApp(source.stream)
        await source.feed(answer()[:8])
        async with serving(app, timeout_graceful_shutdown=1, lifespan="on") as (url, server):
            clients = [Client(url, "/events"), Client(url, "/runs/run_1/events")]
            for client in clients:
                await client.open()
            server.should_exit = True
            async with asyncio.timeout(LIMIT):
                while server.server_state.tasks or server.server_state.connections:
                    await asyncio.sleep(0.01)
        assert app.relay.clients == 0
        for client in clients:
            client.leave()
        await source.end()


async def test_relay_that_is_closed_lets_uvicorn_stop_at_once() -> None:
    """No time-out is needed: the bodies end, and the clients may come back."""
    async with fed() as source:
        app = SseApp(source.stream)
        await source.feed(answer()[:8])
        async with serving(app) as (url, server):
            client = Client(url, "/events")
            await client.open()
            server.should_exit = True
            app.relay.close()
            viewer = await client.view()
            client.leave()
        assert viewer.end is None
        await source.end()


async def test_last_event_id_resumes() -> None:
    """The header of a client that comes back; it has precedence over the parameter of its address."""
    raws = answer()
    async with fed() as source:
        app = SseApp(source.stream)
        async with serving(app) as (url, _):
            await source.feed(raws[:12])
            client = Client(url, "/runs/run_1/events?last_event_id=unknown")
            await client.open()
            async with asyncio.timeout(LIMIT):
                while not client.viewer.snapshots:
                    client.viewer.add(await client.read())
            client.leave()
            await source.feed(raws[12:])
            await client.open(**{"Last-Event-ID": client.viewer.last_id})
            viewer: Any = await client.view()
            client.leave()
        await source.end()
    assert (viewer.snapshots, viewer.end["status"]) == (1, "completed")
