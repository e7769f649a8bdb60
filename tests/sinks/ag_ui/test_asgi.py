"""The AG-UI endpoint: inputs in, event streams out, runs that go on over several requests."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import runstream
from runstream.clients.responses import ResponsesClient
from runstream.model.raw import RawEvent
from runstream.sinks.ag_ui.asgi import AgUiApp
from runstream.sinks.ag_ui.run_input import AgUiInputError
from runstream.sinks.ag_ui.threads import AgUiRequest
from runstream.stream.run_stream import RunStream
from runstream.testing import events_of
from runstream.testing.server import ScriptedServer, serve_script
from runstream.testing.turns import Model, Turn
from tests.sinks.ag_ui.posting import post, posting, run_input

WEATHER = {"name": "show_map", "description": "Shows a map.", "parameters": {"type": "object"}}
CALL = Turn(text="Look.", calls={"show_map": {"city": "Oslo"}})
APPROVAL = Turn(approvals={"read_file": {"path": "notes.txt"}})


@asynccontextmanager
async def serving(model: Model, **options: Any) -> AsyncIterator[tuple[AgUiApp, ScriptedServer]]:
    """An endpoint for a scripted model."""
    async with serve_script(model) as server, ResponsesClient(server.url) as client:

        def handle(request: AgUiRequest) -> RunStream:
            tools = [{"type": "function", "name": tool.name} for tool in request.input.tools or ()]
            return client.run({"tools": tools}, model="small", input=request.input.text)

        app = AgUiApp(handle, client=client, **options)
        yield app, server
        await app.aclose()


def names(events: list[dict[str, Any]]) -> list[str]:
    """The types of events, each once if it is repeated."""
    found = [event["type"] for event in events]
    return [name for place, name in enumerate(found) if not place or found[place - 1] != name]


def text(events: list[dict[str, Any]]) -> str:
    """The text of the messages."""
    return "".join(event["delta"] for event in events if event["type"] == "TEXT_MESSAGE_CONTENT")


async def test_a_run_is_streamed() -> None:
    """Start, text, end; with the ids of the front end, and the usage."""
    async with serving(["It is sunny in Oslo."]) as (app, _):
        events = await post(app, run_input())
    message = ["TEXT_MESSAGE_START", "TEXT_MESSAGE_CONTENT", "TEXT_MESSAGE_END"]
    assert names(events) == ["RUN_STARTED", *message, "RUN_FINISHED"]
    assert text(events) == "It is sunny in Oslo."
    assert {event[name] for event in (events[0], events[-1]) for name in ("threadId", "runId")} == {"thread-1", "run-1"}
    assert events[-1]["outcome"] == {"type": "success"}
    assert events[-1]["usage"][0]["totalTokens"] == 15


async def test_a_tool_of_the_front_end_is_answered_by_a_message() -> None:
    """The first run leaves the call unanswered; the second brings the result, and the model goes on."""
    async with serving([CALL, "There it is."]) as (app, server):
        first = await post(app, run_input(tools=[WEATHER]))
        (call,) = [event for event in first if event["type"] == "TOOL_CALL_START"]
        assert first[-1]["outcome"] == {"type": "success", "pendingToolCallIds": [call["toolCallId"]]}
        result = {"id": "r1", "role": "tool", "toolCallId": call["toolCallId"], "content": "shown"}
        messages = [*run_input()["messages"], result]
        second = await post(app, run_input("run-2", messages=messages, tools=[WEATHER]))
    assert text(second) == "There it is."
    assert server.outputs == {call["toolCallId"]: ["shown"]}
    assert not any(event["type"].startswith("TOOL_CALL") for event in second)  # the front end has the result itself


@pytest.mark.parametrize("approved", [True, False])
async def test_an_approval_is_an_interrupt(approved: bool) -> None:
    """It is answered by `resume`."""
    async with serving([APPROVAL, "Done."]) as (app, server):
        first = await post(app, run_input())
        (interrupt,) = first[-1]["outcome"]["interrupts"]
        assert interrupt["reason"] == "confirmation"
        assert interrupt["metadata"]["arguments"] == {"path": "notes.txt"}
        entry = {"interruptId": interrupt["id"], "status": "resolved", "payload": {"approved": approved}}
        second = await post(app, run_input("run-2", resume=[entry]))
    assert text(second) == "Done."
    assert server.outputs == {interrupt["id"]: [approved]}


async def test_an_abandoned_approval_is_declined() -> None:
    """An entry that is cancelled is no yes."""
    async with serving([APPROVAL, "Done."]) as (app, server):
        first = await post(app, run_input())
        (interrupt,) = first[-1]["outcome"]["interrupts"]
        await post(app, run_input("run-2", resume=[{"interruptId": interrupt["id"], "status": "cancelled"}]))
    assert server.outputs == {interrupt["id"]: [False]}


async def test_an_older_front_end_answers_by_a_command() -> None:
    """The question is the custom event `on_interrupt`, and the answer is in `forwardedProps`."""
    async with serving([APPROVAL, "Done."]) as (app, server):
        first = await post(app, run_input(protocolVersion=None))
        (asked,) = [event for event in first if event["type"] == "CUSTOM"]
        assert asked["name"] == "on_interrupt"
        interrupt = json.loads(asked["value"])
        assert "outcome" not in first[-1]
        props = {"command": {"resume": {"approved": True}}}
        await post(app, run_input("run-2", protocolVersion=None, forwardedProps=props))
    assert server.outputs == {interrupt["id"]: [True]}


async def test_answers_that_come_one_by_one_are_submitted_together() -> None:
    """The run asks again for what is missing."""
    turn = Turn(calls={"show_map": {"city": "Oslo"}}, approvals={"read_file": {"path": "notes.txt"}})
    async with serving([turn, "Done."]) as (app, server):
        first = await post(app, run_input(tools=[WEATHER]))
        (interrupt,) = first[-1]["outcome"]["interrupts"]
        (call,) = [event for event in first if event["type"] == "TOOL_CALL_START"]
        result = {"id": "r1", "role": "tool", "toolCallId": call["toolCallId"], "content": "shown"}
        messages = [*run_input()["messages"], result]
        second = await post(app, run_input("run-2", messages=messages, tools=[WEATHER]))
        assert second[-1]["outcome"]["interrupts"] == [interrupt]
        assert not server.outputs
        entry = {"interruptId": interrupt["id"], "payload": {"approved": True}}
        third = await post(app, run_input("run-3", messages=messages, tools=[WEATHER], resume=[entry]))
    assert text(third) == "Done."
    assert server.outputs == {call["toolCallId"]: ["shown"], interrupt["id"]: [True]}


async def test_the_handler_gets_the_answers_without_a_client() -> None:
    """By the keys of the calls, with what the run waits for."""
    seen: list[AgUiRequest] = []

    def handle(request: AgUiRequest) -> RunStream:
        seen.append(request)
        return RunStream(events_of(calls={"weather": {"city": "Oslo"}}) if len(seen) == 1 else events_of("Sunny."))

    app = AgUiApp(handle)
    first = await post(app, run_input(tools=[{"name": "weather"}]))
    (id,) = first[-1]["outcome"]["pendingToolCallIds"]
    result = {"id": "r1", "role": "tool", "toolCallId": id, "content": [{"type": "text", "text": "sunny"}]}
    second = await post(app, run_input("run-2", messages=[*run_input()["messages"], result]))
    assert text(second) == "Sunny."
    assert seen[1].waiting is not None
    assert seen[1].answers == {seen[1].waiting.calls[0].key: runstream.Output("sunny")}
    assert not seen[0].answers


async def test_a_cut_stream_is_an_error() -> None:
    """It has a code, and no words of the server."""
    async with serving([Turn(text="It is sunny.", status="failed", code="rate_limit_exceeded")]) as (app, _):
        events = await post(app, run_input())
        assert events[-1] == {**events[-1], "code": "rate_limit_exceeded", "message": "The run failed."}
    app = AgUiApp(lambda request: RunStream(events_of("It is", ends=None)))
    events = await post(app, run_input())
    assert (events[-1]["type"], events[-1]["code"]) == ("RUN_ERROR", "interrupted")


async def test_the_words_of_the_server_are_sent_if_allowed() -> None:
    """With `show_errors`."""
    async with serving([Turn(status="failed")], show_errors=True) as (app, _):
        events = await post(app, run_input())
    assert events[-1]["message"] == "The scripted run failed."


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"{", 400, "not_json"),
        (b"[]", 422, "invalid_input"),
        ({"threadId": "t"}, 422, "invalid_input"),
        (run_input(runId=""), 422, "invalid_input"),
        (run_input(messages=[{"role": "user"}]), 422, "invalid_input"),
        (run_input(resume=[{"interruptId": "x"}]), 409, "not_waiting"),
        (run_input(text="x" * 5000), 413, "body_too_large"),
    ],
)
async def test_a_request_that_can_not_be_answered(body: Any, status: int, code: str) -> None:
    """A status and a reason, as JSON, before any stream."""
    app = AgUiApp(lambda request: RunStream(events_of("Hello")), max_body_bytes=4000)
    async with posting(app, body) as made:
        error = json.loads(await made.body())["error"]
    assert (made.status, error["code"], error["type"]) == (status, code, "invalid_request_error")
    assert made.headers["content-type"] == "application/json"


async def test_only_post_is_answered() -> None:
    """Other methods are refused."""
    async with posting(AgUiApp(lambda request: RunStream()), b"", method="GET") as made:
        await made.body()
    assert (made.status, made.headers["allow"]) == (405, "POST")


async def test_an_interrupt_that_nobody_asked_is_refused() -> None:
    """The run goes on waiting."""
    async with serving([APPROVAL, "Done."]) as (app, _):
        first = await post(app, run_input())
        (interrupt,) = first[-1]["outcome"]["interrupts"]
        undecided = {"interruptId": interrupt["id"]}
        for entry, code in (({"interruptId": "x"}, "unknown_interrupt"), (undecided, "approval_undecided")):
            async with posting(app, run_input("run-2", resume=[entry])) as made:
                assert json.loads(await made.body())["error"]["code"] == code
        entry = {"interruptId": interrupt["id"], "payload": {"approved": True}}
        assert text(await post(app, run_input("run-3", resume=[entry]))) == "Done."


async def test_a_handler_may_refuse() -> None:
    """With a status of its own; any other exception is an error without details."""

    async def refuse(request: AgUiRequest) -> RunStream:
        raise AgUiInputError("not you", status=403, code="forbidden")

    async def fail(request: AgUiRequest) -> RunStream:
        raise KeyError("secret")

    for handler, status in ((refuse, 403), (fail, 500)):
        async with posting(AgUiApp(handler), run_input()) as made:
            body = await made.body()
        assert made.status == status
        assert b"secret" not in body


def endless() -> tuple[RunStream, asyncio.Event]:
    """A stream that stops in the middle of its text, and an event that lets it go on."""
    going = asyncio.Event()

    async def items() -> AsyncIterator[RawEvent]:
        has_text = False
        for item in events_of("It is sunny in Oslo."):
            yield item
            if not has_text and item.event == "thread.message.delta":
                has_text = True
                await going.wait()

    return RunStream(items()), going


async def test_a_front_end_that_leaves_ends_its_run() -> None:
    """The stream is closed."""
    stream, _ = endless()
    app = AgUiApp(lambda request: stream)
    async with posting(app, run_input()) as made:
        await made.until("TEXT_MESSAGE_CONTENT")
    assert stream.latest["run_1"].status == "in_progress"
    assert stream.stats.open_runs == 1
    with pytest.raises(RuntimeError, match="ended"):
        stream.attach(events_of("More"))


async def test_a_run_may_go_on_without_its_front_end() -> None:
    """And the same request joins it: it sees the text whole."""
    stream, going = endless()
    app = AgUiApp(lambda request: stream, on_disconnect="continue")
    async with posting(app, run_input()) as made:
        await made.until("TEXT_MESSAGE_CONTENT")
    async with posting(app, run_input()) as made:
        await made.until("TEXT_MESSAGE_CONTENT")
        going.set()
        events = await made.events()
    assert events[-1]["type"] == "RUN_FINISHED"
    assert stream.latest["run_1"].status == "completed"
    await app.aclose()


async def test_silence_is_filled_with_comments() -> None:
    """So that proxies keep the connection."""
    stream, going = endless()
    app = AgUiApp(lambda request: stream, heartbeat=0.01)
    async with posting(app, run_input()) as made:
        async for piece in made.blocks():
            if piece.startswith(b":"):
                break
        going.set()
        assert (await made.events())[-1]["type"] == "RUN_FINISHED"


async def test_one_run_of_a_shared_stream() -> None:
    """It is followed, and the stream stays open."""
    stream, going = endless()
    async with stream:
        app = AgUiApp(lambda request: stream.run("run_1"))
        async with posting(app, run_input()) as made:
            await made.until("TEXT_MESSAGE_CONTENT")
            going.set()
            assert (await made.events())[-1]["type"] == "RUN_FINISHED"
        late = await post(app, run_input("run-2"))  # after its end
        (snapshot,) = [event for event in late if event["type"] == "MESSAGES_SNAPSHOT"]
        assert [message["content"] for message in snapshot["messages"]] == ["Hello", "It is sunny in Oslo."]
        assert late[-1]["type"] == "RUN_FINISHED"


async def test_lifespan_is_confirmed() -> None:
    """For servers of an endpoint that is not mounted."""
    sent: list[Any] = []
    messages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> dict[str, Any]:
        return {"type": next(messages)}

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await AgUiApp(lambda request: RunStream())({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def waiting(items: list[RawEvent]) -> AsyncIterator[RawEvent]:
    """Items of a source that stays open."""
    for item in items:
        yield item
    await asyncio.Event().wait()


async def test_a_run_of_an_open_stream_ends_where_it_waits() -> None:
    """With `finish_at_action`: nothing on the server answers."""
    async with RunStream(waiting(events_of(calls={"weather": {"city": "Oslo"}}))) as stream:
        stream.start()
        app = AgUiApp(lambda request: stream.run("run_1"), finish_at_action=True)
        events = await post(app, run_input(tools=[{"name": "weather"}]))
    assert len(events[-1]["outcome"]["pendingToolCallIds"]) == 1


async def test_a_run_of_an_open_stream_ends_with_the_run() -> None:
    """After the time in which its last messages may come."""
    async with RunStream(waiting(events_of("It is sunny."))) as stream:
        stream.start()
        events = await post(AgUiApp(lambda request: stream, settle_time=0.05), run_input())
    assert events[-1]["outcome"] == {"type": "success"}


async def test_a_stream_that_fails_is_an_error() -> None:
    """The exception stays here."""

    class Failing(RunStream):
        def iter(self, *args: Any, **options: Any) -> Any:
            raise RuntimeError("secret")

    events = await post(AgUiApp(lambda request: Failing(events_of("x"))), run_input())
    assert (events[-1]["type"], events[-1]["code"]) == ("RUN_ERROR", "internal_error")


async def test_threads_that_wait_are_bounded() -> None:
    """The oldest is forgotten."""
    async with serving(lambda request: APPROVAL, max_threads=1) as (app, _):
        first = await post(app, run_input())
        await post(app, run_input(threadId="thread-2"))
        entry = {"interruptId": first[-1]["outcome"]["interrupts"][0]["id"], "payload": {"approved": True}}
        async with posting(app, run_input("run-2", resume=[entry])) as made:
            assert json.loads(await made.body())["error"]["code"] == "not_waiting"


async def test_a_run_that_is_only_followed_is_not_cancelled() -> None:
    """The front end that leaves has not started its stream."""
    async with (
        serve_script([Turn(text="It is sunny in Oslo.", pause=0.02)]) as server,
        ResponsesClient(server.url) as client,
        client.run(model="small", input="Hello") as stream,
    ):
        stream.start()
        app = AgUiApp(lambda request: stream, client=client)
        async with posting(app, run_input()) as made:
            await made.until("TEXT_MESSAGE_CONTENT")
        assert (await stream.result()).status == "completed"
