"""The protocols whose runs a group answers: a client, a source that starts a run, and what a request needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from runstream import (
    AgUiClient,
    AgUiSource,
    Approve,
    AssistantsClient,
    AwaitedCall,
    LangGraphClient,
    LangGraphSource,
    ResponsesClient,
    Run,
    SseSource,
    ToolContext,
)
from runstream.clients.base import BaseClient
from runstream.sources.base import Source
from runstream.sources.responses import ResponsesSource
from runstream.testing import ScriptedServer, Turn
from runstream.testing.turns import Question

__all__ = ["PROTOCOLS", "Functions", "Protocol"]

_MESSAGES: Final = [{"id": "u1", "role": "user", "content": "How is the weather?"}]


class Functions:
    """A tool and a decision.

    Args:
        work: Called in the middle of each, with the key of the call.
    """

    def __init__(self, work: Callable[[str], None]) -> None:
        self._work = work

    def get_weather(self, city: str, call: ToolContext) -> str:
        """The weather of a city."""
        self._work(call.call_key)
        return f"sunny in {city}"

    async def decide(self, call: AwaitedCall, run: Run) -> Approve:
        """The decision about an interrupt."""
        await asyncio.to_thread(self._work, call.key)
        return Approve("yes")


class Protocol(NamedTuple):
    """One protocol.

    Attributes:
        url: The URL of a scripted server.
        client: Makes the client of a group.
        source: Makes the source that starts a run, from the URL and the number of the run.
        request: What the group passes as ``request``.
        asks: The turn that asks for something, in a city.
    """

    url: Callable[[ScriptedServer], str]
    client: Callable[[str, Functions], BaseClient]
    source: Callable[[str, int], Source]
    request: Mapping[str, Any] | None = None
    asks: Callable[[str], Turn] = lambda city: Turn(calls={"get_weather": {"city": city}})


def _start_assistant(url: str, number: int) -> Source:
    body = {"assistant_id": "asst_1", "stream": True}
    return SseSource(f"{url}/threads/runs", method="POST", json=body, reconnect=None)


def _start_graph(url: str, number: int) -> Source:
    body = {"assistant_id": "agent", "input": {"messages": _MESSAGES}, "if_not_exists": "create"}
    return LangGraphSource(url, thread_id=f"thread-{number}", json=body)


PROTOCOLS: Final[Mapping[str, Protocol]] = {
    "assistants": Protocol(
        lambda server: server.url,
        lambda url, functions: AssistantsClient(url, tools=[functions.get_weather], poll_interval=0.05),
        _start_assistant,
    ),
    "responses": Protocol(
        lambda server: server.url,
        lambda url, functions: ResponsesClient(url, tools=[functions.get_weather]),
        lambda url, number: ResponsesSource(url, {"model": "any", "input": "How is the weather?"}),
        {"model": "any"},
    ),
    "ag-ui": Protocol(
        lambda server: server.ag_ui_url,
        lambda url, functions: AgUiClient(url, tools=[functions.get_weather]),
        lambda url, number: AgUiSource(url, {"threadId": f"thread-{number}", "messages": _MESSAGES}),
        {"messages": _MESSAGES},
    ),
    "langgraph": Protocol(
        lambda server: server.langgraph_url,
        lambda url, functions: LangGraphClient(url, approve=functions.decide),
        _start_graph,
        None,
        lambda city: Turn(text=f"{city}? ", questions=[Question(f"The weather in {city}?")]),
    ),
}
"""By the names of their dialects."""
