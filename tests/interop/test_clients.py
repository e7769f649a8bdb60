"""Clients against servers of others: Pydantic AI and LangGraph over AG-UI, a LangGraph server, fastresponses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from runstream.clients.ag_ui import AgUiClient
from runstream.clients.answer_schemas import AnswerNotValid
from runstream.clients.answers import Approve, Decline
from runstream.clients.langgraph import LangGraphClient
from runstream.clients.responses import ResponsesClient
from runstream.core.state import RunState
from runstream.errors import UnsupportedRequest
from runstream.model.signals import ActionRequired, RunCreated, RunInterrupted, TextDelta
from runstream.sources.reconnect import Reconnect
from tests.interop.agents import fastresponses_server, langgraph_over_ag_ui, langgraph_server, pydantic_agent
from tests.support.killable_proxy import killable_proxy

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


@pytest.mark.parametrize("server", ["pydantic", "graph"])
async def test_two_frontend_tools_at_once(server: str, request: pytest.FixtureRequest) -> None:
    """Both are executed at the same time, and one request has both outputs."""
    both = asyncio.Barrier(2)

    async def show_map(zoom: float) -> str:
        await asyncio.wait_for(both.wait(), 20)
        return f"shown at {zoom:g}"

    async with AgUiClient(request.getfixturevalue(server), tools=[show_map]) as client:
        async with client.run(threadId=f"two-{server}", messages=said("two maps")) as stream:
            run = await stream.result()
        state = stream.latest[run.id]
    assert (run.status, len(state.pieces)) == ("completed", 2)
    assert sorted(outputs_of(state)) == [("show_map", "shown at 3"), ("show_map", "shown at 5")]
    assert state.text == "Result: shown at 3; shown at 5"


async def test_an_answer_that_does_not_fit(pydantic: str) -> None:
    """The schema of the server's interrupt is checked before anything is sent; a value that fits is accepted."""
    async with AgUiClient(pydantic) as client:
        async with client.run(threadId="schema", messages=said("ticket")) as stream:
            asked = await stream.when(ActionRequired)
        (call,) = asked.calls
        assert call.response_schema["required"] == ("approved",)
        with pytest.raises(AnswerNotValid, match=r"\$\.approved"):
            client.answer(asked.run_id, {call.id: {"approved": "yes"}})
        async with client.approve(asked.run_id) as answered:
            assert (await answered.result(asked.run_id)).status == "completed"


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


@pytest.mark.parametrize("server", ["pydantic", "graph"])
async def test_a_run_that_is_left(server: str, request: pytest.FixtureRequest) -> None:
    """There is no request to cancel it: the connection is closed, and the run is cut off with that reason."""
    url = request.getfixturevalue(server)
    async with AgUiClient(url) as client, client.run(threadId=f"left-{server}", messages=said("gate")) as stream:
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


async def test_a_graph_calls_two_tools(langgraph: str) -> None:
    """They are executed by the server, and their outputs are in the run."""
    input = {"messages": [{"role": "user", "content": "Boats at Elm?"}]}
    async with LangGraphClient(langgraph) as client, client.run(assistant_id="agent", input=input) as stream:
        run = await stream.result()
    assert run.status == "completed"
    assert outputs_of(stream.latest[run.id]) == [("tide", "high water at Elm: 08:10"), ("boats", "3 boats at Elm")]


async def test_two_interrupts_of_a_graph(langgraph: str) -> None:
    """Both are decided, and one request has both answers."""
    decided: list[Any] = []

    def decide(call: Any, run: Any) -> Approve:
        decided.append(call.call.data["ask"])
        return Approve(f"yes to {call.call.data['ask']}")

    async with LangGraphClient(langgraph, approve=decide) as client:
        async with client.run(assistant_id="several", input={"topics": ["oars", "sails"]}) as stream:
            run = await stream.result()
        document = stream.latest[run.id].document
    assert run.status == "completed"
    assert sorted(decided) == ["oars", "sails"]
    assert sorted(document["answers"]) == ["oars: yes to oars", "sails: yes to sails"]


