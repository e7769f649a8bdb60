"""Live AG-UI servers of others, each with a scripted model: Pydantic AI, LangGraph, TanStack AI."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runstream.core.state import RunState
from runstream.errors import IncompleteStream
from runstream.model.frozen import thaw
from runstream.model.signals import ActionRequired, RunInterrupted, TextDelta
from runstream.sources.ag_ui import AgUiSource
from runstream.stream.run_stream import RunStream
from tests.interop.agents import langgraph_over_ag_ui, pydantic_agent
from tests.interop.environments import APPS, interop_python
from tests.interop.node_apps import node_command
from tests.interop.servers import run_server

pytestmark = pytest.mark.slow

MAP = {
    "name": "show_map",
    "description": "Show a map",
    "parameters": {"type": "object", "properties": {"zoom": {"type": "number"}}, "required": ["zoom"]},
}


@pytest.fixture(scope="module")
def pydantic() -> Iterator[str]:
    """The URL of an agent of Pydantic AI."""
    with pydantic_agent() as server:
        yield f"{server.url}/"


@pytest.fixture(scope="module")
def langgraph() -> Iterator[str]:
    """The URL of a graph of LangGraph."""
    with langgraph_over_ag_ui() as server:
        yield server.url


@pytest.fixture(scope="module")
def tanstack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of an agent of TanStack AI."""
    command = node_command("ag_ui_tanstack.mjs", tmp_path_factory.mktemp("node"), "@tanstack/ai")
    with run_server([*command, "{port}"]) as server:
        yield f"{server.url}/"


@pytest.fixture(scope="module")
def approving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The same agent, whose map needs an approval."""
    command = node_command("ag_ui_tanstack.mjs", tmp_path_factory.mktemp("node"), "@tanstack/ai")
    with run_server([*command, "{port}", "approve"]) as server:
        yield f"{server.url}/"


def user(text: str) -> dict[str, Any]:
    """A message of the user."""
    return {"id": "u1", "role": "user", "content": text}


def source(url: str, text: str, number: int = 1, **fields: Any) -> AgUiSource:
    """A run of a thread that the text names."""
    thread = f"thread-{text.replace(' ', '-')}"
    input = {"threadId": thread, "runId": f"run-{thread}-{number}", "messages": [user(text)], **fields}
    return AgUiSource(url, input, proxy=None, reconnect=None, open_timeout=30.0)


async def ask(url: str, text: str, **fields: Any) -> RunState:
    """The only run of an answer, at the end of its stream."""
    async with RunStream(source(url, text, **fields)) as stream:
        async for _ in stream:
            pass
        (state,) = stream.latest.values()
        assert not [reject for reject in [stream.stats.rejected] if reject]
        assert not stream.orphans
    return state


def calls_of(state: RunState) -> list[tuple[str | None, str | None, str | None]]:
    """The calls of the steps: name, arguments, output."""
    return [(call.name, call.arguments, call.output) for step in state.steps for call in step.tool_calls]


def answers_of(signal: ActionRequired, state: RunState, text: str, output: str) -> dict[str, Any]:
    """The fields of the input that answers everything that waits."""
    steps = [call for step in state.steps for call in step.tool_calls]
    asked = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments or ""}}
        for call in steps
    ]
    messages = [user(text), {"id": "a1", "role": "assistant", "toolCalls": asked}]
    resume = []
    for call in signal.calls:
        if call.kind == "interrupt":
            data = thaw(getattr(call.call, "data", None))
            payload = output if "client_tool" in data["reason"] else {"approved": True}
            entry = {"interruptId": call.id, "status": "resolved", "payload": payload}
            resume.append({**entry, "metadata": data["metadata"]} if "metadata" in data else entry)
        else:
            messages.append({"id": f"t-{call.id}", "role": "tool", "toolCallId": call.id, "content": output})
    # TanStack AI finds the run that waits by the parent.
    return {"messages": messages, "parentRunId": state.pieces[-1], **({"resume": resume} if resume else {})}


async def converse(url: str, text: str, output: str = "shown", **fields: Any) -> tuple[RunState, list[ActionRequired]]:
    """A run with its answer: its state at the end, and what it asked for."""
    asked: list[ActionRequired] = []
    async with RunStream(source(url, text, **fields)) as stream:

        def answer(signal: ActionRequired) -> AgUiSource:
            asked.append(signal)
            given = answers_of(signal, stream.latest[signal.run_id], text, output)
            return source(url, text, 1 + len(asked), **fields, **given)

        stream.on(ActionRequired, answer)
        async for _ in stream:
            pass
        (state,) = stream.latest.values()
    return state, asked


@pytest.mark.parametrize("server", ["pydantic", "langgraph", "tanstack"])
async def test_text(server: str, request: pytest.FixtureRequest) -> None:
    """The words of the model, in order."""
    state = await ask(request.getfixturevalue(server), "hello")
    assert (state.status, state.text) == ("completed", "Good morning.")
    assert all(message.is_terminal for message in state.messages)


@pytest.mark.parametrize("server", ["pydantic", "langgraph", "tanstack"])
async def test_a_tool_of_the_server(server: str, request: pytest.FixtureRequest) -> None:
    """One run, completed once, with the call and its result."""
    state, asked = await converse(request.getfixturevalue(server), "gate")
    assert (state.status, asked) == ("completed", [])
    ((name, arguments, output),) = calls_of(state)
    assert (name, arguments, (output or "").strip('"')) == ("gate_status", '{"gate": "east"}', "east is open")


@pytest.mark.parametrize("server", ["pydantic", "langgraph", "tanstack"])
async def test_parallel_calls(server: str, request: pytest.FixtureRequest) -> None:
    """Each call has its own arguments and result, also where they interleave."""
    state, _ = await converse(request.getfixturevalue(server), "two gates")
    found = [(name, arguments, (output or "").strip('"')) for name, arguments, output in calls_of(state)]
    assert found == [
        ("gate_status", '{"gate": "east"}', "east is open"),
        ("gate_status", '{"gate": "west"}', "west is open"),
    ]
    assert state.status == "completed"


@pytest.mark.parametrize("server", ["pydantic", "langgraph", "tanstack"])
async def test_a_frontend_tool(server: str, request: pytest.FixtureRequest) -> None:
    """The run waits for the application's own tool; the answer makes it one run."""
    state, asked = await converse(request.getfixturevalue(server), "map", tools=[MAP])
    first = asked[0].calls[0]
    assert (first.name, first.parsed) == ("show_map", {"zoom": 3})
    assert (state.status, len(state.pieces)) == ("completed", 2)
    if first.kind == "function":
        assert calls_of(state) == [("show_map", '{"zoom": 3}', "shown")]
    assert state.text


