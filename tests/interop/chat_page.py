"""A page with `useChat`, bundled by esbuild, before our endpoint: a Responses run with a call and an approval."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

from runstream import ResponsesClient, RunStream, UiChat, UiMessageApp
from runstream.testing import ScriptedServer, Turn, serve_script
from tests.interop.environments import APPS
from tests.interop.node_apps import node_command
from tests.sinks.sse.support import serving

__all__ = ["TURNS", "Page", "bundle", "serving_page"]

TURNS: list[Turn | str] = [
    Turn(
        reasoning="First I look which notes there are.",
        text="Let me look at your notes.",
        calls={"list_notes": {"folder": "inbox"}},
    ),
    Turn(
        text="Two notes are older than a year. Shall I delete them?",
        approvals={"delete_notes": {"names": ["boat.txt", "plan.txt"]}},
    ),
    "Done: both notes are deleted.",
]
"""The turns of the scripted model."""


def list_notes(folder: str) -> dict[str, Any]:
    """The notes in a folder."""
    return {"folder": folder, "notes": ["boat.txt", "plan.txt", "today.txt"]}


def bundle() -> Mapping[str, tuple[bytes, bytes]]:
    """The files of the page by path, with their content types; skips the test without Node."""
    folder = Path(mkdtemp(prefix="use-chat-"))
    node, source = node_command("use_chat.jsx", folder, "@ai-sdk/react", "esbuild", "react-dom")
    esbuild = folder / "node_modules" / "esbuild" / "bin" / "esbuild"
    options = ["--bundle", "--format=esm", "--jsx=automatic", '--define:process.env.NODE_ENV="production"']
    made = folder / "use_chat.js"
    subprocess.run([node, esbuild, source, *options, f"--outfile={made}"], check=True, capture_output=True, timeout=120)
    return {
        "/": ((APPS / "use_chat.html").read_bytes(), b"text/html"),
        "/use_chat.js": (made.read_bytes(), b"text/javascript"),
    }


class Page(NamedTuple):
    """What is served: its URL, the scripted server behind it, and the endpoint."""

    url: str
    server: ScriptedServer
    app: UiMessageApp


@asynccontextmanager
async def serving_page(turns: list[Turn | str] | None = None, **options: Any) -> AsyncIterator[Page]:
    """Serve the page and its endpoint.

    Args:
        turns: The turns of the scripted model; `TURNS` by default.
        options: Options of the endpoint.
    """
    files = await asyncio.to_thread(bundle)
    async with (
        serve_script(turns if turns is not None else TURNS) as server,
        ResponsesClient(server.url, tools=[list_notes]) as client,
    ):

        async def handle(chat: UiChat) -> RunStream:
            return client.run(model="small", input=chat.text)

        endpoint = UiMessageApp(handle, client=client, **options)

        async def app(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "lifespan" or scope["path"].startswith("/api/chat"):
                await endpoint({**scope, "root_path": "/api/chat"}, receive, send)
                return
            body, kind = files.get(scope["path"], (b"", b"text/plain"))
            start = {"status": 200 if body else 404, "headers": [(b"content-type", kind)]}
            await send({"type": "http.response.start", **start})
            await send({"type": "http.response.body", "body": body})

        async with serving(app, lifespan="on", timeout_graceful_shutdown=1) as (url, _):
            yield Page(url, server, endpoint)
