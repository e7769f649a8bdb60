"""The Responses API of servers that others wrote, over SSE and over a WebSocket: fastresponses and aimock."""

from __future__ import annotations

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from runstream import ActionRequired, IncompleteStream, Reconnect, ResponsesSource, ResponsesWebSocket, RunStream
from tests.interop.agents import fastresponses_server
from tests.interop.environments import interop_node
from tests.interop.servers import Server, run_server

FAST = Reconnect(initial=0.01, maximum=0.1, max_attempts=8)
LOOK = {
    "type": "function",
    "name": "look",
    "parameters": {"type": "object", "properties": {"pier": {"type": "string"}}, "required": ["pier"]},
}
FERRY = "The ferry leaves at nine."
FIXTURES: list[dict[str, Any]] = [
    {"match": {"userMessage": "ferry"}, "response": {"content": FERRY}},
    {
        "match": {"userMessage": "piers", "hasToolResult": False},
        "response": {
            "toolCalls": [
                {"name": "look", "arguments": json.dumps({"pier": pier}), "id": f"call_{pier}"}
                for pier in ("north", "south")
            ]
        },
    },
    {"match": {"userMessage": "piers", "hasToolResult": True}, "response": {"content": "Seen: north, south"}},
    {
        "match": {"userMessage": "storm"},
        "response": {"error": {"message": "The storm broke it.", "type": "server_error"}, "status": 500},
    },
    {
        "match": {"userMessage": "fog"},
        "response": {"content": "Nothing is seen. " * 20},
        "truncateAfterChunks": 6,
        "chunkSize": 10,
        "latency": 20,
    },
]


@pytest.fixture(scope="module")
def fastresponses() -> Iterator[Server]:
    """A server with a scripted agent."""
    with fastresponses_server() as server:
        yield server


