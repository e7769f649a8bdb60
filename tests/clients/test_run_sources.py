"""How many times the requests of clients are tried again: `max_attempts` in all, whichever parts retry them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from runstream.clients.ag_ui import AgUiClient
from runstream.clients.answers import Approve
from runstream.clients.assistants import AssistantsClient
from runstream.clients.langgraph import LangGraphClient
from runstream.clients.responses import ResponsesClient
from runstream.errors import IncompleteStream
from runstream.model.signals import SourceDisconnected
from runstream.sources import responses_websocket
from runstream.sources.http_client import HttpClient
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.reconnect import Reconnect
from runstream.testing.server import ScriptedServer, serve_script
from runstream.testing.turns import Question, ScriptedRequest, Turn
from tests.clients.support import get_weather

QUICK = Reconnect(initial=0.001, maximum=0.002, max_attempts=3)
BODY = {"assistant_id": "a", "model": "m", "input": [], "messages": []}
CLIENTS: dict[str, Callable[..., Any]] = {
    "assistants": lambda server, **options: AssistantsClient(server.url, poll_interval=0.01, **options),
    "responses": lambda server, **options: ResponsesClient(server.url, poll_interval=0.01, **options),
    "background": lambda server, **options: ResponsesClient(server.url, poll_interval=0.01, **options),
    "websocket": lambda server, **options: ResponsesClient(server.url, websocket=True, **options),
    "ag-ui": lambda server, **options: AgUiClient(server.ag_ui_url, **options),
    "langgraph": lambda server, **options: LangGraphClient(server.langgraph_url, **options),
}


def body_of(kind: str) -> dict[str, Any]:
    """The body of a run."""
    return {**BODY, "background": True} if kind == "background" else BODY


def turn_of(kind: str) -> Turn:
    """A turn that waits for an answer, which the client has."""
    return Turn(questions=[Question("Go?")]) if kind == "langgraph" else Turn(calls={"get_weather": {"city": "Oslo"}})


def client_of(kind: str, server: ScriptedServer, policy: Reconnect | None = QUICK) -> Any:
    """A client that answers."""
    tools = [] if kind == "langgraph" else [get_weather]
    return CLIENTS[kind](server, tools=tools, approve=lambda call, run: Approve(), reconnect=policy)


async def attempts_of(kind: str, statuses: Callable[[int], int], number: int, policy: Reconnect | None = QUICK) -> int:
    """How many times a request is made that is refused: the one that starts the run, or that answers (1)."""
    refused = 0

    def model(request: ScriptedRequest) -> Turn:
        nonlocal refused
        if request.turn < number:
            return turn_of(kind)
        refused += 1
        return Turn(refuse=statuses(refused))

    async with (
        serve_script(model) as server,
        client_of(kind, server, policy) as client,
        client.run(body_of(kind)) as stream,
    ):
        with pytest.raises(IncompleteStream, match=r"HTTP|status|waits for action"):
            await stream.result()
    return refused


@pytest.mark.parametrize("status", [408, 425, 429])
@pytest.mark.parametrize("number", [0, 1], ids=["start", "answer"])
@pytest.mark.parametrize("kind", CLIENTS)
async def test_a_request_that_is_never_processed(kind: str, number: int, status: int) -> None:
    """The source of the request retries it, and the client does not retry the source."""
    assert await attempts_of(kind, lambda _: status, number) == 4
    if status == 429:
        assert await attempts_of(kind, lambda _: status, number, None) == 1


@pytest.mark.parametrize("kind", [kind for kind in CLIENTS if kind != "ag-ui"])
@pytest.mark.parametrize("statuses", ["500", "429 500", "429 429 503", "500 429"])
async def test_answers_that_fail_in_several_ways(kind: str, statuses: str) -> None:
    """What the source retries, and what the client retries, are attempts of one number."""
    codes = [int(code) for code in statuses.split()]
    assert await attempts_of(kind, lambda count: codes[(count - 1) % len(codes)], 1) == 4


class Network:
    """Counts the requests of HTTP clients by their methods, and lets some of them fail.

    Attributes:
        sent: The requests.
        fails: Returns the failure of a request from its method; ``None``: it is sent.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sent: Counter[str] = Counter()
        self.fails: Callable[[str], ConnectFailed | None] = lambda method: None
        send = HttpClient.send

        async def counted(client: HttpClient, method: str, *args: Any) -> Any:
            self.sent[method] += 1
            if (failure := self.fails(method)) is not None:
                raise failure
            return await send(client, method, *args)

        monkeypatch.setattr(HttpClient, "send", counted)

    def stop(self, method: str | None = None, status: int | None = None, wait: float | None = None) -> None:
        """Let all requests fail from now on; count from here.

        Args:
            method: Only those with this method.
            status: The HTTP status of the refusal; ``None``: no server is there.
            wait: The wait that the server asks for (seconds).
        """
        self.sent.clear()
        self.fails = lambda name: (
            ConnectFailed("Could not connect", retry=True, status=status, wait=wait) if method in (None, name) else None
        )


