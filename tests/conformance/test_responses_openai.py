"""The `openai` package on recorded Responses streams: what it makes of them, and its objects as sources."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest

from runstream.core.state import RunState
from runstream.engine.fold import fold
from runstream.model.signals import RunSignal, Signal
from runstream.model.step import ReasoningDetails
from runstream.sources.adapters import adapt
from runstream.stream.run_stream import RunStream
from tests.conformance.responses_oracle import events_of
from tests.conformance.test_responses_fold import FILES, FOLDER, SHARED_INDEX, raws_of, usage_of

openai = pytest.importorskip("openai", reason="the differential tests need the `openai` package")

ONE_RESPONSE = [name for name in FILES if "websocket" not in name]
# Where the package and the library differ, by field, and why. Everywhere else they agree in all of them.
_EMPTY = "the server leaves the output of the final response empty, and the package has no other text or calls"
_RAISES = "the package raises at the `error` event, before the `failed` after it"
DIFFERS: dict[str, dict[str, str]] = {
    "fastresponses_failed.sse": {"status": _RAISES},
    "openai_error_then_failed.jsonl": {"status": _RAISES},
    "chatgpt_function_call.sse": {"calls": _EMPTY},
    "ogx_failed.sse": {"text": _EMPTY},
    "ogx_function_1_call.sse": {"text": "the final output lacks the message, which the stream had"},
}


def body_of(name: str) -> bytes:
    """A recording as the body of an event stream."""
    raws_of(name)
    if name.endswith(".sse"):
        return (FOLDER / name).read_bytes()
    blocks = [
        f"event: {event.get('type', 'error')}\ndata: {json.dumps(event)}\n\n" for event in events_of(FOLDER / name)
    ]
    return "".join(blocks).encode()


def transport_of(body: bytes) -> Any:
    """The HTTP client of the package, which answers each request with an event stream."""
    http = http_of(openai.DefaultHttpxClient)
    headers = {"content-type": "text/event-stream"}
    return openai.DefaultHttpxClient(
        transport=http.MockTransport(lambda request: http.Response(200, headers=headers, content=body))
    )


def http_of(client: type) -> Any:
    """The HTTP library that a client of the package is built on."""

    return importlib.import_module(
        next(kind.__module__.split(".")[0] for kind in client.__mro__ if "httpx" in kind.__module__)
    )


def client_of(body: bytes) -> Any:
    return openai.OpenAI(
        api_key="none", base_url="http://offline.invalid/v1", http_client=transport_of(body), max_retries=0
    )


def package_events(name: str) -> list[Any]:
    """The typed events that the package makes of a recording; skips the test where it refuses the stream."""
    with client_of(body_of(name)) as api, api.responses.create(model="m", input="x", stream=True) as stream:
        found = []
        try:
            found.extend(stream)
        except (openai.APIError, json.JSONDecodeError, TypeError, AttributeError) as error:
            if not found:
                pytest.skip(f"the package does not survive this stream ({type(error).__name__})")
        return found


def their_reading(events: list[Any]) -> dict[str, Any]:
    """What the package's last response says."""
    last = next((event.response for event in reversed(events) if getattr(event, "response", None) is not None), None)
    if last is None:
        return {}
    usage = last.usage
    calls = {
        item.call_id: (item.name, item.arguments if item.type == "function_call" else item.input)
        for item in last.output or []
        if item.type in ("function_call", "custom_tool_call")
    }
    return {
        "text": last.output_text if last.output else "",
        "calls": calls,
        "tokens": usage.total_tokens if usage is not None else None,
        "model": last.model,
        "status": last.status,
        "reasoning": [
            part.text
            for item in last.output or []
            if item.type == "reasoning"
            for part in (*(item.summary or ()), *(item.content or ()))
            if part.text
        ],
    }


def our_reading(state: RunState) -> dict[str, Any]:
    calls = {call.id: (call.name, call.arguments) for call in state.tool_calls if call.type in ("function", "custom")}
    return {
        "text": state.text,
        "calls": calls,
        "tokens": usage_of(state).get("total_tokens"),
        "model": state.run.model,
        "status": "completed" if state.status == "requires_action" else state.status,
        "reasoning": [
            part.text
            for step in state.steps
            if isinstance(step.step_details, ReasoningDetails)
            for part in (*step.step_details.summary, *step.step_details.content)
            if part.text
        ],
    }


