"""The client of LangGraph against a scripted server, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from runstream.clients.answers import Approve, Decline
from runstream.clients.langgraph import LangGraphClient
from runstream.errors import IncompleteStream, RequestFailed
from runstream.model.run import RunStatus
from runstream.model.signals import RunCompleted
from runstream.sources.reconnect import Reconnect
from runstream.store.memory import MemoryStore
from runstream.store.sqlite import SqliteStore
from runstream.testing.server import ScriptedServer, serve_script
from runstream.testing.turns import Model, Question, ScriptedRequest, Turn
from tests.clients.support import PARALLEL, answered, get_weather, multiply, only_run

QUICK = Reconnect(initial=0.01, maximum=0.02, max_attempts=3)
INPUT = {"messages": [{"role": "user", "content": "Hello"}]}
LONG = "A long text. " * 5
APPROVAL = Turn(text="May I?", approvals={"multiply": {"a": 2, "b": 3}})


@asynccontextmanager
async def served(model: Model, **options: Any) -> AsyncIterator[tuple[LangGraphClient, ScriptedServer]]:
    """A client of a scripted server."""
    made = {"reconnect": QUICK, **options}
    async with (
        serve_script(model, tools=[get_weather, multiply]) as server,
        LangGraphClient(server.langgraph_url, **made) as client,
    ):
        yield client, server


def outputs_of(stream: Any, run_id: str) -> list[tuple[str | None, str | None]]:
    """The names and outputs of the calls."""
    return [(call.name, call.output) for step in stream.latest[run_id].steps for call in step.tool_calls]


async def test_the_graph_executes_its_tools() -> None:
    """Three calls, an approval, and one run over two runs of the server."""
    async with served([PARALLEL, APPROVAL, "Done."], approve=lambda call, run: Approve()) as (client, server):
        async with client.run(assistant_id="agent", input=INPUT) as stream:
            run = await stream.result()
        assert run.status == RunStatus.COMPLETED
        assert stream.latest[run.id].text == "Let me see.May I?Done."
        assert len(stream.latest[run.id].pieces) == 2
        found = [("get_weather", "sunny in Oslo"), ("get_weather", "sunny in Rome"), ("multiply", "42")]
        assert outputs_of(stream, run.id) == [*found, ("multiply", "6")]
        assert answered(server) == [True]
        assert (await client.fetch(run.id)).status == RunStatus.COMPLETED


async def test_a_declined_call() -> None:
    """The graph is answered "no"."""
    async with served([APPROVAL, "As you like."], approve=lambda call, run: Decline()) as (client, server):
        async with client.run(assistant_id="agent", input=INPUT) as stream:
            run = await stream.result()
        assert outputs_of(stream, run.id) == [("multiply", "declined")]
        assert answered(server) == [False]


async def test_questions_are_answered_together() -> None:
    """By hand, in a stream of its own; a schema is that of the interrupt."""
    turns: list[Turn | str] = [
        Turn(questions=[Question("Name?", {"type": "string"}, "a"), Question("Age?", id="b")]),
        "Done.",
    ]
    async with served(turns) as (client, server):
        async with client.run(assistant_id="agent", input=INPUT) as stream:
            with pytest.raises(IncompleteStream, match="waits for action"):
                await stream.result()
        run_id = only_run(stream)
        with pytest.raises(ValueError, match="is not of type 'string'"):
            client.answer(run_id, {"a": 1})
        client.answer(run_id, {"b": 36})
        assert server.outputs == {}
        async with client.answer(run_id, {"a": "Ada"}) as second:
            assert (await second.result(run_id)).status == RunStatus.COMPLETED
        assert server.outputs == {"a": ["Ada"], "b": [36]}


@pytest.mark.parametrize("fault", [{"lose": True}, {"drop": True}, {"refuse": 503}, {"refuse": 429}, {"cut_after": 0}])
@pytest.mark.parametrize("number", [0, 1], ids=["start", "answer"])
async def test_requests_that_are_lost(number: int, fault: dict[str, Any]) -> None:
    """The server is asked for the latest run of the thread: what it has is joined, what it has not is sent again."""
    faults = [fault]

    def model(request: ScriptedRequest) -> Turn:
        extra = faults.pop() if request.turn == number and faults else {}
        if not request.turn:
            return Turn(approvals={"multiply": {"a": 2, "b": 3}}, **extra)
        return Turn(text="Done.", **extra)

    async with served(model, approve=lambda call, run: Approve()) as (client, server):
        async with client.run(assistant_id="agent", input=INPUT) as stream:
            run = await stream.result()
        assert run.status == RunStatus.COMPLETED
        assert (stream.latest[run.id].text, answered(server), faults) == ("Done.", [True], [])


async def test_a_start_in_a_thread_of_the_application() -> None:
    """Of a lost request it is unknown which run of the thread it made: it is not sent again."""
    async with served([Turn(text="Hello.", lose=True)]) as (client, server):
        thread = await client._api.post("threads")
        assert thread
        async with client.run(thread_id="thread_1", assistant_id="agent", input=INPUT) as stream:
            with pytest.raises(IncompleteStream, match="may have been carried out"):
                await stream.result()
        assert [request.path for request in server.requests].count("/langgraph/threads/thread_1/runs/stream") == 1


async def test_cancel() -> None:
    """The server is asked, and the run ends as it says."""
    async with served([Turn(text="A long text. " * 50, pause=0.02)]) as (client, _):
        async with client.run(assistant_id="agent", input=INPUT) as stream:
            await stream.when("message.text")
            run_id = only_run(stream)
            await client.cancel(run_id)
            assert (await stream.result()).status == RunStatus.CANCELLED
        with pytest.raises(RequestFailed, match="no run"):
            await client.cancel(run_id)


async def test_another_client_rejoins() -> None:
    """With the thread, which it can't know."""
    async with served([Turn(text="A long text. " * 5, pause=0.005)]) as (first, server):
        async with first.run(assistant_id="agent", input=INPUT) as stream:
            await stream.when("message.text")
            (state,) = stream.latest.values()
        async with LangGraphClient(server.langgraph_url) as second:
            with pytest.raises(LookupError, match="thread_id"):
                second.rejoin(state.run_id)
            async with second.rejoin(state.run_id, thread_id=state.run.thread_id) as stream:
                run = await stream.result()
        assert (run.status, stream.latest[run.id].text) == (RunStatus.COMPLETED, "A long text. " * 5)


