"""A server that fails at each request of a run, in each way, with each client: nothing is executed or answered twice.

The table `CERTAIN` says what a client must bring to its end, by what its protocol allows; elsewhere a run may end with
a reason instead.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from runstream.clients.ag_ui import AgUiClient
from runstream.clients.answers import Output
from runstream.clients.assistants import AssistantsClient
from runstream.clients.base import BaseClient
from runstream.clients.langgraph import LangGraphClient
from runstream.clients.responses import ResponsesClient
from runstream.errors import IncompleteStream
from runstream.model.raw import RawEvent, RawItem
from runstream.model.run import RunStatus
from runstream.sources.base import Receiver, Source
from runstream.sources.reconnect import Reconnect
from runstream.testing.server import ScriptedServer, serve_script
from runstream.testing.turns import Question, ScriptedCall, ScriptedRequest, Turn
from tests.support.killable_proxy import KillableProxy, killable_proxy

QUICK = Reconnect(initial=0.02, maximum=0.1, max_attempts=8)
ROUNDS = 2
LIMIT = 20.0  # seconds for a run with a fault; it takes less than one


class Kind(Struct, frozen=True):
    """A client, and how its runs are made.

    Attributes:
        client: Its class.
        body: The body of its runs.
        options: Its own options.
    """

    client: Any
    body: dict[str, Any]
    options: dict[str, Any] = {}


KINDS = {
    "assistants": Kind(AssistantsClient, {"assistant_id": "asst_1"}, {"poll_interval": 0.02}),
    "background": Kind(ResponsesClient, {"model": "m", "input": "Hello", "background": True}, {"poll_interval": 0.02}),
    "foreground": Kind(ResponsesClient, {"model": "m", "input": "Hello"}, {"poll_interval": 0.02}),
    "socket": Kind(ResponsesClient, {"model": "m", "input": "Hello"}, {"poll_interval": 0.02, "websocket": True}),
    "lanes": Kind(
        ResponsesClient, {"model": "m", "input": "Hello"}, {"poll_interval": 0.02, "websocket": True, "lanes": 4}
    ),
    "ag-ui": Kind(AgUiClient, {"threadId": "t1", "messages": [{"id": "u1", "role": "user", "content": "Hello"}]}),
    "langgraph": Kind(
        LangGraphClient, {"assistant_id": "agent", "input": {"messages": [{"role": "user", "content": "Hello"}]}}
    ),
}
SOCKETS = ("socket", "lanes")

Fault = Callable[[Turn, KillableProxy], Turn]
"""What happens to a request: changes its turn, or kills the server."""


def killed_before(turn: Turn, proxy: KillableProxy) -> Turn:
    """The server is killed when the request has arrived, and does nothing."""
    proxy.kill()
    return replace(turn, drop=True)


def killed_during(turn: Turn, proxy: KillableProxy) -> Turn:
    """The server processes the request, and is killed before the response."""
    proxy.kill()
    return turn


def killed_in_the_stream(turn: Turn, proxy: KillableProxy) -> Turn:
    """The server is killed while it streams."""
    asyncio.get_running_loop().call_later(0.05, proxy.kill)
    return replace(turn, pause=0.01)


FAULTS: dict[str, Fault] = {
    "dropped": lambda turn, proxy: replace(turn, drop=True),
    "refused for now": lambda turn, proxy: replace(turn, refuse=503),
    "too many": lambda turn, proxy: replace(turn, refuse=429),
    "lost": lambda turn, proxy: replace(turn, lose=True),
    "cut at once": lambda turn, proxy: replace(turn, cut_after=0),
    "cut": lambda turn, proxy: replace(turn, cut_after=6),
    "killed before": killed_before,
    "killed during": killed_during,
    "killed in the stream": killed_in_the_stream,
}

BEFORE = {"dropped", "killed before"}
UNSEEN = {"lost", "cut at once", "killed during"}  # processed, and nothing of the response has arrived
CUT = {"cut", "killed in the stream"}
ALL = set(FAULTS)
# What must be completed, by the client: after a fault of the request that starts the run, and of one that answers.
CERTAIN: dict[str, tuple[set[str], set[str]]] = {
    "assistants": (ALL - BEFORE - UNSEEN - {"refused for now"}, ALL),
    "background": (ALL - BEFORE - UNSEEN - {"refused for now"}, ALL),
    # A server cancels a response in the foreground with its connection.
    "foreground": ({"too many"}, ALL - CUT),
    "socket": ({"too many"}, ALL - CUT),
    "lanes": ({"too many"}, ALL - CUT),
    # A run exists on its stream alone, and can't be asked about.
    "ag-ui": ({"too many"}, {"too many"}),
    "langgraph": (ALL, ALL),
}


def url_of(kind: str, server: ScriptedServer) -> str:
    """The URL of the server for a client."""
    return {"ag-ui": server.ag_ui_url, "langgraph": server.langgraph_url}.get(kind, server.url)


@asynccontextmanager
async def faulty(
    kind: str, number: int, fault: Fault, **options: Any
) -> AsyncIterator[tuple[Any, ScriptedServer, Any]]:
    """A client of a server that fails once, at one request; and the counts of what is executed."""
    executed: Counter[str] = Counter()
    failed: list[int] = []
    proxies: list[KillableProxy] = []

    def model(request: ScriptedRequest) -> Turn:
        turn = turn_of(kind, request.turn)
        if request.turn == number and not failed:
            failed.append(number)
            return fault(turn, proxies[0])
        return turn

    async def work(key: str) -> str:
        executed[key] += 1
        await asyncio.sleep(0)
        return f"done {key}"

    async def decide(call: Any, run: Any) -> Output:
        executed[call.key] += 1
        return Output(f"done {call.id}")

    made = KINDS[kind]
    async with serve_script(model) as server, killable_proxy(server.url) as proxy:
        proxies.append(proxy)
        client: BaseClient = made.client(
            proxy.url(url_of(kind, server)),
            tools=() if kind == "langgraph" else [work],
            approve=decide,
            reconnect=QUICK,
            proxy=None,
            **{**made.options, **options},
        )
        async with client:
            yield client, server, executed
        assert failed, "the fault did not happen"


def turn_of(kind: str, number: int) -> Turn:
    """The turn of a round: two calls, or the end. A graph of LangGraph asks, since it executes its calls itself."""
    keys = [f"{number}{letter}" for letter in "ab"] if number < ROUNDS else []
    text = f"This is round {number} of them. "
    if kind == "langgraph":
        return Turn(text=text, questions=[Question("Well?", id=key) for key in keys])
    return Turn(text=text, calls=[ScriptedCall("work", {"key": key}, f"call_{key}") for key in keys])


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("number", range(ROUNDS + 1), ids=["start", "first answer", "last answer"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_server_that_fails(kind: str, number: int, fault: str) -> None:
    """Each call is executed once, accepted answers are right and not repeated, and the run ends or has a reason."""
    async with faulty(kind, number, FAULTS[fault]) as (client, server, executed):
        found = None
        async with asyncio.timeout(LIMIT), client.run(KINDS[kind].body) as stream:
            with suppress(IncompleteStream):
                found = await stream.result()
        assert all(count == 1 for count in executed.values()), executed
        for id, answers in server.outputs.items():
            assert set(answers) == {f"done {id.removeprefix('call_')}"}
            assert len(answers) == 1 or KINDS[kind].client is ResponsesClient  # which can't be asked
        if fault in CERTAIN[kind][number > 0]:
            assert found is not None
            assert found.status == RunStatus.COMPLETED
        if found is not None and found.status == RunStatus.COMPLETED:
            assert len(executed) == len(server.outputs) == 2 * ROUNDS
            text = "".join(turn_of(kind, one).text for one in range(ROUNDS + 1))
            assert stream.latest[found.id].text == text
        elif found is not None:
            assert found.status == RunStatus.CANCELLED
            assert kind in (*SOCKETS, "foreground")


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "langgraph"])
async def test_tools_of_every_kind_of_failure(kind: str) -> None:
    """A tool that hangs, raises, or returns what can't be encoded: the model learns it, and the run goes on."""

    async def hang() -> None:
        await asyncio.Event().wait()

    def fail() -> None:
        raise ValueError("a secret")

    def odd() -> object:
        return object()

    def typed(number: int) -> int:
        return number

    calls = {"hang": {}, "fail": {}, "odd": {}, "typed": {"number": "one"}}
    made = KINDS[kind]
    async with serve_script([Turn(calls=calls), "Done."]) as server:
        options = {**made.options, "tools": [hang, fail, odd, typed], "tool_timeout": 0.5, "proxy": None}
        client = made.client(url_of(kind, server), **options)
        async with asyncio.timeout(LIMIT), client, client.run(made.body) as stream:
            assert (await stream.result()).status == RunStatus.COMPLETED
        outputs = sorted(answers[0] for answers in server.outputs.values())
    words = ("$.number", "ValueError", "encoded", "in time")
    assert len(outputs) == len(words)
    assert all(any(word in output for output in outputs) for word in words), outputs
    assert "secret" not in "".join(outputs)


