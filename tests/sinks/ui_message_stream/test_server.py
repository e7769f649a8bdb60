"""The endpoint behind uvicorn, which stops although responses are being sent."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import httpx2
import pytest

pytest.importorskip("uvicorn")

from runstream.clients.responses import ResponsesClient
from runstream.sinks.ui_message_stream.asgi import UiMessageApp
from runstream.testing import Turn, serve_script
from tests.sinks.sse.support import serving
from tests.sinks.ui_message_stream.posting import JSON, body_of


@pytest.mark.parametrize("on_disconnect", ["cancel", "continue"])
async def test_uvicorn_stops(on_disconnect: Any) -> None:
    """It stops within its time-out, and no run goes on."""
    turns: list[Turn | str] = [Turn(text="word " * 2000, pause=0.01)]
    async with serve_script(turns) as server, ResponsesClient(server.url) as client, httpx2.AsyncClient() as http:
        app = UiMessageApp(
            lambda chat: client.run(model="m", input=chat.text), client=client, on_disconnect=on_disconnect
        )
        async with serving(app, lifespan="on", timeout_graceful_shutdown=1) as (url, _):
            request = http.build_request("POST", url, content=body_of(), headers=JSON)
            response = await http.send(request, stream=True)
            assert response.headers["x-vercel-ai-ui-message-stream"] == "v1"
            chunks = response.aiter_bytes()
            first = await anext(chunks)
            assert first.startswith(b'data: {"type":"start"')
        with suppress(httpx2.HTTPError):
            async for _ in chunks:
                pass
        await response.aclose()
        async with asyncio.timeout(10):
            await app._chats.wait_closed()  # the stop of the server has ended the run
