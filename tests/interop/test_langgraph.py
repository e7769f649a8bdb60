"""A LangGraph server on this machine: graphs with a scripted model, over both of its wires."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runstream import ActionRequired, RunCreated, RunState, RunStream, Signal, SourceResumed
from runstream.sources.langgraph import LangGraphSource
from runstream.sources.langgraph_thread import LangGraphThreadSource
from tests.interop.agents import OFFLINE, langgraph_server
from tests.interop.environments import APPS, interop_python
from tests.interop.servers import Server

TEXT = "The ferry leaves at nine, ha ha, and comes back at noon."
ANSWER = "High water is at 08:10, and three boats are free."
Answers = Callable[[ActionRequired], dict[str, Any] | None]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server; runs of more than three seconds reach its limit."""
    with langgraph_server(tmp_path_factory.mktemp("langgraph") / "app", BG_JOB_TIMEOUT_SECS="3") as found:
        yield found


def new_thread(server: Server) -> str:
    request = urllib.request.Request(f"{server.url}/threads", b"{}", {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        thread_id: str = json.load(response)["thread_id"]
        return thread_id


def spoken(text: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text}]}


class Talk:
    """One run, answered as often as there are answers."""

    def __init__(self, server: Server, kind: str, graph: str, value: Any, *answers: Answers, **body: Any) -> None:
        self.server = server
        self.thread_id = new_thread(server)
        self.answers = list(answers)
        self.stops = not answers
        self.signals: list[Signal] = []
        self.source: LangGraphSource | LangGraphThreadSource
        if kind == "run":
            json_body = {"assistant_id": graph, "input": value, **body}
            self.source = LangGraphSource(server.url, thread_id=self.thread_id, json=json_body)
        else:
            start = {"assistant_id": graph, "input": value}
            transport: Any = kind
            self.source = LangGraphThreadSource(
                server.url, self.thread_id, start=start, transport=transport, ask_after=1.5
            )
        self.on_created: Callable[[RunCreated], Awaitable[None]] | None = None

    async def run(self) -> RunState:
        """The only run at its end, or where it waits for ever."""
        async with asyncio.timeout(40), RunStream(self.source) as stream:
            stream.on(ActionRequired, self.answer)
            if self.on_created is not None:
                stream.on(RunCreated, self.on_created)
            async for signal in stream:
                self.signals.append(signal)
                if isinstance(signal, ActionRequired) and self.stops:
                    break
        (state,) = stream.latest.values()
        assert stream.stats.rejected == 0
        return state

    async def answer(self, signal: ActionRequired) -> Any:
        if not self.answers:
            return None
        given = self.answers[0](signal)
        if given is None:
            return None
        del self.answers[0]
        if isinstance(self.source, LangGraphSource):
            self.source = self.source.answer(given)
            return self.source
        await self.source.respond(given)
        return None

    async def cancel(self, run_id: str, action: str) -> None:
        await asyncio.sleep(1.0)
        path = f"/threads/{self.thread_id}/runs/{run_id}/cancel?action={action}&wait=true"
        status, _ = await self.source._server.request("POST", path)
        assert status < 300


def all_of(value: Any, number: int = 1) -> Answers:
    """The same answer to each interrupt, once there are so many."""
    return lambda signal: {call.id: value for call in signal.calls} if len(signal.calls) == number else None


KINDS = ["run", "sse", "websocket"]


@pytest.mark.parametrize("kind", KINDS)
async def test_text(server: Server, kind: str) -> None:
    state = await Talk(server, kind, "chat", spoken("When?")).run()
    assert (state.status, state.text) == ("completed", TEXT)
    assert state.document["messages"][-1]["type"] == "ai"


@pytest.mark.parametrize("kind", KINDS)
async def test_parallel_tools(server: Server, kind: str) -> None:
    """Two calls of one message, with arguments and results; in the plain graph the results are in the state alone."""
    state = await Talk(server, kind, "agent", spoken("Boats at Elm?")).run()
    assert (state.status, state.text) == ("completed", f"Let me look.{ANSWER}")
    calls = {call.name: (json.loads(call.arguments or ""), call.output) for call in state.tool_calls}
    assert calls == {
        "tide": ({"port": "Elm"}, "high water at Elm: 08:10"),
        "boats": ({"port": "Elm", "seats": 2}, "3 boats at Elm"),
    }
    assert state.usage is not None


@pytest.mark.parametrize("kind", ["sse", "websocket"])
async def test_tools_on_their_own_channel(server: Server, kind: str) -> None:
    state = await Talk(server, kind, "agent_opted", spoken("Boats at Elm?")).run()
    assert sorted(call.output or "" for call in state.tool_calls) == ["3 boats at Elm", "high water at Elm: 08:10"]


