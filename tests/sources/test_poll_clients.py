"""Polling with the clients that people have: openai, azure-ai-agents and httpx, against a server in another process."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runstream import PollSource, Reconnect, RunCompleted, RunStatusChanged, RunStream, Signal
from tests.support.run_api import HttpAnswer, run_api
from tests.support.wire import message_creation, message_object, required_action, run_object, step_object, text_part

pytestmark = pytest.mark.slow

RUN = "/threads/thread_0001/runs/run_1"
WAITING = required_action({"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}})
QUICK = Reconnect(initial=0.01, maximum=0.02)


def run(status: str, **fields: Any) -> dict[str, Any]:
    return run_object("run_1", status=status, **fields)


def listed(*items: Any) -> dict[str, Any]:
    return {"object": "list", "data": list(items), "first_id": None, "last_id": None, "has_more": False}


HEADERS = {"openai-poll-after-ms": "50"}
ANSWERS: list[HttpAnswer] = [
    (200, HEADERS, run("queued")),
    (429, {"Retry-After": "0"}, {"error": {"message": "slow down", "code": "rate_limit_exceeded"}}),
    (200, HEADERS, run("in_progress", started_at=1_790_000_001)),
    (200, HEADERS, run("requires_action", started_at=1_790_000_001, required_action=WAITING)),
    (500, {}, "<html>oops</html>"),
    (200, HEADERS, run("generating", started_at=1_790_000_002)),
    (200, {}, run("incomplete", started_at=1_790_000_002, incomplete_details={"reason": "max_prompt_tokens"})),
]


async def told(retrieve: Any) -> tuple[list[Signal], RunStream]:
    source = PollSource(retrieve, interval=0.01, max_interval=0.05, reconnect=QUICK, deadline=60.0)
    seen: list[Signal] = []
    async with asyncio.timeout(90), RunStream(source, on_subscriber_error="raise") as stream:
        stream.signals.subscribe(seen.append)
        await stream.results()
    return seen, stream


def check(seen: list[Signal], stream: RunStream) -> None:
    """What comes of ANSWERS, whoever retrieves."""
    run = stream.latest["run_1"].run
    assert run.is_incomplete
    assert run.incomplete_details is not None
    assert run.incomplete_details.reason == "max_prompt_tokens"
    kinds = [signal.type for signal in seen if signal.type.startswith(("run.", "source.r"))]
    assert kinds == [
        "run.created", "run.status_changed", "source.resumed", "run.status_changed", "run.action_required",
        "source.resumed", "run.status_changed", "run.incomplete",
    ]  # fmt: skip
    changes = [signal.after.value for signal in seen if isinstance(signal, RunStatusChanged)]
    assert changes == ["queued", "in_progress", "generating"]


openai = pytest.importorskip("openai")


@pytest.fixture(autouse=True)
def _deprecated_in_the_client() -> Any:
    import warnings

    with warnings.catch_warnings():
        # The client says of every call of this interface that OpenAI itself no longer offers it.
        warnings.filterwarnings("ignore", message=".*Assistants API is deprecated.*", category=DeprecationWarning)
        yield


@pytest.mark.parametrize("raw", [False, True], ids=["object", "raw response"])
@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_the_openai_client(is_async: bool, raw: bool) -> None:
    """The example that everybody starts from, done right: it ends on `incomplete`, and rides out 429 and 500."""
    with run_api({RUN: ANSWERS}) as url:
        options: dict[str, Any] = {"api_key": "sk-test", "base_url": url, "max_retries": 0}
        client: Any = openai.AsyncOpenAI(**options) if is_async else openai.OpenAI(**options)
        runs = client.beta.threads.runs.with_raw_response if raw else client.beta.threads.runs
        try:
            seen, stream = await told(lambda: runs.retrieve("run_1", thread_id="thread_0001"))
        finally:
            closing = client.close()
            if is_async:
                await closing
    check(seen, stream)


async def test_the_openai_client_with_steps_and_messages() -> None:
    """A list of what belongs to the run; pages as the server has them, newest first, with the user's messages."""
    text = {"content": [text_part("Hello")], "status": "completed"}
    old = message_object("msg_0", run("completed"), role="user", run_id=None, created_at=1_790_000_000)
    new = message_object("msg_1", run("completed"), created_at=1_790_000_001, **text)
    later = message_object("msg_2", run("completed"), created_at=1_790_000_002, **text)
    step = step_object("step_1", run("completed"), message_creation("msg_1"), status="completed")
    answers: dict[str, list[HttpAnswer]] = {
        RUN: [(200, {}, run("in_progress")), (200, {}, run("completed"))],
        RUN + "/steps": [(200, {}, listed()), (200, {}, listed(step))],
        "/threads/thread_0001/messages": [(200, {}, listed(old)), (200, {}, listed(later, new, old))],
    }
    with run_api(answers) as url, openai.OpenAI(api_key="sk-test", base_url=url, max_retries=0) as client:
        threads = client.beta.threads

        def retrieve() -> list[Any]:
            return [
                threads.runs.retrieve("run_1", thread_id="thread_0001"),
                threads.runs.steps.list("run_1", thread_id="thread_0001"),
                threads.messages.list("thread_0001"),
            ]

        seen, stream = await told(retrieve)
    state = stream.latest["run_1"]
    assert [message.id for message in state.messages] == ["msg_1", "msg_2"]
    assert [step.id for step in state.steps] == ["step_1"]
    assert state.text == "HelloHello"
    assert stream.orphans == {}
    assert sum(isinstance(signal, RunCompleted) for signal in seen) == 1


async def test_a_final_refusal_of_the_openai_client_says_what_it_was() -> None:
    """Without a word of the key."""
    with run_api({}) as url, openai.OpenAI(api_key="sk-secret", base_url=url, max_retries=0) as client:
        source = PollSource(lambda: client.beta.threads.runs.retrieve("run_1", thread_id="thread_0001"))
        async with asyncio.timeout(60), RunStream(source) as stream:
            with pytest.raises(Exception, match=r"poll: HTTP 404 \(NotFoundError\)") as failed:
                await stream.result()
    assert "sk-secret" not in str(failed.value)


async def test_httpx_as_it_is() -> None:
    """A response is an answer; whoever does not raise for its status needs not."""
    httpx = pytest.importorskip("httpx")
    with run_api({RUN: ANSWERS}) as url:
        async with httpx.AsyncClient() as client:
            check(*await told(lambda: client.get(url + RUN)))


async def test_the_objects_and_errors_of_azure() -> None:
    """Its models are mappings with values of their own; its errors carry `status_code` and `response`."""
    models = pytest.importorskip("azure.ai.agents.models")
    exceptions = pytest.importorskip("azure.core.exceptions")

    class Answered:
        status_code = 429
        reason = "Too Many Requests"
        headers: dict[str, str] = {"Retry-After": "0"}  # noqa: RUF012 - a stub

        def text(self) -> str:
            return ""

    answers = iter([models.ThreadRun(body) for status, _, body in ANSWERS if status == 200])
    errors = [exceptions.HttpResponseError(response=Answered()), exceptions.ServiceRequestError("down")]
    asked: list[int] = []

    def retrieve() -> Any:
        asked.append(1)
        if len(asked) in (2, 6):
            raise errors.pop(0)
        return next(answers)

    seen, stream = await told(retrieve)
    run = stream.latest["run_1"].run
    assert run.is_incomplete
    assert run.created_at == 1_790_000_000
    assert [signal.type for signal in seen].count("source.resumed") == 2
