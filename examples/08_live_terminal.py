"""Show runs on the terminal while they go on. Needs `pip install 'runstream[cli]'`; in a pipe it prints what ended."""

from __future__ import annotations

import asyncio

import runstream
from runstream import LiveView, RunFailed, demo, read_recording, serve_recording


async def main() -> None:
    names = ("text.sse", "code_interpreter.sse", "file_search.sse", "failed.sse")
    recordings = [list(read_recording(demo.load(name))) for name in names]
    together = list(demo.interleave(recordings))  # four runs in one stream, as a gateway sends them
    async with (
        serve_recording(together, gap=0.02) as server,
        runstream.connect(server.url) as stream,
        LiveView(stream),
    ):
        # What the program prints appears above the view.
        stream.on(RunFailed, lambda signal: print(f"{signal.run_id} failed: look at its error"))
        await stream.results()


if __name__ == "__main__":
    asyncio.run(main())