@pytest.mark.parametrize("kind", KINDS)
async def test_an_interrupt_that_is_answered(server: Server, kind: str) -> None:
    """One run with two runs of the server; asked once."""
    talk = Talk(server, kind, "approval", spoken("Book the Heron"), all_of("yes"))
    state = await talk.run()
    assert (state.status, len(state.pieces)) == ("completed", 2)
    assert state.text == "I can book it.Booked. See you on Sunday."
    assert len([signal for signal in talk.signals if isinstance(signal, ActionRequired)]) == 1


@pytest.mark.parametrize("kind", KINDS)
async def test_an_interrupt_after_an_answer(server: Server, kind: str) -> None:
    """The node asks again, and is refused."""
    state = await Talk(server, kind, "approval", spoken("Book it"), all_of("edit"), all_of("no")).run()
    assert (state.status, len(state.pieces), state.round) == ("completed", 3, 2)
    assert state.text.endswith("As you like, nothing is booked.")


@pytest.mark.parametrize("kind", KINDS)
async def test_two_interrupts_at_once(server: Server, kind: str) -> None:
    """Both are asked, and answered by their ids."""
    value = {"topics": ["sail", "oars"], "answers": []}
    state = await Talk(server, kind, "several", value, all_of("red", 2)).run()
    assert state.status == "completed"
    assert sorted(state.document["answers"]) == ["oars: red", "sail: red"]


async def test_two_interrupts_answered_one_by_one(server: Server) -> None:
    """The run asks for the rest again."""

    def first(signal: ActionRequired) -> dict[str, Any]:
        return {signal.calls[0].id: "red"}

    value = {"topics": ["sail", "oars"], "answers": []}
    state = await Talk(server, "run", "several", value, first, first).run()
    assert (state.status, len(state.pieces)) == ("completed", 3)


async def test_an_interrupt_that_no_mode_shows(server: Server) -> None:
    """With tokens alone the stream ends like a success; the server says that the run waits."""
    talk = Talk(server, "run", "approval", spoken("Book it"), all_of("yes"), stream_mode=["messages-tuple"])
    state = await talk.run()
    assert (state.status, len(state.pieces)) == ("completed", 2)


async def test_a_breakpoint(server: Server) -> None:
    """It is passed without an answer."""
    talk = Talk(server, "run", "agent", spoken("Boats?"), lambda signal: {}, interrupt_before=["tools"])
    state = await talk.run()
    (asked,) = [signal for signal in talk.signals if isinstance(signal, ActionRequired)]
    assert [call.name for call in asked.calls] == ["tools"]
    assert (state.status, len(state.pieces)) == ("completed", 2)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_breakpoint_of_the_graph_itself(server: Server, kind: str) -> None:
    """The thread protocol says `completed`; the state says that the run waits."""
    state = await Talk(server, kind, "agent_stops", spoken("Boats?")).run()
    assert state.status == "requires_action"
    assert [call.name for call in state.run.pending_tool_calls] == ["tools"]


@pytest.mark.parametrize("kind", KINDS)
async def test_an_error(server: Server, kind: str) -> None:
    state = await Talk(server, kind, "fails", spoken("Start!")).run()
    assert state.status == "failed"
    assert state.run.last_error is not None
    assert state.run.last_error.message == "the engine does not start"


