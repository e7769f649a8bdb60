"""The scripted server, tried by clients that others wrote: openai's, sync and async, and Azure's."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from typing import Any

import openai
import pytest
from websockets.asyncio.client import connect

from runstream.testing import ScriptedApi, ScriptedCall, ScriptedRequest, Turn, serve_script

pytestmark = pytest.mark.filterwarnings("ignore:The Assistants API is deprecated:DeprecationWarning")

CALLS = Turn(text="Let me see.", reasoning="Hm.", calls={"get_weather": {"city": "Oslo"}, "get_time": {}})
TOOL: Any = {
    "type": "function",
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}


async def test_openai_streams_a_response() -> None:
    """The helper of the client puts the response together, and the outputs of its calls continue it."""
    async with (
        serve_script([CALLS, "It is sunny."]) as server,
        openai.AsyncOpenAI(base_url=server.url, api_key="key") as client,
    ):
        async with client.responses.stream(model="m", input="Hello", tools=[TOOL]) as stream:
            types = [event.type async for event in stream]
            response = await stream.get_final_response()
        assert types[0] == "response.created"
        assert types[-1] == "response.completed"
        assert response.output_text == "Let me see."
        calls = [item for item in response.output if item.type == "function_call"]
        assert [json.loads(call.arguments) for call in calls] == [{"city": "Oslo"}, {}]
        outputs: Any = [{"type": "function_call_output", "call_id": call.call_id, "output": "sunny"} for call in calls]
        second = await client.responses.create(model="m", previous_response_id=response.id, input=outputs)
        assert second.output_text == "It is sunny."
        assert server.outputs == {call.call_id: ["sunny"] for call in calls}


def test_openai_without_an_event_loop() -> None:
    """The synchronous client, which sends the history again."""

    async def serve() -> None:
        async with serve_script([CALLS, "It is sunny."]) as server:
            await asyncio.to_thread(talk, server.url)

    def talk(url: str) -> None:
        with openai.OpenAI(base_url=url, api_key="key") as client:
            history: list[Any] = [{"role": "user", "content": "Hello"}]
            first = client.responses.create(model="m", input=history, tools=[TOOL], store=False)
            history += [item.model_dump(exclude_none=True) for item in first.output]
            for item in first.output:
                if item.type == "function_call":
                    history.append({"type": "function_call_output", "call_id": item.call_id, "output": "sunny"})
            text = ""
            for event in client.responses.create(model="m", input=history, stream=True, store=False):
                if event.type == "response.output_text.delta":
                    text += event.delta
            assert text == "It is sunny."

    asyncio.run(serve())


async def test_openai_runs_an_assistant() -> None:
    """The helper of the client runs, submits, and reads the objects afterwards."""
    async with (
        serve_script([CALLS, "It is sunny."]) as server,
        openai.AsyncOpenAI(base_url=server.url, api_key="key") as client,
    ):
        thread = await client.beta.threads.create()
        await client.beta.threads.messages.create(thread.id, role="user", content="Hello")
        async with client.beta.threads.runs.stream(thread_id=thread.id, assistant_id="asst_1") as stream:
            await stream.until_done()
            run = stream.current_run
        assert run is not None
        assert run.status == "requires_action"
        assert run.required_action is not None
        calls = run.required_action.submit_tool_outputs.tool_calls
        outputs: Any = [{"tool_call_id": call.id, "output": "sunny"} for call in calls]
        runs = client.beta.threads.runs
        async with runs.submit_tool_outputs_stream(run_id=run.id, thread_id=thread.id, tool_outputs=outputs) as second:
            text = "".join([part async for part in second.text_deltas])
        assert text == "It is sunny."
        assert (await runs.retrieve(run_id=run.id, thread_id=thread.id)).status == "completed"
        messages = [message async for message in client.beta.threads.messages.list(thread.id, order="asc", limit=2)]
        assert [part.text.value for message in messages for part in message.content if part.type == "text"] == [
            "Hello",
            "Let me see.",
            "It is sunny.",
        ]
        steps = await runs.steps.list(run_id=run.id, thread_id=thread.id)
        assert [step.type for step in steps.data] == ["message_creation", "tool_calls", "message_creation"]


async def test_openai_polls_a_run() -> None:
    """The polling helpers of the client end."""
    async with (
        serve_script([CALLS, "It is sunny."]) as server,
        openai.AsyncOpenAI(base_url=server.url, api_key="key") as client,
    ):
        runs = client.beta.threads.runs
        run = await client.beta.threads.create_and_run_poll(assistant_id="asst_1", poll_interval_ms=5)
        assert run.required_action is not None
        outputs: Any = [
            {"tool_call_id": call.id, "output": "x"} for call in run.required_action.submit_tool_outputs.tool_calls
        ]
        run = await runs.submit_tool_outputs_and_poll(
            run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs, poll_interval_ms=5
        )
        assert run.status == "completed"


async def test_openai_background() -> None:
    """A background response is polled, cancelled, and its stream is resumed after a number."""
    turns = [Turn(text="A long text. " * 10, pause=0.01)]
    async with serve_script(turns) as server, openai.AsyncOpenAI(base_url=server.url, api_key="key") as client:
        stream = await client.responses.create(model="m", input="Hello", background=True, stream=True)
        async for event in stream:
            if event.sequence_number == 4:
                break
        await stream.close()
        assert event.sequence_number == 4
        response = await client.responses.retrieve("resp_1")
        assert response.status == "in_progress"
        rest = await client.responses.retrieve("resp_1", stream=True, starting_after=4)
        numbers = [event.sequence_number async for event in rest]
        assert numbers == list(range(5, numbers[-1] + 1))
        assert (await client.responses.retrieve("resp_1")).status == "completed"
        second = await client.responses.create(model="m", input="Hello", background=True)
        assert (await client.responses.cancel(second.id)).status == "cancelled"


async def test_openai_over_a_web_socket() -> None:
    """The WebSocket mode of the client."""
    async with serve_script(["Hello."]) as server, openai.AsyncOpenAI(base_url=server.url, api_key="key") as client:
        async with client.responses.connect() as connection:
            await connection.response.create(model="m", input="Hello")
            types = []
            async for event in connection:
                types.append(event.type)
                if event.type == "response.completed":
                    break
        assert types.count("response.output_text.delta") == 1


async def test_lanes() -> None:
    """Responses of two lanes are made at the same time; a refused request is an event of its lane."""
    turns = [Turn(text="A long text. " * 4, pause=0.005)]
    async with serve_script(turns) as server:
        url = server.url.replace("http", "ws", 1) + "/responses"
        async with connect(url) as socket:
            for lane in "ab":
                await socket.send(json.dumps({"type": "response.create", "stream_id": lane, "input": "Hello"}))
            await socket.send(
                json.dumps({"type": "response.create", "stream_id": "c", "previous_response_id": "resp_9"})
            )
            order: list[str] = []
            ended = 0
            while ended < 3:
                event = json.loads(await socket.recv())
                order.append(event["stream_id"])
                ended += event["type"] in ("response.completed", "error")
        assert "".join(order).count("ab") > 3 or "".join(order).count("ba") > 3
        assert order.count("c") == 1


@pytest.mark.parametrize(
    ("turn", "outcome"),
    [
        (Turn(status="failed", code="rate_limit_exceeded"), "failed"),
        (Turn(status="incomplete"), "incomplete"),
        (Turn(), "completed"),
    ],
)
async def test_how_a_run_ends(turn: Turn, outcome: str) -> None:
    """Both APIs report the end of the script."""
    async with serve_script([turn]) as server, openai.AsyncOpenAI(base_url=server.url, api_key="key") as client:
        response = await client.responses.create(model="m", input="Hello")
        run = await client.beta.threads.create_and_run_poll(assistant_id="asst_1", poll_interval_ms=5)
        assert (response.status, run.status) == (outcome, outcome)
        if outcome == "failed":
            assert response.error is not None
            assert run.last_error is not None
            assert (response.error.code, run.last_error.code) == ("rate_limit_exceeded", "rate_limit_exceeded")


async def test_a_model_of_a_function() -> None:
    """A function sees the request, and decides."""

    def model(request: ScriptedRequest) -> str:
        return f"{request.turn}: {request.body['input']}"

    async with serve_script(model) as server, openai.AsyncOpenAI(base_url=server.url, api_key="key") as client:
        assert (await client.responses.create(model="m", input="Hello")).output_text == "0: Hello"
        assert server.requests[0].body["model"] == "m"


@pytest.mark.parametrize(
    ("turn", "error"),
    [
        (Turn(refuse=429), openai.RateLimitError),
        (Turn(lose=True), openai.APIConnectionError),
        (Turn(text="A text", cut_after=3), openai.APIConnectionError),
    ],
)
async def test_how_a_connection_fails(turn: Turn, error: type[Exception]) -> None:
    """A request is refused, its response is lost, or its stream breaks off."""
    async with (
        serve_script([turn]) as server,
        openai.AsyncOpenAI(base_url=server.url, api_key="key", max_retries=0) as client,
    ):

        async def read() -> None:
            stream = await client.responses.create(model="m", input="Hello", stream=True)
            try:
                async for _ in stream:
                    pass
            except Exception as cut:  # of the HTTP library, which the client passes on
                raise openai.APIConnectionError(request=stream.response.request) from cut

        with pytest.raises(error):
            await read()


async def test_outputs_are_accepted_once() -> None:
    """A second submission, a wrong one, and an unknown run are refused, as the real server does."""
    async with (
        serve_script([CALLS, "It is sunny."]) as server,
        openai.AsyncOpenAI(base_url=server.url, api_key="key", max_retries=0) as client,
    ):
        runs = client.beta.threads.runs
        run = await client.beta.threads.create_and_run_poll(assistant_id="asst_1", poll_interval_ms=5)
        assert run.required_action is not None
        ids = [call.id for call in run.required_action.submit_tool_outputs.tool_calls]
        outputs: Any = [{"tool_call_id": call_id, "output": "x"} for call_id in ids]
        with pytest.raises(openai.BadRequestError, match="Expected tool outputs"):
            await runs.submit_tool_outputs(run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs[:1])
        await runs.submit_tool_outputs(run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs)
        with pytest.raises(openai.BadRequestError, match="do not accept"):
            await runs.submit_tool_outputs(run_id=run.id, thread_id=run.thread_id, tool_outputs=outputs)
        with pytest.raises(openai.NotFoundError):
            await runs.retrieve(run_id="run_9", thread_id=run.thread_id)
        first = await client.responses.create(model="m", input="Hello")
        with pytest.raises(openai.BadRequestError, match="No tool output found"):
            await client.responses.create(model="m", previous_response_id=first.id, input="Go on")
        assert server.outputs == {call_id: ["x"] for call_id in ids}


async def test_a_run_waits_as_soon_as_its_stream_says_so() -> None:
    """The rest of a slow stream changes nothing: the run is shown as waiting, and takes outputs."""
    turns = [Turn(calls={"get_time": {}}, pause=0.2), Turn(text="At noon.", pause=0.001)]
    async with (
        serve_script(turns) as server,
        openai.AsyncOpenAI(base_url=server.url, api_key="key") as client,
    ):
        runs = client.beta.threads.runs
        shown: list[str] = []
        async for event in await client.beta.threads.create_and_run(assistant_id="asst_1", stream=True):
            if event.event not in ("thread.run.in_progress", "thread.run.requires_action"):
                continue
            found = await runs.retrieve(event.data.id, thread_id=event.data.thread_id)
            shown.append(found.status)
            if found.required_action is not None:
                (call,) = found.required_action.submit_tool_outputs.tool_calls
                second = await runs.submit_tool_outputs(
                    found.id,
                    thread_id=found.thread_id,
                    tool_outputs=[{"tool_call_id": call.id, "output": "noon"}],
                    stream=True,
                )
                names = [event.event async for event in second]
        assert shown[1:] == ["requires_action"]
        assert shown[0] != "requires_action"
        assert names[-1] == "thread.run.completed"
        assert server.outputs == {call.id: ["noon"]}


async def test_azure_runs_an_agent() -> None:
    """Azure's client streams a run and submits its outputs."""
    agents = pytest.importorskip("azure.ai.agents", reason="the extra bench is not installed")
    from azure.core.credentials import AccessToken
    from azure.core.pipeline.policies import SansIOHTTPPolicy

    class Credential:
        def get_token(self, *scopes: str, **options: Any) -> AccessToken:
            return AccessToken("token", 2**40)

    def talk(url: str) -> list[str]:
        policy: Any = SansIOHTTPPolicy()
        client = agents.AgentsClient(endpoint=url, credential=Credential(), authentication_policy=policy)
        with client:
            thread = client.threads.create()
            run = client.runs.create(thread_id=thread.id, agent_id="asst_1")
            calls = run.required_action.submit_tool_outputs.tool_calls
            outputs = [{"tool_call_id": call.id, "output": "sunny"} for call in calls]
            client.runs.submit_tool_outputs(thread_id=thread.id, run_id=run.id, tool_outputs=outputs)
            done = client.runs.get(thread_id=thread.id, run_id=run.id)
            with client.runs.stream(thread_id=thread.id, agent_id="asst_1") as stream:
                names = [name for name, _, _ in stream]
            return [done.status, *names]

    async with serve_script([CALLS, "It is sunny."]) as server:
        status, *names = await asyncio.to_thread(talk, server.url)
    assert status == "completed"
    assert "thread.run.requires_action" in names


async def test_what_is_no_request() -> None:
    """An unknown path and a body that is not JSON are refused with a reason."""
    async with serve_script(["Hello."]) as server:

        def ask(path: str, data: bytes | None) -> tuple[int, Any]:
            try:
                with urllib.request.urlopen(urllib.request.Request(server.url + path, data=data)) as response:
                    return response.status, json.load(response)
            except urllib.error.HTTPError as error:
                with error:
                    return error.code, json.load(error)

        assert (await asyncio.to_thread(ask, "/models", None))[0] == 404
        status, body = await asyncio.to_thread(ask, "/responses", b"{")
        assert status == 400
        assert "not JSON" in body["error"]["message"]


async def test_the_application_has_a_lifespan() -> None:
    """A server that sends the lifespan's events gets its answers."""
    sent: list[str] = []
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await ScriptedApi(["Hello."])({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


def test_arguments_that_are_no_json() -> None:
    """Text is sent as it is."""
    assert ScriptedCall("f", '{"a": ').text == '{"a": '
    assert ScriptedCall("f").text == "{}"
