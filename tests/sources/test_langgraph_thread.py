"""LangGraphThreadSource against scripted servers on loopback: a server that has lost the place of the source."""

from __future__ import annotations

import asyncio
import json
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from runstream import IncompleteStream, RawEvent, Reconnect, RunState, RunStream, Signal, fold
from runstream.sources.langgraph_thread import LangGraphThreadSource
from tests.support.graph_runs import graph_thread
from tests.support.http_peer import Exchange, http_serving
from tests.support.ports import free_port

RUN = graph_thread(2)
RAWS = [RawEvent(data=json.dumps(data).encode()) for _, data in RUN.events]
FRAMES = [json.dumps(data) for _, data in RUN.events]
SOON = Reconnect(initial=0.001, maximum=0.01, max_attempts=10)
GAP = {"type": "error", "id": 0, "error": "resume_gap", "message": "too old"}


def answer_of(path: str) -> bytes:
    """What the server says when it is asked."""
    kind = "run" if "/runs/" in path else "state" if path.endswith("/state") else "thread"
    return json.dumps(RUN.answers[kind]).encode()


class Script:
    """The server of one thread.

    Args:
        cut: The number of events after which the first connection is lost.
        kept: The number of events that it does not have any more afterwards.
    """

    def __init__(self, cut: int, kept: int) -> None:
        self.cut = cut
        self.kept = kept
        self.places: list[int | None] = []

    def note(self, since: int | None) -> int:
        """Note a subscription, and return their number."""
        self.places.append(since)
        return len(self.places)

    def frames(self, since: int | None) -> tuple[list[str], bool]:
        """The messages of a subscription, and whether its connection is lost after them."""
        if self.note(since) == 1:
            return FRAMES[: self.cut], True
        if since is not None and since < self.kept:
            return [json.dumps({**GAP, "since": since})], False
        return FRAMES[max(since or 0, self.kept) :], False


async def observe(url: str, transport: Any) -> tuple[RunState, list[Signal]]:
    """Read the thread to the end of its run."""
    source = LangGraphThreadSource(
        url, RUN.thread_id, transport=transport, ask_after=None, name="source", proxy=None, reconnect=SOON
    )
    async with asyncio.timeout(20), RunStream(source) as stream:
        signals = [signal async for signal in stream]
    (state,) = stream.latest.values()
    return state, signals


async def read(script: Script, transport: str) -> tuple[RunState, list[Signal]]:
    """Read a script over a transport."""
    if transport == "sse":

        async def respond(exchange: Exchange, number: int) -> None:
            request = exchange.request
            if request.method == "GET":
                await exchange.answer(200, {"Content-Type": "application/json"}, answer_of(request.path))
                return
            frames, is_lost = script.frames(json.loads(request.body).get("since"))
            for frame in frames:
                value = json.loads(frame)
                await exchange.event(frame, event=value.get("method"), id=str(value.get("seq", "")) or None)
            if is_lost:
                await asyncio.sleep(0.05)  # what was sent has arrived
                exchange.abort()
                return
            await asyncio.sleep(5)

        async with http_serving(respond) as peer:
            return await observe(peer.url, transport)

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        if "Upgrade" in request.headers:
            return None
        return connection.respond(HTTPStatus.OK, answer_of(request.path).decode())

    async def connected(socket: ServerConnection) -> None:
        frames, is_lost = script.frames(json.loads(await socket.recv())["params"].get("since"))
        for frame in frames:
            await socket.send(frame)
        if is_lost:
            await asyncio.sleep(0.05)
            socket.transport.abort()
        await socket.wait_closed()

    port = free_port()

    async with serve(connected, "127.0.0.1", port, process_request=answer):
        return await observe(f"http://127.0.0.1:{port}", transport)


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_a_place_that_the_server_has_lost(transport: str) -> None:
    """The source subscribes again without a place: the open objects are partial, and the run has its end once."""
    script = Script(cut=5, kept=8)
    state, signals = await read(script, transport)
    assert script.places == [None, 5, None]
    keys = [signal.key for signal in signals]
    assert len(keys) == len(set(keys))
    assert state.is_terminal
    whole, _ = await read(Script(cut=5, kept=0), transport)
    assert (state.run_id, state.status) == (whole.run_id, whole.status)
    types = [signal.type for signal in signals]
    assert types.count("source.disconnected") == 2  # the loss, and the gap
    assert sum(signal.type == "source.error" for signal in signals) == 1
    assert [message.id for message in state.messages][-1:] == [message.id for message in whole.messages][-1:]


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_a_place_that_the_server_has(transport: str) -> None:
    """The source goes on after its last event."""
    script = Script(cut=5, kept=0)
    state, signals = await read(script, transport)
    assert script.places == [None, 5]
    assert (state.status, state.text) == ("completed", fold(RAWS, dialect="langgraph-thread").runs[0].text)
    assert "source.error" not in [signal.type for signal in signals]


