"""A client in a synchronous program: a run with a tool, a call that is answered later, a run as it is on the server."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from runstream import ActionRequired, AssistantsClient, BlockingClient, IncompleteStream
from runstream.testing import Turn, serve_script

TURNS = [Turn(calls={"add": {"a": 19, "b": 23}, "ask_user": {"question": "Which currency?"}}), Turn(text="42 euros.")]


def add(a: int, b: int) -> int:
    """The sum of two numbers."""
    return a + b


def main(url: str) -> None:
    with BlockingClient(AssistantsClient(url, tools=[add])) as client:
        with client.run(assistant_id="asst_1") as stream:
            asked = stream.when(ActionRequired)
            try:
                stream.result()
            except IncompleteStream as error:
                print(error)
        (call,) = [call for call in asked.calls if call.name == "ask_user"]
        with client.answer(asked.run_id, {call.id: "euros"}) as stream:
            run = stream.result(asked.run_id)
            print(f"{run.status}: {stream.stream.latest[run.id].text}")
        print(f"on the server: {client.fetch(run.id).status}")


@contextmanager
def scripted_server() -> Iterator[str]:
    """A server in a thread of its own; it is no part of the program."""
    urls: queue.Queue[str] = queue.Queue()
    stop = threading.Event()

    async def serve() -> None:
        async with serve_script(TURNS) as server:
            urls.put(server.url)
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        yield urls.get(timeout=20)
    finally:
        stop.set()
        thread.join()


if __name__ == "__main__":
    with scripted_server() as address:
        main(address)
