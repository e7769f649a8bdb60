"""Mistakes of a program that uses a client for the first time: each is an exception that says what to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runstream.clients.ag_ui import AgUiClient
from runstream.clients.answers import Approve
from runstream.clients.assistants import AssistantsClient
from runstream.clients.base import BaseClient
from runstream.clients.langgraph import LangGraphClient
from runstream.clients.responses import ResponsesClient
from runstream.errors import IncompleteStream
from runstream.model.run import RunStatus
from runstream.model.signals import ActionRequired
from runstream.sources.reconnect import Reconnect
from runstream.testing.server import serve_script
from runstream.testing.turns import Question, ScriptedCall, Turn
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
        (
            lambda kind: kind(NOWHERE, tools=[{"type": "web_search"}]),
            "a tool is a function, not a dict: what the server itself executes is part of the body",
        ),
        (
            lambda kind: kind(NOWHERE).run(BODY, tools=[{"type": "web_search"}]),
            r"run\(\{'tools': \[\{...\}\]\}\)",
        ),
        (
            lambda kind: kind(NOWHERE, tools=[travel]),
            r"tool travel: the type of the parameter place has no JSON Schema: .* parameters=",
        ),
        (lambda kind: kind(NOWHERE).answer("run_1", ["yes"]), r"answers is a mapping .* \{call.id: output\}, not list"),
        (lambda kind: kind(None), "takes an http:// or https:// URL, not NoneType"),
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


class Place:
    """A class without a JSON Schema."""


def travel(days: int, place: Place) -> None:
    """A tool that can't be described."""


@pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", ', and this is none: "://" is missing$'),
        ("localhost:8000/v1", ', and this is none: "://" is missing$'),
        ("127.0.0.1:9/v1", ', and this is none: "://" is missing$'),
        ("ftp://user:secret@host/v1", ", and this is none$"),
        ("http://", ", and this is none$"),
        ("http://[secret/v1", ", and this is none$"),
        ("ws://host/v1", r'; for a WebSocket: ResponsesClient\("http://…", websocket=True\)$'),
        ("wss://host/v1", r'; for a WebSocket: ResponsesClient\("https://…", websocket=True\)$'),
    ],
)
def test_a_url_of_another_kind(kind: type[BaseClient], url: str, words: str) -> None:
    """It is reported when the client is made, without the secrets in it."""
    with pytest.raises(ValueError, match=rf"^{kind.__name__} takes an http:// or https:// URL{words}") as caught:
        kind(url)
    assert "secret" not in str(caught.value)


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


async def test_a_decision_of_another_type() -> None:
    """The message says what `approve` returns."""
    async with serve_script([Turn(approvals={"delete": {}}), "Done."]) as server:
        decide: Any = lambda call, run: "yes"  # noqa: E731
        found = await message_of(ResponsesClient, server.url, approve=decide)
    assert "approve returns Approve(), Decline() or None, not a str" in found


@pytest.mark.parametrize("kind", [AssistantsClient, ResponsesClient, AgUiClient], ids=lambda kind: kind.__name__)
async def test_answers_that_are_missing(kind: Any) -> None:
    """The exception names the calls without an answer; a partial answer is kept, and completed by a later one."""
    turns = [Turn(calls=[ScriptedCall("ask", {}, f"call_{name}") for name in "abcdefg"]), "Done."]
    async with serve_script(turns) as server:
        client = kind(server.ag_ui_url if kind is AgUiClient else server.url, reconnect=QUICK)
        async with client, client.run(BODY) as stream:
            asked = await stream.when(ActionRequired)
            with pytest.raises(
                IncompleteStream, match=r"waits for action \(no answer to call_a, .*call_e and 2 more\)$"
            ):
                await stream.result()
        run_id, known = asked.run_id, dict.fromkeys([f"call_{name}" for name in "acdefg"], "yes")
        for answered in (client.answer(run_id, known), client.answer(run_id, {}), client.approve(run_id)):
            async with answered:
                with pytest.raises(IncompleteStream, match=rf"{run_id} waits for action \(no answer to call_b\)$"):
                    await answered.result(run_id)
        assert server.outputs == {}
        async with client.answer(run_id, {"call_b": "no"}) as answered:
            assert (await answered.result(run_id)).status == RunStatus.COMPLETED
        assert server.outputs == {**{call: ["yes"] for call in known}, "call_b": ["no"]}
        await client.aclose()


@pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("number", [0, 1], ids=["start", "answer"])
async def test_no_message_names_an_option_of_sources(kind: Any, number: int) -> None:
    """A request that fails for good is explained without `resume`, which clients do not have."""
    waits = (
        Turn(questions=[Question("Go?")]) if kind is LangGraphClient else Turn(calls={"get_weather": {"city": "Oslo"}})
    )
    tools = [] if kind is LangGraphClient else [get_weather]
    async with serve_script(lambda request: waits if request.turn < number else Turn(refuse=500)) as server:
        url = {AgUiClient: server.ag_ui_url, LangGraphClient: server.langgraph_url}.get(kind, server.url)
        found = await message_of(kind, url, tools=tools, approve=lambda call, run: Approve())
    assert "HTTP 500" in found
    assert "POST may have been carried out" in found
    assert "resume=" not in found
    assert ("is not sent again" in found) == (not number or kind is AgUiClient)


@pytest.mark.parametrize("websocket", [False, True])
async def test_a_client_is_used_after_its_context(websocket: bool) -> None:
    """Its connections are opened again."""
    async with serve_script(["Hello."]) as server:
        client = ResponsesClient(server.url, websocket=websocket, reconnect=QUICK)
        for _ in range(2):
            async with client, client.run(BODY) as stream:
                assert (await stream.result()).status == RunStatus.COMPLETED
        async with client.run(BODY) as stream:
            assert (await stream.result()).status == RunStatus.COMPLETED
        await client.aclose()
