"""The next run of a conversation, as docs/clients.md has it for each client."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.clients.ag_ui import AgUiClient
from runstream.clients.assistants import AssistantsClient
from runstream.clients.langgraph import LangGraphClient
from runstream.clients.responses import ResponsesClient
from runstream.core.state import RunState
from runstream.testing.server import serve_script
from runstream.testing.turns import Turn

MESSAGE = {"id": "u1", "role": "user", "content": "Hello"}
CLIENTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "assistants": (AssistantsClient, {"assistant_id": "asst_1"}),
    "responses": (ResponsesClient, {"model": "m", "input": "Hello"}),
    "ag-ui": (AgUiClient, {"messages": [MESSAGE]}),
    "langgraph": (LangGraphClient, {"assistant_id": "agent", "input": {"messages": [MESSAGE]}}),
}


def next_fields(name: str, state: RunState) -> dict[str, Any]:
    """The fields that continue the conversation."""
    if name == "responses":
        return {"previous_response_id": state.pieces[-1]}
    return {"threadId" if name == "ag-ui" else "thread_id": state.run.thread_id}


def work() -> str:
    """A tool."""
    return "done"


@pytest.mark.parametrize("name", CLIENTS)
async def test_the_next_run(name: str) -> None:
    """It is another run of the same conversation."""
    kind, body = CLIENTS[name]
    async with serve_script([Turn(calls={"work": {}}), "Hello."], tools=[work]) as server:
        url = {"ag-ui": server.ag_ui_url, "langgraph": server.langgraph_url}.get(name, server.url)
        async with kind(url, tools=() if name == "langgraph" else [work]) as client:
            async with client.run(body) as stream:
                first = stream.latest[(await stream.result()).id]
            async with client.run({**body, **next_fields(name, first)}) as stream:
                second = stream.latest[(await stream.result()).id]
    assert first.run_id != second.run_id
    assert (first.status, second.status) == ("completed", "completed")
    assert first.run.thread_id == second.run.thread_id


@pytest.mark.parametrize("name", CLIENTS)
def test_an_unknown_option(name: str) -> None:
    """It is refused at once."""
    with pytest.raises(TypeError, match="no option 'tolls'"):
        CLIENTS[name][0]("http://127.0.0.1:9", tolls=[])
