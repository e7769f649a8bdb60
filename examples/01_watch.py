"""Watch a run: connect, react to its signals as they come, take the run at the end."""

from __future__ import annotations

import asyncio

import runstream
from runstream import ActionRequired, RunStatusChanged, TextDelta, demo, read_recording, serve_recording


async def watch(url: str) -> None:
    async with runstream.connect(url) as stream:
        async for signal in stream:
            match signal:
                case RunStatusChanged(run_id=run_id, after=status):
                    print(f"{run_id} is {status}")
                case TextDelta(delta=delta):
                    print(delta, end="", flush=True)
                case ActionRequired(calls=calls):
                    print(f"waits for {[call.name for call in calls]}")
        run = await stream.result()  # the terminal run, or IncompleteStream: never a cut-off stream as success
        print(f"\n{run.id} {run.status}, {run.usage.total_tokens if run.usage else 0} tokens")


async def main() -> None:
    # Offline: a server on this machine plays a recording. Yours is at wss://...
    async with serve_recording(read_recording(demo.load("text.sse")), gap=0.01) as server:
        await watch(server.url)


if __name__ == "__main__":
    asyncio.run(main())