@pytest.mark.parametrize("kills", ["before", "during"])
async def test_answers_to_a_graph_that_are_lost(langgraph: str, kills: str) -> None:
    """The server is asked for the latest run of the thread: the answer is sent again only if it has not arrived."""
    input = {"messages": [{"role": "user", "content": "Book it."}]}
    quick = Reconnect(initial=0.1, maximum=0.3, max_attempts=8)
    async with killable_proxy(langgraph) as proxy:

        async def decide(call: Any, run: Any) -> Approve:
            if kills == "before":
                proxy.kill(down=0.3)
            else:
                proxy.kill_after_request("/runs/stream", down=0.3)
            return Approve("yes")

        client = LangGraphClient(proxy.url(langgraph), approve=decide, reconnect=quick, proxy=None)
        async with client, client.run(assistant_id="approval", input=input) as stream:
            run = await stream.result()
            thread = run.thread_id
        assert (run.status, proxy.kills) == ("completed", 1)
        assert stream.latest[run.id].text.count("Booked.") == 1
        runs = json.loads(await LangGraphClient(langgraph)._api.get("threads", str(thread), "runs"))
    assert len(runs) == 2


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


LOOK = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "properties": {"pier": {"type": "string"}}, "required": ["pier"]},
}


def look(pier: str) -> str:
    """The state of a pier."""
    return f"{pier} is open"


@pytest.fixture(scope="module")
def fastresponses() -> Iterator[str]:
    """The base URL of a fastresponses server."""
    with fastresponses_server() as server:
        yield f"{server.url}/v1"


TRANSPORTS: dict[str, dict[str, Any]] = {
    "http": {},
    "websocket": {"websocket": True},
    "lanes": {"websocket": True, "lanes": 4},  # the server names none: one response is in progress at a time
}


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_parallel_calls_of_a_response(fastresponses: str, transport: str) -> None:
    """Two calls are executed, and answered in a second response of the same run; several runs at the same time."""
    options = TRANSPORTS[transport]
    async with ResponsesClient(fastresponses, tools=[look], strict=False, proxy=None, **options) as client:

        async def one() -> tuple[str, int, str]:
            async with client.run(model="agent", input="two piers") as stream:
                run = await stream.result()
            state = stream.latest[run.id]
            assert (await client.fetch(run.id)).status == "completed"
            return run.status, len(state.pieces), state.text

        found = await asyncio.gather(*(one() for _ in range(3)))
    assert found == [("completed", 2, "Seen: north is open, south is open")] * 3


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_response_that_is_cancelled(fastresponses: str, transport: str) -> None:
    """The connection is closed; the next run of the client is not disturbed by the rest."""
    async with ResponsesClient(fastresponses, proxy=None, **TRANSPORTS[transport]) as client:
        async with client.run(model="agent", input="slow ferry") as stream:
            text = await stream.when(TextDelta)
            assert await client.cancel(text.run_id) is None
            assert "cancelled here" in (await stream.when(RunInterrupted)).reason
        async with client.run(model="agent", input="ferry") as stream:
            run = await stream.result()
        assert (run.status, stream.latest[run.id].text) == ("completed", "The ferry leaves at nine.")


@pytest.mark.parametrize("transport", ["http", "websocket"])
async def test_a_response_that_waits_is_answered_by_hand(fastresponses: str, transport: str) -> None:
    """The tools are offered, and have no function here: the application answers later, over the same transport."""
    body = {"model": "agent", "input": "two piers", "tools": [LOOK]}
    async with ResponsesClient(fastresponses, proxy=None, **TRANSPORTS[transport]) as client:
        async with client.run(body) as stream:
            asked = await stream.when(ActionRequired)
        async with client.answer(asked.run_id, {call.id: "shut" for call in asked.calls}) as answered:
            run = await answered.result(asked.run_id)
        assert (run.status, answered.latest[run.id].text) == ("completed", "Seen: shut, shut")
