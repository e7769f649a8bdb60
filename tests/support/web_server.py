"""An ASGI application on a port of loopback, served by uvicorn in this event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn

__all__ = ["serving_app"]

_STOP = 10.0  # seconds


@asynccontextmanager
async def serving_app(app: Any) -> AsyncIterator[str]:
    """Serve an application; yields its URL, and stops within seconds.

    Raises:
        TimeoutError: It does not stop.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_config=None, log_level="critical", timeout_graceful_shutdown=1)

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Generator[None, None, None]:
            yield  # the signals of the test's process stay its own

    server = Server(config)
    task = asyncio.create_task(server.serve([listener]))
    try:
        while not server.started and not task.done():
            await asyncio.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await asyncio.wait_for(task, _STOP)
        listener.close()
