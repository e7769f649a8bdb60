"""The client of the Responses API against a scripted server, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from runstream.clients.answers import Approve, Decline, Output
from runstream.clients.responses import ResponsesClient
from runstream.clients.tools import tool
from runstream.errors import IncompleteStream, RequestFailed
from runstream.model.run import RunStatus
from runstream.model.signals import ActionRequired, RunInterrupted
from runstream.sources.reconnect import Reconnect
from runstream.sources.responses_websocket import ResponsesWebSocket
from runstream.testing.server import ScriptedServer, serve_script
from runstream.testing.turns import Model, ScriptedCall, ScriptedRequest, Turn
from tests.clients.support import PARALLEL, answered, get_weather, multiply, only_run

QUICK = Reconnect(initial=0.01, maximum=0.02, max_attempts=3)


@asynccontextmanager
async def served(model: Model, **options: Any) -> AsyncIterator[tuple[ResponsesClient, ScriptedServer]]:
    """A client of a scripted server."""
    made = {"tools": [get_weather, multiply], "poll_interval": 0.02, "reconnect": QUICK, **options}
    async with serve_script(model) as server, ResponsesClient(server.url, api_key="key", **made) as client:
        yield client, server


async def test_parallel_calls_are_answered() -> None:
    """Three calls, one second response with all outputs, one run."""
    async with served([PARALLEL, "It is sunny."]) as (client, server):
        async with client.run(model="small", input="Hello", instructions="Be brief.") as stream:
            run = await stream.result()
        assert (run.status, run.id) == (RunStatus.COMPLETED, "resp_1")
        assert stream.latest[run.id].text == "Let me see.It is sunny."
        assert answered(server) == ["sunny in Oslo", "sunny in Rome", "42"]
        first, second = (request.body for request in server.requests)
        assert second["previous_response_id"] == "resp_1"
        assert (second["model"], second["instructions"]) == ("small", "Be brief.")
        assert [one["name"] for one in first["tools"]] == ["get_weather", "multiply"]
        assert second["tools"] == first["tools"]
        assert run.usage is not None
        assert run.usage.total_tokens == 30


async def test_submitted_answers_are_known() -> None:
    """Those of tools, then those of the application, in the stream that follows too; of no other run."""
    turns: list[Turn | str] = [PARALLEL, Turn(approvals={"erase": {}}), "Done."]
    async with served(turns) as (client, _):
        async with client.run(model="small", input="Hello") as stream:
            with pytest.raises(IncompleteStream):
                await stream.result()
        outputs = [Output("sunny in Oslo"), Output("sunny in Rome"), Output("42")]
        assert [*client.submitted("resp_1").values()] == outputs
        async with client.approve("resp_1") as stream:
            await stream.result("resp_1")
        submitted = client.submitted("resp_1")
        assert [*submitted.values()] == [*outputs, Approve()]
        assert all(key.startswith("resp_1/call/") for key in submitted)
        assert client.submitted("resp_9") == {}


@pytest.mark.parametrize("body", [{"store": False}, {}], ids=["not stored", "history"])
async def test_servers_without_memory(body: dict[str, Any]) -> None:
    """Each request has the items of the run so far."""
    turns: list[Turn | str] = [PARALLEL, Turn(text="And", calls={"multiply": {"a": 2, "b": 2}}), "It is sunny."]
    async with served(turns, history=not body) as (client, server):
        async with client.run(body, model="small", input="Hello") as stream:
            run = await stream.result()
        assert run.status == RunStatus.COMPLETED
        assert answered(server) == ["sunny in Oslo", "sunny in Rome", "42", "4"]
        assert all("previous_response_id" not in request.body for request in server.requests)
        kinds = [item.get("type", item.get("role")) for item in server.requests[-1].body["input"]]
        calls = ["function_call"] * 3 + ["function_call_output"] * 3
        assert kinds == ["user", "message", *calls, "message", "function_call", "function_call_output"]


async def test_equal_answers_of_two_rounds_are_both_in_the_history() -> None:
    """A server that counts the ids of its calls in each response asks the same again: each request has its answer."""
    asked = Turn(calls=[ScriptedCall("multiply", {"a": 2, "b": 2}, id="call_0")])
    async with served([asked, asked, "Four, twice."], history=True) as (client, server):
        async with client.run(model="small", input="Hello") as stream:
            run = await stream.result()
        assert run.status == RunStatus.COMPLETED
        kinds = [item.get("type", item.get("role")) for item in server.requests[-1].body["input"]]
        assert kinds == ["user", *["function_call", "function_call_output"] * 2]


async def test_answers_whose_response_is_lost() -> None:
    """They are sent again; the run is one run, and no tool is executed twice."""
    lost: list[int] = []
    executed: list[str] = []

    def model(request: ScriptedRequest) -> Turn:
        if not request.turn:
            return Turn(calls={"note": {"text": "x"}})
        lost.append(1)
        return Turn(text="Done.", lose=len(lost) == 1)

    def note(text: str) -> str:
        executed.append(text)
        return text

    async with served(model, tools=[note]) as (client, _):
        async with client.run(model="small", input="Hello") as stream:
            run = await stream.result()
        assert run.status == RunStatus.COMPLETED
        assert stream.latest[run.id].text == "Done."
        assert (executed, len(lost)) == (["x"], 2)


async def test_a_foreground_response_that_is_cut() -> None:
    """The server cancels it when the connection breaks; the poll says so, and the text so far stays."""
    async with served([Turn(text="A long text. " * 9, cut_after=9, pause=0.01)]) as (client, _):
        async with client.run(model="small", input="Hello") as stream:
            run = await stream.result()
        assert run.status == RunStatus.CANCELLED
        assert stream.latest[run.id].text.startswith("A long")


async def test_a_background_response_that_is_cut() -> None:
    """It goes on, and its text is whole."""
    text = "A long text. " * 9
    async with served([Turn(text=text, cut_after=9, pause=0.002)]) as (client, _):
        async with client.run(model="small", input="Hello", background=True) as stream:
            run = await stream.result()
        assert run.status == RunStatus.COMPLETED
        assert stream.latest[run.id].text == text


@pytest.mark.parametrize("decision", [Approve(), Decline("too dangerous")])
async def test_approvals(decision: Approve | Decline) -> None:
    """The decision and its reason are in the item that answers the request."""
    async with served([Turn(approvals={"delete_file": {"path": "/x"}}), "Done."]) as (client, server):
        async with client.run(model="small", input="Hello", approve=lambda call, run: decision) as stream:
            assert (await stream.result()).status == RunStatus.COMPLETED
        (item,) = server.requests[1].body["input"]
        assert item["approve"] == isinstance(decision, Approve)
        assert item.get("reason") == (None if isinstance(decision, Approve) else "too dangerous")


async def test_a_custom_tool() -> None:
    """It is sent as such, and its definition has no schema."""

    @tool(kind="custom", description="Runs SQL.")
    def run_sql(statement: str) -> str:
        return statement

    async with served(["Done."], tools=[run_sql]) as (client, server):
        async with client.run(model="small", input="Hello") as stream:
            await stream.result()
        assert server.requests[0].body["tools"] == [{"type": "custom", "name": "run_sql", "description": "Runs SQL."}]


async def test_a_refused_request() -> None:
    """The reason of the server is in the exception."""
    async with served([Turn(refuse=400)]) as (client, _), client.run(model="small", input="Hello") as stream:
        with pytest.raises(IncompleteStream, match="HTTP 400"):
            await stream.result()


async def test_cancel_in_the_foreground() -> None:
    """There is no request for it: the connection is closed, and the run is cut off with that reason."""
    async with served([Turn(text="A long text. " * 50, pause=0.02)]) as (client, server):
        async with client.run(model="small", input="Hello") as stream:
            await stream.when("message.text")
            assert await client.cancel(only_run(stream)) is None
            interrupted = await stream.when(RunInterrupted)
            assert "cancelled here" in interrupted.reason
        assert len(server.requests) == 1


async def test_cancel_in_the_background() -> None:
    """The server is asked, and its answer is the run."""
    body = {"model": "small", "input": "Hello", "background": True}
    turns = [Turn(text="A long text. " * 50, pause=0.02)]
    async with served(turns) as (client, _), client.run(body) as stream:
        await stream.when("message.text")
        run = await client.cancel(only_run(stream))
        assert run is not None
        assert run.status == RunStatus.CANCELLED
        assert (await stream.result()).status == RunStatus.CANCELLED


async def test_fetch_and_rejoin() -> None:
    """A run is known by the id of its first response; another client follows it."""
    async with served([PARALLEL, "It is sunny."], tools=()) as (first, server):
        async with first.run(model="small", input="Hello") as stream:
            with pytest.raises(IncompleteStream):
                await stream.result()
        assert (await first.fetch("resp_1")).status == RunStatus.REQUIRES_ACTION
        with pytest.raises(RequestFailed, match="no response resp_9"):
            await first.fetch("resp_9")
        second = ResponsesClient(server.url, tools=[get_weather, multiply], poll_interval=0.02)
        async with second, second.rejoin("resp_1") as stream:
            run = await stream.result()
        assert (run.id, run.status) == ("resp_1", RunStatus.COMPLETED)
        assert stream.latest[run.id].text == "Let me see.It is sunny."
        assert answered(server) == ["sunny in Oslo", "sunny in Rome", "42"]


@pytest.mark.parametrize("lanes", [1, 4])
async def test_runs_over_one_socket(lanes: int) -> None:
    """Several runs at the same time, with their answers; objects and background responses are requested over HTTP."""
    async with served([PARALLEL, "It is sunny."], websocket=True, lanes=lanes) as (client, server):

        async def one() -> tuple[str, str]:
            async with client.run(model="small", input="Hello") as stream:
                run = await stream.result()
            return run.status, stream.latest[run.id].text

        found = await asyncio.gather(*(one() for _ in range(6)))
        assert found == [("completed", "Let me see.It is sunny.")] * 6
        assert len(answered(server)) == 18
        assert server.requests == []
        async with client.run(model="small", input="Hello", background=True) as stream:
            assert (await stream.result()).status == RunStatus.COMPLETED
        assert (await client.fetch("resp_1")).status == RunStatus.COMPLETED
        *posts, (method, path) = [(request.method, request.path) for request in server.requests]
        # The answers to a background response are a background response too.
        assert posts == [("POST", "/v1/responses")] * 2
        assert (method, path.rpartition("/")[0]) == ("GET", "/v1/responses")
        assert path != "/v1/responses/resp_1"  # the last response of the run


async def test_a_socket_that_is_replaced() -> None:
    """A socket that is too old takes no further request: the run goes on over another one."""
    async with serve_script([PARALLEL, "It is sunny."]) as server:
        async with (
            ResponsesWebSocket(server.url, max_age=0.05, proxy=None) as socket,
            ResponsesClient(server.url, tools=[get_weather, multiply], websocket=socket) as client,
        ):

            async def slow(a: int, b: int) -> int:
                await asyncio.sleep(0.1)
                return a * b

            async with client.run({"model": "m", "input": "Hello"}, tools=[tool(name="multiply")(slow)]) as stream:
                stream.start()
                await stream.when("run.action_required")
                (first,) = socket._routers
                run = await stream.result()
            assert run.status == RunStatus.COMPLETED
            assert first not in socket._routers
        assert len(answered(server)) == 3


@pytest.mark.parametrize("others", [True, False], ids=["beside others", "alone"])
async def test_a_run_of_a_socket_is_cancelled(others: bool) -> None:
    """Alone it is cancelled with its socket; beside others the rest of it is dropped, and no run is disturbed."""

    def model(request: ScriptedRequest) -> Turn:
        return Turn(text=f"{request.body['input']} " * 30, pause=0.01)

    async with served(model, websocket=True, lanes=2) as (client, _), contextlib.AsyncExitStack() as stack:

        async def text_of(stream: Any) -> str:
            run = await stream.result()
            return str(stream.latest[run.id].text)

        beside = []
        if others:
            other = await stack.enter_async_context(client.run(model="m", input="other"))
            await other.when("message.text")
            beside.append(asyncio.create_task(text_of(other)))
        stream = await stack.enter_async_context(client.run(model="m", input="this"))
        await stream.when("message.text")
        assert await client.cancel(only_run(stream)) is None
        assert "cancelled here" in (await stream.when(RunInterrupted)).reason
        # The lane of the cancelled one is taken again.
        found = [await text_of(await stack.enter_async_context(client.run(model="m", input=word))) for word in "ab"]
        assert found == ["a " * 30, "b " * 30]
        assert [await task for task in beside] == ["other " * 30] * others


@pytest.mark.parametrize("body", [{}, {"store": False}], ids=["stored", "not stored"])
async def test_a_socket_that_refuses(body: dict[str, Any]) -> None:
    """For now: the request is sent again; for good: the reason of the server is in the exception."""
    refusals = [429, 503]

    def model(request: ScriptedRequest) -> Turn:
        if not request.turn:
            return PARALLEL
        return Turn(refuse=refusals.pop()) if refusals else Turn(text="It is sunny.")

    async with served(model, websocket=True) as (client, server):
        async with client.run(body, model="small", input="Hello") as stream:
            assert (await stream.result()).status == RunStatus.COMPLETED
        assert (len(answered(server)), refusals) == (3, [])
    async with served([Turn(refuse=400)], websocket=True) as (client, _), client.run(model="m", input="x") as stream:
        with pytest.raises(IncompleteStream, match="The request was refused"):
            await stream.result()


def test_lanes_without_a_socket() -> None:
    """The message says what is missing."""
    with pytest.raises(ValueError, match="websocket=True"):
        ResponsesClient("http://127.0.0.1:9/v1", lanes=4)


async def test_each_round_is_answered_after_its_stream() -> None:
    """Two rounds, each answered when the stream has ended; the answers that were submitted are known."""
    first = Turn(calls={"book": {"boat": "Heron"}})
    second = Turn(approvals={"pay": {"sum": 3}})
    async with served([first, second, "Done."], tools=[]) as (client, server):
        async with client.run(model="small", input="Hello") as stream:
            call = (await stream.when(ActionRequired)).calls[0]
            with suppress(IncompleteStream):
                await stream.result()
        async with client.answer("resp_1", {call.id: "booked"}) as answered:
            requests = [signal async for signal in answered if isinstance(signal, ActionRequired)]
        asked = requests[-1].calls[0]
        async with client.approve("resp_1") as approved:
            assert (await approved.result("resp_1")).status == RunStatus.COMPLETED
        assert server.outputs == {call.id: ["booked"], asked.id: [True]}
        assert client.submitted("resp_1") == {call.key: Output("booked"), asked.key: Approve()}
        assert client.submitted("resp_9") == {}
