"""What a client knows of runs whose streams have ended, while it has further ones."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.clients import sessions
from runstream.clients.answers import Approve, Output
from runstream.clients.assistants import AssistantsClient
from runstream.clients.langgraph import LangGraphClient
from runstream.clients.responses import ResponsesClient
from runstream.errors import IncompleteStream
from runstream.model.run import Run, RunStatus
from runstream.sources.reconnect import Reconnect
from runstream.store.memory import MemoryStore
from runstream.testing.server import ScriptedServer, serve_script
from runstream.testing.turns import Question, Turn
from tests.clients.support import get_weather

QUICK = Reconnect(initial=0.01, maximum=0.02, max_attempts=2)
BODY = {"assistant_id": "a", "model": "m", "input": []}
KINDS = ["assistants", "responses", "websocket", "langgraph"]
CALL = Turn(text="So.", calls={"get_weather": {"city": "Oslo"}})


def client_of(kind: str, server: ScriptedServer, **options: Any) -> Any:
    """A client that answers."""
    options = {"reconnect": QUICK, "approve": lambda call, run: Approve(), **options}
    if kind == "langgraph":
        return LangGraphClient(server.langgraph_url, **options)
    options = {"tools": [get_weather], "poll_interval": 0.01, **options}
    if kind == "assistants":
        return AssistantsClient(server.url, **options)
    return ResponsesClient(server.url, websocket=kind == "websocket", **options)


async def run_of(client: Any) -> Run:
    """A run, to its end."""
    async with client.run(BODY) as stream:
        run: Run = await stream.result()
    return run


@pytest.mark.parametrize("has_store", [False, True], ids=["memory", "store"])
@pytest.mark.parametrize("kind", KINDS)
async def test_earlier_runs_are_known_after_later_ones(kind: str, has_store: bool) -> None:
    """Where they are on the server, how they ended, and which answers were submitted."""
    turn = Turn(questions=[Question("Go?")]) if kind == "langgraph" else CALL
    options = {"store": MemoryStore()} if has_store else {}
    async with serve_script([turn, "Done."]) as server, client_of(kind, server, **options) as client:
        runs = [await run_of(client) for _ in range(3)]
        answer = Approve() if kind == "langgraph" else Output("sunny in Oslo")
        for run in runs:
            fetched = await client.fetch(run.id)
            assert fetched.status == RunStatus.COMPLETED
            assert list(client.submitted(run.id).values()) == [answer]
            with pytest.raises(ValueError, match=rf"run {run.id} has ended \(completed\).*fetch"):
                client.rejoin(run.id)
        assert all(len(answers) == 1 for answers in server.outputs.values())


async def test_the_number_of_remembered_runs_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest ones are dropped, and their messages are not kept at all."""
    monkeypatch.setattr(sessions, "MAX_REMEMBERED", 2)
    async with serve_script([CALL, "Done."]) as server, client_of("assistants", server) as client:
        runs = [await run_of(client) for _ in range(5)]
        known = [client._sessions.state(run.id) for run in runs]
        assert [state is not None for state in known] == [False, False, True, True, True]
        assert [state.text for state in known[2:]] == ["", "", "So.Done."]
        assert [len(client.submitted(run.id)) for run in runs] == [0, 0, 1, 1, 1]


async def test_a_run_that_was_cut_off_is_known_after_later_ones() -> None:
    """It is followed again, from the state that it had."""
    turn = Turn(text="A long text. " * 3, cut_after=8)
    async with serve_script([turn]) as server:
        cut = client_of("assistants", server, reconnect=None, poll_interval=60.0)
        async with cut as client:
            async with client.run(BODY, timeout=60) as stream:
                text = await stream.when("message.text")
            for _ in range(2):
                later = client.run(BODY)
                async with later:
                    await later.when("message.text")
            async with client.rejoin(text.run_id) as again:
                assert again.latest[text.run_id].text
                assert (await again.result(text.run_id)).status == RunStatus.COMPLETED
            assert again.latest[text.run_id].text == turn.text


async def test_answers_of_two_streams_of_one_run_are_remembered() -> None:
    """Those of the first stream, and those of the one that an answer by hand has opened."""
    turns = [CALL, Turn(calls={"ask": {}}), "Done."]
    async with serve_script(turns) as server, client_of("responses", server) as client:
        async with client.run(BODY) as stream:
            with pytest.raises(IncompleteStream):
                await stream.result()
        (state,) = stream.latest.values()
        (call,) = state.run.pending_tool_calls
        async with client.answer(state.run_id, {call.id: "yes"}) as answered:
            await answered.result(state.run_id)
        await run_of_text(client)
        await run_of_text(client)
        assert list(client.submitted(state.run_id).values()) == [Output("sunny in Oslo"), Output("yes")]


async def run_of_text(client: Any) -> None:
    """A further run, as far as it comes."""
    async with client.run(BODY) as stream:
        with pytest.raises(IncompleteStream):
            await stream.result()