@pytest.fixture(scope="module")
def aimock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with fixed answers, some of them broken."""
    node, folder = interop_node("@copilotkit/aimock")
    fixtures = tmp_path_factory.mktemp("fixtures")
    (fixtures / "all.json").write_text(json.dumps({"fixtures": FIXTURES}), encoding="utf-8")
    program = folder / "node_modules" / "@copilotkit" / "aimock" / "dist" / "cli.js"
    with run_server([node, program, "--host", "127.0.0.1", "--port", "{port}", "--fixtures", fixtures]) as server:
        yield server


@pytest.fixture(params=["fastresponses", "aimock"])
def server(request: pytest.FixtureRequest) -> Server:
    """Each server."""
    found: Server = request.getfixturevalue(request.param)
    return found


class Http:
    """Requests over HTTP."""

    def __init__(self, url: str) -> None:
        self.url = url

    def response(self, body: dict[str, Any], **options: Any) -> ResponsesSource:
        return ResponsesSource(f"{self.url}/v1", body, auth="a-key", proxy=None, reconnect=FAST, **options)


@asynccontextmanager
async def transport(kind: str, url: str) -> AsyncIterator[Any]:
    """Makes a source of a body."""
    if kind == "sse":
        yield Http(url)
    else:
        async with ResponsesWebSocket(f"{url}/v1", auth="a-key", proxy=None, grace=0.3) as socket:
            yield socket


def body(words: str, **fields: Any) -> dict[str, Any]:
    return {"model": "gpt-5-mini", "input": words, **fields}


async def read(source: Any, answer: Any = None) -> tuple[Any, list[Any]]:
    """The final state of the run, or the error in its place, and all signals."""
    signals: list[Any] = []
    async with RunStream(source) as stream:
        stream.signals.subscribe(signals.append)
        if answer is not None:
            stream.on(ActionRequired, answer)
        try:
            run = await asyncio.wait_for(stream.result(), 30.0)
        except IncompleteStream as error:
            return error, signals
        return stream.latest[run.id], signals


def types(signals: list[Any]) -> list[str]:
    return [signal.type for signal in signals]


@pytest.mark.parametrize("kind", ["sse", "websocket"])
async def test_text(server: Server, kind: str) -> None:
    """A WebSocket stays open after it; the run ends nevertheless."""
    async with transport(kind, server.url) as make:
        for _ in range(2):
            state, signals = await read(make.response(body("ferry")))
            assert (state.status, state.text) == ("completed", FERRY)
            assert "".join(signal.delta for signal in signals if signal.type == "message.text") in ("", FERRY)
            assert types(signals).count("run.completed") == 1


@pytest.mark.parametrize("kind", ["sse", "websocket"])
async def test_parallel_calls_are_answered_over_a_second_response(server: Server, kind: str) -> None:
    """One run over two responses, with both calls in one round."""
    async with transport(kind, server.url) as make:
        asked: list[ActionRequired] = []

        def answer(signal: ActionRequired) -> Any:
            asked.append(signal)
            outputs = [
                {
                    "type": "function_call_output",
                    "call_id": call.id,
                    "output": json.loads(call.arguments or "{}")["pier"],
                }
                for call in signal.calls
            ]
            if is_aimock(server):
                # It keeps no responses: the history is sent again.
                calls = [
                    {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments}
                    for call in signal.calls
                ]
                history = [{"type": "message", "role": "user", "content": "piers"}, *calls, *outputs]
                return make.response({"model": "gpt-5-mini", "input": history, "tools": [LOOK]})
            return make.response(
                {"model": "gpt-5-mini", "input": outputs, "previous_response_id": signal.run_id, "tools": [LOOK]}
            )

        state, signals = await read(make.response(body("piers", tools=[LOOK])), answer)
    assert (state.status, state.text) == ("completed", "Seen: north, south")
    (signal,) = asked
    assert [(call.id, call.kind, call.name) for call in signal.calls] == [
        ("call_north", "function", "look"),
        ("call_south", "function", "look"),
    ]
    assert types(signals).count("run.created") == 1
    assert len({signal.key for signal in signals}) == len(signals)


def is_aimock(server: Server) -> bool:
    """True for the server that keeps no responses."""
    arguments: Any = server.process.args
    return "aimock" in " ".join(arguments)


@pytest.mark.parametrize("kind", ["sse", "websocket"])
async def test_a_failure_in_the_middle(fastresponses: Server, kind: str) -> None:
    """Over the WebSocket an error is the only end."""
    async with transport(kind, fastresponses.url) as make:
        state, signals = await read(make.response(body("storm")))
    assert state.status == "failed"
    assert "run.completed" not in types(signals)
    assert types(signals).count("run.failed") == 1


@pytest.mark.parametrize("kind", ["sse", "websocket"])
async def test_a_refused_request(server: Server, kind: str) -> None:
    """It begins no run, and the words of the server are there."""
    wrong = body("storm") if is_aimock(server) else None
    async with transport(kind, server.url) as make:
        source = make.response(wrong or body("ferry", previous_response_id="resp_unknown"))
        error, signals = await read(source)
    assert isinstance(error, IncompleteStream)
    (failed,) = [signal for signal in signals if signal.type == "source.error"]
    assert ("broke it." if wrong else "not found") in failed.server_message
    assert not [kind for kind in types(signals) if kind.startswith("run.")]


@pytest.mark.parametrize("kind", ["sse", "websocket"])
async def test_a_stream_that_the_server_cuts_is_no_success(aimock: Server, kind: str) -> None:
    async with transport(kind, aimock.url) as make:
        error, signals = await read(make.response(body("fog")))
    assert isinstance(error, IncompleteStream)
    assert "run.completed" not in types(signals)
    assert types(signals).count("run.interrupted") == 1


@asynccontextmanager
async def cutting(url: str, sizes: list[int]) -> AsyncIterator[str]:
    """A proxy that cuts the first responses off, each after so many bytes."""
    host, port = url.removeprefix("http://").split(":")
    left = list(sizes)

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, size: int | None) -> None:
        while data := await reader.read(4096):
            writer.write(data if size is None else data[:size])
            await writer.drain()
            if size is not None and (size := size - len(data)) <= 0:
                await asyncio.sleep(0.05)  # what was sent would be lost with a reset
                writer.transport.abort()
                return
        writer.close()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(host, int(port))
        size = left.pop(0) if left else None
        up = asyncio.create_task(copy(reader, there_writer, None))
        try:
            await copy(there_reader, writer, size)
        finally:
            up.cancel()
            there_writer.transport.abort()

    async with await asyncio.start_server(connected, "127.0.0.1", 0) as proxy:
        yield f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}"


async def test_a_background_response_is_joined_and_polled(fastresponses: Server) -> None:
    """This server streams no response that it has begun; it answers with the object."""
    request = urllib.request.Request(
        f"{fastresponses.url}/v1/responses",
        json.dumps(body("slow ferry", background=True)).encode(),
        {"Content-Type": "application/json"},
    )
    id = json.loads(await asyncio.to_thread(lambda: urllib.request.urlopen(request).read()))["id"]
    options: dict[str, Any] = {"proxy": None, "poll_interval": 0.05}
    source = ResponsesSource(f"{fastresponses.url}/v1", response_id=id, poll=True, **options)
    state, _ = await read(source)
    assert (state.run_id, state.status, state.text) == (id, "completed", FERRY)
    error, _ = await read(ResponsesSource(f"{fastresponses.url}/v1", response_id=id, **options))
    assert "poll=True" in str(error)


async def test_a_cut_stream_goes_on_or_is_no_success(fastresponses: Server) -> None:
    """Polled, the run ends as the server says; not polled, it is interrupted."""
    async with cutting(fastresponses.url, [2_500]) as url:
        error, signals = await read(Http(url).response(body("slow ferry")))
    assert isinstance(error, IncompleteStream)
    assert "run.completed" not in types(signals)
    async with cutting(fastresponses.url, [2_500]) as url:
        source = Http(url).response(body("slow ferry", background=True), poll=True, poll_interval=0.05)
        state, signals = await read(source)
    assert state.status in ("completed", "failed", "cancelled", "incomplete")
    if state.status == "completed":
        assert state.text == FERRY
    assert len({signal.key for signal in signals}) == len(signals)