@pytest.mark.parametrize(("server", "path"), [("pydantic", ""), ("langgraph", "/outcome")])
async def test_an_interrupt_and_its_answer(server: str, path: str, request: pytest.FixtureRequest) -> None:
    """The call is proposed in the first part of the run, and has its result in the second."""
    state, asked = await converse(request.getfixturevalue(server) + path, "ticket")
    (signal,) = asked
    (call,) = signal.calls
    assert call.kind == "interrupt"
    assert (state.status, len(state.pieces)) == ("completed", 2)
    ((name, arguments, output),) = calls_of(state)
    assert (name, arguments) == ("buy_ticket", '{"seats": 2}')
    assert output


async def test_the_default_interrupt_of_langgraph(langgraph: str) -> None:
    """A custom event beside a plain finish, answered by the old channel."""
    async with RunStream(source(f"{langgraph}/", "ticket plain")) as stream:

        def answer(signal: ActionRequired) -> AgUiSource:
            (call,) = signal.calls
            assert (call.kind, call.id) == ("interrupt", "")
            resume = {"command": {"resume": "yes"}}
            return source(f"{langgraph}/", "ticket plain", 2, forwardedProps=resume)

        stream.on(ActionRequired, answer)
        run = await stream.result()
        state = stream.latest[run.id]
    assert (state.status, len(state.pieces)) == ("completed", 2)
    assert calls_of(state) == [("buy_ticket", '{"seats": 2}', "bought: yes")]


