"""A page that shows runs live, in any browser on this machine: text as it grows, tool calls, tokens.

Try it: `python examples/09_live_page.py`, and open the URL that it prints.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator

import runstream
from runstream import ActionRequired, RawEvent, demo, read_recording, serve_page, serve_recording

RECORDINGS = ["text.sse", "function_call_1.sse", "code_interpreter.sse", "failed.sse"]


def recorded() -> list[RawEvent]:
    """Four runs at once; bundled with the library."""
    runs = [list(read_recording(demo.load(name))) for name in RECORDINGS]
    return [item for item in demo.interleave(runs) if isinstance(item, RawEvent)]


async def submit() -> AsyncIterator[RawEvent]:
    """The stream that a server sends when tool outputs are submitted; here it is recorded."""
    for item in read_recording(demo.load("function_call_2.sse")):
        if isinstance(item, RawEvent):
            yield item
            await asyncio.sleep(0.005)


def answer(signal: ActionRequired) -> AsyncIterator[RawEvent]:
    """The run goes on with what this returns."""
    return submit()


async def main(linger: bool) -> None:
    async with (
        serve_recording(recorded(), gap=0.02 if linger else 0.002) as server,
        runstream.connect(server.url, reconnect=None) as stream,
        serve_page(stream) as page,
    ):
        stream.on(ActionRequired, answer)
        print(f"open {page.url}", flush=True)
        if linger:
            await page.feed.visited()  # so that you see it from the beginning; a server would not wait
        for run in await stream.results():
            print(f"{run.id} {run.status.value}")
        if linger:
            print("Ctrl-C ends the page")
            await asyncio.Event().wait()


if __name__ == "__main__":
    try:
        asyncio.run(main(linger=sys.stdout.isatty()))
    except KeyboardInterrupt:
        print("bye")
