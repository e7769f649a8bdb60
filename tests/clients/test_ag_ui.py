"""The client of AG-UI against a scripted server, over real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from runstream.clients.ag_ui import AgUiClient
from runstream.clients.answer_schemas import AnswerNotValid
from runstream.clients.answers import Approve, Decline, Output
from runstream.errors import IncompleteStream, UnsupportedRequest
from runstream.model.run import RunStatus
from runstream.model.signals import RunInterrupted
from runstream.testing.server import ScriptedServer, serve_script
from runstream.testing.turns import Question, Turn
from tests.clients.support import PARALLEL, answered, get_weather, multiply, only_run

MESSAGE = {"id": "u1", "role": "user", "content": "Hello"}


def book(seat: str) -> str:
    """A tool of the server."""
    return f"booked {seat}"


@asynccontextmanager
async def served(turns: Sequence[Turn | str], **options: Any) -> AsyncIterator[tuple[AgUiClient, ScriptedServer]]:
    """A client of a scripted server."""
    made = {"tools": [get_weather, multiply], **options}
    async with serve_script(turns, tools=[book]) as server, AgUiClient(server.ag_ui_url, **made) as client:
        yield client, server


async def test_parallel_calls_are_answered() -> None:
    """One request has all outputs, behind the message with the calls; the tools are offered in both."""
    async with served([PARALLEL, "It is sunny."]) as (client, server):
        async with client.run(threadId="t1", messages=[MESSAGE]) as stream:
            run = await stream.result()
        assert run.status == RunStatus.COMPLETED
        assert stream.latest[run.id].text == "Let me see.It is sunny."
        assert sorted(answered(server)) == ["42", "sunny in Oslo", "sunny in Rome"]
        first, second = (request.body for request in server.requests)
        assert [tool["name"] for tool in first["tools"]] == ["get_weather", "multiply"]
        assert (second["tools"], second["threadId"]) == (first["tools"], "t1")
        roles = [message["role"] for message in second["messages"]]
        assert roles == ["user", "assistant", "assistant", "tool", "tool", "tool"]


@pytest.mark.parametrize(
    ("decision", "payload", "output"),
    [
        (Approve(), {"approved": True}, "booked 1a"),
        (Decline("too dear"), {"approved": False, "reason": "too dear"}, "declined"),
        (Approve({"approved": True}), {"approved": True}, "booked 1a"),
    ],
    ids=["yes", "no", "value"],
)
async def test_approvals(decision: Approve | Decline, payload: Any, output: str) -> None:
    """The interrupt is answered, and the server executes its tool or not."""
    turns: list[Turn | str] = [Turn(approvals={"book": {"seat": "1a"}}), "Done."]
    async with served(turns, approve=lambda call, run: decision) as (client, server):
        async with client.run(messages=[MESSAGE]) as stream:
            run = await stream.result()
        assert answered(server) == [payload]
        calls = [call for step in stream.latest[run.id].steps for call in step.tool_calls]
        assert [(call.name, call.output) for call in calls] == [("book", output)]


async def test_an_answer_is_checked_before_it_is_sent() -> None:
    """By hand: nothing is noted, and a value that fits is accepted later."""
    turns: list[Turn | str] = [
        Turn(questions=[Question("Name?", {"type": "string"}, "a"), Question("Age?", id="b")]),
        "Done.",
    ]
    async with served(turns) as (client, server):
        async with client.run(messages=[MESSAGE]) as stream:
            with pytest.raises(IncompleteStream, match="waits for action"):
                await stream.result()
        run_id = only_run(stream)
        with pytest.raises(AnswerNotValid, match=r"'a'.*\$: 5 is not of type"):
            client.answer(run_id, {"b": 36, "a": 5})
        with pytest.raises(AnswerNotValid, match="pass a value that fits"):
            client.approve(run_id)
        assert (len(server.requests), server.outputs) == (1, {})
        async with client.answer(run_id, {"a": "Ada", "b": 36}) as second:
            assert (await second.result(run_id)).status == RunStatus.COMPLETED
        assert answered(server) == ["Ada", 36]


async def test_a_decision_that_does_not_fit() -> None:
    """By `approve`: the run waits on, the application learns why, and may answer by hand."""
    unanswered: list[str] = []
    turns: list[Turn | str] = [Turn(questions=[Question("Name?", {"type": "string"}, "a")]), "Done."]
    options: dict[str, Any] = {
        "approve": lambda call, run: Output(5),
        "on_unanswered": lambda signal, calls: unanswered.extend(call.id for call in calls),
    }
    async with served(turns, **options) as (client, server):
        async with client.run(messages=[MESSAGE]) as stream:
            with pytest.raises(IncompleteStream, match="AnswerNotValid") as caught:
                await stream.result()
        assert isinstance(caught.value.failures[0].error, AnswerNotValid)
        assert (unanswered, server.outputs) == (["a"], {})
        run_id = only_run(stream)
        async with client.answer(run_id, {"a": "Ada"}) as second:
            await second.result(run_id)
        assert answered(server) == ["Ada"]


async def test_there_is_no_request_for_a_run() -> None:
    """A run is cut off when it is cancelled; it can neither be fetched nor rejoined."""
    async with served([Turn(text="A long text. " * 50, pause=0.02)]) as (client, server):
        async with client.run(messages=[MESSAGE]) as stream:
            await stream.when("message.text")
            run_id = only_run(stream)
            assert await client.cancel(run_id) is None
            assert "cancelled here" in (await stream.when(RunInterrupted)).reason
        assert len(server.requests) == 1
        with pytest.raises(UnsupportedRequest):
            await client.fetch(run_id)
        with pytest.raises(UnsupportedRequest):
            client.rejoin(run_id)
        with pytest.raises(LookupError):
            await client.cancel("run_x")


@pytest.mark.parametrize("status", ["failed", "cancelled", "expired"])
async def test_other_ends(status: Any) -> None:
    """A run that fails has the code; a cancelled one is an end."""
    turns = [Turn(text="Hm.", status=status, code="overloaded")]
    async with served(turns) as (client, _), client.run(messages=[MESSAGE]) as stream:
        run = await stream.result()
    assert run.status == ("cancelled" if status == "cancelled" else "failed")
    if run.last_error is not None:
        assert run.last_error.code == ("overloaded" if status == "failed" else status)