async def leave_in_mid_text(client: LangGraphClient) -> str:
    """Start a run and leave its stream while it speaks; return its id."""
    async with client.run(assistant_id="agent", input=INPUT) as stream:
        for _ in range(3):
            await stream.when("message.text")
        return only_run(stream)


def places_of(server: ScriptedServer, run_id: str) -> list[str | None]:
    """The places from which a run was joined."""
    path = f"/runs/{run_id}/stream"
    return [request.headers.get("last-event-id") for request in server.requests if request.path.endswith(path)]


async def test_a_run_is_rejoined_where_its_store_left_it() -> None:
    store = MemoryStore()
    async with served([Turn(text=LONG, pause=0.02)], store=store) as (first, server):
        run_id = await leave_in_mid_text(first)
        source = store.get_source("", "run")
        async with LangGraphClient(server.langgraph_url, store=store) as second, second.rejoin(run_id) as stream:
            await stream.result(run_id)
            state = stream.latest[run_id]
    assert (state.status, state.text, state.partial) == ("completed", LONG, set())
    assert source is not None
    assert places_of(server, run_id) == [source.last_id]


async def test_a_run_is_rejoined_from_its_beginning_without_a_store() -> None:
    """Without an event id, a server begins in mid-text."""
    async with served([Turn(text=LONG, pause=0.02)]) as (client, server):
        run_id = await leave_in_mid_text(client)
        async with client.rejoin(run_id) as stream:
            await stream.result(run_id)
            state = stream.latest[run_id]
    assert (state.status, state.text, state.partial) == ("completed", LONG, set())
    assert places_of(server, run_id) == ["-1"]


async def test_the_place_in_another_run_is_none_in_the_first() -> None:
    """The sources of all runs that a client starts have one name, under which the store has one place."""
    store = MemoryStore()
    async with served([Turn(text=LONG, pause=0.02), "Short."], store=store) as (client, server):
        run_id = await leave_in_mid_text(client)
        async with client.run(assistant_id="agent", input=INPUT) as stream:
            await stream.when(RunCompleted)
        async with LangGraphClient(server.langgraph_url, store=store) as second, second.rejoin(run_id) as stream:
            await stream.result(run_id)
            state = stream.latest[run_id]
    assert (state.status, state.text) == ("completed", LONG)
    assert places_of(server, run_id) == ["-1"]


async def test_a_waiting_run_is_rejoined_and_no_failure_is_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The repair after a restart asks about a run that is answered meanwhile, so the server can't say how it is."""
    fetch = LangGraphClient._fetch
    async with served([Turn(questions=[Question("Which city?")]), "Done."]) as (_, server):
        with SqliteStore(tmp_path / "runs.db") as store:
            async with (
                LangGraphClient(server.langgraph_url, store=store) as first,
                first.run(assistant_id="agent", input=INPUT) as stream,
            ):
                with pytest.raises(IncompleteStream):
                    await stream.result()
                run_id = only_run(stream)

        async def fetch_late(self: Any, *place: Any, **options: Any) -> list[bytes]:
            async with asyncio.timeout(20):
                while not server.outputs:
                    await asyncio.sleep(0.01)
            return await fetch(self, *place, **options)

        monkeypatch.setattr(LangGraphClient, "_fetch", fetch_late)
        with SqliteStore(tmp_path / "runs.db") as store, capture_logs() as logs:
            async with (
                LangGraphClient(server.langgraph_url, store=store, approve=lambda *_: Approve("Oslo")) as second,
                second.rejoin(run_id) as stream,
            ):
                assert (await stream.result(run_id)).status == RunStatus.COMPLETED
                async with asyncio.timeout(20):
                    while not any(entry["event"] == "not_repaired" for entry in logs):
                        await asyncio.sleep(0.01)  # the repair is cancelled when the stream is left
                assert (stream.stats.repairs, stream.stats.failed_repairs) == (0, 0)
    assert "not_repaired" in [entry["event"] for entry in logs]
    assert {entry["log_level"] for entry in logs} == {"info"}


@pytest.mark.parametrize(("status", "expected"), [("failed", "failed"), ("expired", "expired")])
async def test_other_ends(status: Any, expected: str) -> None:
    """The error of the graph, and the time limit of the server."""
    turns = [Turn(text="Hm.", status=status, code="GraphError")]
    async with served(turns) as (client, _), client.run(assistant_id="agent", input=INPUT) as stream:
        assert (await stream.result()).status == expected
