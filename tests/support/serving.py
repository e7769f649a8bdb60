"""A server in a process of its own: ``python -m tests.support.serving NAME [SPEED]`` serves a demo recording.

It prints its URL, and serves until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from runstream import demo
from runstream.recordings.reader import read_recording
from runstream.recordings.server import serve_recording
from tests.support.processes import server_process

__all__ = ["serving_process"]


@contextmanager
def serving_process(name: str, *, speed: float = 0.0) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """Serve a demo recording in another process; yields the URL and the process."""
    with server_process(__name__, name, speed) as (url, process):
        assert url.startswith("ws://")
        yield url, process


async def _serve(name: str, speed: float) -> None:
    items = list(read_recording(demo.load(name)))
    async with serve_recording(items, speed=speed, gap=0.05) as server:
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], float(sys.argv[2])))