async def test_an_approval_of_tanstack(approving: str) -> None:
    """The result comes before the start of the second part."""
    state, asked = await converse(approving, "map")
    assert [call.kind for signal in asked for call in signal.calls] == ["interrupt"]
    assert (state.status, len(state.pieces)) == ("completed", 2)
    assert calls_of(state) == [("show_map", '{"zoom": 3}', "shown")]


async def test_patches_of_the_state(pydantic: str) -> None:
    """A snapshot, and a delta with two operations."""
    state, _ = await converse(pydantic, "plan")
    assert thaw(state.document) == {"steps": ["run", "board"]}
    assert state.status == "completed"


async def test_the_state_of_a_graph(langgraph: str) -> None:
    """Its snapshots are the document."""
    state = await ask(f"{langgraph}/", "hello state")
    assert thaw(state.document)["steps"] == ["chat"]
    assert {step.name for step in state.steps if step.type == "label"} == {"chat"}


@pytest.mark.parametrize("server", ["pydantic", "langgraph"])
async def test_reasoning(server: str, request: pytest.FixtureRequest) -> None:
    """It is a step, and no part of the text."""
    state = await ask(request.getfixturevalue(server), "think")
    assert (state.reasoning, state.text) == ("First this.", "Then that.")


@pytest.mark.parametrize("server", ["pydantic", "langgraph", "tanstack"])
async def test_an_error(server: str, request: pytest.FixtureRequest) -> None:
    """The run has failed with the server's words, and what came before is there."""
    state = await ask(request.getfixturevalue(server), "break")
    assert state.status == "failed"
    assert state.text.startswith("Good ")
    assert state.run.last_error is not None
    assert "the model is gone" in (state.run.last_error.message or "")


async def test_a_cancelled_run(pydantic: str) -> None:
    """The server's own word for a run that was told to stop."""
    state, _ = await converse(pydantic, "cancel")
    assert state.status == "cancelled"


@pytest.mark.parametrize("server", ["pydantic", "langgraph", "tanstack"])
async def test_the_application_leaves(server: str, request: pytest.FixtureRequest) -> None:
    """There is no request to cancel: the connection is closed, and the run is no success."""
    signals: list[Any] = []
    stream = RunStream(source(request.getfixturevalue(server), "hello", runId="run-left"))
    stream.signals.subscribe(signals.append)
    async with stream:
        await stream.when(TextDelta, timeout=30)
    await asyncio.sleep(0)
    assert not stream.latest["run-left"].is_terminal or stream.latest["run-left"].status == "completed"
    if not stream.latest["run-left"].is_terminal:
        assert [signal for signal in signals if isinstance(signal, RunInterrupted)]
        with pytest.raises(IncompleteStream):
            await stream.result()


def test_event_objects_in_one_process(tmp_path: Path) -> None:
    """Objects of `ag_ui.core` and the events of Pydantic AI's adapter are read as they are, without HTTP."""
    import subprocess
    import sys

    python = interop_python("pydantic_ai", "ag_ui")
    program = tmp_path / "objects.py"
    program.write_text(
        "\n".join(
            [
                "import asyncio, sys",
                f"sys.path[:0] = {sys.path!r}",
                f"sys.path.append({str(APPS)!r})",
                "import ag_ui_agent as app",
                "from ag_ui.core import RunAgentInput, UserMessage",
                "from pydantic_ai.ui.ag_ui import AGUIAdapter",
                "from runstream.engine.fold import fold",
                "from runstream.model.raw import RawEvent",
                "given = RunAgentInput(thread_id='t1', run_id='r1', state={}, tools=[], context=[],",
                "    forwarded_props={}, messages=[UserMessage(id='u1', content='gate')])",
                "async def main():",
                "    adapter = AGUIAdapter(agent=app.agent, run_input=given)",
                "    return [each async for each in adapter.run_stream(deps=app.StateDeps(app.Plan()))]",
                "(state,) = fold(asyncio.run(main()), dialect='ag-ui').runs",
                "print(state.run_id, state.status.value, state.text, [c.output for c in state.tool_calls])",
            ]
        )
    )
    done = subprocess.run([python, str(program)], capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.strip() == "r1 completed Let me check.Result: east is open ['east is open']", done.stderr[-2000:]
