"""A run is cancelled in each of its phases, by a request or by its time limit, by each protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from runstream.clients.ag_ui import AgUiClient
from runstream.clients.assistants import AssistantsClient
from runstream.clients.base import BaseClient
from runstream.clients.langgraph import LangGraphClient
from runstream.clients.responses import ResponsesClient
from runstream.errors import IncompleteStream
from runstream.model.progress_signals import TextDelta
from runstream.model.raw import Answer
from runstream.model.run import Run, RunStatus
from runstream.model.signals import ActionRequired, RunInterrupted
from runstream.sources.base import Receiver
from runstream.sources.reconnect import Reconnect
from runstream.stream.run_stream import RunStream
from runstream.testing.server import serve_script
from runstream.testing.turns import Question, Turn

QUICK = Reconnect(initial=0.01, maximum=0.02, max_attempts=3)
RESPONSE = {"model": "small", "input": "Hello"}
BODIES: dict[str, dict[str, Any]] = {
    "assistants": {"assistant_id": "any"},
    "responses": RESPONSE,
    "background": {**RESPONSE, "background": True},
    "not stored": {**RESPONSE, "store": False},
    "websocket": RESPONSE,
    "ag-ui": {"messages": [{"id": "u1", "role": "user", "content": "Hello"}]},
    "langgraph": {"assistant_id": "agent", "input": {"messages": []}},
}
ASKED = ("assistants", "background", "langgraph")
"""The protocols whose servers are asked to cancel."""


def client_of(kind: str, urls: Any, **options: Any) -> BaseClient:
    """A client of one protocol."""
    options["reconnect"] = QUICK
    if kind == "langgraph":
        return LangGraphClient(urls.langgraph_url, **options)
    if kind == "ag-ui":
        return AgUiClient(urls.ag_ui_url, **options)
    if kind == "assistants":
        return AssistantsClient(urls.url, poll_interval=0.02, **options)
    return ResponsesClient(urls.url, websocket=kind == "websocket", poll_interval=0.02, **options)


async def end_of(stream: RunStream, *, is_asked: bool, reason: str) -> None:
    """The run ends as the server says; where it can't be asked, it is cut off here, and the exception says so."""
    async with asyncio.timeout(5):
        if is_asked:
            assert (await stream.result()).status == RunStatus.CANCELLED
            return
        with pytest.raises(IncompleteStream, match=f"{reason}; ") as caught:
            await stream.result()
        (state,) = caught.value.states
        interrupted = await stream.when(RunInterrupted, run_id=state.run_id)
        assert interrupted.reason == reason


@asynccontextmanager
async def silent_server() -> AsyncIterator[Any]:
    """A server that accepts connections, and answers nothing."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(accept, "127.0.0.1", 0) as server:
        base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        class Urls:
            url = ag_ui_url = langgraph_url = base

        yield Urls


LIMIT = 0.4  # seconds; long enough for a run to wait by then
HERE = {None: "the run was cancelled here", LIMIT: "the run was cancelled here: its time limit has passed"}
ENDS = [
    *((kind, None) for kind in BODIES),
    *((kind, LIMIT) for kind in ("assistants", "responses", "background", "ag-ui")),
]
"""The protocols, and the time limits: none for a request."""


@pytest.mark.parametrize(("kind", "limit"), [end for end in ENDS if end[0] != "langgraph"])
async def test_while_a_tool_is_executed(kind: str, limit: float | None) -> None:
    """The tool is cancelled, and its output is not sent."""
    ends: list[str] = []

    async def work() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ends.append("cancelled")
            raise
        return "done"

    async with (
        serve_script([Turn(calls={"work": {}}), "Done."]) as server,
        client_of(kind, server, tools=[work]) as client,
        client.run(BODIES[kind], timeout=limit) as stream,
    ):
        asked = await stream.when(ActionRequired)
        await asyncio.sleep(0)
        if limit is None:
            await client.cancel(asked.run_id)
        await end_of(stream, is_asked=kind == "assistants", reason=HERE[limit])
    assert ends in ([], ["cancelled"])  # not yet begun, or cancelled
    assert server.outputs == {}


@pytest.mark.parametrize(("kind", "limit"), ENDS)
async def test_while_a_person_is_asked(kind: str, limit: float | None) -> None:
    """The decision is not waited for: neither `approve`, nor `on_unanswered`."""
    ends: list[str] = []
    is_asked = asyncio.Event()

    async def never(*args: Any) -> None:
        is_asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")

    turn = Turn(questions=[Question("Go on?")]) if kind in ("langgraph", "ag-ui") else Turn(approvals={"erase": {}})
    async with serve_script([turn, "Done."]) as server:
        for options in ({"approve": never}, {"on_unanswered": never}):
            async with client_of(kind, server, **options) as client, client.run(BODIES[kind], timeout=limit) as stream:
                asked = await stream.when(ActionRequired)
                await is_asked.wait()
                is_asked.clear()
                if limit is None:
                    await client.cancel(asked.run_id)
                await end_of(stream, is_asked=kind == "assistants", reason=HERE[limit])
        assert ends == ["cancelled"] * 2


@pytest.mark.parametrize("kind", [kind for kind in BODIES if kind != "websocket"])
async def test_while_text_is_streamed(kind: str) -> None:
    """The connection is closed where the server can't be asked. (Over a WebSocket the server has cancelled it then.)"""
    async with (
        serve_script([Turn(text="A long text. " * 50, pause=0.02)]) as server,
        client_of(kind, server) as client,
        client.run(BODIES[kind]) as stream,
    ):
        text = await stream.when(TextDelta)
        await client.cancel(text.run_id)
        async with asyncio.timeout(5):
            try:
                assert (await stream.result()).status == RunStatus.CANCELLED
            except IncompleteStream as error:
                assert kind not in ASKED
                assert error.reason.startswith("the run was cancelled here; ")  # noqa: PT017 - one of two ends


