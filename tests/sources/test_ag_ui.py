"""The source of AG-UI runs: the request, the stream that answers it, and every way in which that fails."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from runstream.dialects.ag_ui import AgUiDialect
from runstream.engine.fold import fold
from runstream.errors import IncompleteStream, SourceFailed
from runstream.model.raw import RawEvent, Request
from runstream.model.signals import ActionRequired, RunInterrupted, SourceError
from runstream.recordings.reader import read_recording
from runstream.recordings.tee import record
from runstream.sources.ag_ui import AgUiSource, make_run_input
from runstream.sources.base import Source
from runstream.sources.reconnect import Reconnect
from runstream.stream.run_stream import RunStream
from tests.dialects.agui import call, content, event, finished, flat, started, text
from tests.support.http_peer import Exchange, Respond, http_serving
from tests.support.receiver import FakeReceiver

FAST = Reconnect(initial=0.01, maximum=0.02, max_attempts=2)


def body_of(*items: Any, newline: str = "\n") -> str:
    """The events as the body of a response."""
    return "".join(f"data: {item.data.decode()}{newline}{newline}" for item in flat(items))


def saying(*pieces: str | bytes, abort: bool = False) -> Respond:
    """A server that sends these pieces of a body, and breaks it off or ends it."""

    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.start()
        for piece in pieces:
            await exchange.send(piece)
        if abort:
            exchange.abort()

    return respond


def source_of(url: str, input: dict[str, Any] | None = None, **options: Any) -> AgUiSource:
    """A source for a server in a test."""
    return AgUiSource(url, input or {"runId": "r1", "threadId": "t1"}, proxy=None, **{"reconnect": FAST, **options})


async def read(respond: Respond, input: dict[str, Any] | None = None, **options: Any) -> tuple[Any, list[Any], Any]:
    """The result of the only run, or the exception; all signals; and the server."""
    async with http_serving(respond) as peer:
        async with RunStream(source_of(peer.url, input, **options)) as stream:
            signals: list[Any] = []
            stream.signals.subscribe(signals.append)
            try:
                found: Any = await stream.result()
            except IncompleteStream as error:
                found = error
        return found, signals, peer


# the request


def test_an_input_has_all_fields() -> None:
    """Servers of any release accept it; what the application gives is not changed."""
    given = {"messages": [{"id": "u1", "role": "user", "content": "hi"}], "state": None, "tools": [{"name": "f"}]}
    found = make_run_input(given)
    assert found["protocolVersion"] == "1.0"
    assert found["messages"] == given["messages"]
    assert (found["state"], found["context"], found["forwardedProps"]) == ({}, [], {})
    assert found["tools"] == [{"name": "f"}]
    assert found["threadId"] != make_run_input()["threadId"]
    assert given["state"] is None


def test_the_document_of_a_state_is_an_input() -> None:
    """The state that a run has left can be sent with the next one."""
    state = fold(flat([started(), event("STATE_SNAPSHOT", snapshot={"a": [1]}), finished()]), dialect="ag-ui").runs[0]
    source = source_of("http://127.0.0.1:1", {"state": state.document})
    assert source.input["state"] == {"a": [1]}
    assert type(source.input["state"]) is dict


async def test_the_request_is_a_post_of_the_input() -> None:
    """JSON, with the version of the protocol; the request is an item of the source, without credentials."""
    async with http_serving(saying(body_of(started(), finished()))) as peer:
        source = source_of(f"{peer.url}/agent", {"runId": "r1", "state": {"a": 1}}, auth="t0ken")
        receiver = FakeReceiver()
        await source.run(receiver)
    (sent,) = peer.requests
    assert (sent.method, sent.path) == ("POST", "/agent")
    assert sent.header("Content-Type") == "application/json"
    assert sent.header("Accept") == "text/event-stream"
    assert sent.header("Authorization") == "Bearer t0ken"
    assert json.loads(sent.body) == source.input
    assert source.input["protocolVersion"] == "1.0"
    (request,) = [item for item in receiver.items if isinstance(item, Request)]
    assert json.loads(request.body) == source.input
    assert b"t0ken" not in request.body


def test_it_is_a_source_with_a_dialect() -> None:
    """No caller names the dialect."""
    source = source_of("http://127.0.0.1:1")
    assert isinstance(source, Source)
    assert source.dialect == "ag-ui"
    assert repr(source) == "AgUiSource('http://127.0.0.1:1')"


def test_an_input_that_is_no_json() -> None:
    """It is refused when the source is made."""
    with pytest.raises(TypeError):
        AgUiSource("http://127.0.0.1:1", {"state": object()})


# the stream


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
async def test_the_grammar_of_event_streams(newline: str) -> None:
    """Comments, ids, names and retry fields are skipped or used, whatever ends the lines; `[DONE]` ends nothing."""
    lines = [
        ": keep-alive",
        "",
        "retry: 10",
        "",
        f"event: message{newline}id: 1{newline}data: {started().data.decode()}",
        "",
        f"data:{event('TEXT_MESSAGE_START', messageId='m1').data.decode()}",
        "",
        f"data: {content('ö').data.decode()}",
        "",
        f"data: {finished().data.decode()}",
        "",
        "data: [DONE]",
        "",
        "",
    ]
    run, signals, _ = await read(saying(newline.join(lines)))
    assert (run.id, run.status) == ("r1", "completed")
    assert "".join(signal.delta for signal in signals if signal.type == "message.text") == "ö"


@pytest.mark.parametrize("size", [1, 3, 50])
async def test_pieces_of_any_size(size: int) -> None:
    """A character or a block may be divided between them."""
    body = body_of(started(), text("Grüße 🚢"), finished()).encode()
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    run, _, _ = await read(saying(*pieces))
    assert run.status == "completed"


async def test_a_cut_stream_is_interrupted() -> None:
    """It is never a success, and the request is not sent again."""
    error, signals, peer = await read(saying(body_of(started(), text("a")), abort=True))
    assert isinstance(error, IncompleteStream)
    assert isinstance(error.__cause__, SourceFailed)
    assert len([signal for signal in signals if isinstance(signal, RunInterrupted)]) == 1
    assert len(peer.requests) == 1


async def test_a_cut_within_an_event() -> None:
    """Half an event is none."""
    error, _, _ = await read(saying(body_of(started()) + 'data: {"type": "RUN_FIN', abort=True))
    assert isinstance(error, IncompleteStream)


async def test_a_body_that_ends_without_an_end() -> None:
    """The server has closed it, but said no end: interrupted, and no second request."""
    error, signals, peer = await read(saying(body_of(started(), text("a"))))
    assert isinstance(error, IncompleteStream)
    assert len([signal for signal in signals if isinstance(signal, RunInterrupted)]) == 1
    assert not [signal for signal in signals if isinstance(signal, SourceError)]
    assert len(peer.requests) == 1


async def test_an_empty_body() -> None:
    """No run was seen."""
    error, _, peer = await read(saying())
    assert isinstance(error, IncompleteStream)
    assert len(peer.requests) == 1


async def test_a_cut_after_the_end() -> None:
    """Some servers break the body off after an error: the run has ended."""
    error = event("RUN_ERROR", message="no", code="E")
    run, _, _ = await read(saying(body_of(started(), error), abort=True))
    assert run.status == "failed"


@pytest.mark.parametrize("status", [400, 401, 404, 422, 500])
async def test_a_refused_request(status: int) -> None:
    """An HTTP error before any stream: the source has failed, and there is no run."""

    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.answer(status, {"Content-Type": "application/json"}, b'{"detail":"bad input"}')

    error, _, peer = await read(respond)
    assert isinstance(error, IncompleteStream)
    assert isinstance(error.__cause__, SourceFailed)
    assert error.__cause__.status == status
    assert len(peer.requests) == 1


async def test_a_busy_server_is_asked_again() -> None:
    """It did nothing yet."""

    async def respond(exchange: Exchange, number: int) -> None:
        if not number:
            await exchange.answer(429, {"Retry-After": "0"})
        else:
            await exchange.send(body_of(started(), finished()))

    run, _, peer = await read(respond)
    assert (run.status, len(peer.requests)) == ("completed", 2)


async def test_a_failed_run_is_a_value() -> None:
    """With the error of the server."""
    run, _, _ = await read(saying(body_of(started(), event("RUN_ERROR", message="no", code="E"))))
    assert (run.status, run.last_error.code, run.last_error.message) == ("failed", "E", "no")


async def test_a_silent_server() -> None:
    """The read timeout ends it; the run is interrupted."""

    async def respond(exchange: Exchange, number: int) -> None:
        await exchange.send(body_of(started()))
        await asyncio.sleep(30)

    error, _, _ = await read(respond, read_timeout=0.1)
    assert isinstance(error, IncompleteStream)


# the answer


async def test_a_handler_answers_with_a_source() -> None:
    """A frontend tool: its result is in the next request, and the run goes on as one run."""
    tools = [{"name": "map", "description": "d", "parameters": {}}]

    async def respond(exchange: Exchange, number: int) -> None:
        first, second = (started(), call("map"), finished()), (started("r2"), text("Done"), finished("r2"))
        await exchange.send(body_of(*(second if number else first)))

    async with http_serving(respond) as peer:
        base = {"threadId": "t1", "tools": tools}

        def answer(signal: ActionRequired) -> AgUiSource:
            results = [
                {"id": f"t{n}", "role": "tool", "toolCallId": each.id, "content": "shown"}
                for n, each in enumerate(signal.calls)
            ]
            return source_of(peer.url, {**base, "runId": "r2", "messages": results})

        async with RunStream(source_of(peer.url, {**base, "runId": "r1"})) as stream:
            stream.on(ActionRequired, answer)
            run = await stream.result()
            state = stream.latest["r1"]
    assert (run.id, run.status, state.text) == ("r1", "completed", "Done ")
    assert [each.output for each in state.tool_calls] == ["shown"]
    assert len(peer.requests) == 2


async def test_a_recording_has_the_request(tmp_path: Any) -> None:
    """What was offered is in the file, so that a replay knows what waits."""
    path = tmp_path / "run.jsonl"
    tools = [{"name": "map"}]
    async with http_serving(saying(body_of(started(), call("lamp"), call("map", id="c2"), finished()))) as peer:
        source = source_of(peer.url, {"runId": "r1", "threadId": "t1", "tools": tools})
        async with RunStream(record(source, path)) as stream:
            await stream.when(ActionRequired)
    (state,) = fold(read_recording(path), dialect="ag-ui").runs
    assert [each.id for each in state.run.pending_tool_calls] == ["c2"]


# other sources of the wire


async def test_frames_of_a_websocket() -> None:
    """One event a frame, several runs on one socket, and silence in between."""
    from websockets.asyncio.server import ServerConnection, serve

    async def handler(socket: ServerConnection) -> None:
        for raw in flat([started(), text("a"), finished(), started("r2"), text("b", "m2"), finished("r2")]):
            await socket.send(raw.data.decode())

    from runstream.sources.websocket import WebSocketSource

    async with serve(handler, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        source = WebSocketSource(f"ws://127.0.0.1:{port}", reconnect=None)
        async with RunStream(source, dialect="ag-ui") as stream:
            runs = await stream.results()
    assert [(run.id, run.status.value) for run in runs] == [("r1", "completed"), ("r2", "completed")]


def test_event_objects_of_the_same_process() -> None:
    """Objects with the fields of an event, as the Python package makes them: its type is a default that is not set."""
    from runstream.model.raw_input import raw_item

    class Field:
        def __init__(self, default: Any) -> None:
            self.default = default

    class Started:
        model_fields = {"type": Field("RUN_STARTED"), "thread_id": Field(None)}  # noqa: RUF012

        def model_dump(self, *, mode: str, by_alias: bool, exclude_unset: bool, warnings: bool) -> dict[str, Any]:
            assert (mode, by_alias, warnings) == ("json", True, False)
            fields = {"threadId": "t1", "runId": "r1"}
            return fields if exclude_unset else {"type": "RUN_STARTED", "parentRunId": None, **fields}

    item = raw_item(Started())
    assert isinstance(item, RawEvent)
    (state,) = fold([item, finished()], dialect="ag-ui").runs
    assert (state.run_id, state.status) == ("r1", "completed")
    assert AgUiDialect.recognises(item)


async def test_a_plain_source_of_this_wire_ends_with_its_response() -> None:
    """The end of a run that is deferred is certain with the end of the response: no second request."""
    from runstream.sources.sse import SseSource

    async with http_serving(saying(body_of(started(), text("a"), finished()))) as peer:
        source = SseSource(peer.url, method="POST", json={}, proxy=None)
        async with RunStream(source, dialect="ag-ui") as stream:
            run = await stream.result()
            async for _ in stream:
                pass
    assert (run.status, len(peer.requests)) == ("completed", 1)


async def test_a_done_marker_in_an_open_run() -> None:
    """It ends nothing: the run goes on."""
    run, _, _ = await read(saying(body_of(started()), "data: [DONE]\n\n", body_of(text("a"), finished())))
    assert run.status == "completed"
