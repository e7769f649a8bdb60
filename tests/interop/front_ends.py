"""Front ends that others wrote, on pages that runstream's endpoints serve: bundled by esbuild, driven in Chromium."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec import structs

from runstream import AgUiApp, AgUiRequest, ResponsesClient, RunStream
from runstream.testing import Turn, serve_script
from tests.interop.environments import APPS, interop_node
from tests.support.ports import free_port

__all__ = ["FERRY_TURNS", "bundle", "serve_ag_ui_page", "serve_page_of"]

FERRY_TURNS = (
    Turn(
        reasoning="The user needs a ferry. The timetable comes first.",
        text="I look at the timetable.",
        calls={"find_ferries": {"harbour": "Oslo"}},
    ),
    Turn(
        text="The Heron leaves at 14:30. Here is her way.",
        calls={"show_on_map": {"harbours": ["Oslo", "Heron", "Kiel"]}},
    ),
    Turn(text="I can book two seats for you.", approvals={"book_seats": {"ferry": "Heron", "seats": 2}}),
    Turn(text="Booked: two seats on the Heron, 14:30. Have a good crossing!"),
)
"""A conversation with a tool of the server, a tool of the front end, and an approval."""


def find_ferries(harbour: str) -> str:
    """The ferries of today."""
    return f"Heron, {harbour} to Kiel, 14:30"


def bundle(name: str, folder: Path, *packages: str) -> bytes:
    """A program for browsers with the packages that it imports, as one file; skips the test where one is missing.

    Args:
        name: The name of its file in ``apps/``.
        folder: An empty folder.
        packages: The packages.
    """
    node, installed = interop_node("esbuild", *packages)
    (folder / "node_modules").symlink_to(installed / "node_modules", target_is_directory=True)
    shutil.copy(APPS / name, folder / name)
    command = [node, str(installed / "node_modules/esbuild/bin/esbuild"), name, "--bundle", "--format=esm"]
    # The folder of the packages is elsewhere: their own imports are resolved from there.
    done = subprocess.run([*command, "--preserve-symlinks"], cwd=folder, capture_output=True, timeout=120, check=False)
    assert not done.returncode, done.stderr.decode()[-2000:]
    return done.stdout


@asynccontextmanager
async def serve_page_of(html: bytes, script: bytes, app: Any) -> AsyncIterator[str]:
    """Serve a page with its script, and an endpoint below ``/agent``; yields the page's address."""
    import uvicorn

    files: Mapping[str, tuple[bytes, bytes]] = {
        "/": (b"text/html; charset=utf-8", html),
        "/page.js": (b"text/javascript; charset=utf-8", script),
    }

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/agent":
            await app(scope, receive, send)
            return
        kind, body = files.get(scope["path"], (b"text/plain", b""))
        status = 200 if scope["path"] in files else 404
        await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
        await send({"type": "http.response.body", "body": body})

    port = free_port()
    config = uvicorn.Config(
        serve, host="127.0.0.1", port=port, log_config=None, lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve())
    try:
        while not server.started and not task.done():
            await asyncio.sleep(0.01)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def serve_ag_ui_page(script: bytes, *, pause: float = 0.0) -> AsyncIterator[str]:
    """Serve the page with the official AG-UI client, for a scripted model of the Responses API.

    Args:
        script: The bundle of the page.
        pause: The time between two events of the model (seconds).
    """
    turns = [structs.replace(turn, pause=pause) for turn in FERRY_TURNS]
    async with (
        serve_script(turns) as model,
        ResponsesClient(model.url, tools=[find_ferries], proxy=None) as client,
    ):

        def handle(request: AgUiRequest) -> RunStream:
            tools = [
                {"type": "function", "name": tool.name, "description": tool.description, "parameters": tool.parameters}
                for tool in request.input.tools or ()
            ]
            return client.run({"tools": tools}, model="scripted", input=request.input.text)

        app = AgUiApp(handle, client=client)
        async with serve_page_of((APPS / "ag_ui_page.html").read_bytes(), script, app) as url:
            yield url
