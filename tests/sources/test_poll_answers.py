"""What functions that retrieve a run give: every form of it, and what is none."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runstream.dialects.assistants import AssistantsDialect
from runstream.model import Run
from runstream.model.events import Reject
from runstream.sources.http_errors import ConnectFailed
from runstream.sources.poll_answers import PollResult
from runstream.sources.poll_answers import read_answer as read_with
from tests.support.wire import ABSENT, message_creation, message_object, run_object, step_object

RUN = run_object("run_1", status="in_progress")


async def read_answer(answer: Any, *, within: float | None = None) -> PollResult:
    """The answer, by the default dialect."""
    return await read_with(answer, AssistantsDialect(), within=within)


def ids(answer: PollResult) -> list[str]:
    """The ids of all objects, in order."""
    return [event.data.id for item in answer.objects for event in item.events if not isinstance(event, Reject)]


class Response:
    """An HTTP response as most clients have it."""

    def __init__(self, body: Any, status: int = 200, **headers: str) -> None:
        self.content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.status_code = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class AsyncResponse:
    """One whose body must be awaited, and whose status is called otherwise (aiohttp)."""

    status = 200
    content = object()

    def __init__(self) -> None:
        self.headers = {"openai-poll-after-ms": "250"}

    async def read(self) -> bytes:
        return json.dumps(RUN).encode()


class SyncResponse(AsyncResponse):
    """One whose body is read by a call that may block (urllib)."""

    def read(self) -> bytes:  # type: ignore[override]
        return json.dumps(RUN).encode()


class Dumping:
    """A Pydantic model of sorts."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    def model_dump(self, **options: Any) -> dict[str, Any]:
        if options and self.options.get("plain"):
            raise TypeError("no options here")
        return RUN


class Dict:
    def to_dict(self) -> dict[str, Any]:
        return RUN


class AsDict:
    def as_dict(self) -> dict[str, Any]:
        return RUN


FORMS: dict[str, Any] = {
    "mapping": RUN,
    "bytes": json.dumps(RUN).encode(),
    "bytearray": bytearray(json.dumps(RUN).encode()),
    "text": json.dumps(RUN),
    "Run": Run.from_json(RUN),
    "model_dump": Dumping(),
    "model_dump without options": Dumping(plain=True),
    "to_dict": Dict(),
    "as_dict": AsDict(),
    "list": [RUN],
    "JSON list": json.dumps([RUN]),
    "page": {"object": "list", "data": [RUN]},
    "page without object": {"data": [RUN], "has_more": False},
    "generator": (run for run in (RUN,)),
    "response": Response(RUN),
    "response of a list": Response({"object": "list", "data": [RUN]}),
    "aiohttp": AsyncResponse(),
    "urllib": SyncResponse(),
}


@pytest.mark.parametrize("form", FORMS)
async def test_every_form_of_a_run_is_one(form: str) -> None:
    """A run, whatever holds it; named by its status, so that the dialect reads it as a stream's."""
    answer = await read_answer(FORMS[form], within=25)
    (item,) = answer.objects
    assert answer.runs == (Run.from_json(RUN),)
    assert [event.event for event in item.events if not isinstance(event, Reject)] == ["thread.run.in_progress"]
    assert Run.from_json(item.item.data) == Run.from_json(RUN)


async def test_bytes_are_not_written_anew() -> None:
    """What came as JSON stays as it came, big numbers and all."""
    data = b'{"id":"r","object":"thread.run","status":"queued","odd":1.10,"big":123456789012345678901234567890}'
    assert (await read_answer(data)).objects[0].item.data == data
    listed = await read_answer(b'{"object":"list","data":[' + data + b"]}")
    assert listed.objects[0].item.data == data


@pytest.mark.parametrize(
    ("status", "name"), [("expired", "thread.run.expired"), ("generating", "thread.run"), ("delta", "thread.run")]
)
async def test_an_unknown_status_makes_no_unknown_event(status: str, name: str) -> None:
    """The event is named by the kind alone where the wire has no name for it; the object's status counts anyway."""
    (event,) = (await read_answer({"id": "run_1", "status": status})).objects[0].events
    assert not isinstance(event, Reject)
    assert event.event == name


