"""Clients against servers of others: Pydantic AI and LangGraph over AG-UI, a LangGraph server, fastresponses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from runstream.clients.ag_ui import AgUiClient
from runstream.clients.answers import Approve, Decline
from runstream.clients.langgraph import LangGraphClient
from runstream.clients.responses import ResponsesClient
from runstream.core.state import RunState
from runstream.errors import UnsupportedRequest
from runstream.model.signals import RunCreated, RunInterrupted
from tests.interop.agents import fastresponses_server, langgraph_over_ag_ui, langgraph_server, pydantic_agent

pytestmark = pytest.mark.slow


def show_map(zoom: float) -> str:
    """Show a map."""
    return f"shown at {zoom:g}"


def said(text: str) -> list[dict[str, Any]]:
    """The messages of a user who says something."""
    return [{"id": "u1", "role": "user", "content": text}]


@pytest.fixture(scope="module")
def pydantic() -> Iterator[str]:
    """The URL of an agent of Pydantic AI."""
    with pydantic_agent() as server:
        yield f"{server.url}/"


@pytest.fixture(scope="module")
def graph() -> Iterator[str]:
    """The URL of a graph of LangGraph behind AG-UI."""
    with langgraph_over_ag_ui() as server:
        yield server.url


@pytest.fixture(scope="module")
def langgraph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a LangGraph server."""
    with langgraph_server(tmp_path_factory.mktemp("langgraph") / "app") as server:
        yield server.url


def outputs_of(state: RunState) -> list[tuple[str | None, str | None]]:
    """The names and outputs of all calls."""
    return [(call.name, call.output) for step in state.steps for call in step.tool_calls]


@pytest.mark.parametrize("server", ["pydantic", "graph"])
async def test_a_frontend_tool(server: str, request: pytest.FixtureRequest) -> None:
    """The tool is offered, executed here, and its output continues the run on a server without a memory."""
    url = request.getfixturevalue(server)
    async with AgUiClient(url, tools=[show_map]) as client:
        async with client.run(threadId=f"tool-{server}", messages=said("map")) as stream:
            run = await stream.result()
        state = stream.latest[run.id]
        assert run.status == "completed"
        assert ("show_map", "shown at 3") in outputs_of(state)
        assert state.text
        with pytest.raises(UnsupportedRequest):
            await client.fetch(run.id)


@pytest.mark.parametrize(("server", "path"), [("pydantic", ""), ("graph", "/outcome")])
@pytest.mark.parametrize("decision", [Approve(), Decline("too dear")])
async def test_an_interrupt(
    server: str, path: str, decision: Approve | Decline, request: pytest.FixtureRequest
) -> None:
    """A function decides, and the run goes on."""
    asked: list[str] = []

    def decide(call: Any, run: Any) -> Approve | Decline:
        asked.append(call.kind)
        return decision

    url = request.getfixturevalue(server) + path
    async with AgUiClient(url, approve=decide) as client:
        thread = f"ticket-{server}-{type(decision).__name__}"
        async with client.run(threadId=thread, messages=said("ticket")) as stream:
            run = await stream.result()
    assert (run.status, asked) == ("completed", ["interrupt"])


async def test_the_older_interrupt(graph: str) -> None:
    """An interrupt without an id is answered by the command of the framework."""
    async with AgUiClient(f"{graph}/", approve=lambda call, run: Approve("yes")) as client:
        async with client.run(threadId="plain", messages=said("ticket plain")) as stream:
            run = await stream.result()
        assert outputs_of(stream.latest[run.id]) == [("buy_ticket", "bought: yes")]


async def test_a_run_that_is_left(pydantic: str) -> None:
    """There is no request to cancel it: the connection is closed, and the run is cut off with that reason."""
    async with AgUiClient(pydantic) as client, client.run(threadId="left", messages=said("gate")) as stream:
        created = await stream.when(RunCreated)
        assert await client.cancel(created.run_id) is None
        interrupted = await stream.when(RunInterrupted)
    assert "cancelled here" in interrupted.reason


@pytest.mark.parametrize("thread", [True, False], ids=["thread of the server", "new thread"])
async def test_a_graph_asks(langgraph: str, thread: bool) -> None:
    """An interrupt is answered, and the runs of the server are one run."""
    input = {"messages": [{"role": "user", "content": "Book it."}]}
    async with LangGraphClient(langgraph, approve=lambda call, run: Approve("yes")) as client:
        body: dict[str, Any] = {}
        if thread:
            body["thread_id"] = json.loads(await client._api.post("threads"))["thread_id"]
        async with client.run(body, assistant_id="approval", input=input) as stream:
            run = await stream.result()
        assert run.status == "completed"
        assert len(stream.latest[run.id].pieces) == 2
        assert (await client.fetch(run.id)).status == "completed"


async def test_a_graph_is_cancelled(langgraph: str) -> None:
    """The server is asked, and the run ends as it says."""
    input = {"messages": [{"role": "user", "content": "Take your time."}]}
    async with LangGraphClient(langgraph) as client, client.run(assistant_id="slow", input=input) as stream:
        created = await stream.when(RunCreated)
        await asyncio.sleep(1.0)
        await client.cancel(created.run_id)
        assert (await stream.result()).status == "cancelled"


async def test_another_client_rejoins_a_graph(langgraph: str) -> None:
    """The run is followed to its end, and its text is there."""
    input = {"messages": [{"role": "user", "content": "Take your time."}]}
    async with LangGraphClient(langgraph) as first:
        async with first.run(assistant_id="slow", input=input) as stream:
            created = await stream.when(RunCreated)
            state = stream.latest[created.run_id]
        second = LangGraphClient(langgraph)
        async with second, second.rejoin(created.run_id, thread_id=state.run.thread_id) as stream:
            run = await stream.result()
    assert run.status == "completed"


def look(pier: str) -> str:
    """The state of a pier."""
    return f"{pier} is open"


@pytest.fixture(scope="module")
def fastresponses() -> Iterator[str]:
    """The base URL of a fastresponses server."""
    with fastresponses_server() as server:
        yield f"{server.url}/v1"


async def test_parallel_calls_of_a_response(fastresponses: str) -> None:
    """Two calls are executed, and answered in a second response of the same run."""
    async with ResponsesClient(fastresponses, tools=[look], strict=False) as client:
        async with client.run(model="agent", input="two piers") as stream:
            run = await stream.result()
        state = stream.latest[run.id]
    assert run.status == "completed"
    assert len(state.pieces) == 2
    assert state.text == "Seen: north is open, south is open"
