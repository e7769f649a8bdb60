"""The client of the Assistants API against a scripted server, over real sockets."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from runstream.clients.answers import Approve, Decline, Output
from runstream.clients.assistants import AssistantsClient
from runstream.clients.tools import ToolContext, ToolLike
from runstream.errors import IncompleteStream, RequestFailed
from runstream.model.run import RunStatus
from runstream.model.signals import ActionRequired, RunInterrupted
from runstream.sources.reconnect import Reconnect
from runstream.store.memory import MemoryStore
from runstream.testing.asgi import HttpRequest, Reply, error_reply
from runstream.testing.assistants_api import AssistantsApi, _ScriptedRun
from runstream.testing.server import ScriptedServer, serve_script
from runstream.testing.turns import ScriptedCall, Turn
from runstream.testing.wire import WireEvent
from tests.clients.support import PARALLEL, answered, get_weather, multiply, only_run

QUICK = Reconnect(initial=0.01, maximum=0.02, max_attempts=3)


@asynccontextmanager
async def served(turns: Sequence[Turn | str], **options: Any) -> AsyncIterator[tuple[AssistantsClient, ScriptedServer]]:
    """A client of a scripted server."""
    made = {"tools": [get_weather, multiply], "poll_interval": 0.02, "reconnect": QUICK, **options}
    async with serve_script(turns) as server, AssistantsClient(server.url, api_key="key", **made) as client:
        yield client, server


def client_of(server: ScriptedServer, tool: Callable[..., object], store: MemoryStore) -> AssistantsClient:
    """A client with one tool and a store."""
    return AssistantsClient(server.url, tools=[tool], store=store, poll_interval=0.02, reconnect=QUICK)


async def test_parallel_calls_are_answered() -> None:
    """Three calls, one request with all outputs, one run."""
    async with served([PARALLEL, "It is sunny."]) as (client, server):
        async with client.run(thread_id="thread_7", assistant_id="asst_1") as stream:
            run = await stream.result()
        assert run.status == RunStatus.COMPLETED
        assert stream.latest[run.id].text == "Let me see.It is sunny."
        assert answered(server) == ["sunny in Oslo", "sunny in Rome", "42"]
        assert [request.path for request in server.requests] == [
            "/v1/threads/thread_7/runs",
            f"/v1/threads/thread_7/runs/{run.id}/submit_tool_outputs",
        ]
        assert server.requests[0].headers["openai-beta"] == "assistants=v2"
        assert server.requests[0].headers["authorization"] == "Bearer key"
        assert "tools" not in server.requests[0].body


async def test_tools_of_a_run_are_sent() -> None:
    """The tools that `run` gets are part of the request, in their strict form."""
    async with served([Turn(calls={"greet": {"name": "Ada"}}), "Done."], tools=()) as (client, server):

        def greet(name: str) -> str:
            """Greets."""
            return f"Hello {name}"

        async with client.run({"assistant_id": "asst_1"}, tools=[greet]) as stream:
            await stream.result()
        assert answered(server) == ["Hello Ada"]
        (sent,) = server.requests[0].body["tools"]
        assert sent["function"]["name"] == "greet"
        assert sent["function"]["strict"] is True
        assert sent["function"]["description"] == "Greets."


@pytest.mark.parametrize(
    "turns",
    [
        [Turn(text="It is sunny everywhere.", cut_after=5)],
        [PARALLEL, Turn(text="It is sunny.", cut_after=4)],
        [PARALLEL, Turn(text="It is sunny.", lose=True)],
        [PARALLEL, Turn(text="It is sunny.", cut_after=0)],
    ],
    ids=["first stream cut", "second stream cut", "response lost", "no event"],
)
async def test_a_connection_that_breaks_off(turns: list[Turn]) -> None:
    """The run is polled to its end; no output is sent twice, and the text is whole."""
    async with served(turns) as (client, server):
        async with client.run(assistant_id="asst_1") as stream:
            run = await stream.result()
        assert run.status == RunStatus.COMPLETED
        assert stream.latest[run.id].text == "".join(turn.text for turn in turns)
        answered(server)


async def test_a_cut_within_the_request_for_action() -> None:
    """Polling finds that the run waits, and its calls are answered."""
    turn = Turn(calls={"multiply": {"a": 1, "b": 2}}, cut_after=4)
    async with served([turn, "Done."]) as (client, server):
        async with client.run(assistant_id="asst_1") as stream:
            assert (await stream.result()).status == RunStatus.COMPLETED
        assert answered(server) == ["2"]


async def test_a_start_that_is_lost_is_not_repeated() -> None:
    """A second run might begin: the stream reports the loss instead."""
    async with served([Turn(text="Hello.", lose=True)]) as (client, server):
        async with client.run(assistant_id="asst_1") as stream:
            with pytest.raises(IncompleteStream, match="POST may have been carried out"):
                await stream.result()
        assert len(server.requests) == 1


async def test_a_refused_request() -> None:
    """The reason of the server is in the exception."""
    async with served([Turn(refuse=400)]) as (client, _), client.run(assistant_id="asst_1") as stream:
        with pytest.raises(IncompleteStream, match="HTTP 400"):
            await stream.result()


async def test_outputs_that_are_refused_for_now_are_sent_again() -> None:
    """A status that passes costs nothing but time."""
    refusals = [503, 429]

    def model(request: Any) -> Turn:
        if not request.turn:
            return PARALLEL
        return Turn(refuse=refusals.pop()) if refusals else Turn(text="It is sunny.")

    async with serve_script(model) as server:
        tools: list[ToolLike] = [get_weather, multiply]
        async with (
            AssistantsClient(server.url, tools=tools, reconnect=QUICK, poll_interval=0.02) as client,
            client.run(assistant_id="asst_1") as stream,
        ):
            assert (await stream.result()).status == RunStatus.COMPLETED
        assert answered(server) == ["sunny in Oslo", "sunny in Rome", "42"]


@pytest.mark.parametrize("pause", [0.005, 0.02])
async def test_a_server_that_pauses_between_events(pause: float) -> None:
    """The run waits as soon as the server has sent so: the answers are accepted while the stream is not yet closed."""
    turns = [Turn(calls={"multiply": {"a": 6, "b": 7}}, pause=pause), Turn(text="It is 42.", pause=pause)]
    async with served(turns) as (client, server):
        async with client.run(assistant_id="asst_1") as stream:
            run = await stream.result()
        assert run.status == RunStatus.COMPLETED
        assert stream.latest[run.id].text == "It is 42."
        assert len(server.requests) == 2
        assert answered(server) == ["42"]


def lag(monkeypatch: pytest.MonkeyPatch, requests: int) -> None:
    """Let a scripted server take a run that waits for one in progress, in a number of requests, as a replica does."""
    of_run, left = AssistantsApi._of_run, [requests]

    def lagging(self: AssistantsApi, request: HttpRequest, run: Any, part: str | None, body: Any, path: str) -> Any:
        if not left[0] or part == "steps":
            return of_run(self, request, run, part, body, path)
        left[0] -= 1
        if part is None:
            return Reply({**run.json, "status": "in_progress", "required_action": None})
        return error_reply(400, 'Runs in status "in_progress" do not accept tool outputs.')

    monkeypatch.setattr(AssistantsApi, "_of_run", lagging)


def leave_out_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let scripted servers send no `started_at`: then a snapshot from before the request can't be found to be one."""
    sse, show = WireEvent.sse, _ScriptedRun.json.fget
    assert show is not None
    started = re.compile(rb'"started_at":[0-9]+')
    monkeypatch.setattr(
        WireEvent, "sse", lambda *args, **options: started.sub(b'"started_at":null', sse(*args, **options))
    )
    monkeypatch.setattr(_ScriptedRun, "json", property(lambda run: {**show(run), "started_at": None}))


