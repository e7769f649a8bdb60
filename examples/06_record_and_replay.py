"""Record a live run, without what was said, and play it again: ten times as fast, and with the same signals."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from runstream import (
    RecordingSource,
    Redaction,
    RunSignal,
    RunStream,
    Source,
    WebSocketSource,
    demo,
    read_recording,
    record,
    serve_recording,
)


async def keys(source: Source) -> Sequence[str]:
    """Read a source until its run has ended, and return the keys of its signals."""
    found: list[str] = []
    async with RunStream(source) as stream:
        stream.signals.subscribe(lambda signal: found.append(signal.key) if isinstance(signal, RunSignal) else None)
        run = await stream.result()
        print(f"{run.id} {run.status}, and said {stream.latest[run.id].text[:20]!r}...")
    return found


async def main() -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        # Offline: a server on this machine plays a recording. Yours is at wss://...
        async with serve_recording(read_recording(demo.load("text.sse")), gap=0.005) as server:
            live = await keys(record(WebSocketSource(server.url), path, redact=Redaction()))
        replayed = await keys(RecordingSource(path, speed=10))
        print(f"{len(live)} signals live, {len(replayed)} replayed, equal: {live == replayed}")


if __name__ == "__main__":
    asyncio.run(main())
