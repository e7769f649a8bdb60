"""A program that is killed while a tool works: ``python -m tests.clients.killed_program KIND URL STORE LOG [RUN]``.

Without a run it starts one, prints its id when the slow tool has begun, and waits to be killed. With the id of a run it
goes on with that run and prints its status. ``serve`` as the kind starts the scripted server instead.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

from runstream.clients.assistants import AssistantsClient
from runstream.clients.responses import ResponsesClient
from runstream.store.sqlite import SqliteStore
from runstream.testing.server import serve_script
from runstream.testing.turns import Turn


async def consume(kind: str, url: str, store_path: str, log_path: str, run_id: str | None) -> None:
    """Start the run, or go on with it."""
    log, started, done = Path(log_path), asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def note(word: str) -> None:
        with log.open("a", encoding="utf-8") as file:
            file.write(f"{word}\n")

    def quick() -> str:
        note("quick")
        loop.call_soon_threadsafe(done.set)
        return "1"

    async def slow() -> str:
        note("slow")
        started.set()
        if run_id is None:
            await asyncio.Event().wait()
        note("returned")
        return "2"

    with SqliteStore(store_path) as store:
        client: Any
        if kind == "assistants":
            client = AssistantsClient(url, tools=[quick, slow], store=store, poll_interval=0.05)
            body = {"assistant_id": "asst_1"}
        else:
            client = ResponsesClient(url, tools=[quick, slow], store=store, poll_interval=0.05)
            body = {"model": "m", "input": "Hello"}
        async with client:
            if run_id is not None:
                async with client.rejoin(run_id) as stream:
                    print((await stream.result(run_id)).status.value)
                return
            async with client.run(body) as stream:
                stream.start()
                await started.wait()
                await done.wait()
                await asyncio.sleep(0.2)  # the output of the quick one is stored
                (state,) = stream.latest.values()
                print(state.run_id, flush=True)
                await asyncio.Event().wait()


async def serve() -> None:
    """Serve until standard input is closed."""
    async with serve_script([Turn(calls={"quick": {}, "slow": {}}), "Done."]) as server:
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def main(kind: str, *args: str) -> None:
    """Run the program."""
    if kind == "serve":
        asyncio.run(serve())
    else:
        url, store, log, *run = args
        asyncio.run(consume(kind, url, store, log, run[0] if run else None))


if __name__ == "__main__":
    main(*sys.argv[1:])