@pytest.mark.parametrize("kind", BODIES)
async def test_a_server_that_answers_nothing(kind: str) -> None:
    """The time limit holds before any run is known."""
    async with (
        silent_server() as urls,
        client_of(kind, urls) as client,
        client.run(BODIES[kind], timeout=0.05) as stream,
        asyncio.timeout(5),
    ):
        with pytest.raises(IncompleteStream, match="cancelled here: its time limit has passed; no run was seen"):
            await stream.result()


COMPLETE = {
    "id": "resp_1",
    "object": "response",
    "status": "completed",
    "output": [
        {"type": "function_call", "id": "f1", "call_id": "c1", "name": "work", "arguments": "{}", "status": "completed"}
    ],
}


class WithoutRepair(ResponsesClient):
    """A client that does not fetch a run whose connection has ended."""

    def _repair(self) -> None:
        return None


class Late:
    """A source that has the whole response."""

    name = "late"

    async def run(self, receiver: Receiver) -> None:
        """Deliver it."""
        receiver.feed(Answer(data=json.dumps(COMPLETE).encode()))


async def test_calls_that_arrive_after_the_cancel_are_not_executed() -> None:
    """The server had completed the response by then, and it is fetched: its calls stay unanswered."""
    executed: list[str] = []

    def work() -> None:
        executed.append("done")

    async with (
        serve_script([Turn(text="A long text. " * 50, pause=0.02), "Done."]) as server,
        WithoutRepair(server.url, tools=[work]) as client,
        client.run(RESPONSE) as stream,
    ):
        await stream.when(TextDelta)
        await client.cancel("resp_1")
        stream.attach(Late(), continues="resp_1")
        await stream.when(ActionRequired)
        with pytest.raises(IncompleteStream, match="the run was cancelled here; resp_1 waits for action"):
            await stream.result()
    assert (executed, server.outputs) == ([], {})


async def test_an_approval_of_a_run_that_has_ended_is_not_waited_for() -> None:
    """A server expires a run while a person is asked about it: the question is cancelled, and the stream ends."""
    ends: list[str] = []
    is_asked = asyncio.Event()

    async def approve(call: Any, run: Run) -> None:
        is_asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            ends.append("cancelled")

    async with (
        serve_script([Turn(approvals={"erase": {}})]) as server,
        client_of("assistants", server, approve=approve) as client,
        client.run(BODIES["assistants"]) as stream,
    ):
        asked = await stream.when(ActionRequired)
        await is_asked.wait()
        await client.cancel(asked.run_id)
        async with asyncio.timeout(5):
            assert [run.status async for run in _ended(stream)] == [RunStatus.CANCELLED]
    assert ends == ["cancelled"]


async def _ended(stream: RunStream) -> AsyncIterator[Run]:
    """The runs of a stream, once the stream has ended."""
    async for _ in stream:
        pass
    for state in stream.latest.values():
        yield state.run


async def test_the_answer_to_a_cancel_ends_a_stream_without_events() -> None:
    """The server ends the stream of a background response that was cancelled without an event. Its answer to the
    cancel says how the run has ended, so nothing is asked for again.
    """
    turn = Turn(text="A long text. " * 50, pause=0.02)
    async with (
        asyncio.timeout(10),
        serve_script([turn]) as server,
        ResponsesClient(server.url) as client,
        client.run({**RESPONSE, "background": True}) as stream,
    ):
        text = await stream.when(TextDelta)
        answered = await client.cancel(text.run_id)
        assert answered is not None
        assert answered.status == RunStatus.CANCELLED
        assert (await stream.result()).status == RunStatus.CANCELLED
        assert stream.latest[text.run_id].text.startswith("A long")


async def test_a_response_that_was_rejoined() -> None:
    """It goes on without a connection, so the server is asked, though this client has not started it."""
    async with serve_script([Turn(text="A long text. " * 50, pause=0.01)]) as server:
        async with client_of("responses", server) as first, first.run(BODIES["background"]) as stream:
            run_id = (await stream.when(TextDelta)).run_id
        async with client_of("responses", server) as second, second.rejoin(run_id) as stream:
            await stream.when(TextDelta)
            await second.cancel(run_id)
            await end_of(stream, is_asked=True, reason="")
        paths = [request.path for request in server.requests]
        assert f"/v1/responses/{run_id}/cancel" in paths