async def test_a_server_that_never_has_the_place() -> None:
    """A gap without a place that was asked for ends the source: it does not subscribe for ever."""
    script = Script(cut=5, kept=len(FRAMES) + 1)
    script.frames = lambda since: (FRAMES[:5], True) if script.note(since) == 1 else ([json.dumps(GAP)], False)  # type: ignore[method-assign]
    state, signals = await read(script, "sse")
    assert script.places == [None, 5, None]
    assert state.status == "in_progress"
    assert "does not have the events" in signals[-1].reason  # type: ignore[union-attr]


class Joined:
    """A server whose stream begins in the middle of a run, and says nothing of its end.

    Args:
        runs: What it answers when it is asked for the runs of the thread; ``None``: 404.
        statuses: The statuses of the run, each time that it is asked for; the last one stays.
    """

    def __init__(self, runs: list[dict[str, Any]] | None, *statuses: str) -> None:
        self.runs = runs
        self.statuses = list(statuses)
        self.asked: list[str] = []

    async def respond(self, exchange: Exchange, number: int) -> None:
        """Answer one request."""
        request = exchange.request
        path = request.path.partition("?")[0]
        if request.method == "GET":
            self.asked.append(path.rpartition("/")[2])
            body: Any = {}
            if path.endswith("/runs"):
                if self.runs is None:
                    await exchange.answer(404, {"Content-Type": "application/json"}, b"{}")
                    return
                body = self.runs
            elif "/runs/" in path:
                status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
                body = {"run_id": path.rpartition("/")[2], "thread_id": "t", "status": status}
            await exchange.answer(200, {"Content-Type": "application/json"}, json.dumps(body).encode())
            return
        values = {"messages": [{"type": "ai", "id": "m1", "content": "half"}]}
        for place in range(2):
            params = {"namespace": [], "timestamp": 1, "data": values}
            frame = {"type": "event", "method": "values", "seq": place + 9, "event_id": f"9-{place}", "params": params}
            await exchange.event(json.dumps(frame), event="values", id=str(place + 9))
            await asyncio.sleep(0.1)  # the server is asked meanwhile
        await asyncio.sleep(5)


async def join(server: Joined) -> tuple[RunStream, list[Signal]]:
    """Read to the end of the source."""
    async with http_serving(server.respond) as peer:
        source = LangGraphThreadSource(peer.url, "t", ask_after=0.05, name="source", proxy=None, reconnect=SOON)
        async with asyncio.timeout(10), RunStream(source) as stream:
            return stream, [signal async for signal in stream]


async def test_a_run_that_was_joined_in_its_middle_and_ends_in_silence() -> None:
    """The server says which run it is, and how it has ended: a run that is queued is another one."""
    runs = [{"run_id": "run_2", "status": "pending"}, {"run_id": "run_1", "status": "running"}]
    server = Joined(runs, "running", "running", "running", "timeout")
    stream, signals = await join(server)
    (state,) = stream.latest.values()
    assert (state.run_id, state.status) == ("run_1", "expired")
    assert state.document["messages"][0]["content"] == "half"
    assert signals[-1].type == "source.ended"
    assert server.asked.count("runs") == 1


async def test_a_run_that_is_not_found() -> None:
    """Then the source fails, with the reason; it does not wait for ever."""
    server = Joined(None, "running")
    stream, signals = await join(server)
    (failure,) = [signal for signal in signals if signal.type == "source.error"]
    assert "joined in the middle of a run" in failure.reason  # type: ignore[union-attr]
    assert server.asked == ["runs"] * 3
    with pytest.raises(IncompleteStream, match="joined in the middle of a run"):
        await stream.result()
