"""The source of one response over HTTP: created, joined, resumed behind a number, polled."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from runstream import (
    Answer,
    IncompleteStream,
    RawEvent,
    Reconnect,
    Request,
    ResponsesSource,
    RunStream,
    SourceFailed,
    fold,
    read_recording,
    record,
)
from tests.support.http_peer import Exchange, HttpPeer, http_serving
from tests.support.receiver import FakeReceiver
from tests.support.responses import ResponseScript

FAST = Reconnect(initial=0.001, maximum=0.01, max_attempts=5)
BODY = {"model": "m", "input": "Hello"}
STALE = {"error": {"message": "Response can no longer be streamed.", "type": "invalid_request_error", "code": None}}


def talk(**fields: Any) -> ResponseScript:
    return ResponseScript("resp_1", **fields).begin().say("He", "l", "lo").end()


def refusal(status: int, error: Any) -> Any:
    return status, {"Content-Type": "application/json"}, json.dumps(error).encode()


class Server:
    """A server of one response, whose streams are cut where a test wants.

    Args:
        script: What it sends.
        cuts: After how many events of the response each stream is cut off; the rest is sent whole.
        refused: What a GET of the stream is answered with.
        polled: The statuses that a GET of the object shows, the last one again and again.
        framing: How the end of a body is sent.
    """

    def __init__(
        self, script: ResponseScript, *, cuts: Any = (), refused: Any = None, polled: Any = (), clean: bool = False
    ) -> None:
        self.script = script
        self.cuts = list(cuts)
        self.refused = refused
        self.polled = list(polled)
        self.clean = clean

    async def __call__(self, exchange: Exchange, number: int) -> None:
        request = exchange.request
        query = parse_qs(urlsplit(request.path).query)
        if request.method == "GET" and "stream" not in query:
            status = self.polled.pop(0) if len(self.polled) > 1 else self.polled[0]
            if isinstance(status, tuple):
                await exchange.answer(*status)
                return
            ended = self.script.events[-1]["response"] if status == "completed" else self.script.response
            value = {**ended, "status": status}
            await exchange.answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())
            return
        if request.method == "GET" and self.refused is not None:
            await exchange.answer(*self.refused)
            return
        first = int(query["starting_after"][0]) + 1 if "starting_after" in query else 0
        cut = self.cuts.pop(0) if self.cuts else None
        for raw in self.script.raws()[first:cut]:
            await exchange.event(raw.data.decode(), event=raw.event)
        if cut is not None and not self.clean:
            await asyncio.sleep(0.02)  # what was sent would be lost with a reset
            exchange.abort()


def source_of(peer: HttpPeer, **options: Any) -> ResponsesSource:
    options = {"proxy": None, "reconnect": FAST, "poll_interval": 0.01, **options}
    if "response_id" not in options:
        options = {"body": BODY, **options}
    return ResponsesSource(f"{peer.url}/v1", **options)


def paths(peer: HttpPeer) -> list[str]:
    return [f"{request.method} {request.path}" for request in peer.requests]


async def result_of(source: Any, **options: Any) -> tuple[Any, list[Any]]:
    """The final state of the run and all signals; `IncompleteStream` is returned in place of the state."""
    signals: list[Any] = []
    async with RunStream(source, **options) as stream:
        stream.signals.subscribe(signals.append)
        try:
            run = await asyncio.wait_for(stream.result(), 20.0)
        except IncompleteStream as error:
            return error, signals
        return stream.latest[run.id], signals


async def test_a_response_is_created_and_read() -> None:
    async with http_serving(Server(talk())) as peer:
        source = source_of(peer, auth="secret-key", headers={"X-Team": "blue"})
        state, _ = await result_of(source)
    (request,) = peer.requests
    assert (state.status, state.text) == ("completed", "Hello")
    assert (request.method, request.path) == ("POST", "/v1/responses")
    assert json.loads(request.body) == {**BODY, "stream": True}
    assert (request.header("authorization"), request.header("x-team")) == ("Bearer secret-key", "blue")
    assert source.response_id == "resp_1"
    assert "secret" not in repr(source)


async def test_the_request_is_an_item_without_credentials() -> None:
    body = {**BODY, "tools": [{"type": "mcp", "authorization": "very-secret"}]}
    async with http_serving(Server(talk())) as peer:
        receiver = FakeReceiver()
        await source_of(peer, body=body, auth="secret-key").run(receiver)
    (request,) = [item for item in receiver.items if isinstance(item, Request)]
    assert json.loads(request.body)["model"] == "m"
    assert b"secret" not in request.body
    assert receiver.items[0] is request


async def test_credentials_may_be_a_function() -> None:
    async def key() -> str:
        return f"key-{len(peer.requests)}"

    async with http_serving(Server(talk(), cuts=[4])) as peer:
        await result_of(source_of(peer, auth=key))
    assert [request.header("authorization") for request in peer.requests] == ["Bearer key-0", "Bearer key-1"]


@pytest.mark.parametrize("clean", [True, False], ids=["ended", "broken"])
@pytest.mark.parametrize("cut", range(1, 9))
async def test_cut_anywhere_it_is_resumed_behind_the_last_number(cut: int, clean: bool) -> None:
    """The same signals of the run as of the stream in one piece."""
    script = talk()
    expected = [signal.key for signal in fold(script.raws(), dialect="responses").signals if hasattr(signal, "run_id")]
    async with http_serving(Server(script, cuts=[cut], clean=clean)) as peer:
        state, signals = await result_of(source_of(peer))
    assert (state.status, state.text) == ("completed", "Hello")
    found = [signal.key for signal in signals if getattr(signal, "run_id", None) is not None]
    assert [key for key in found if "/text/" not in key] == [key for key in expected if "/text/" not in key]
    assert len(found) == len(set(found))
    assert paths(peer)[1:] == [f"GET /v1/responses/resp_1?stream=true&starting_after={cut - 1}"]
    assert all(request.header("last-event-id") is None for request in peer.requests)


async def test_it_is_cut_again_and_again() -> None:
    async with http_serving(Server(talk(), cuts=[2, 5, 8])) as peer:
        state, _ = await result_of(source_of(peer))
    assert (state.status, state.text) == ("completed", "Hello")
    assert len(peer.requests) == 4


@pytest.mark.parametrize(
    ("fields", "body", "words"),
    [
        ({}, {"store": False}, "is not stored"),
        ({"store": False}, {}, "is not stored"),
        ({"numbered": False}, {}, "numbers no events"),
    ],
)
async def test_where_it_cannot_be_resumed_the_run_is_interrupted(fields: Any, body: Any, words: str) -> None:
    async with http_serving(Server(talk(**fields), cuts=[4])) as peer:
        error, signals = await result_of(source_of(peer, body={**BODY, **body}))
    assert isinstance(error, IncompleteStream)
    assert len(peer.requests) == 1
    (interrupted,) = [signal for signal in signals if signal.type == "run.interrupted"]
    assert words in interrupted.reason
    assert "completed" not in [signal.type for signal in signals]


async def test_a_post_that_may_have_been_carried_out_is_not_sent_again() -> None:
    async with http_serving(answers=[(503, {}, b""), (503, {}, b"")]) as peer:
        error, _ = await result_of(source_of(peer))
    assert len(peer.requests) == 1
    assert "it is not sent again" in str(error)


async def test_a_busy_server_is_asked_again() -> None:
    async with http_serving(Server(talk()), answers=[refusal(429, {"error": {"message": "slow down"}})]) as peer:
        state, _ = await result_of(source_of(peer))
    assert state.status == "completed"
    assert [request.method for request in peer.requests] == ["POST", "POST"]


async def test_a_refused_request_changes_no_run_and_says_so() -> None:
    """The run that waits still waits."""
    asked = ResponseScript("resp_0").begin().call("call_1", "f", "{}").end()
    error = {"error": {"message": "Unknown call.", "type": "invalid_request_error", "param": "input", "code": "bad"}}
    async with http_serving(answers=[refusal(400, error)]) as peer, RunStream() as stream:
        signals: list[Any] = []
        stream.signals.subscribe(signals.append)
        stream.attach(asked.raws(), dialect="responses")
        handle = stream.attach(source_of(peer, body={**BODY, "previous_response_id": "resp_0"}), continues="resp_0")
        with pytest.raises(IncompleteStream):
            await stream.results()
        state = stream.latest["resp_0"]
    assert isinstance(handle.error, SourceFailed)
    assert handle.error.status == 400
    assert state.status == "requires_action"
    (failed,) = [signal for signal in signals if signal.type == "source.error"]
    assert (failed.server_message, "HTTP 400" in failed.reason) == ("Unknown call.", True)
    assert "run.failed" not in [signal.type for signal in signals]


async def test_a_background_response_is_joined_by_its_id() -> None:
    async with http_serving(Server(talk())) as peer:
        state, _ = await result_of(source_of(peer, response_id="resp_1"))
    assert (state.status, state.text) == ("completed", "Hello")
    assert paths(peer) == ["GET /v1/responses/resp_1?stream=true"]
    assert not peer.requests[0].body


async def test_a_join_behind_a_number_of_a_run_that_is_known() -> None:
    script = talk()
    async with http_serving(Server(script)) as peer, RunStream() as stream:
        stream.attach(script.raws()[:5], dialect="responses", name="before")
        stream.attach(source_of(peer, response_id="resp_1", starting_after=4), continues="resp_1")
        await stream.results()
        assert stream.latest["resp_1"].status == "completed"
    assert paths(peer) == ["GET /v1/responses/resp_1?stream=true&starting_after=4"]


async def test_the_end_of_streaming_is_followed_by_polling() -> None:
    """A server streams a background response for five minutes; then it must be polled."""
    server = Server(talk(background=True), cuts=[4], refused=refusal(400, STALE), polled=["in_progress", "completed"])
    async with http_serving(server) as peer:
        state, signals = await result_of(source_of(peer, body={**BODY, "background": True}, poll=True))
    assert (state.status, state.text) == ("completed", "Hello")
    assert paths(peer)[-2:] == ["GET /v1/responses/resp_1"] * 2
    types = [signal.type for signal in signals]
    assert types.count("run.completed") == 1
    assert "run.interrupted" not in types


async def test_without_poll_the_reason_names_it() -> None:
    server = Server(talk(background=True), cuts=[4], refused=refusal(400, STALE))
    async with http_serving(server) as peer:
        error, signals = await result_of(source_of(peer))
    assert isinstance(error, IncompleteStream)
    (interrupted,) = [signal for signal in signals if signal.type == "run.interrupted"]
    assert "poll=True" in interrupted.reason
    assert interrupted.server_message == "Response can no longer be streamed."


async def test_a_joined_response_that_is_too_old_to_stream_is_polled() -> None:
    server = Server(talk(), refused=refusal(400, STALE), polled=["queued", "in_progress", "completed"])
    async with http_serving(server) as peer:
        receiver = FakeReceiver()
        await source_of(peer, response_id="resp_1", poll=True).run(receiver)
    statuses = [json.loads(item.data)["status"] for item in receiver.items if isinstance(item, Answer)]
    assert statuses == ["queued", "in_progress", "completed"]


@pytest.mark.parametrize("poll", [True, False])
async def test_a_joined_response_whose_stream_is_empty(poll: bool) -> None:
    """The body ends before the first event is whole: the response is polled, or the reason says what happened."""
    script = talk()

    async def answer(exchange: Exchange, number: int) -> None:
        if "stream" in exchange.request.path:
            await exchange.send(b"event: response.created\ndata: {")
        else:
            body = json.dumps(script.events[-1]["response"]).encode()
            await exchange.answer(200, {"Content-Type": "application/json"}, body)

    async with http_serving(answer) as peer:
        found, _ = await result_of(source_of(peer, response_id="resp_1", poll=poll))
    if poll:
        assert (found.status, found.text) == ("completed", "Hello")
    else:
        assert isinstance(found, IncompleteStream)
        assert "ended before its first event (poll=True" in str(found)


async def test_polling_survives_errors_that_may_pass() -> None:
    server = Server(talk(), cuts=[4], refused=refusal(400, STALE), polled=[(503, {}, b""), "in_progress", "completed"])
    async with http_serving(server) as peer:
        state, _ = await result_of(source_of(peer, poll=True))
    assert state.status == "completed"


async def test_polling_ends_where_the_response_waits() -> None:
    script = ResponseScript("resp_1").begin().call("call_1", "f", "{}").end()
    server = Server(script, cuts=[3], refused=refusal(400, STALE), polled=["in_progress", "completed"])
    async with http_serving(server) as peer:
        signals: list[Any] = []
        async with RunStream(source_of(peer, poll=True)) as stream:
            stream.signals.subscribe(signals.append)
            with pytest.raises(IncompleteStream):
                await asyncio.wait_for(stream.result(), 20.0)
    assert [signal.type for signal in signals].count("run.action_required") == 1


@pytest.mark.parametrize("status", [404, 410])
async def test_a_response_that_is_deleted_interrupts_its_run(status: int) -> None:
    gone = refusal(status, {"error": {"message": "No response found.", "type": "invalid_request_error"}})
    server = Server(talk(), cuts=[4], refused=refusal(400, STALE), polled=["in_progress", gone])
    async with http_serving(server) as peer:
        error, signals = await result_of(source_of(peer, poll=True))
    assert isinstance(error, IncompleteStream)
    types = [signal.type for signal in signals]
    assert "run.interrupted" in types
    assert not {"run.completed", "run.failed"} & set(types)


async def test_a_response_that_is_deleted_while_it_streams() -> None:
    gone = refusal(404, {"error": {"message": "No response found."}})
    async with http_serving(Server(talk(), cuts=[4], refused=gone)) as peer:
        error, signals = await result_of(source_of(peer, poll=True))
    assert isinstance(error, IncompleteStream)
    (interrupted,) = [signal for signal in signals if signal.type == "run.interrupted"]
    assert "404" in interrupted.reason
    assert len(peer.requests) == 2


async def test_a_recording_of_it_is_the_same_run(tmp_path: Any) -> None:
    """With its request and polled objects."""
    server = Server(talk(), cuts=[4], refused=refusal(400, STALE), polled=["in_progress", "completed"])
    path = tmp_path / "run.jsonl"
    async with http_serving(server) as peer:
        source = record(source_of(peer, poll=True), path)
        assert source.dialect == "responses"
        state, _ = await result_of(source)
    items = list(read_recording(path))
    (request,) = [item for item in items if isinstance(item, Request)]
    assert json.loads(request.body) == {**BODY, "stream": True}
    assert [item.status for item in items if isinstance(item, Answer)] == [200, 200]
    (again,) = fold(items).runs
    assert (again.status, again.run_id, again.text) == (state.status, state.run_id, "Hello")


def test_a_url_with_a_path_and_a_query_keeps_both() -> None:
    source = ResponsesSource("https://host/openai/v1/?api-version=2&key=k", response_id="a/b?c", starting_after=3)
    expected = "https://host/openai/v1/responses/a%2Fb%3Fc?api-version=2&key=k&stream=true&starting_after=3"
    assert source._url == expected
    assert "=k" not in source.name


@pytest.mark.parametrize(
    "options",
    [{}, {"body": BODY, "response_id": "r"}, {"body": BODY, "starting_after": 1}, {"body": BODY, "poll_interval": 0}],
)
def test_options_that_do_not_fit(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"give the body|starting_after needs|poll_interval must"):
        ResponsesSource("https://host/v1", **options)


async def test_events_before_the_first_snapshot_reach_the_stream() -> None:
    receiver = FakeReceiver()
    async with http_serving(Server(ResponseScript().send("keepalive").begin().say("a").end())) as peer:
        await source_of(peer).run(receiver)
    assert len([item for item in receiver.items if isinstance(item, RawEvent)]) == 8
