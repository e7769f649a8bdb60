"""A stream inside a Starlette application (and so a FastAPI one): the lifespan owns it, requests look at its runs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

from runstream import ActionRequired, IncompleteStream, RawEvent, RunStream, TextDelta, handles
from runstream.testing import Conversation, script

pytest.importorskip("starlette")

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

TEXT = "Saturday starts dry. " * 40


class Gateway:
    """Stands for the server that tells of runs: each `POST /go` lets it tell the next part."""

    name = "gateway"

    def __init__(self, *parts: list[RawEvent]) -> None:
        self.parts = parts
        self.turns = asyncio.Semaphore(0)
        self.closed = False

    async def run(self, receiver: Any) -> None:
        receiver.connected()
        try:
            for part in self.parts:
                await self.turns.acquire()
                for raw in part:
                    receiver.feed(raw)
                    await receiver.ready()
            await asyncio.Event().wait()
        finally:
            self.closed = True


class Agent:
    """Answers tool calls: the source that it returns is the rest of the run."""

    def __init__(self, rest: list[RawEvent]) -> None:
        self.rest = rest

    @handles(ActionRequired)
    async def answer(self, signal: ActionRequired) -> AsyncIterator[RawEvent]:
        await asyncio.sleep(0)
        return self.submit()

    async def submit(self) -> AsyncIterator[RawEvent]:
        for raw in self.rest:
            yield raw


def application(gateway: Gateway, agent: Agent) -> Starlette:
    """What an application does with a stream."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with RunStream(gateway) as stream:
            app.state.stream = stream
            stream.on(agent)
            stream.start()
            yield

    async def go(request: Request) -> Response:
        gateway.turns.release()
        return JSONResponse(None)

    async def state(request: Request) -> Response:
        found = request.app.state.stream.run(request.path_params["run_id"]).state
        if found is None:
            return JSONResponse({"error": "no such run"}, status_code=404)
        return JSONResponse({"status": found.status.value, "text": found.text})

    async def result(request: Request) -> Response:
        run = request.app.state.stream.run(request.path_params["run_id"])
        try:
            async with asyncio.timeout(float(request.query_params.get("timeout", "20"))):
                return JSONResponse((await run.result()).to_dict())
        except TimeoutError:
            return JSONResponse({"error": "it goes on"}, status_code=504)
        except IncompleteStream as error:
            return JSONResponse({"error": error.reason}, status_code=502)

    async def events(request: Request) -> Response:
        signals = request.app.state.stream.run(request.path_params["run_id"]).iter(policy="error")

        async def lines() -> AsyncIterator[str]:
            async for signal in signals:
                yield f"event: {signal.type}\ndata: {signal.to_json()}\n\n"

        return StreamingResponse(lines(), media_type="text/event-stream")

    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()

        async def tell() -> None:
            async for state in websocket.app.state.stream.run(websocket.path_params["run_id"]).iter("states"):
                await websocket.send_json({"status": state.status.value, "text": state.text})
            await websocket.close()

        telling = asyncio.create_task(tell())
        with suppress(WebSocketDisconnect):
            while True:
                await websocket.receive_text()
        telling.cancel()

    async def listeners(request: Request) -> Response:
        stream = request.app.state.stream
        return JSONResponse(len(stream._channels.signals) + len(stream._channels.runs))

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/go", go, methods=["POST"]),
            Route("/listeners", listeners),
            Route("/runs/{run_id}", state),
            Route("/runs/{run_id}/result", result),
            Route("/runs/{run_id}/events", events),
            WebSocketRoute("/runs/{run_id}/socket", socket),
        ],
    )


@pytest.fixture
def gateway() -> Gateway:
    run_1 = script("run_1").say(TEXT).call(weather={"city": "Oslo"}).answer("sunny").say("Dry.").end()
    first, rest = Conversation([run_1]).streams()["run_1"]
    run_2 = script("run_2").say("Hello.").raw_events()
    made = Gateway(first, run_2)
    made.rest = rest  # type: ignore[attr-defined]
    return made


@pytest.fixture
def client(gateway: Gateway) -> Iterator[TestClient]:
    with TestClient(application(gateway, Agent(gateway.rest))) as client:  # type: ignore[attr-defined]
        yield client
    assert gateway.closed


def test_a_run_is_followed_by_everybody_who_asks(client: TestClient) -> None:
    """Over a WebSocket, over server-sent events, by waiting for its result; and the state is there afterwards."""
    assert client.get("/runs/run_1").status_code == 404
    assert client.get("/runs/run_1/result?timeout=0.01").status_code == 504
    with ThreadPoolExecutor() as pool, client.websocket_connect("/runs/run_1/socket") as socket:
        told = pool.submit(client.get, "/runs/run_1/events")
        waited = pool.submit(client.get, "/runs/run_1/result")
        until(client, "/listeners", 3)  # the agent, the socket, the events
        client.post("/go")
        seen = [socket.receive_json()]
        while seen[-1]["status"] != "completed":
            seen.append(socket.receive_json())
        with pytest.raises(WebSocketDisconnect):
            socket.receive_json()
        run = waited.result(timeout=30).json()
        lines = told.result(timeout=30).text.split("\n\n")
    assert run["status"] == "completed"
    assert client.get("/runs/run_1").json() == seen[-1] == {"status": "completed", "text": f"{TEXT}Dry."}
    blocks = [block.split("\n") for block in lines if block]
    assert blocks[0][0] == "event: run.created"
    assert blocks[-1][0] == "event: run.completed"
    texts = [json.loads(data.removeprefix("data: ")) for kind, data in blocks if kind == f"event: {_tag(TextDelta)}"]
    assert "".join(text["delta"] for text in texts) == f"{TEXT}Dry."
    until(client, "/listeners", 1)


def test_a_client_that_leaves_takes_its_subscription_along(client: TestClient) -> None:
    """And nobody else notices."""
    with client.websocket_connect("/runs/run_1/socket"):
        until(client, "/listeners", 2)
    until(client, "/listeners", 1)
    client.post("/go")
    assert client.get("/runs/run_1/result").json()["status"] == "completed"


def test_the_application_ends_in_the_middle_of_a_run(client: TestClient) -> None:
    """Whoever waits is told so; no task and no coroutine is left behind."""
    client.post("/go")
    client.post("/go")
    until(client, "/runs/run_2", {"status": "in_progress", "text": "Hello."})
    assert client.get("/runs/run_2/result?timeout=0.01").status_code == 504


def until(client: TestClient, path: str, expected: Any) -> None:
    """Ask until this is the answer."""
    deadline = time.monotonic() + 20
    while (found := client.get(path).json()) != expected:
        assert time.monotonic() < deadline, found
        time.sleep(0.002)


def _tag(kind: Any) -> str:
    return str(kind.__struct_config__.tag)