class Doubled:
    """A source whose items arrive twice, except for fragments of texts, which have no identity in some protocols."""

    def __init__(self, source: Source) -> None:
        self.name = source.name
        self._source = source

    async def run(self, receiver: Receiver) -> None:
        await self._source.run(DoublingReceiver(receiver))


class DoublingReceiver:
    """Passes each item on twice."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    def __getattr__(self, name: str) -> Any:
        return getattr(self._receiver, name)

    def feed(self, item: RawItem) -> None:
        for each in doubled(item):
            self._receiver.feed(each)

    async def feed_all(self, items: Iterable[RawItem]) -> None:
        await self._receiver.feed_all([each for item in items for each in doubled(item)])


def doubled(item: RawItem) -> list[RawItem]:
    """An item, twice if it is whole."""
    return [item] * (1 if isinstance(item, RawEvent) and b'"delta"' in item.data else 2)


@pytest.mark.parametrize("kind", KINDS)
async def test_requests_for_action_that_are_repeated(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever arrives again, each call is executed once, and answered once."""
    made = KINDS[kind].client
    for name in ("_start", "_submit"):
        method = getattr(made, name)
        monkeypatch.setattr(made, name, lambda *args, method=method: Doubled(method(*args)))
    async with faulty(kind, 0, lambda turn, proxy: turn) as (client, server, executed):
        async with asyncio.timeout(LIMIT), client.run(KINDS[kind].body) as stream:
            run = await stream.result()
        assert run.status == RunStatus.COMPLETED
        assert all(count == 1 for count in executed.values())
        assert all(len(answers) == 1 for answers in server.outputs.values())
        assert len(executed) == len(server.outputs) == 2 * ROUNDS