@pytest.mark.parametrize("requests", [1, 2, 3, 5])
@pytest.mark.parametrize("timed", [True, False])
async def test_answers_refused_by_a_server_that_lags(
    requests: int, timed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are sent again as soon as the server reports that the run waits, and accepted once."""
    lag(monkeypatch, requests)
    if not timed:
        leave_out_times(monkeypatch)
    async with served([PARALLEL, "It is sunny."]) as (client, server):
        async with client.run(assistant_id="asst_1") as stream:
            run = await stream.result()
        assert run.status == RunStatus.COMPLETED
        assert stream.latest[run.id].text == "Let me see.It is sunny."
        assert answered(server) == ["sunny in Oslo", "sunny in Rome", "42"]


@pytest.mark.parametrize("status", [400, 409, 422])
@pytest.mark.parametrize("lags", [False, True])
@pytest.mark.parametrize("timed", [True, False])
async def test_answers_that_stay_refused(status: int, lags: bool, timed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are sent a few times, where the status may pass; the refusal is the cause of the exception."""
    if lags:
        lag(monkeypatch, 2)
    if not timed:
        leave_out_times(monkeypatch)
    turn = Turn(calls={"multiply": {"a": 6, "b": 7}})
    policy = Reconnect(initial=0.01, maximum=0.02, max_attempts=10)
    async with served([turn, Turn(refuse=status)], reconnect=policy) as (client, server):
        async with client.run(assistant_id="asst_1") as stream:
            with pytest.raises(IncompleteStream, match=f"HTTP {status}.*The request was refused") as caught:
                await stream.result()
        assert caught.value.source_failure is not None
        assert caught.value.source_failure.status == status
        posts = [request for request in server.requests if request.path.endswith("submit_tool_outputs")]
        assert len(posts) == (4 if status != 422 else 1 + lags)
        assert server.outputs == {}


async def test_a_call_that_nobody_takes() -> None:
    """The application learns which calls wait, and no partial answer is sent; it may answer later."""
    waiting: list[str | None] = []
    turn = Turn(calls={"multiply": {"a": 2, "b": 3}, "unknown": {}})
    options: dict[str, Any] = {"on_unanswered": lambda signal, calls: waiting.extend(call.name for call in calls)}
    async with served([turn, "Done."], **options) as (client, server):
        async with client.run(assistant_id="asst_1") as stream:
            with pytest.raises(IncompleteStream, match="waits for action"):
                await stream.result()
        assert (waiting, server.outputs) == (["unknown"], {})
        run_id = only_run(stream)
        (_, unknown) = stream.latest[run_id].run.pending_tool_calls
        async with client.answer(run_id, {unknown.id: {"found": True}}) as second:
            run = await second.result(run_id)
        assert run.status == RunStatus.COMPLETED
        assert answered(server) == ["6", '{"found":true}']


async def test_a_handler_of_the_application_answers() -> None:
    """A handler may answer the calls that have no tool, in the same stream."""
    async with served([Turn(calls={"multiply": {"a": 2, "b": 3}, "ask_user": {}}), "Done."]) as (client, server):
        async with client.run(assistant_id="asst_1") as stream:

            async def ask(signal: ActionRequired) -> None:
                await asyncio.sleep(0.02)
                client.answer(signal.run_id, {call.id: "yes" for call in signal.calls if call.name == "ask_user"})

            stream.on(ActionRequired, ask)
            assert (await stream.result()).status == RunStatus.COMPLETED
        assert answered(server) == ["6", "yes"]


@pytest.mark.parametrize("decision", [Approve(), Decline("too dangerous"), None])
async def test_approvals(decision: Approve | Decline | None) -> None:
    """A function decides, sync or async; without a decision the run waits."""
    asked: list[str | None] = []

    async def decide(call: Any, run: Any) -> Approve | Decline | None:
        asked.append(call.name)
        return decision

    async with served([Turn(approvals={"delete_file": {"path": "/x"}}), "Done."]) as (client, server):
        async with client.run(assistant_id="asst_1", approve=decide) as stream:
            if decision is None:
                with pytest.raises(IncompleteStream, match="waits for action"):
                    await stream.result()
                run_id = only_run(stream)
                async with client.decline(run_id) as second:
                    await second.result(run_id)
            else:
                await stream.result()
        assert asked == ["delete_file"]
        assert answered(server) == [isinstance(decision, Approve)]


async def test_an_answer_for_no_call() -> None:
    """The message lists the calls that wait."""
    async with served([Turn(calls={"unknown": {}})]) as (client, _):
        async with client.run(assistant_id="asst_1") as stream:
            with pytest.raises(IncompleteStream):
                await stream.result()
        run_id = only_run(stream)
        with pytest.raises(LookupError, match="it waits for 'call_"):
            client.answer(run_id, {"call_x": "1"})
        with pytest.raises(LookupError, match="rejoin"):
            client.answer("run_x", {})


async def test_cancel_a_run_that_streams() -> None:
    """The stream reports the end as the server does."""
    async with served([Turn(text="A long text. " * 20, pause=0.02)]) as (client, _):
        async with client.run(assistant_id="asst_1") as stream:
            await stream.when("message.text")
            run_id = only_run(stream)
            answer = await client.cancel(run_id)
            assert answer is not None
            assert answer.status == RunStatus.CANCELLING
            assert (await stream.result()).status == RunStatus.CANCELLED
        with pytest.raises(RequestFailed, match="HTTP 400"):
            await client.cancel(run_id)


async def test_cancel_a_run_that_waits() -> None:
    """No stream is open then; the client follows the run to its end, and the tool of the run is cancelled with it."""
    started, stopped = asyncio.Event(), asyncio.Event()

    async def slow() -> str:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return ""

    async with served([Turn(calls={"slow": {}})], tools=[slow]) as (client, server):
        async with client.run(assistant_id="asst_1") as stream:
            stream.start()
            await started.wait()
            run_id = only_run(stream)
            await client.cancel(run_id)
            assert (await stream.result()).status == RunStatus.CANCELLED
            await asyncio.wait_for(stopped.wait(), 20)
        assert server.outputs == {}


async def test_a_time_limit() -> None:
    """After the limit the server is asked to cancel the run."""
    async with served([Turn(text="A long text. " * 50, pause=0.02)]) as (client, server):
        async with client.run(assistant_id="asst_1", timeout=0.1) as stream:
            assert (await stream.result()).status == RunStatus.CANCELLED
        assert server.requests[-1].path.endswith("/cancel")


async def test_fetch() -> None:
    """A run as the server has it; an unknown run and an unknown place are errors that say so."""
    async with served(["Hello."]) as (client, _):
        async with client.run(assistant_id="asst_1") as stream:
            run = await stream.result()
        assert (await client.fetch(run.id)).status == RunStatus.COMPLETED
        assert (await client.fetch(run.id, thread_id=run.thread_id)).id == run.id
        with pytest.raises(LookupError, match="thread_id"):
            await client.fetch("run_x")
        with pytest.raises(RequestFailed, match="no such run"):
            await client.fetch("run_x", thread_id="thread_1")


async def test_another_process_rejoins() -> None:
    """Another client follows a run that goes on, with its text, and answers its calls."""
    async with served([PARALLEL, "It is sunny."], tools=()) as (first, server):
        async with first.run(assistant_id="asst_1") as stream:
            with pytest.raises(IncompleteStream):
                await stream.result()
        (state,) = stream.latest.values()
        async with AssistantsClient(server.url, tools=[get_weather, multiply], poll_interval=0.02) as second:
            async with second.rejoin(state.run_id, thread_id=state.run.thread_id) as stream:
                run = await stream.result()
            assert run.status == RunStatus.COMPLETED
            assert stream.latest[run.id].text == "Let me see.It is sunny."
            assert answered(server) == ["sunny in Oslo", "sunny in Rome", "42"]


async def test_a_restart_executes_what_was_in_flight() -> None:
    """With a store a new client answers the run that waits; a tool that had returned is not executed again."""
    store, seen = MemoryStore(), list[tuple[str, str]]()
    hang = asyncio.Event()

    async def book(seat: str, context: ToolContext) -> str:
        seen.append((seat, context.call_key))
        if seat == "b" and len(seen) < 3:
            hang.set()
            await asyncio.Event().wait()
        return f"booked {seat}"

    turns: list[Turn | str] = [Turn(calls=[ScriptedCall("book", {"seat": seat}) for seat in "ab"]), "Booked."]
    async with serve_script(turns) as server:
        async with client_of(server, book, store) as client, client.run(assistant_id="asst_1") as stream:
            stream.start()
            await hang.wait()
            run_id = only_run(stream)
        async with client_of(server, book, store) as client, client.rejoin(run_id) as stream:
            assert (await stream.result()).status == RunStatus.COMPLETED
        assert [seat for seat, _ in seen] == ["a", "b", "b"]
        assert seen[1] == seen[2]
        assert answered(server) == ["booked a", "booked b"]


async def test_a_tool_whose_failure_is_not_sent() -> None:
    """The run waits on; the failure is in the exception of the stream, and an answer by hand helps."""

    def fail() -> None:
        raise ValueError("a secret")

    async with served([Turn(calls={"fail": {}}), "Done."], tools=[fail], on_tool_error=lambda failure: None) as (
        client,
        server,
    ):
        async with client.run(assistant_id="asst_1") as stream:
            with pytest.raises(IncompleteStream, match=r"waits for action") as caught:
                await stream.result()
            assert "a secret" not in str(caught.value)
        run_id = only_run(stream)
        (call,) = stream.latest[run_id].run.pending_tool_calls
        async with client.answer(run_id, {call.id: Output("by hand")}) as second:
            await second.result(run_id)
        assert answered(server) == ["by hand"]


async def test_many_runs_at_the_same_time() -> None:
    """Runs of one client share its tools and mix nothing."""
    async with served([PARALLEL, "It is sunny."]) as (client, server):

        async def one() -> str:
            async with client.run(assistant_id="asst_1") as stream:
                return (await stream.result()).id

        ids = await asyncio.gather(*(one() for _ in range(20)))
        assert len(set(ids)) == 20
        assert len(answered(server)) == 60


async def test_a_closed_stream_cancels_its_tools() -> None:
    """Leaving the context ends the run here: tools that run are cancelled with the client."""
    cancelled = asyncio.Event()
    started = asyncio.Event()

    async def slow() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with served([Turn(calls={"slow": {}})], tools=[slow], close_timeout=0.1) as (client, _):
        async with client.run(assistant_id="asst_1") as stream:
            interrupted = asyncio.create_task(stream.when(RunInterrupted))
            stream.start()
            await started.wait()
        interrupted.cancel()
    await asyncio.wait_for(cancelled.wait(), 5)


def test_a_missing_library_is_reported_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The client can't be made, and the message names the extra."""
    monkeypatch.setitem(sys.modules, "httpx2", None)
    with pytest.raises(ImportError, match=r"runstream\[http\]"):
        AssistantsClient("http://127.0.0.1:9/v1")
