"""The scripted server's AG-UI and LangGraph, by plain requests: what it refuses, and what it says."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from runstream.testing import Question, ScriptedCall, ScriptedServer, Turn, serve_script

INPUT: dict[str, Any] = {"threadId": "t", "runId": "r", "messages": [{"id": "u", "role": "user", "content": "Hello"}]}
START = {"assistant_id": "agent", "input": {"messages": "Hello"}, "stream_mode": ["updates", "values"]}
ASK = Turn(questions=[Question("Name?", id="a"), Question("Age?", id="b")])


def double(number: int) -> int:
    """Twice a number."""
    return 2 * number


def events_of(response: httpx.Response) -> list[tuple[str, Any]]:
    """The events of a stream: names (of AG-UI: types) and data."""
    assert response.status_code == 200, response.text
    found = []
    for block in response.text.replace("\r\n", "\n").strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        data = json.loads(fields["data"])
        found.append((fields.get("event") or data["type"], data))
    return found


async def post(url: str, body: Any, **options: Any) -> httpx.Response:
    """Send a request."""
    async with httpx.AsyncClient() as client:
        return await client.post(url, json=body, **options)


async def test_an_ag_ui_run() -> None:
    """The boundaries have the ids of the request; the calls are named at the end."""
    turn = Turn(text="Hm.", reasoning="So.", calls=[ScriptedCall("double", {"number": 4}, "c1")])
    async with serve_script([turn]) as server:
        events = events_of(await post(server.ag_ui_url, INPUT))
    (first, started), *_, (last, finished) = events
    assert (first, started["threadId"], started["runId"]) == ("RUN_STARTED", "t", "r")
    assert (last, finished["runId"]) == ("RUN_FINISHED", "r")
    assert finished["outcome"] == {"type": "success", "pendingToolCallIds": ["c1"]}
    assert [name for name, _ in events].count("TOOL_CALL_END") == 1


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"threadId": "t"}, 422),
        ([], 422),
        ({**INPUT, "resume": [{"interruptId": "a", "status": "resolved", "payload": 1}]}, 400),  # and not b
        ({**INPUT, "resume": [{"interruptId": "x", "status": "resolved"}]}, 400),
    ],
)
async def test_what_ag_ui_refuses(body: Any, status: int) -> None:
    """No input of a run; a part of the answers; an answer to no question."""
    async with serve_script([ASK]) as server:
        events_of(await post(server.ag_ui_url, INPUT))
        assert (await post(server.ag_ui_url, body)).status_code == status
        assert server.outputs == {}


async def test_a_cancelled_answer_of_ag_ui() -> None:
    """It is an answer without a value; a further run of the thread begins with the first turn."""
    async with serve_script([ASK, "Done."]) as server:
        events_of(await post(server.ag_ui_url, INPUT))
        resume = [{"interruptId": id, "status": "cancelled"} for id in "ab"]
        assert "TEXT_MESSAGE_START" in dict(events_of(await post(server.ag_ui_url, {**INPUT, "resume": resume})))
        assert server.outputs == {"a": [None], "b": [None]}
        (_, finished) = events_of(await post(server.ag_ui_url, INPUT))[-1]
        assert finished["outcome"]["type"] == "interrupt"


async def new_thread(server: ScriptedServer) -> str:
    """The URL of a new thread."""
    return f"{server.langgraph_url}/threads/{(await post(f'{server.langgraph_url}/threads', {})).json()['thread_id']}"


async def test_a_langgraph_run() -> None:
    """Modes are those that were requested; the graph executes its tools; the response names the run."""
    turns: list[Turn | str] = [Turn(calls={"double": {"number": 4}}), "Done."]
    async with serve_script(turns, tools=[double]) as server:
        thread = await new_thread(server)
        response = await post(f"{thread}/runs/stream", {**START, "stream_resumable": True})
        events = events_of(response)
        assert {name for name, _ in events} == {"metadata", "updates", "values"}
        contents = [message["content"] for message in events[-1][1]["messages"]]
        assert contents == ["Hello", "", "8", "Done."]
        run_url = f"{server.langgraph_url}{response.headers['content-location']}"
        async with httpx.AsyncClient() as client:
            assert (await client.get(run_url)).json()["status"] == "success"
            assert (await client.get(f"{thread}/state")).json()["next"] == []
            joined = events_of(await client.get(f"{run_url}/stream", headers={"Last-Event-ID": "1"}))
            assert joined == [event for event in events if event[0] != "metadata"][1:]
            assert (await client.post(f"{run_url}/cancel")).status_code == 404  # it has ended


async def test_a_langgraph_run_without_a_thread() -> None:
    """The response names the run alone."""
    async with serve_script(["Hello."]) as server:
        response = await post(f"{server.langgraph_url}/runs/stream", START)
        assert response.headers["content-location"].startswith("/runs/")
        assert events_of(response)[-1][1]["messages"][-1]["content"] == "Hello."


async def test_langgraph_asks_again_for_what_is_missing() -> None:
    """Some of several interrupts may be answered alone."""
    async with serve_script([ASK, "Done."]) as server:
        thread = await new_thread(server)
        events_of(await post(f"{thread}/runs/stream", START))
        again = events_of(await post(f"{thread}/runs/stream", {**START, "command": {"resume": {"b": 36}}}))
        assert [each["id"] for each in again[-1][1]["__interrupt__"]] == ["a"]
        done = events_of(await post(f"{thread}/runs/stream", {**START, "command": {"resume": "Ada"}}))
        assert done[-1][1]["messages"][-1]["content"] == "Done."
        assert server.outputs == {"a": ["Ada"], "b": [36]}


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/threads/none/runs/stream", START, 404),
        ("/runs/stream", {}, 422),
        ("/runs/stream", {**START, "command": {"resume": 1}}, 400),
        ("/threads/none/runs/none/cancel", {}, 404),
        ("/other", {}, 404),
    ],
)
async def test_what_langgraph_refuses(path: str, body: Any, status: int) -> None:
    """Unknown threads and runs, a body without an assistant, an answer to nothing."""
    async with serve_script(["Hello."]) as server:
        assert (await post(f"{server.langgraph_url}{path}", body)).status_code == status


@pytest.mark.parametrize("path", ["/threads/runs", "/responses"])
async def test_questions_where_there_are_none(path: str) -> None:
    """The message says what the script may use instead."""
    async with serve_script([ASK]) as server:
        response = await post(f"{server.url}{path}", {"assistant_id": "a", "model": "m", "input": "x"})
        assert response.status_code == 400
        assert "use approvals" in response.json()["error"]["message"]


@pytest.mark.parametrize("name", ["responses", "threads/runs", "ag-ui", "langgraph"])
async def test_a_request_that_is_dropped(name: str) -> None:
    """The connection breaks off, and nothing has happened: the next request begins the run."""
    turns = iter([Turn(text="Hello.", drop=True), Turn(text="Hello.")])
    async with serve_script(lambda request: next(turns)) as server:
        urls = {"ag-ui": server.ag_ui_url, "langgraph": f"{server.langgraph_url}/runs/stream"}
        url = urls.get(name, f"{server.url}/{name}")
        body = {**INPUT, **START, "model": "m"} if name in urls else {"model": "m", "input": "x", "assistant_id": "a"}
        with pytest.raises(httpx.TransportError):
            await post(url, body)
        assert (await post(url, body)).status_code == 200
