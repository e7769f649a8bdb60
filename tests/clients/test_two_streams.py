"""Several streams of one client follow one run: each answer is submitted once, by whichever stream has it first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runstream.clients.answers import Approve
from runstream.clients.assistants import AssistantsClient
from runstream.clients.base import BaseClient
from runstream.clients.langgraph import LangGraphClient
from runstream.clients.responses import ResponsesClient
from runstream.model.run import RunStatus
from runstream.model.signals import ActionRequired
from runstream.sources.reconnect import Reconnect
from runstream.testing.server import ScriptedServer, serve_script
from runstream.testing.turns import Question, Turn
from tests.clients.support import answered

QUICK = Reconnect(initial=0.01, maximum=0.02, max_attempts=3)
BODIES: dict[str, dict[str, Any]] = {
    "assistants": {"assistant_id": "any"},
    "responses": {"model": "small", "input": "Hello"},
    "websocket": {"model": "small", "input": "Hello"},
    "langgraph": {"assistant_id": "agent", "input": {"messages": []}},
}


def client_of(kind: str, server: ScriptedServer, **options: Any) -> BaseClient:
    """A client of one protocol."""
    if kind == "langgraph":
        return LangGraphClient(server.langgraph_url, reconnect=QUICK, **options)
    options |= {"reconnect": QUICK, "poll_interval": 0.02}
    if kind == "assistants":
        return AssistantsClient(server.url, **options)
    return ResponsesClient(server.url, websocket=kind == "websocket", **options)


def turn_of(kind: str) -> Turn:
    """A turn that waits for an answer of the client."""
    if kind == "langgraph":
        return Turn(questions=[Question("Go on?")])
    return Turn(calls={"work": {}})


@pytest.mark.parametrize("kind", BODIES)
async def test_a_run_that_is_followed_twice_is_answered_once(kind: str) -> None:
    """The second stream joins while the answer is being made; both see the end of the run."""
    executed: list[str] = []
    release = asyncio.Event()

    async def work() -> str:
        executed.append("tool")
        await release.wait()
        return "done"

    async def approve(call: Any, run: Any) -> Approve:
        executed.append("approve")
        await release.wait()
        return Approve()

    async with serve_script([turn_of(kind), "Done."]) as server, client_of(kind, server) as client:
        stream = client.run(BODIES[kind], tools=[] if kind == "langgraph" else [work], approve=approve)
        async with stream:
            asked = await stream.when(ActionRequired)
            second = client.rejoin(asked.run_id, tools=[work], approve=approve)
            async with second:
                result = asyncio.create_task(second.result(asked.run_id))
                await second.when(ActionRequired, run_id=asked.run_id)
                async with asyncio.timeout(5):
                    while kind == "langgraph" and len(executed) < 2:
                        await asyncio.sleep(0.01)
                release.set()
                runs = [await stream.result(asked.run_id), await result]
        assert [run.status for run in runs] == [RunStatus.COMPLETED] * 2
        assert len(answered(server)) == 1
        assert executed.count("tool") == (0 if kind == "langgraph" else 1)


@pytest.mark.parametrize("kind", BODIES)
async def test_an_answer_by_hand_beside_a_second_stream(kind: str) -> None:
    """A run that two open streams follow waits: the answer is sent once, and is not taken for missing."""
    async with serve_script([turn_of(kind), "Done."]) as server, client_of(kind, server) as client:
        async with client.run(BODIES[kind]) as stream:
            with stream.keep_open():
                asked = await stream.when(ActionRequired)
                async with client.rejoin(asked.run_id) as second:
                    with second.keep_open():
                        await second.when(ActionRequired, run_id=asked.run_id)
                        for _ in range(2):
                            client.answer(asked.run_id, {call.key: "yes" for call in asked.calls})
                        assert (await stream.result(asked.run_id)).status == RunStatus.COMPLETED
        assert len(answered(server)) == 1


@pytest.mark.parametrize("kind", ["assistants", "responses"])
async def test_answers_that_were_refused_are_submitted_by_the_next_stream(kind: str) -> None:
    """Being sent once is no reason to lose an answer: the server does not have it."""
    refused: list[int] = []

    def model(request: Any) -> Turn:
        if not request.turn:
            return Turn(calls={"work": {}})
        refused.append(1)
        return Turn(text="Done.", refuse=403 if len(refused) == 1 else None)

    async def work() -> str:
        return "done"

    async with serve_script(model) as server, client_of(kind, server, tools=[work]) as client:
        async with client.run(BODIES[kind]) as stream:
            asked = await stream.when(ActionRequired)
            with pytest.raises(Exception, match="403"):
                await stream.result()
        async with client.rejoin(asked.run_id) as second:
            assert (await second.result(asked.run_id)).status == RunStatus.COMPLETED
        assert len(answered(server)) == 1
