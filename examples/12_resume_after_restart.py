"""A process ends in the middle of a run. The next one goes on where it was: nothing is lost, nothing is emitted twice
but the signal that was being delivered.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from pathlib import Path

import runstream
from runstream import (
    MessageCreated,
    ProgressSignal,
    RunSignal,
    SqliteStore,
    demo,
    read_recording,
    serve_recording,
)


async def consume(url: str, path: str, *, ends: bool) -> None:
    """What the application does: the same each time it is started."""

    def handle(signal: RunSignal) -> None:
        if not isinstance(signal, ProgressSignal):
            print(f"  {signal.key}", flush=True)
            if ends and isinstance(signal, MessageCreated):
                os._exit(9)  # as sudden as `kill -9`: no `finally`, no goodbye

    with SqliteStore(path) as store:
        # The store knows a source by its name.
        async with runstream.connect(url, name="gateway", store=store) as stream:
            stream.on(RunSignal, handle)
            run = await stream.result()
            print(f"{run.id} {run.status}: {len(stream.latest[run.id].text)} characters, whole")


async def start(url: str, path: Path, what: str) -> int | None:
    """Start the application as a process of its own."""
    process = await asyncio.create_subprocess_exec(sys.executable, __file__, url, str(path), what)
    await process.wait()
    return process.returncode


async def main() -> None:
    # Offline: a server on this machine plays a recording, to each client from the beginning.
    with tempfile.TemporaryDirectory() as directory:
        async with serve_recording(read_recording(demo.load("text.sse")), speed=20) as server:
            path = Path(directory) / "runs.db"
            for what in ("ends in the middle", "goes on", "has nothing to do"):
                print(f"a process that {what}", flush=True)
                code = await start(server.url, path, what)
                print(f"exit code {code}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(consume(sys.argv[1], sys.argv[2], ends=sys.argv[3] == "ends in the middle"))
    else:
        asyncio.run(main())