@pytest.mark.parametrize("number", [0, 1], ids=["start", "answer"])
@pytest.mark.parametrize("kind", [kind for kind in CLIENTS if kind != "websocket"])
async def test_a_server_that_is_gone(kind: str, number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are not multiplied either where none reaches a server."""
    network = Network(monkeypatch)

    def approve(call: Any, run: Any) -> Approve:
        network.stop()
        return Approve()

    def stop() -> str:
        network.stop()
        return "done"

    turn = turn_of(kind) if kind == "langgraph" else Turn(calls={"stop": {}})
    async with serve_script([turn, "Done."]) as server:
        tools = [] if kind == "langgraph" else [stop]
        async with CLIENTS[kind](server, tools=tools, approve=approve, reconnect=QUICK) as client:
            if not number:
                network.stop()
            async with client.run(body_of(kind)) as stream:
                with pytest.raises(IncompleteStream, match="Could not connect"):
                    await stream.result()
    assert network.sent["POST"] <= 4
    assert network.sent["GET"] <= 4


@pytest.mark.parametrize("status", [429, 503, None])
@pytest.mark.parametrize("kind", ["assistants", "background", "websocket", "langgraph"])
async def test_a_stream_that_is_lost_with_its_server(
    kind: str, status: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows the run is tried again as often as the policy says, and so are the fetches that repair it."""
    network = Network(monkeypatch)
    attempts: list[int] = []
    async with (
        serve_script([Turn(text="A long text. " * 20, pause=0.005, cut_after=12)]) as server,
        client_of(kind, server) as client,
        client.run(body_of(kind)) as stream,
    ):
        stream.on(SourceDisconnected, lambda signal: attempts.append(signal.attempt))
        await stream.when("message.text")
        network.stop("GET", status)
        with pytest.raises(IncompleteStream):
            await stream.result()
    assert max(attempts, default=0) <= 3
    # A stream and polls of a response are two ways to follow it. Repairs have a policy of their own: two attempts more.
    assert network.sent["GET"] <= (2 if kind in ("background", "websocket") else 1) * 4 + 3
    assert network.sent["POST"] == 0


@pytest.mark.parametrize("number", [0, 1], ids=["start", "answer"])
@pytest.mark.parametrize("status", [429, 503])
async def test_a_handshake_that_is_refused(number: int, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The WebSocket retries it, and the client does not retry the WebSocket."""
    opened, open_socket = Counter[str](), responses_websocket.open_socket

    def stop() -> str:
        opened["stopped"] = 1
        return "done"

    async def refuse(*args: Any) -> Any:
        if not opened["stopped"]:
            return await open_socket(*args)
        opened["refused"] += 1
        raise ConnectFailed(f"refused with HTTP {status}", status=status, retry=True)

    monkeypatch.setattr(responses_websocket, "open_socket", refuse)
    turns = [Turn(calls={"stop": {}}), "Done."]
    async with serve_script(turns) as server, ResponsesClient(server.url, websocket=True, reconnect=QUICK) as client:
        opened["stopped"] = 1 - number
        async with client.run(BODY, tools=[stop]) as stream:
            if number:
                await stream.when("run.action_required")
                assert client._owned is not None
                client._owned._close_idle()
            with pytest.raises(IncompleteStream, match=f"HTTP {status}"):
                await stream.result()
    assert opened["refused"] == 4


async def test_a_poll_reports_the_request_that_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reason has the words of the request, and its pauses are those that the server asks for."""
    network, asked = Network(monkeypatch), list[float | None]()
    delay = Reconnect.delay
    monkeypatch.setattr(
        Reconnect, "delay", lambda self, attempt, **more: asked.append(more.get("asked")) or delay(self, attempt)
    )
    reasons: list[str] = []
    async with (
        serve_script([Turn(text="A long text. " * 20, pause=0.005, cut_after=12)]) as server,
        client_of("assistants", server) as client,
        client.run(BODY) as stream,
    ):
        stream.on(SourceDisconnected, lambda signal: reasons.append(signal.reason))
        await stream.when("message.text")
        network.stop("GET", 503, wait=7.0)
        with pytest.raises(IncompleteStream, match="Could not connect"):
            await stream.result()
    assert [reason.endswith(": Could not connect") for reason in reasons[-3:]] == [True] * 3
    assert asked.count(7.0) >= 3
