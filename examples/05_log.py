"""Log signals with structlog: structured lines with stable names, and without message text."""

from __future__ import annotations

import asyncio

import structlog

import runstream
from runstream import demo, log_signals, read_recording, serve_recording


async def main() -> None:
    # The application configures logging; the library never does. Drop this line for structlog's console output.
    structlog.configure(processors=[structlog.stdlib.add_log_level, structlog.processors.JSONRenderer()])

    recording = read_recording(demo.load("failed.sse"))
    async with serve_recording(recording) as server, runstream.connect(server.url) as stream:
        log_signals(stream.signals)
        run = await stream.result()
    assert run.is_failed  # a failed run is a value, not an exception


if __name__ == "__main__":
    asyncio.run(main())
