"""The items of a request and its response: at their place, and without credentials."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runstream import (
    BaseDialect,
    ConnectionEvent,
    RawEvent,
    Request,
    ResponseHead,
    RunPaused,
    RunStream,
    fold,
    read_recording,
)
from runstream import record as recorded
from runstream.model.raw import RawItem
from runstream.sources.request_items import request_item, response_item
from runstream.sources.sse import SseSource
from tests.sources.sse_reading import read, saying
from tests.support.http_peer import block, http_serving
from tests.support.receiver import FakeReceiver, eventually
from tests.support.wire import function_call, message_object, required_action, run_object


def without_times(items: list[RawItem]) -> list[RawItem]:
    """The items without the times of arrival and the places in a text."""
    return [msgspec.structs.replace(item, at=None, line=0) for item in items]


async def test_a_post_emits_its_request_and_the_head_of_the_response() -> None:
    """Before the events, with the run that it continues."""
    receiver = FakeReceiver()
    receiver.continues = "run_0"
    respond = saying(
        block("a"), headers={"Content-Location": "/runs/run_1?token=hush", "X-Request-Id": "r1", "X-No": "n"}
    )
    async with http_serving(respond) as peer:
        await read(peer.url, receiver, method="POST", json={"input": "hi"}, auth="hush hush")
    assert without_times(receiver.items) == [
        Request(body=b'{"input":"hi"}', continues="run_0"),
        ResponseHead(status=200, headers=(("content-location", "/runs/run_1"), ("x-request-id", "r1"))),
        RawEvent(None, b"a"),
    ]


async def test_a_get_without_such_headers_emits_neither() -> None:
    receiver = FakeReceiver()
    async with http_serving(saying(block("a"))) as peer:
        await read(peer.url, receiver)
    assert [type(item) for item in receiver.items] == [RawEvent]


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ({"input": "hi", "max_tokens": 5}, {"input": "hi", "max_tokens": 5}),
        ({"tools": [{"type": "mcp", "headers": {"X": "hush"}, "authorization": "hush"}]}, {"tools": [{"type": "mcp"}]}),
        (
            {"API-Key": "hush", "properties": {"token": {"type": "string"}}},
            {"properties": {"token": {"type": "string"}}},
        ),
        ({"input": "my key is s3cret"}, {"input": "my key is ***"}),
    ],
)
def test_a_body_is_kept_without_credentials(body: Any, kept: Any) -> None:
    item = request_item(json.dumps(body).encode(), None, ["s3cret", "x"])
    assert json.loads(item.body) == kept


@pytest.mark.parametrize("body", [None, b"", b"user=me&password=hush", b"[" * 10_000, b'{"a":"\xff'])
def test_a_body_that_is_no_json_is_left_out(body: bytes | None) -> None:
    assert request_item(body, None, ()).body == b""


def test_a_body_without_credentials_is_the_body_as_sent() -> None:
    body = b'{ "n": 1.10, "a": [1, {"b": null}] }'
    assert request_item(body, None, ()).body is body


def test_a_head_without_headers_of_a_protocol_is_none() -> None:
    assert response_item(200, {"content-type": "text/event-stream", "set-cookie": "hush"}) is None
    head = response_item(201, {"location": "https://me:hush@host/runs/run_1#hush"})
    assert head is not None
    assert head.headers == (("location", "/runs/run_1"),)


class Watching(BaseDialect):
    """Notes each item."""

    seen: list[RawItem]

    def decode(self, item: RawItem) -> Any:
        Watching.seen.append(item)
        return ()


async def test_a_recording_has_them_and_a_replay_gives_the_same(tmp_path: Path) -> None:
    """A replay knows the run that the application named, so that a message without a run is found."""
    action = required_action(function_call("call_1", "ask", "{}"))
    first = RawEvent(None, json.dumps(run_object("run_1", status="requires_action", required_action=action)).encode())
    message = message_object("msg_1", run_object("run_1"), run_id=None)
    said = block(json.dumps(message), event="thread.message.created")
    path = tmp_path / "run.jsonl"
    async with http_serving(saying(said, "data: [DONE]\n\n")) as peer, RunStream([first]) as stream:
        with stream.keep_open():
            await stream.when(RunPaused)
            source = SseSource(peer.url, method="POST", json={"tool_outputs": []}, proxy=None)
            handle = stream.attach(recorded(source, path), continues="run_1")
            await eventually(lambda: handle.done)
    (request,) = [item for item in read_recording(path) if isinstance(item, Request)]
    assert (request.continues, request.body) == ("run_1", b'{"tool_outputs":[]}')
    (state,) = fold([first, *read_recording(path)]).runs
    assert [item.id for item in state.messages] == ["msg_1"]
    Watching.seen = []
    fold(read_recording(path), dialect=Watching)
    kinds = [type(item) for item in Watching.seen]
    assert kinds == [ConnectionEvent, Request, RawEvent, RawEvent]
