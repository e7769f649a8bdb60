"""LangGraphSource against a scripted server on loopback: cuts, joins, and what the server says when it is asked."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from runstream import Reconnect, RunInterrupted, RunState, RunStream, Signal
from runstream.model.raw import Answer, RawItem
from runstream.sources.langgraph import LangGraphSource, answer_body

WORDS = [f"word{number} " for number in range(40)]
TEXT = "".join(WORDS)
SOON = Reconnect(initial=0.001, maximum=0.01, max_attempts=30)
RUN = {"run_id": "r1", "thread_id": "t1", "status": "success", "kwargs": {"config": {"x-secret": "hush"}}}
IDLE = {"thread_id": "t1", "status": "idle", "error": None}
DONE: dict[str, Any] = {"next": [], "tasks": [], "metadata": {"run_id": "r1"}, "values": {}}


def blocks() -> list[tuple[str, bytes]]:
    """The blocks of the stream, each with its id; some share one."""
    facts = {"run_id": "r1", "thread_id": "t1"}
    chunks = [[{"type": "AIMessageChunk", "id": "m1", "content": word}, facts] for word in WORDS]
    whole = {"say": {"messages": [{"type": "ai", "id": "m1", "content": TEXT}]}}
    events = [
        ("metadata", {"run_id": "r1", "attempt": 1}),
        *(("messages", each) for each in chunks),
        ("updates", whole),
    ]
    found = []
    for number, (name, data) in enumerate(events):
        id = f"17958688{number:05d}-0"
        text = f": heartbeat\r\n\r\nevent: {name}\r\ndata: {json.dumps(data)}\r\nid: {id}\r\n\r\n"
        found.append((id, text.encode()))
    return found


class Server:
    """A server of one run.

    Args:
        cuts: The number of responses that are cut.
        seed: Determines where, and how the bytes are split.
        answers: The answers to questions, by the end of the path, each with its status; a list is used up.
    """

    def __init__(self, cuts: int = 0, seed: int = 0, answers: dict[str, Any] | None = None) -> None:
        self.cuts = cuts
        self.rng = random.Random(seed)
        self.answers = {"/runs/r1": (200, RUN), "/state": (200, DONE), "/threads/t1": (200, IDLE), **(answers or {})}
        self.requests: list[str] = []
        self.last_ids: list[str | None] = []
        self.cut_at: int | None = None
        self.url = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Server]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with server:
            yield self

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, path, _ = head.split(" ", 2)
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head.splitlines())}
        if "content-length" in headers:
            await reader.readexactly(int(headers["content-length"]))
        self.requests.append(f"{method} {path}")
        if "/stream" in path:
            self.last_ids.append(headers.get("last-event-id"))
        if "/stream" in path:
            await self.stream(writer, headers.get("last-event-id"))
        else:
            self.answer(writer, path)
        await writer.drain()
        writer.close()

    async def stream(self, writer: asyncio.StreamWriter, last_id: str | None) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n")
        body = b"".join(data for id, data in blocks() if last_id is None or id > last_id)
        place = b"Content-Location: /threads/t1/runs/r1\r\n"
        writer.write(place + f"Content-Length: {len(body)}\r\n\r\n".encode())
        if self.cuts:
            self.cuts -= 1
            body = body[: self.rng.randrange(len(body) + 1) if self.cut_at is None else self.cut_at]
        while body:
            size = self.rng.randint(1, 2000)
            writer.write(body[:size])
            await writer.drain()
            body = body[size:]

    def answer(self, writer: asyncio.StreamWriter, path: str) -> None:
        found = next(value for end, value in self.answers.items() if path.endswith(end))
        status, value = (found.pop(0) if len(found) > 1 else found[0]) if isinstance(found, list) else found
        data = json.dumps(value).encode()
        writer.write(f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nConnection: close\r\n".encode())
        writer.write(f"Content-Length: {len(data)}\r\n\r\n".encode() + data)


async def read(server: Server, **options: Any) -> tuple[RunState, list[Signal]]:
    """Read the run to its end."""
    options.setdefault("json", {"assistant_id": "a", "input": {}})
    source = LangGraphSource(server.url, thread_id="t1", reconnect=SOON, **options)
    async with asyncio.timeout(20), RunStream(source) as stream:
        signals = [signal async for signal in stream]
    (state,) = stream.latest.values()
    return state, signals


@pytest.mark.parametrize("seed", range(25))
async def test_a_stream_that_is_cut_anywhere_is_whole(seed: int) -> None:
    """However often and wherever it is cut, and however its bytes are split; the POST is sent once."""
    async with Server(cuts=seed % 6, seed=seed).serving() as server:
        state, signals = await read(server)
    assert (state.status, state.text) == ("completed", TEXT)
    assert len([request for request in server.requests if request.startswith("POST")]) <= 1
    keys = [signal.key for signal in signals]
    assert len(keys) == len(set(keys))


async def test_a_stream_that_has_brought_nothing_is_joined_from_its_beginning() -> None:
    """A server begins a join without an id in the middle of a text."""
    server = Server(cuts=1)
    server.cut_at = 0
    async with server.serving():
        state, _ = await read(server)
    assert (state.status, state.text) == ("completed", TEXT)
    assert server.last_ids == [None, "-1"]


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ({"/state": (200, {**DONE, "next": ["tools"]})}, "requires_action"),
        ({"/runs/r1": (200, {**RUN, "status": "timeout"})}, "expired"),
        ({"/runs/r1": (404, {"detail": "Not Found"})}, "in_progress"),
        ({"/runs/r1": [(503, {}), (200, RUN)]}, "completed"),
        ({"/runs/r1": (403, {})}, "in_progress"),
        ({"/runs/r1": [(200, {**RUN, "status": "running"}), (200, RUN)]}, "completed"),
    ],
)
async def test_the_server_is_asked_at_the_end(answers: dict[str, Any], status: str) -> None:
    """Errors are tried again, a run that goes on is joined again, and one that is gone is interrupted."""
    async with Server(answers=answers).serving() as server:
        state, signals = await read(server)
    assert state.status == status
    assert any(isinstance(signal, RunInterrupted) for signal in signals) == (status == "in_progress")
    assert state.text == TEXT


async def test_interrupts_may_be_written_late() -> None:
    """While the thread is busy, a state without a question is not final."""
    waiting = {**DONE, "tasks": [{"interrupts": [{"id": "i", "value": "?"}]}], "next": ["ask"]}
    busy = {**IDLE, "status": "busy"}
    answers = {"/state": [(200, DONE), (200, waiting)], "/threads/t1": [(200, busy), (200, IDLE)]}
    async with Server(answers=answers).serving() as server:
        state, _ = await read(server)
    assert state.status == "requires_action"


async def test_a_join_limits_the_modes_as_the_server_reads_them() -> None:
    async with Server().serving() as server:
        state, _ = await read(server, json=None, run_id="r1", stream_mode=["updates", "values"])
    assert state.status == "completed"
    assert "stream_mode=%5B%22updates%22%2C%22values%22%5D" in server.requests[0]


async def test_arguments_of_the_run_are_not_in_its_answer() -> None:
    """They contain the headers of the request."""
    items: list[RawItem] = []

    class Tee(LangGraphSource):
        async def run(self, receiver: Any) -> None:
            feed = receiver.feed

            def keep(item: RawItem) -> None:
                items.append(item)
                feed(item)

            receiver.feed = keep
            await super().run(receiver)

    async with Server().serving() as server:
        source = Tee(server.url, thread_id="t1", json={"assistant_id": "a"}, reconnect=SOON)
        async with asyncio.timeout(10), RunStream(source) as stream:
            async for _ in stream:
                pass
    (answer,) = [item for item in items if isinstance(item, Answer)]
    assert b"hush" not in answer.data
    assert b'"run_id":"r1"' in answer.data


@pytest.mark.parametrize(
    ("answers", "body"),
    [
        (None, {"input": None}),
        ({"breakpoint:tools": True}, {"input": None}),
        ({"abc": "yes"}, {"command": {"resume": {"abc": "yes"}}}),
        ({"a": 1, "b": 2}, {"command": {"resume": {"a": 1, "b": 2}}}),
        ({"ask:0ba1": "yes"}, {"command": {"resume": "yes"}}),
    ],
)
def test_the_body_of_an_answer(answers: Any, body: Any) -> None:
    assert answer_body(answers) == body


@pytest.mark.parametrize(
    "options", [{}, {"json": {}, "run_id": "r", "thread_id": "t"}, {"run_id": "r"}], ids=["none", "both", "no thread"]
)
def test_what_can_not_be_read_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="run"):
        LangGraphSource("http://127.0.0.1:1", **options)
