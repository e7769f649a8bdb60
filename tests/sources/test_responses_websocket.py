"""The WebSocket mode of the Responses API: a socket, and a source for each response."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from runstream import (
    ActionRequired,
    IncompleteStream,
    Request,
    ResponsesWebSocket,
    RunStream,
    SourceFailed,
    WebSocketSource,
)
from tests.support.ports import free_port
from tests.support.receiver import FakeReceiver, eventually
from tests.support.responses import ResponseScript

Handler = Callable[["Peer", ServerConnection, dict[str, Any]], Awaitable[None]]


class Peer:
    """A server of the WebSocket mode.

    Attributes:
        url: Its base URL.
        messages: What was received, with the number of the socket.
        sockets: The sockets, in order.
        keys: The credentials of each socket.
    """

    def __init__(self) -> None:
        self.url = ""
        self.messages: list[tuple[int, dict[str, Any]]] = []
        self.sockets: list[ServerConnection] = []
        self.keys: list[str | None] = []
        self.tasks: set[asyncio.Task[None]] = set()

    @property
    def open(self) -> int:
        """The number of sockets that are open."""
        return sum(socket.close_code is None for socket in self.sockets)


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[Peer]:
    """Serve with a function, which is called with each message, several at a time."""
    peer = Peer()

    async def connected(socket: ServerConnection) -> None:
        number = len(peer.sockets)
        peer.sockets.append(socket)
        assert socket.request is not None
        assert socket.request.path == "/v1/responses"
        peer.keys.append(socket.request.headers.get("Authorization"))
        async for text in socket:
            message = json.loads(text)
            peer.messages.append((number, message))
            task = asyncio.ensure_future(handler(peer, socket, message))
            peer.tasks.add(task)
            task.add_done_callback(peer.tasks.discard)

    port = free_port()
    async with serve(connected, "127.0.0.1", port):
        peer.url = f"http://127.0.0.1:{port}/v1"
        yield peer
        for task in peer.tasks:
            task.cancel()


async def play(socket: ServerConnection, script: ResponseScript, lane: str | None = None, gap: float = 0.0) -> None:
    for event in script.events:
        await socket.send(json.dumps({**event, **({"stream_id": lane} if lane else {})}))
        await asyncio.sleep(gap)


def script_of(message: dict[str, Any], text: str = "Hello") -> ResponseScript:
    return ResponseScript(f"resp_{message['input']}").begin().say(*text).end()


async def echo(peer: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
    """Answer with one text, slowly enough that responses overlap."""
    await play(socket, script_of(message), message.get("stream_id"), gap=0.002)


def socket_of(peer: Peer, **options: Any) -> ResponsesWebSocket:
    return ResponsesWebSocket(peer.url, proxy=None, **{"grace": 0.05, **options})


def body(input: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "input": input, **fields}


async def texts_of(*sources: Any) -> tuple[dict[str, str], list[Any]]:
    """The text of each run that has ended, and all signals."""
    signals: list[Any] = []
    async with RunStream(*sources) as stream:
        stream.signals.subscribe(signals.append)
        await asyncio.wait_for(stream.results(), 20.0)
        return {id: state.text for id, state in stream.latest.items()}, signals


async def test_a_response_over_a_socket_that_stays_open() -> None:
    async with serving(echo) as peer, socket_of(peer, auth="secret-key") as socket:
        async with RunStream(socket.response(body(1, stream=True, background=True))) as stream:
            run = await asyncio.wait_for(stream.result(), 10.0)
            assert (run.status, stream.latest[run.id].text) == ("completed", "Hello")
        assert peer.open == 1
    assert peer.messages == [(0, {"type": "response.create", "model": "m", "input": 1})]
    assert peer.keys == ["Bearer secret-key"]
    assert "secret" not in repr(socket)
    await eventually(lambda: peer.open == 0)


async def test_any_websocket_that_stays_open_does_not_block_the_result() -> None:
    """A plain source does not know when its socket has no more, but its run has ended."""
    async with serving(echo) as peer:
        url = peer.url.replace("http", "ws") + "/responses"
        source = WebSocketSource(url, first_messages=json.dumps(body(1)), proxy=None)
        async with RunStream(source, dialect="responses") as stream:
            run = await asyncio.wait_for(stream.result(), 10.0)
            assert await asyncio.wait_for(stream.result(run.id), 10.0) == run
    assert run.status == "completed"


async def test_the_request_is_an_item_of_its_source() -> None:
    receiver = FakeReceiver()
    async with serving(echo) as peer, socket_of(peer) as socket:
        await socket.response(body(1, tools=[{"authorization": "very-secret"}])).run(receiver)
    assert isinstance(receiver.items[0], Request)
    assert json.loads(receiver.items[0].body) == {"model": "m", "input": 1, "tools": [{}]}
    assert receiver.connections == 1


async def test_one_response_at_a_time_without_lanes() -> None:
    active = most = 0

    async def handler(peer: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
        nonlocal active, most
        active += 1
        most = max(most, active)
        script = script_of(message)
        await play(socket, ResponseScript(script.id, numbered=False).begin(), gap=0.002)
        active -= 1
        for event in script.events[2:]:
            await socket.send(json.dumps(event))

    async with serving(handler) as peer, socket_of(peer) as socket:
        texts, _ = await texts_of(*(socket.response(body(number)) for number in range(5)))
    assert texts == {f"resp_{number}": "Hello" for number in range(5)}
    assert (most, len(peer.sockets)) == (1, 1)


async def test_lanes_are_in_progress_together() -> None:
    """Each is a run; no more than the number of lanes at a time."""
    lanes: set[str] = set()
    most = 0

    async def handler(peer: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
        nonlocal most
        assert message["stream_id"] not in lanes
        lanes.add(message["stream_id"])
        most = max(most, len(lanes))
        script = script_of(message, f"text {message['input']}")
        for event in script.events:
            if event["type"] == "response.completed":
                lanes.discard(message["stream_id"])
            await socket.send(json.dumps({**event, "stream_id": message["stream_id"]}))
            await asyncio.sleep(0.002)

    async with serving(handler) as peer, socket_of(peer, lanes=3) as socket:
        texts, _ = await texts_of(*(socket.response(body(number)) for number in range(7)))
    assert texts == {f"resp_{number}": f"text {number}" for number in range(7)}
    assert (most, len(peer.sockets)) == (3, 1)


async def test_a_server_that_names_no_lanes_gets_one_request_at_a_time() -> None:
    lock = asyncio.Lock()

    async def handler(peer: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
        async with lock:
            await play(socket, script_of(message, f"text {message['input']}"), None, gap=0.002)

    async with serving(handler) as peer, socket_of(peer, lanes=2) as socket:
        texts, _ = await texts_of(*(socket.response(body(number)) for number in range(5)))
    assert texts == {f"resp_{number}": f"text {number}" for number in range(5)}
    assert "stream_id" not in peer.messages[-1][1]


@pytest.mark.parametrize("lanes", [1, 4])
async def test_a_handler_answers_over_the_same_socket(lanes: int) -> None:
    async def handler(peer: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
        if message["input"] == 1:
            script = ResponseScript("resp_1").begin().call("call_1", "f", "{}").call("call_2", "g", "{}").end()
        else:
            outputs = ", ".join(item["call_id"] for item in message["input"])
            script = ResponseScript("resp_2", previous_response_id="resp_1").begin().say(outputs).end()
        await play(socket, script, message.get("stream_id"))

    async with serving(handler) as peer, socket_of(peer, lanes=lanes) as socket, RunStream() as stream:
        stream.attach(socket.response(body(1)))

        async def answer(signal: ActionRequired) -> Any:
            outputs = [{"type": "function_call_output", "call_id": c.id, "output": "x"} for c in signal.calls]
            return socket.response(body(outputs, previous_response_id="resp_1"))

        stream.on(ActionRequired, answer)
        run = await asyncio.wait_for(stream.result(), 10.0)
        assert (run.id, run.status, stream.latest[run.id].text) == ("resp_1", "completed", "call_1, call_2")
    assert len(peer.sockets) == 1


async def test_a_socket_is_replaced_before_its_limit_without_loss() -> None:
    """The response in progress ends on the old socket, while the next one is sent over the new one."""
    release = asyncio.Event()

    async def handler(peer: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
        script = script_of(message)
        await play(socket, ResponseScript(script.id, numbered=False).begin())
        if message["input"] == "slow":
            await release.wait()
        for event in script.events[2:]:
            await socket.send(json.dumps(event))

    async with serving(handler) as peer, socket_of(peer, max_age=0.1) as socket, RunStream() as stream:
        stream.attach(socket.response(body("slow")))
        stream.start()
        await eventually(lambda: "resp_slow" in stream.latest)
        await asyncio.sleep(0.15)
        stream.attach(socket.response(body("next")))
        await asyncio.wait_for(stream.result("resp_next"), 10.0)
        assert [number for number, _ in peer.messages] == [0, 1]
        assert peer.open == 2
        release.set()
        run = await asyncio.wait_for(stream.result("resp_slow"), 10.0)
        assert (run.status, stream.latest["resp_slow"].text) == ("completed", "Hello")
        await eventually(lambda: peer.open == 1)


async def test_the_limit_that_a_server_reports_retires_the_socket() -> None:
    """It is the end of no response."""
    limit = {"type": "error", "error": {"code": "websocket_connection_limit_reached", "message": "60 minutes"}}

    async def handler(peer: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
        script = script_of(message)
        if message["input"] == 1:
            script.events.insert(4, limit)
        await play(socket, script, gap=0.02)

    async with serving(handler) as peer, socket_of(peer) as socket:
        texts, signals = await texts_of(socket.response(body(1)))
        again, _ = await texts_of(socket.response(body(2)))
    assert (texts, again) == ({"resp_1": "Hello"}, {"resp_2": "Hello"})
    assert [number for number, _ in peer.messages] == [0, 1]
    assert "source.error" in [signal.type for signal in signals]


@pytest.mark.parametrize("lane", [None, "lane_0"])
async def test_an_error_may_be_the_only_end_of_a_response(lane: str | None) -> None:
    error = {"type": "error", "error": {"code": "server_error", "message": "It broke."}}

    async def handler(peer: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
        script = ResponseScript("resp_1", numbered=False).begin().say("He", done=False)
        script.events.append(error)
        await play(socket, script, message.get("stream_id"))

    async with serving(handler) as peer, socket_of(peer, lanes=2 if lane else 1) as socket, RunStream() as stream:
        stream.attach(socket.response(body(1)))
        run = await asyncio.wait_for(stream.result(), 10.0)
    assert run.status == "failed"
    assert run.last_error is not None
    assert run.last_error.message == "It broke."


async def test_a_refused_request_changes_no_run_and_says_so() -> None:
    error = {"type": "error", "status": 400, "error": {"code": "previous_response_not_found", "message": "Not here."}}

    async def handler(peer: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
        await socket.send(json.dumps(error))

    asked = ResponseScript("resp_0").begin().call("call_1", "f", "{}").end()
    async with serving(handler) as peer, socket_of(peer) as socket, RunStream() as stream:
        signals: list[Any] = []
        stream.signals.subscribe(signals.append)
        stream.attach(asked.raws(), dialect="responses")
        stream.attach(socket.response(body(1, previous_response_id="resp_0")), continues="resp_0")
        with pytest.raises(IncompleteStream):
            await asyncio.wait_for(stream.results(), 10.0)
        assert stream.latest["resp_0"].status == "requires_action"
    (said,) = [signal for signal in signals if signal.type == "source.error"]
    assert said.server_message == "Not here."


async def test_the_end_of_a_refused_request_is_not_that_of_the_next_one() -> None:
    """Some servers send a failed response after the error."""

    async def handler(peer: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
        if message["input"] == 1:
            await socket.send(json.dumps({"type": "error", "error": {"code": "bad", "message": "No."}}))
            await eventually(lambda: len(peer.messages) == 2)
            failed = {"id": "resp_1", "object": "response", "status": "failed", "output": []}
            await socket.send(json.dumps({"type": "response.failed", "response": failed}))
        else:
            await asyncio.sleep(0.05)
            await echo(peer, socket, message)

    async with serving(handler) as peer, socket_of(peer) as socket:
        texts, _ = await texts_of(socket.response(body(1)), socket.response(body(2)))
    assert texts == {"resp_2": "Hello"}


@pytest.mark.parametrize("between", [[], [{"type": "codex.rate_limits"}], [[]]], ids=["nothing", "private", "junk"])
@pytest.mark.parametrize("refused", [{1}, {2}, {1, 2}, {1, 2, 3}], ids=str)
async def test_a_server_that_ignores_lanes_refuses_requests(refused: set[int], between: list[Any]) -> None:
    """Its errors name no lane either: each is of the request that was sent first, and no other request waits for it."""
    lock = asyncio.Lock()

    async def respond(peer: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
        async with lock:
            for event in between:
                await socket.send(json.dumps(event))
            if message["input"] in refused:
                await socket.send('{"type": "error", "status": 400, "error": {"code": "previous_response_not_found"}}')
            else:
                await play(socket, script_of(message))

    async with serving(respond) as peer, socket_of(peer, lanes=3) as socket:
        sources = [socket.response(body(number)) for number in (1, 2, 3, 4)]
        async with RunStream(*sources) as stream:
            await asyncio.wait_for(stream.results(), 10.0)
            texts = {id: state.text for id, state in stream.latest.items()}
    assert texts == {f"resp_{number}": "Hello" for number in (1, 2, 3, 4) if number not in refused}
    assert [source.refused for source in sources] == [400 if number in refused else None for number in (1, 2, 3, 4)]


async def test_a_private_event_after_an_error_does_not_hang() -> None:
    """The error may be the only end of the response all the same."""

    async def respond(peer: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
        for event in ResponseScript().begin().say("Hi").send("error", code="server_error", message="no").events:
            await socket.send(json.dumps(event))
        await socket.send('{"type": "codex.rate_limits"}')

    async with serving(respond) as peer, socket_of(peer) as socket:
        async with RunStream(socket.response(body(1))) as stream:
            run = await asyncio.wait_for(stream.result(), 10.0)
        assert run.status == "failed"


async def test_a_lost_socket_interrupts_its_runs() -> None:
    async def handler(peer: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
        if message["input"] == "last":
            await echo(peer, socket, message)
            return
        await play(socket, ResponseScript(f"resp_{message['input']}").begin().say("He", done=False), gap=0.01)
        socket.transport.abort()

    async with serving(handler) as peer, socket_of(peer) as socket:
        signals: list[Any] = []
        async with RunStream(socket.response(body(1))) as stream:
            stream.signals.subscribe(signals.append)
            with pytest.raises(IncompleteStream):
                await asyncio.wait_for(stream.result(), 10.0)
        (interrupted,) = [signal for signal in signals if signal.type == "run.interrupted"]
        assert "can't be continued over another socket" in interrupted.reason
        texts, _ = await texts_of(socket.response(body("last")))
    assert texts == {"resp_last": "Hello"}
    assert len(peer.messages) == 2


async def test_a_steered_response_goes_on_in_its_source() -> None:
    async def handler(peer: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
        if message["type"] == "response.steer":
            accepted = {"type": "response.steer.accepted", "steer": {"id": "s", "previous_response_id": "resp_1"}}
            await socket.send(json.dumps(accepted))
            first = (
                ResponseScript("resp_1").begin().say("He").end("incomplete", incomplete_details={"reason": "steered"})
            )
            for event in first.events[2:]:
                await socket.send(json.dumps(event))
            await play(socket, ResponseScript("resp_2", previous_response_id="resp_1").begin().say("llo").end())
        else:
            await play(socket, ResponseScript("resp_1").begin())

    async with serving(handler) as peer, socket_of(peer) as socket:
        source = socket.response(body(1))
        async with RunStream(source) as stream:
            stream.start()
            await eventually(lambda: "resp_1" in stream.latest)
            await source.send({"type": "response.steer", "previous_response_id": "resp_1", "input": "Stop."})
            run = await asyncio.wait_for(stream.result(), 10.0)
        assert (run.id, run.status) == ("resp_1", "completed")
        with pytest.raises(RuntimeError, match="no response of this source"):
            await source.send({"type": "response.steer"})


async def test_a_refused_handshake_is_a_failure_with_its_words() -> None:
    from tests.support.http_peer import http_serving

    answer = (401, {"Content-Type": "application/json"}, b'{"error": {"message": "Bad key."}}')
    async with http_serving(answers=[answer]) as peer:
        socket = ResponsesWebSocket(f"{peer.url}/v1", proxy=None, reconnect=None)
        with pytest.raises(SourceFailed) as failed:
            await socket.response(body(1)).run(FakeReceiver())
    assert (failed.value.status, failed.value.server_message) == (401, "Bad key.")


async def test_a_slow_consumer_slows_the_socket() -> None:
    """The messages that wait for it are bounded."""
    sent, pieces = 0, [os.urandom(10_000).hex()] * 1_000

    async def handler(peer: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
        nonlocal sent
        for event in ResponseScript("resp_1").begin().say(*pieces, done=False).end().events:
            await socket.send(json.dumps(event))
            sent += 1

    receiver = FakeReceiver()
    receiver.gate.clear()
    async with serving(handler) as peer, socket_of(peer, max_queue_bytes=100_000) as socket:
        task = asyncio.create_task(socket.response(body(1)).run(receiver))
        await asyncio.sleep(0.5)
        assert sent < 900
        receiver.gate.set()
        await asyncio.wait_for(task, 20.0)
    assert len(receiver.items) == 1 + sent


async def test_an_unused_socket_is_closed_after_a_while() -> None:
    async with serving(echo) as peer:
        socket = socket_of(peer, keep_open=0.05)
        await texts_of(socket.response(body(1)))
        assert peer.open == 1
        await eventually(lambda: peer.open == 0)
        await texts_of(socket.response(body(2)))
        assert len(peer.sockets) == 2
        await socket.close()
        with pytest.raises(SourceFailed, match="closed by the application"):
            await socket.response(body(3)).run(FakeReceiver())


async def test_closing_ends_the_responses_in_progress() -> None:
    async def handler(peer: Peer, socket: ServerConnection, message: dict[str, Any]) -> None:
        await play(socket, ResponseScript("resp_1").begin())

    async with serving(handler) as peer, RunStream() as stream:
        socket = socket_of(peer)
        stream.attach(socket.response(body(1)))
        stream.start()
        await eventually(lambda: "resp_1" in stream.latest)
        await socket.close()
        with pytest.raises(IncompleteStream, match="closed by the application"):
            await asyncio.wait_for(stream.result(), 10.0)


@pytest.mark.parametrize("option", ["max_age", "keep_open", "grace", "lanes"])
def test_options_that_do_not_fit(option: str) -> None:
    options: dict[str, Any] = {option: 0}
    with pytest.raises(ValueError, match=option):
        ResponsesWebSocket("https://host/v1", **options)
    with pytest.raises(TypeError):
        ResponsesWebSocket("https://host/v1").response({"input": object()})