async def test_several_objects_are_put_in_order() -> None:
    """A run before its steps, these before messages; lists that run backwards turned round, as servers give them."""
    messages = [message_object(f"msg_{n}", RUN, created_at=100 + n) for n in (3, 2, 1)]
    steps = [step_object(f"step_{n}", RUN, message_creation("msg_1"), created_at=100 + n) for n in (2, 1)]
    answer = await read_answer([{"object": "list", "data": messages}, steps, RUN])
    assert ids(answer) == ["run_1", "step_1", "step_2", "msg_1", "msg_2", "msg_3"]


async def test_what_is_another_run_s_is_left_out() -> None:
    """A thread's messages are those of its users and of its earlier runs too."""
    listed = [
        message_object("msg_1", RUN, run_id="run_0"),
        message_object("msg_2", RUN, run_id=None, role="user"),
        message_object("msg_3", RUN),
        message_object("msg_4", RUN, run_id=ABSENT),
        step_object("step_0", RUN, message_creation("msg_1"), run_id="run_0"),
    ]
    answer = await read_answer([RUN, {"object": "list", "data": listed}])
    assert ids(answer) == ["run_1", "msg_3", "msg_4"]


@pytest.mark.parametrize("nothing", [None, [], [None], Response(b"", 204), Response(b"", 304)])
async def test_nothing_is_nothing(nothing: Any) -> None:
    """No content, and none that is new."""
    assert (await read_answer(nothing)).objects == ()


async def test_headers_say_when_to_ask_again() -> None:
    """In milliseconds or seconds; anything else says nothing."""
    assert await _waits(Response(RUN, openai_poll_after_ms="1500", retry_after="7")) == (1.5, 7.0)
    assert await _waits(Response(RUN, Retry_After="7")) == (None, 7.0)
    assert await _waits(Response(RUN, retry_after_ms="20")) == (None, 0.02)
    assert await _waits(Response(RUN, openai_poll_after_ms="soon", retry_after="-1")) == (None, None)
    assert await _waits(AsyncResponse()) == (0.25, None)


async def _waits(response: Any) -> tuple[float | None, float | None]:
    answer = await read_answer(response)
    return answer.poll_after, answer.retry_after


@pytest.mark.parametrize(("status", "wait"), [(429, 3.0), (404, None), (301, None), (500, None)])
async def test_a_response_that_is_no_success_is_a_refusal(status: int, wait: float | None) -> None:
    """Whoever does not raise for it gets it told all the same, without the server's words."""
    headers = {} if wait is None else {"retry_after": f"{wait:.0f}"}
    with pytest.raises(ConnectFailed) as refused:
        await read_answer(Response({"error": {"message": "hush"}}, status, **headers))
    assert (refused.value.status, refused.value.wait) == (status, wait)
    assert "hush" not in refused.value.reason


class Headers:
    headers: dict[str, str]

    def __init__(self) -> None:
        self.headers = {}


@pytest.mark.parametrize(
    ("given", "retry"),
    [
        (b"<html>502 hush</html>", True),
        ("", True),
        ("\ud800", True),
        (b'"hush"', True),
        ([[[[[RUN]]]]], False),
        ({"id": "run_1", "hush": object()}, False),
        (7, False),
        (object(), False),
        (Headers(), False),
    ],
)
async def test_what_is_no_run_says_so_without_quoting(given: Any, retry: bool) -> None:
    """A broken answer may be better next time; a wrong type never."""
    with pytest.raises(ConnectFailed) as refused:
        await read_answer(given)
    assert refused.value.retry is retry
    assert "hush" not in refused.value.reason


async def test_a_run_without_id_or_status_is_kept_for_the_rejects() -> None:
    """It can't be used, but it is not lost."""
    for run in ({"status": "queued"}, {"id": "run_1"}, {"id": "", "status": "queued"}, {"id": 1, "status": 2}):
        answer = await read_answer(run)
        assert answer.runs == ()
        assert len(answer.objects) == 1


@pytest.mark.parametrize(
    "given", [b'{"id":"run_1","status":"completed","model":"\xff"}', b'[{"id":"run_1","model":"\xc3"}]']
)
async def test_what_is_no_utf_8_is_asked_for_again(given: bytes) -> None:
    """Also where the broken part would not be looked at: the pipeline would reject a run that seems to have ended."""
    with pytest.raises(ConnectFailed) as caught:
        await read_answer(given)
    assert caught.value.retry
