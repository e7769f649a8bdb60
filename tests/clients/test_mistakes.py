"""Mistakes of a program that uses a client for the first time: each is an exception that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runstream.clients.ag_ui import AgUiClient
from runstream.clients.assistants import AssistantsClient
from runstream.clients.base import BaseClient
from runstream.clients.langgraph import LangGraphClient
from runstream.clients.responses import ResponsesClient
from runstream.errors import IncompleteStream
from runstream.sources.reconnect import Reconnect
from runstream.testing.server import serve_script
from runstream.testing.turns import Turn
from tests.clients.support import get_weather

QUICK = Reconnect(initial=0.01, maximum=0.02, max_attempts=2)
NOWHERE = "http://127.0.0.1:9/v1"
CLIENTS: list[type[BaseClient]] = [AssistantsClient, ResponsesClient, AgUiClient, LangGraphClient]
BODY = {"assistant_id": "a", "model": "m", "input": [], "messages": []}


@pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("use", "words"),
    [
        (
            lambda kind: kind(NOWHERE, api_key=42),
            "api_key is a token, headers, or a function that returns them, not int",
        ),
        (lambda kind: kind(NOWHERE, tools=get_weather), "tools is a list of functions, not function"),
        (lambda kind: kind(NOWHERE, tools=[None]), "a tool is a function, not a NoneType"),
        (lambda kind: kind(NOWHERE, approve=True), "approve is a function, not bool"),
        (lambda kind: kind(NOWHERE, approve=lambda call: None), r"approve is called as approve\(call, run\)"),
        (lambda kind: kind(NOWHERE, on_unanswered="log"), "on_unanswered is a function, not str"),
        (lambda kind: kind(NOWHERE, key="abc"), "has no option 'key'; ClientOptions lists all"),
        (lambda kind: kind(NOWHERE).run(BODY, approve=True), "approve is a function, not bool"),
        (lambda kind: kind(NOWHERE).run("Hello"), "the body is a mapping of the request's fields, not str"),
        (lambda kind: kind(NOWHERE).run({**BODY, "metadata": object()}), "the body can't be encoded as JSON"),
    ],
)
def test_wrong_types(kind: type[BaseClient], use: Callable[[Any], object], words: str) -> None:
    """They are reported at once, and not when a call or an approval comes."""
    with pytest.raises(TypeError, match=words):
        use(kind)


async def message_of(kind: Any, url: str, **options: Any) -> str:
    """The message of a run that fails."""
    async with kind(url, reconnect=QUICK, **options) as client, client.run(BODY) as stream:
        with pytest.raises(IncompleteStream) as caught:
            await stream.result()
    return str(caught.value)


@pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.__name__)
async def test_wrong_urls_and_keys(kind: type[BaseClient]) -> None:
    """The message names the URL or its path, or what is wrong with the header."""
    async with serve_script(["Done."]) as server:
        found = await message_of(kind, f"{server.url.removesuffix('/v1')}/nonsense")
        assert "/nonsense" in found or "the server has no path /threads after the base URL" in found
        assert "a line break" in await message_of(kind, server.url, api_key="from a file\n")
    assert "Could not connect to http://127.0.0.1:9/v1" in await message_of(kind, NOWHERE)
    assert "Not an HTTP URL" in await message_of(kind, "127.0.0.1:9/v1")


async def test_a_decision_of_another_type() -> None:
    """The message says what `approve` returns."""
    async with serve_script([Turn(approvals={"delete": {}}), "Done."]) as server:
        decide: Any = lambda call, run: "yes"  # noqa: E731
        found = await message_of(ResponsesClient, server.url, approve=decide)
    assert "approve returns Approve(), Decline() or None, not a str" in found
