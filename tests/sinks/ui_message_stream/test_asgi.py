"""The endpoint for `useChat`: requests, responses, answers of the user, and browsers that leave or come later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote, unquote

import pytest
from structlog.testing import capture_logs

from runstream.clients.answers import Approve, Decline
from runstream.clients.responses import ResponsesClient
from runstream.sinks.ui_message_stream.asgi import UiMessageApp
from runstream.sinks.ui_message_stream.chat import UiChat, UiChatError
from runstream.stream.run_stream import RunStream
from runstream.testing import ScriptedCall, ScriptedServer, Turn, script, serve_script
from tests.sinks.ui_message_stream.posting import JSON, Chat, body_of, requesting
from tests.sinks.ui_message_stream.support import only


def get_weather(city: str) -> dict[str, str]:
    """The weather of a city."""
    return {"city": city, "sky": "clear"}


class Served:
    """An endpoint before a scripted server; `chats` are the requests that the handler received."""

    def __init__(self, server: ScriptedServer, made: ResponsesClient, **options: Any) -> None:
        self.server = server
        self.client = made
        self.chats: list[UiChat] = []
        self.app = UiMessageApp(self._handle, **{"client": made, **options})

    def _handle(self, chat: UiChat) -> RunStream:
        self.chats.append(chat)
        return self.client.run(model="m", input=chat.text)


@asynccontextmanager
async def served(*turns: Any, **options: Any) -> AsyncIterator[Served]:
    """An endpoint whose handler runs a scripted model."""
    async with serve_script(list(turns)) as server, ResponsesClient(server.url, tools=[get_weather]) as client:
        made = Served(server, client, **options)
        yield made
        await made.app.aclose()


def texts(message: dict[str, Any]) -> list[str]:
    return [part["text"] for part in message["parts"] if part["type"] == "text"]


# Responses


async def test_a_chat() -> None:
    """Two messages of the user, each with a response of its own; tools on the server run in between."""
    async with served(Turn(text="Let me see.", calls={"get_weather": {"city": "Oslo"}}), "Clear.") as at:
        chat = Chat(at.app)
        chat.say("How is the weather?")
        answer = await chat.send()
        assert answer.status == 200
        assert answer.headers["content-type"] == "text/event-stream"
        assert answer.headers["x-vercel-ai-ui-message-stream"] == "v1"
        assert answer.ended
        assert answer.body.endswith(b'data: {"type":"finish","finishReason":"stop"}\n\ndata: [DONE]\n\n')
        assert texts(chat.message) == ["Let me see.", "Clear."]
        (part,) = [part for part in chat.message["parts"] if "toolCallId" in part]
        assert (part["type"], part["output"]) == ("tool-get_weather", {"city": "Oslo", "sky": "clear"})
        first = chat.message["id"]
        assert first.startswith("msg_")
        chat.say("And tomorrow?")
        await chat.send()
        assert chat.message["id"] != first
        assert [each.text for each in at.chats] == ["How is the weather?", "And tomorrow?"]
        assert [message["role"] for message in chat.messages] == ["user", "assistant"] * 2


async def test_an_async_handler_and_its_request() -> None:
    """The handler receives the fields and the headers of the request."""
    seen: list[UiChat] = []

    async def handle(chat: UiChat) -> RunStream:
        seen.append(chat)
        return RunStream(script("run_1").say("Hi.").end().raw_events())

    app = UiMessageApp(handle)
    body = body_of(model="small", trigger="regenerate-message", messageId="m9")
    async with requesting(app, "POST", "/api/chat", body, headers={**JSON, "X-User": "7"}, root="/api/chat") as answer:
        await answer.until("[DONE]")
    (chat,) = seen
    assert (chat.id, chat.text, chat.trigger, chat.message_id) == ("chat-1", "Hello.", "regenerate-message", "m9")
    assert (dict(chat.body), chat.headers["x-user"]) == ({"model": "small"}, "7")
    assert chat.message is None


# Answers


@pytest.mark.parametrize("approved", [True, False])
async def test_an_approval(approved: bool) -> None:
    """The response ends with the request; the next one brings the decision, and continues the message."""
    async with served(Turn(text="I need your word.", approvals={"erase": {"file": "a"}}), "Done.") as at:
        chat = Chat(at.app)
        chat.say("Erase it.")
        answer = await chat.send()
        assert answer.chunks[-1] == {"type": "finish", "finishReason": "tool-calls"}
        (part,) = [part for part in chat.message["parts"] if "toolCallId" in part]
        message_id = chat.message["id"]
        chat.decide(part["toolCallId"], approved=approved, reason="not today")
        answer = await chat.send()
        assert at.server.outputs == {part["toolCallId"]: [approved]}
        assert len(at.chats) == 1
        assert chat.message["id"] == message_id
        assert texts(chat.message) == ["I need your word.", "Done."]
        assert len(only(answer.chunks, "tool-output-denied")) == (not approved)
        assert answer.chunks[-1] == {"type": "finish", "finishReason": "stop"}


async def test_two_approvals_one_after_the_other() -> None:
    """Each response ends with a request; all of it is one message."""
    turns = [Turn(approvals={"erase": {}}), Turn(text="And this?", approvals={"move": {}}), "Done."]
    async with served(*turns) as at:
        chat = Chat(at.app)
        chat.say("Go on.")
        await chat.send()
        for number in (1, 2):
            (part,) = [part for part in chat.message["parts"] if part.get("state") == "approval-requested"]
            chat.decide(part["toolCallId"], approved=True)
            answer = await chat.send()
            assert len(at.server.outputs) == number
        assert answer.chunks[-1] == {"type": "finish", "finishReason": "stop"}
        assert texts(chat.message) == ["And this?", "Done."]
        assert [message["role"] for message in chat.messages] == ["user", "assistant"]


async def test_an_approval_in_version_5() -> None:
    """It is a part with data, and its answer an output with `approved`."""
    async with served(Turn(approvals={"erase": {"file": "a"}}), "Done.", sdk=5) as at:
        chat = Chat(at.app)
        chat.say("Erase it.")
        answer = await chat.send()
        (asked,) = only(answer.chunks, "data-approval")
        id = asked["data"]["toolCallId"]
        chat.put_out(id, {"approved": False, "reason": "no"})
        await chat.send()
        assert at.server.outputs == {id: [False]}
        assert texts(chat.message) == ["Done."]


async def test_a_decision_of_the_application() -> None:
    """The user is not asked; a denial is shown as one."""
    turns: list[Turn | str] = [Turn(approvals={"erase": {}}), "As you like."]
    async with serve_script(turns) as server, ResponsesClient(server.url, approve=lambda *_: Decline("no")) as client:
        chat = Chat(UiMessageApp(lambda _: client.run(model="m", input="x"), client=client))
        chat.say("Erase it.")
        answer = await chat.send()
        assert [part["state"] for part in chat.message["parts"] if "toolCallId" in part] == ["output-denied"]
        assert answer.chunks[-1] == {"type": "finish", "finishReason": "stop"}


async def test_an_output_of_the_browser() -> None:
    """A call that no tool of the server answers is left to the browser, beside one that it does."""
    calls = [ScriptedCall("locate", {}, "call_a"), ScriptedCall("get_weather", {"city": "Rome"}, "call_b")]
    async with served(Turn(calls=calls), "You are in Rome.") as at:
        chat = Chat(at.app)
        chat.say("Where am I?")
        answer = await chat.send()
        assert answer.chunks[-1]["finishReason"] == "tool-calls"
        chat.put_out("call_a", {"place": "Rome"})
        await chat.send()
        assert json.loads(at.server.outputs["call_a"][0]) == {"place": "Rome"}
        assert json.loads(at.server.outputs["call_b"][0])["city"] == "Rome"
        assert texts(chat.message) == ["You are in Rome."]
        assert chat.tool("call_b")["output"] == {"city": "Rome", "sky": "clear"}


async def test_answers_for_the_handler() -> None:
    """Without a client the handler receives the answers, by the ids of the calls, and the run that they are for."""
    async with served(Turn(approvals={"erase": {}, "move": {}}), "Done.", client=None) as at:
        chat = Chat(at.app)
        chat.say("Go on.")
        await chat.send()
        first, second = (part["toolCallId"] for part in chat.message["parts"] if "toolCallId" in part)
        chat.decide(first, approved=True)
        chat.decide(second, approved=False, reason="no")
        await chat.send()
        assert at.chats[1].run_id == "resp_1"
        answers = {key.rpartition("/")[2]: answer for key, answer in at.chats[1].answers.items()}
        assert answers == {first: Approve(), second: Decline("no")}
        assert at.chats[0].answers == {}


async def test_an_answer_that_is_sent_twice() -> None:
    """The server receives it once; the second request is refused, as the run does not wait any more."""
    async with served(Turn(approvals={"erase": {}}), "Done.") as at:
        chat = Chat(at.app)
        chat.say("Go on.")
        await chat.send()
        (part,) = [part for part in chat.message["parts"] if "toolCallId" in part]
        chat.decide(part["toolCallId"], approved=True)
        body = json.dumps({"id": "chat-1", "messages": chat.messages}).encode()
        async with (
            requesting(at.app, "POST", "/", body, headers=JSON) as first,
            requesting(at.app, "POST", "/", body, headers=JSON) as second,
        ):
            await first.until("[DONE]")
            await second.until("error")
        assert at.server.outputs == {part["toolCallId"]: [True]}
        assert (first.status, second.status) == (200, 409)
        assert second.error["code"] == "not_waiting"


async def test_a_response_that_ends_at_an_action() -> None:
    """A stream that stays open may end its response as soon as the run waits."""
    asked = script("run_1").call(look={}).raw_events()
    going = asyncio.Event()

    async def items() -> AsyncIterator[Any]:
        for item in asked:
            yield item
        await going.wait()

    async with RunStream(items()) as stream:
        stream.start()
        app = UiMessageApp(lambda chat: stream.run("run_1"), finish_at_action=True)
        chat = Chat(app)
        chat.say("Look.")
        answer = await chat.send()
        assert answer.chunks[-1] == {"type": "finish", "finishReason": "tool-calls"}
        going.set()
        await app.aclose()


async def test_partial_answers_are_kept() -> None:
    """Nothing is submitted before the last answer; what was decided is not asked for again."""
    async with served(Turn(approvals={"erase": {}, "move": {}}), "Done.") as at:
        chat = Chat(at.app)
        chat.say("Go on.")
        await chat.send()
        first, second = (part["toolCallId"] for part in chat.message["parts"] if "toolCallId" in part)
        chat.decide(first, approved=True)
        answer = await chat.send()
        assert at.server.outputs == {}
        assert not only(answer.chunks, "tool-approval-request")
        assert answer.chunks[-1] == {"type": "finish", "finishReason": "tool-calls"}
        assert [chat.tool(id)["state"] for id in (first, second)] == ["approval-responded", "approval-requested"]
        chat.decide(second, approved=True)
        await chat.send()
        assert at.server.outputs == {first: [True], second: [True]}
        assert texts(chat.message) == ["Done."]


async def test_a_stream_of_the_application_is_only_followed() -> None:
    """It goes on when a browser leaves, and is not closed; nothing of the chat stays behind."""
    run = script("run_1").say("So.")
    going = asyncio.Event()

    async def items() -> AsyncIterator[Any]:
        for item in run.raw_events():
            yield item
        await going.wait()
        for item in run.end().raw_events()[-2:]:
            yield item

    async with RunStream(items()) as stream:
        stream.start()
        app = UiMessageApp(lambda chat: stream.run("run_1"))
        async with requesting(app, "POST", "/", body_of(), headers=JSON) as left:
            await left.until("So.")
        assert app._chats._active == {}
        async with requesting(app, "POST", "/", body_of(), headers=JSON) as answer:
            await answer.until("So.")
            going.set()
            await answer.until_end()
        assert answer.chunks[-1] == {"type": "finish", "finishReason": "stop"}
        assert app._chats._active == {}
        assert (await stream.result()).status == "completed"


# Browsers that leave, and late ones


async def test_a_browser_that_leaves_cancels_the_run() -> None:
    async with served(Turn(text="word " * 200, pause=0.01)) as at:
        async with requesting(at.app, "POST", "/", body_of(), headers=JSON) as answer:
            await answer.until("word")
        async with asyncio.timeout(10):
            while at.app._chats._tasks:
                await asyncio.sleep(0.01)
        async with requesting(at.app, "GET", "/chat-1/stream") as later:
            pass
        assert later.status == 204


async def test_a_response_is_resumed() -> None:
    """The run goes on; the browser that comes back receives the whole message, under the same id."""
    async with served(Turn(text="one two three four five six", pause=0.01), on_disconnect="continue") as at:
        async with requesting(at.app, "POST", "/", body_of(), headers=JSON) as answer:
            await answer.until("two")
        async with requesting(at.app, "GET", "/chat-1/stream") as later:
            await later.until("[DONE]")
        assert later.status == 200
        assert later.chunks[0] == answer.chunks[0]
        chat = Chat(at.app)
        chat.read(later)
        assert texts(chat.message) == ["one two three four five six"]
        async with requesting(at.app, "GET", "/chat-1/stream") as gone:
            pass
        assert (gone.status, gone.body) == (204, b"")


async def test_two_browsers_of_one_chat() -> None:
    """Each has its own stream; the run is not cancelled while one is left."""
    async with served(Turn(text="one two three four five six", pause=0.01)) as at:
        async with requesting(at.app, "POST", "/", body_of(), headers=JSON) as first:
            await first.until("one")
            async with requesting(at.app, "GET", "/chat-1/stream") as second:
                await second.until("two")
            await first.until("[DONE]")
        chat = Chat(at.app)
        chat.read(first)
        assert texts(chat.message) == ["one two three four five six"]


async def test_silence_is_filled() -> None:
    async def silent() -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield b""

    app = UiMessageApp(lambda chat: RunStream(silent()), heartbeat=0.01)
    async with requesting(app, "POST", "/", body_of(), headers=JSON) as answer:
        await answer.until(": keep-alive\n\n: keep-alive")
    assert [chunk["type"] for chunk in answer.chunks] == ["start", "start-step"]
    await app.aclose()


@pytest.mark.parametrize("id", ["chat-1", "a/b c", "stream"])
async def test_any_id_is_found_again(id: str) -> None:
    """The id is a part of the path, encoded."""
    async with served(Turn(text="one two three", pause=0.05)) as at:
        async with requesting(at.app, "POST", "/api/chat", body_of(id=id), headers=JSON) as first:
            await first.until("one")
            path = f"/api/chat/{quote(id, safe='')}/stream"
            async with requesting(at.app, "GET", unquote(path), raw_path=path.encode()) as second:
                await second.until("one")
        assert second.status == 200


async def test_an_endpoint_that_closes_ends_its_responses() -> None:
    """The body has its end, so that a server need not wait for the run."""
    async with (
        served(Turn(text="word " * 500, pause=0.01)) as at,
        requesting(at.app, "POST", "/", body_of(), headers=JSON) as answer,
    ):
        await answer.until("word")
        await at.app.aclose()
        await answer.until_end()
        assert b"[DONE]" not in answer.body


# Refusals


@pytest.mark.parametrize(
    ("status", "code", "body"),
    [
        (400, "invalid_json", b"{"),
        (400, "invalid_body", b"[]"),
        (400, "invalid_id", body_of(id="")),
        (400, "invalid_id", body_of(id=7)),
        (400, "invalid_trigger", body_of(trigger="resume-stream")),
        (400, "invalid_message_id", body_of(messageId=1)),
        (400, "invalid_messages", body_of(messages=[])),
        (400, "invalid_messages", body_of(messages="x")),
        (400, "invalid_message", body_of(messages=[{"role": "robot", "parts": []}])),
        (400, "invalid_message", body_of(messages=[{"id": 1, "role": "user", "parts": []}])),
        (400, "invalid_parts", body_of(messages=[{"role": "user", "parts": [{"text": "x"}]}])),
        (400, "invalid_parts", body_of(messages=[{"role": "assistant", "parts": [{"type": "tool-x"}]}])),
        (413, "too_many_messages", body_of(messages=[{"role": "user", "parts": []}] * 4)),
        (413, "too_many_parts", body_of(messages=[{"role": "user", "parts": [{"type": "text"}] * 6}])),
        (413, "body_too_large", b" " * 3000),
    ],
)
async def test_a_body_that_is_refused(status: int, code: str, body: bytes) -> None:
    app = UiMessageApp(lambda chat: RunStream(), max_body_bytes=2000, max_messages=3, max_parts=5)
    async with requesting(app, "POST", "/", body, headers=JSON) as answer:
        pass
    assert (answer.status, answer.error["code"]) == (status, code)
    assert answer.error["message"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("PUT", "/", JSON, 405, "method_not_allowed"),
        ("POST", "/chat-1/stream", JSON, 405, "method_not_allowed"),
        ("GET", "/", {}, 405, "method_not_allowed"),
        ("POST", "/", {"content-type": "text/plain"}, 415, "unsupported_media_type"),
        ("POST", "/", {}, 415, "unsupported_media_type"),
    ],
)
async def test_a_request_that_is_refused(
    method: str, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    app = UiMessageApp(lambda chat: RunStream())
    async with requesting(app, method, path, body_of(), headers=headers) as answer:
        pass
    assert (answer.status, answer.error["code"]) == (status, code)


async def test_a_handler_that_refuses_or_fails() -> None:
    """A refusal is the response; any other exception is a failure, whose words stay here."""

    def refuse(chat: UiChat) -> RunStream:
        raise UiChatError("log in first", status=401, code="no_user")

    async with requesting(UiMessageApp(refuse), "POST", "/", body_of(), headers=JSON) as answer:
        pass
    assert (answer.status, answer.error["code"], answer.error["message"]) == (401, "no_user", "log in first")

    def fail(chat: UiChat) -> RunStream:
        raise KeyError("secret")

    with capture_logs() as lines:
        async with requesting(UiMessageApp(fail), "POST", "/", body_of(), headers=JSON) as answer:
            pass
    assert (answer.status, answer.error["code"]) == (500, "internal_error")
    assert b"secret" not in answer.body
    assert lines == [{"event": "ui_chat_handler_failed", "error": "KeyError", "log_level": "error"}]


async def test_too_many_runs_at_a_time() -> None:
    async with served(Turn(text="word " * 100, pause=0.01), max_chats=1) as at:
        async with requesting(at.app, "POST", "/", body_of(), headers=JSON) as answer:
            await answer.until("word")
            async with requesting(at.app, "POST", "/", body_of(id="chat-2"), headers=JSON) as other:
                pass
        assert (other.status, other.error["code"]) == (503, "too_many_runs")


@pytest.mark.parametrize("options", [{"on_disconnect": "x"}, {"max_chats": 0}, {"heartbeat": 0}, {"sdk": 7}])
def test_options_outside_their_range(options: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        UiMessageApp(lambda chat: RunStream(), **options)


async def test_other_scopes() -> None:
    """A socket is refused; start and stop are confirmed, and the stop ends what goes on."""
    app = UiMessageApp(lambda chat: RunStream())
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message["type"])

    messages = iter(["lifespan.startup", "lifespan.shutdown"])

    async def receive() -> Any:
        return {"type": next(messages)}

    await app({"type": "lifespan"}, receive, send)
    messages = iter(["websocket.connect"])
    await app({"type": "websocket"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]