@pytest.mark.parametrize("name", ONE_RESPONSE)
def test_the_package_and_the_library_agree(name: str) -> None:
    """The fields are those of the last response of the package; differences are named, with their reason."""
    theirs = their_reading(package_events(name))
    (state,) = fold(raws_of(name), dialect="responses").runs or [None]
    if state is None or not theirs:
        assert not theirs
        return
    ours = our_reading(state)
    found = [field for field in theirs if theirs[field] != ours[field]]
    assert found == list(DIFFERS.get(name, {})), {field: (theirs[field], ours[field]) for field in found}


def run_keys(signals: Any) -> list[str]:
    return [signal.key for signal in signals if isinstance(signal, RunSignal)]


@pytest.mark.parametrize("name", ONE_RESPONSE)
def test_the_events_of_the_package_are_raw_events(name: str) -> None:
    """The objects of its stream fold to the same signals as the bytes that it has read."""
    events = package_events(name)
    folded = fold(events, dialect="responses")
    assert not folded.rejects
    assert run_keys(folded.signals) == run_keys(
        fold(events_of(FOLDER / name)[: len(events)], dialect="responses").signals
    )


@pytest.mark.parametrize("name", ["openai_text.sse", "openai_parallel_calls.sse", "openai_reasoning_summary.sse"])
def test_a_stream_of_the_package_is_a_source(name: str) -> None:
    """`adapt` takes it as it is."""
    with client_of(body_of(name)) as api, api.responses.create(model="m", input="x", stream=True) as stream:
        source = adapt(stream)
        assert source.name == "iterable"
        assert (
            fold(stream, dialect="responses").runs[0].to_dict()
            == fold(raws_of(name), dialect="responses").runs[0].to_dict()
        )


@pytest.mark.parametrize("name", ["openai_text.sse", "openai_parallel_calls.sse", "openai_reasoning_summary.sse"])
def test_the_events_of_the_helper_are_raw_events(name: str) -> None:
    """`client.responses.stream()` adds snapshots to its events: these are skipped."""
    with client_of(body_of(name)) as api, api.responses.stream(model="m", input="x") as stream:
        folded = fold(list(stream), dialect="responses")
    whole = fold(raws_of(name), dialect="responses")
    assert run_keys(folded.signals) == run_keys(whole.signals)
    assert [state.text for state in folded.runs] == [state.text for state in whole.runs]


async def test_an_async_stream_of_the_package_is_a_source() -> None:
    """An `AsyncStream` is attached as it is."""
    http = http_of(openai.DefaultAsyncHttpxClient)
    body = body_of("openai_parallel_calls.sse")

    async def answer(request: object) -> Any:
        return http.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    client = openai.DefaultAsyncHttpxClient(transport=http.MockTransport(answer))
    signals: list[Signal] = []
    async with openai.AsyncOpenAI(api_key="none", base_url="http://offline.invalid/v1", http_client=client) as api:
        events = await api.responses.create(model="m", input="x", stream=True)
        async with RunStream(events, dialect="responses") as stream:
            signals += [signal async for signal in stream]
    whole = fold(raws_of("openai_parallel_calls.sse"), dialect="responses")
    assert run_keys(signals) == run_keys(whole.signals)


@pytest.mark.parametrize("name", [name for name in ONE_RESPONSE if name not in SHARED_INDEX])
def test_the_helper_adds_up_the_same_text(name: str) -> None:
    """The text that the package's fragments add up to is the text of the run."""
    pieces = [event.delta for event in package_events(name) if event.type == "response.output_text.delta"]
    if pieces and name not in EDITED:
        assert "".join(pieces) == "".join(state.text for state in fold(raws_of(name), dialect="responses").runs)


# A repository has edited the values of its fragments, but not of the whole text.
EDITED = {"openai_shell_container.jsonl", "openai_image_generation.jsonl", "xai_x_search_SHORTENED.jsonl"}
