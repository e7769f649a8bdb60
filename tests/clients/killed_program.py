"""A program that is killed while a tool works: ``python -m tests.clients.killed_program KIND URL STORE LOG [RUN]``.

Without a run it starts one, prints its id when it waits, and hangs in its slow function. With the id of a run it goes
on with that run and prints its status. ``serve`` as the kind starts the scripted server instead.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from runstream.clients.answers import Approve
from runstream.clients.assistants import AssistantsClient
from runstream.clients.base import BaseClient
from runstream.clients.blocking import BlockingClient
from runstream.clients.langgraph import LangGraphClient
from runstream.clients.responses import ResponsesClient
from runstream.clients.tools import ToolContext
from runstream.model.run import Run
from runstream.model.signal_base import AwaitedCall
from runstream.model.signals import ActionRequired
from runstream.sources.reconnect import Reconnect
from runstream.store.sqlite import SqliteStore
from runstream.testing.server import serve_script
from runstream.testing.turns import Question, ScriptedRequest, Turn


class Functions:
    """The functions that a run calls; they write each of their executions, with its call key, to the log.

    Args:
        log: The log.
        hangs: True if the slow one does not return.
    """

    def __init__(self, log: Path, *, hangs: bool) -> None:
        self._log = log
        self._hangs = hangs

    def _note(self, word: str, key: str) -> None:
        with self._log.open("a", encoding="utf-8") as file:
            file.write(f"{word} {key}\n")

    def quick(self, call: ToolContext) -> str:
        """Return at once."""
        self._note("quick", call.call_key)
        return "1"

    def slow(self, call: ToolContext) -> str:
        """Return in the second process."""
        self._note("slow", call.call_key)
        if self._hangs:
            time.sleep(600)
        self._note("returned", call.call_key)
        return "2"

    async def decide(self, call: AwaitedCall, run: Run) -> Approve:
        """Decide in the second process."""
        self._note("slow", call.key)
        if self._hangs:
            await asyncio.Event().wait()
        self._note("returned", call.key)
        return Approve("2")


def make_client(kind: str, url: str, store: SqliteStore, functions: Functions) -> tuple[BaseClient, dict[str, Any]]:
    """The client, and the body of its run."""
    quick = Reconnect(initial=0.05, maximum=0.1, max_attempts=5)
    if kind == "langgraph":
        body = {"assistant_id": "agent", "input": {"messages": [{"role": "user", "content": "Hello"}]}}
        return LangGraphClient(url, approve=functions.decide, store=store, reconnect=quick), body
    tools = [functions.quick, functions.slow]
    if kind == "assistants":
        client: BaseClient = AssistantsClient(url, tools=tools, store=store, reconnect=quick, poll_interval=0.05)
        return client, {"assistant_id": "asst_1"}
    client = ResponsesClient(url, tools=tools, store=store, reconnect=quick, poll_interval=0.05)
    return client, {"model": "m", "input": "Hello"}


def note_run(signal: ActionRequired) -> None:
    """Print the id of a run that waits."""
    print(signal.run_id, flush=True)


async def consume(client: BaseClient, body: dict[str, Any], run_id: str | None) -> None:
    """Start the run, or go on with it."""
    async with client, client.rejoin(run_id) if run_id is not None else client.run(body) as stream:
        if run_id is None:
            stream.on(ActionRequired, note_run)
        print((await stream.result(run_id)).status.value)


def consume_blocking(client: BaseClient, body: dict[str, Any], run_id: str | None) -> None:
    """The same in a program without an event loop."""
    with BlockingClient(client) as face, face.rejoin(run_id) if run_id is not None else face.run(body) as stream:
        if run_id is None:
            stream.stream.on(ActionRequired, note_run)
        print(stream.result(run_id).status.value)


async def serve() -> None:
    """Serve until standard input is closed."""

    def model(request: ScriptedRequest) -> Turn:
        if request.turn:
            return Turn(text="Done.")
        if request.path.startswith("/threads/") and "assistant_id" in request.body and "input" in request.body:
            return Turn(questions=[Question("Go on?")])
        return Turn(calls={"quick": {}, "slow": {}})

    async with serve_script(model) as server:
        print(server.url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def main(kind: str, *args: str) -> None:
    """Run the program."""
    if kind == "serve":
        asyncio.run(serve())
    else:
        url, path, log, *run = args
        run_id = run[0] if run else None
        name = kind.removeprefix("blocking ")
        with SqliteStore(path) as store:
            client, body = make_client(name, url, store, Functions(Path(log), hangs=run_id is None))
            if name != kind:
                consume_blocking(client, body, run_id)
            else:
                asyncio.run(consume(client, body, run_id))


if __name__ == "__main__":
    main(*sys.argv[1:])
