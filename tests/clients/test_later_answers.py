"""Answers that are sent by a later stream: of the same process, or after a restart. Each request is a whole one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from runstream.clients.ag_ui import AgUiClient
from runstream.clients.answers import Approve
from runstream.clients.assistants import AssistantsClient
from runstream.clients.base import BaseClient
from runstream.clients.langgraph import LangGraphClient
from runstream.clients.responses import ResponsesClient
from runstream.errors import IncompleteStream
from runstream.model.run import RunStatus
from runstream.model.signals import ActionRequired
from runstream.sources.reconnect import Reconnect
from runstream.store.sqlite import SqliteStore
from runstream.stream.run_stream import RunStream
from runstream.testing.server import ScriptedServer, serve_script
from runstream.testing.turns import Question, ScriptedRequest, Turn
from tests.clients.support import get_weather, only_run

QUICK = Reconnect(initial=0.01, maximum=0.02, max_attempts=2)
GRAPH = {"assistant_id": "agent", "input": {"messages": [{"role": "user", "content": "Hello"}]}}
ROUNDS = [Turn(text="a", calls={"book": {"boat": "Heron"}}), Turn(text="b", calls={"pay": {"sum": 3}}), "c"]


class Kind(NamedTuple):
    """A client, its options, the body of its runs, and the fields that each request has."""

    client: type[BaseClient]
    options: dict[str, Any]
    body: dict[str, Any]
    fields: set[str]


MESSAGES = {"messages": [{"id": "u1", "role": "user", "content": "Hello"}]}
KINDS = {
    "assistants": Kind(AssistantsClient, {}, {"assistant_id": "asst_1"}, set()),
    "responses": Kind(ResponsesClient, {}, {"model": "m", "input": "Hello"}, {"model", "tools"}),
    "history": Kind(ResponsesClient, {"history": True}, {"model": "m", "input": "Hello"}, {"model", "tools"}),
    "ag-ui": Kind(AgUiClient, {}, MESSAGES, {"threadId", "messages", "tools"}),
}


def url_of(kind: type[BaseClient], server: ScriptedServer) -> str:
    """The URL for a client."""
    return {AgUiClient: server.ag_ui_url, LangGraphClient: server.langgraph_url}.get(kind, server.url)


@pytest.mark.parametrize("name", KINDS)
async def test_two_rounds_by_hand(name: str) -> None:
    """The answer to the second round, on a third stream, knows what the first request had, and the run so far."""
    kind = KINDS[name]
    make: Any = kind.client
    async with (
        serve_script(ROUNDS) as server,
        make(url_of(kind.client, server), tools=[get_weather], reconnect=QUICK, **kind.options) as client,
    ):
        async with client.run(kind.body) as stream:
            asked = await stream.when(ActionRequired)
            with pytest.raises(IncompleteStream):
                await stream.result()
        run_id = asked.run_id
        async with client.answer(run_id, {asked.calls[0].id: "booked"}) as second:
            requests = [signal async for signal in second if isinstance(signal, ActionRequired)]
        async with client.answer(run_id, {requests[-1].calls[0].id: "paid"}) as third:
            assert (await third.result(run_id)).status == RunStatus.COMPLETED
        assert third.latest[run_id].text == "abc"
        assert list(server.outputs.values()) == [["booked"], ["paid"]]
        posts = [request.body for request in server.requests if request.method == "POST"]
        assert len(posts) == 3
        for body in posts:
            assert body.keys() >= kind.fields
            assert not kind.fields or [tool.get("name") for tool in body["tools"]] == ["get_weather"]


@pytest.mark.parametrize("name", KINDS)
async def test_answers_that_were_refused_are_sent_again_on_request(name: str) -> None:
    """The stream of the refused request has ended; the application submits the same answer once more."""
    kind = KINDS[name]
    make: Any = kind.client
    refusals = [403]

    def model(request: ScriptedRequest) -> Turn:
        if request.turn == 0:
            return Turn(calls={"book": {}})
        return Turn(refuse=refusals.pop()) if refusals else Turn(text="Done.")

    async with (
        serve_script(model) as server,
        make(url_of(kind.client, server), reconnect=QUICK, **kind.options) as client,
    ):
        async with client.run(kind.body) as stream:
            asked = await stream.when(ActionRequired)
            with pytest.raises(IncompleteStream):
                await stream.result()
        answers = {asked.calls[0].id: "booked"}
        async with client.answer(asked.run_id, answers) as second:
            with pytest.raises(IncompleteStream, match="403"):
                await second.result(asked.run_id)
        async with client.answer(asked.run_id, answers) as third:
            assert (await third.result(asked.run_id)).status == RunStatus.COMPLETED
        assert server.outputs == {asked.calls[0].id: ["booked"]}


async def test_a_rejoined_response_has_its_model_and_the_tools(tmp_path: Path) -> None:
    """The further requests of the next process have them, and the fields that `rejoin` was given."""
    turns = [Turn(calls={"get_weather": {"city": "Oslo"}}), Turn(calls={"get_weather": {"city": "Rome"}}), "Fine."]
    path = tmp_path / "runs.db"
    async with serve_script(turns) as server:
        with SqliteStore(path) as store:
            first = ResponsesClient(server.url, store=store)
            async with first, first.run(model="m", input="Hello") as stream:
                with pytest.raises(IncompleteStream):
                    await stream.result()
                run_id = only_run(stream)
        with SqliteStore(path) as store:
            second = ResponsesClient(server.url, store=store, tools=[get_weather])
            async with second, second.rejoin(run_id, instructions="Be brief.") as stream:
                assert (await stream.result(run_id)).status == RunStatus.COMPLETED
        posts = [request.body for request in server.requests if request.method == "POST"][1:]
        found = [(body["model"], body["instructions"], [tool["name"] for tool in body["tools"]]) for body in posts]
        assert found == [("m", "Be brief.", ["get_weather"])] * 2


async def test_a_history_of_another_process_is_not_made_up(tmp_path: Path) -> None:
    """A server without memory needs it, so nothing is sent; the error says what to do."""
    async with serve_script([Turn(calls={"get_weather": {"city": "Oslo"}}), "Fine."]) as server:
        with SqliteStore(tmp_path / "runs.db") as store:
            first = ResponsesClient(server.url, store=store, history=True)
            async with first, first.run(model="m", input="Hello") as stream:
                with pytest.raises(IncompleteStream):
                    await stream.result()
                run_id = only_run(stream)
            second = ResponsesClient(server.url, store=store, history=True, tools=[get_weather])
            async with second, second.rejoin(run_id) as stream:
                with pytest.raises(IncompleteStream, match="start a run with the conversation as input"):
                    await stream.result(run_id)
        assert server.outputs == {}


async def _leave_waiting(server: ScriptedServer, store: SqliteStore) -> tuple[str, str]:
    """A run of a graph that waits: the ids of the run and its thread."""
    first = LangGraphClient(server.langgraph_url, store=store)
    async with first, first.run(GRAPH) as stream:
        with pytest.raises(IncompleteStream):
            await stream.result()
        (state,) = stream.latest.values()
    return state.run_id, str(state.run.thread_id)


async def _start(server: ScriptedServer, thread_id: str, **body: Any) -> None:
    """Start a run of a thread, as a process that is killed then."""
    client = LangGraphClient(server.langgraph_url)
    async with client, client.run({"assistant_id": "agent", "thread_id": thread_id, **body}) as stream:
        await stream.result()


async def test_a_graph_that_another_process_has_answered(tmp_path: Path) -> None:
    """The process was killed after it had sent the answer: nobody is asked again, and nothing is sent again."""
    asked: list[str] = []

    def approve(call: Any, run: Any) -> Approve:
        asked.append(call.key)
        return Approve("Rome")

    async with serve_script([Turn(questions=[Question("Which city?", id="q1")]), "To Oslo."]) as server:
        with SqliteStore(tmp_path / "runs.db") as store:
            run_id, thread_id = await _leave_waiting(server, store)
            await _start(server, thread_id, command={"resume": {"q1": "Oslo"}})
            posts = len([request for request in server.requests if request.method == "POST"])
            second = LangGraphClient(server.langgraph_url, store=store, approve=approve)
            async with asyncio.timeout(20), second, second.rejoin(run_id) as stream:
                assert (await stream.result(run_id)).status == RunStatus.COMPLETED
                assert stream.latest[run_id].text == "To Oslo."
        assert (asked, server.outputs) == ([], {"q1": ["Oslo"]})
        assert len([request for request in server.requests if request.method == "POST"]) == posts


async def test_a_graph_whose_question_was_dropped(tmp_path: Path) -> None:
    """A later run of the thread with new input has dropped it: it is not answered, and the error says so."""
    async with serve_script([Turn(questions=[Question("Which city?", id="q1")]), "To Oslo."]) as server:
        with SqliteStore(tmp_path / "runs.db") as store:
            run_id, thread_id = await _leave_waiting(server, store)
            with pytest.raises(IncompleteStream):
                await _start(server, thread_id, input=GRAPH["input"])
            second = LangGraphClient(server.langgraph_url, store=store, approve=lambda *_: Approve("Rome"))
            async with asyncio.timeout(20), second, second.rejoin(run_id) as stream:
                with pytest.raises(IncompleteStream, match="later run with new input"):
                    await stream.result(run_id)
        assert server.outputs == {}


async def test_an_answer_from_elsewhere_asks_the_server_first() -> None:
    """As in a cluster, whose process was killed after it had sent the answer: the answer is not sent again."""
    async with serve_script([Turn(questions=[Question("Which city?", id="q1")]), "To Oslo."]) as server:
        first = LangGraphClient(server.langgraph_url)
        async with first, first.run(GRAPH) as stream:
            asked = await stream.when(ActionRequired)
            with pytest.raises(IncompleteStream):
                await stream.result()
            state = stream.latest[asked.run_id]
        await _start(server, str(state.run.thread_id), command={"resume": {"q1": "Oslo"}})
        async with LangGraphClient(server.langgraph_url, approve=lambda *_: Approve("Rome")) as second:
            source = await second.make_answer(asked, state)
            assert source is not None
            async with asyncio.timeout(20), RunStream(dialect="langgraph") as followed:
                followed.attach(source, continues=asked.run_id)
                assert (await followed.result()).status == RunStatus.COMPLETED
        assert server.outputs == {"q1": ["Oslo"]}


@pytest.mark.parametrize("name", [*KINDS, "langgraph"])
async def test_answers_are_sent_again_on_an_open_stream(name: str) -> None:
    """The stream is kept open beyond the refusal; the application answers anew."""
    kind = KINDS.get(name) or Kind(LangGraphClient, {}, GRAPH, set())
    make: Any = kind.client
    by_question = name in ("ag-ui", "langgraph")
    refusals = [403]

    def model(request: ScriptedRequest) -> Turn:
        if request.turn == 0:
            return (
                Turn(questions=[Question("When?", id="q1")]) if by_question else Turn(calls={"book": {"boat": "Heron"}})
            )
        return Turn(refuse=refusals.pop()) if refusals else Turn(text="done")

    async with (
        serve_script(model) as server,
        make(url_of(kind.client, server), reconnect=QUICK, **kind.options) as client,
        client.run(kind.body) as stream,
    ):
        with stream.keep_open():
            asked = await stream.when(ActionRequired)
            call = asked.calls[0].id
            client.answer(asked.run_id, {call: "first"})
            refused = await stream.when("source.error", timeout=10)
            assert refused.reason
            while any(not handle.done for handle in client._sessions.find(asked.run_id)._handles):
                await asyncio.sleep(0.01)
            assert client.answer(asked.run_id, {call: "second"}) is stream
            assert (await stream.result()).status == RunStatus.COMPLETED
        assert [answer for answers in server.outputs.values() for answer in answers] in (["second"], [])
        assert "second" in str([request.body for request in server.requests if request.method == "POST"][-1])


@pytest.mark.parametrize("name", ["ag-ui", "langgraph"])
async def test_an_answer_that_can_not_be_encoded_is_refused(name: str) -> None:
    """At once, and nothing is noted: the next answer is sent."""
    kind = KINDS.get(name) or Kind(LangGraphClient, {}, GRAPH, set())
    make: Any = kind.client

    def model(request: ScriptedRequest) -> Turn:
        return Turn(questions=[Question("When?", id="q1")]) if request.turn == 0 else Turn(text="done")

    async with (
        serve_script(model) as server,
        make(url_of(kind.client, server), reconnect=QUICK) as client,
        client.run(kind.body) as stream,
    ):
        with stream.keep_open():
            asked = await stream.when(ActionRequired)
            call = asked.calls[0].id
            for value in (object(), Approve(object()), {"at": [object()]}):
                with pytest.raises(TypeError, match="no form in JSON"):
                    client.answer(asked.run_id, {call: value})
            client.answer(asked.run_id, {call: Approve({"at": "ten", "by": "caf\udce9"})})
            assert (await stream.result()).status == RunStatus.COMPLETED
        assert "caf\ufffd" in str([request.body for request in server.requests if request.method == "POST"][-1])