@pytest.mark.parametrize("action", ["interrupt", "rollback"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_run_that_is_cancelled(server: Server, kind: str, action: str) -> None:
    talk = Talk(server, kind, "slow", spoken("Go on"))
    talk.on_created = lambda signal: talk.cancel(signal.run_id, action)
    state = await talk.run()
    assert state.status == "cancelled"
    assert state.run.last_error is not None
    if action == "rollback" and state.text:
        assert state.run.last_error.code == "UserRollback"


@pytest.mark.parametrize("kind", KINDS)
async def test_a_run_that_reaches_the_limit_of_time(server: Server, kind: str) -> None:
    """The stream says nothing about it."""
    state = await Talk(server, kind, "slow", spoken("Go on")).run()
    assert state.status == "expired"


@pytest.mark.parametrize("kind", KINDS)
async def test_subgraphs(server: Server, kind: str) -> None:
    """The text is that of the graph itself; a subgraph's messages and calls have its path."""
    state = await Talk(server, kind, "nested", spoken("Boats at Elm?"), stream_subgraphs=True).run()
    assert (state.status, state.text) == ("completed", TEXT)
    assert len(state.tool_calls) == 2


async def test_a_run_that_the_server_tries_again(server: Server) -> None:
    state = await Talk(server, "run", "flaky", spoken("When?")).run()
    assert state.status == "completed"
    assert state.text.endswith(TEXT)


async def test_a_run_that_is_cut_and_joined_again(server: Server) -> None:
    """A proxy cuts the stream in the middle; it goes on behind the cut."""
    cuts = 0
    relays: list[asyncio.Task[None]] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal cuts
        relays.append(asyncio.current_task())  # type: ignore[arg-type]
        upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", server.port)

        async def forward() -> None:
            while data := await reader.read(65536):
                upstream.write(data)
                await upstream.drain()

        task = asyncio.create_task(forward())
        size = 0
        try:
            while data := await upstream_reader.read(2048):
                size += len(data)
                if size > 9000 and cuts < 2:
                    cuts += 1
                    break
                writer.write(data)
                await writer.drain()
            else:
                writer.close()
                await writer.wait_closed()
        finally:
            task.cancel()
            writer.transport.abort()
            upstream.transport.abort()

    proxy = await asyncio.start_server(relay, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    async with proxy:
        body = {"assistant_id": "chat", "input": spoken("When?"), "stream_mode": ["messages-tuple", "updates"]}
        source = LangGraphSource(f"http://127.0.0.1:{port}", thread_id=new_thread(server), json=body)
        async with asyncio.timeout(30), RunStream(source) as stream:
            signals = [signal async for signal in stream]
        (state,) = stream.latest.values()
        for each in relays:
            each.cancel()
        await asyncio.gather(*relays, return_exceptions=True)
    assert cuts
    assert any(isinstance(signal, SourceResumed) for signal in signals)
    assert (state.status, state.text) == ("completed", TEXT)


async def test_a_run_that_is_joined_after_its_end(server: Server) -> None:
    """The stream is empty; the outcome is known nevertheless."""
    talk = Talk(server, "run", "chat", spoken("When?"))
    run_id = (await talk.run()).run_id
    source = LangGraphSource(server.url, thread_id=talk.thread_id, run_id=run_id)
    async with asyncio.timeout(20), RunStream(source) as stream:
        async for _ in stream:
            pass
    assert [state.status.value for state in stream.latest.values()] == ["completed"]


async def test_header_values_do_not_reach_a_recording(server: Server, tmp_path: Path) -> None:
    """Checkpoints and debug events repeat the headers of the request; a redacted recording has none of them."""
    import runstream

    body = {
        "assistant_id": "chat",
        "input": spoken("secret words"),
        "stream_mode": ["messages-tuple", "debug", "checkpoints", "values"],
    }
    path = tmp_path / "run.jsonl"
    source = LangGraphSource(
        server.url, thread_id=new_thread(server), json=body, headers={"x-private": "hush-hush-value"}
    )
    recorded = runstream.record(source, path, redact=runstream.Redaction(dialect="langgraph"))
    async with asyncio.timeout(30), RunStream(recorded) as stream:
        async for _ in stream:
            pass
    text = path.read_text(encoding="utf-8")
    assert "hush-hush" not in text
    assert "secret words" not in text
    assert "ferry" not in text
    (state,) = stream.latest.values()
    again = runstream.fold(runstream.read_recording(path), dialect="langgraph")
    assert [each.status for each in again.runs] == [state.status] == ["completed"]


IN_PROCESS = """
import asyncio, sys
import graphs, runstream
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

async def main():
    modes = ["messages", "updates", "values", "custom"]
    config = {"configurable": {"thread_id": "t"}}
    options = {"stream_mode": modes, "subgraphs": True}
    graphs.approval.checkpointer = InMemorySaver()
    value = {"messages": [{"role": "user", "content": "Boats at Elm?"}]}
    for graph in (graphs.nested, graphs.approval):
        source = graph.astream(value, config, **options)
        async with runstream.RunStream(source, dialect="langgraph") as stream:
            stream.on(runstream.ActionRequired, lambda signal: graph.astream(Command(resume="yes"), config, **options))
            async for _ in stream:
                pass
        (state,) = stream.latest.values()
        print(state.status.value, state.text, [call.output for call in state.tool_calls], len(state.pieces))
        assert not stream.stats.rejected

asyncio.run(main())
"""


def test_a_graph_in_the_same_process_is_a_source() -> None:
    """What it yields is read as it is, with subgraphs, messages as objects and an interrupt that is answered."""
    python = interop_python("langgraph", "msgspec", "reactivex")
    root = Path(__file__).resolve().parents[2]
    paths = f"{root}{os.pathsep}{APPS / 'langgraph_app'}"
    found = subprocess.run(
        [python, "-c", IN_PROCESS],
        env={**os.environ, **OFFLINE, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert found.stdout.splitlines() == [
        f"completed {TEXT} ['high water at Elm: 08:10', '3 boats at Elm'] 1",
        "completed I can book it.Booked. See you on Sunday. ['Heron is booked'] 2",
    ]
