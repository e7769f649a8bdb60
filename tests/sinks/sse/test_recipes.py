"""The recipes of the documentation are programs: served by uvicorn, and read early, late, cut and after the end."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Annotated, Any

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
pytest.importorskip("fastapi")

import runstream
from runstream import RunStream
from tests.sinks.sse.support import LIMIT, answer, serving
from tests.sinks.sse.test_asgi import Client
from tests.support.receiver import eventually

DOCS = Path(__file__).resolve().parents[3] / "docs"
TEXT = "The answer is “forty-two” 🙂, as ever."


def program(page: str, first: str) -> str:
    """The block of code on a page that contains this import and a route of events."""
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    return next(block for block in blocks if first in block and "relay.events(" in block)


class Fed:
    """A source that is fed by hand, and stays."""

    name = "fed"

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()

    async def run(self, receiver: Any) -> None:
        receiver.connected()
        while True:
            receiver.feed(await self.queue.get())


@pytest.mark.parametrize(
    ("page", "first"),
    [
        ("browser.md", "from fastapi import FastAPI"),
        ("browser.md", "from starlette.applications import Starlette"),
        ("apps.md", "from fastapi import FastAPI"),
    ],
    ids=["FastAPI", "Starlette", "FastAPI with more"],
)
async def test_recipe(page: str, first: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each text whole, each fact once, 204 after the end; and the server stops while a client stays."""
    raws, source = answer(), Fed()
    monkeypatch.setattr(runstream, "connect", lambda *_, **__: RunStream(source))
    names: dict[str, Any] = {
        # What stands above the program of docs/apps.md, or is the reader's own.
        "asyncio": asyncio,
        "asynccontextmanager": asynccontextmanager,
        "suppress": suppress,
        "AsyncIterator": AsyncIterator,
        "Annotated": Annotated,
        "Any": Any,
        "runstream": runstream,
        "URL": "wss://host/runs",
        "token": "t",
        "Client": object,
        "Agent": lambda _: Idle(),
    }
    exec(compile(program(page, first), page, "exec"), names)
    app = names["app"]
    async with serving(app, lifespan="on", timeout_graceful_shutdown=1) as (url, _):
        early = Client(url, "/runs/run_1/events")
        await early.open()
        for raw in raws[:15]:
            source.queue.put_nowait(raw)
        async with asyncio.timeout(LIMIT):
            while len(early.viewer.texts.get("run_1", "")) < 5:
                early.viewer.add(await early.read())
        early.leave()
        for raw in raws[15:]:
            source.queue.put_nowait(raw)
        await early.open(**{"Last-Event-ID": early.viewer.last_id})
        late = Client(url, "/runs/run_1/events")
        await late.open()
        for client in (early, late):
            viewer = await client.view()
            assert (viewer.texts, viewer.snapshots, viewer.end["status"]) == ({"run_1": TEXT}, 1, "completed")
            client.leave()
            await client.open(**{"Last-Event-ID": viewer.last_id})
            assert client.status == 204
            client.leave()
        assert app.state.relay.clients == 0
        stays = Client(url, "/runs/run_2/events")
        await stays.open()
        await eventually(lambda: app.state.relay.clients == 1, LIMIT)
    assert app.state.relay.clients == 0
    stays.leave()


class Idle:
    """An agent without anything to do."""

    @runstream.handles(runstream.ActionRequired)
    def act(self, signal: runstream.ActionRequired) -> None: ...
