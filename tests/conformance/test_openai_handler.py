"""The same bytes through the `openai` package's event handler and through fold: the same messages and text."""

from __future__ import annotations

import importlib
import json
import warnings
from typing import Any, Final, NamedTuple

import openai
import pytest

from runstream.engine.fold import fold
from runstream.recordings.reader import read_recording
from tests.conformance.recorded import RECORDINGS, STREAMS, body_of, said, without_nulls
from tests.support.wire import (
    Event,
    function_call_delta,
    message_delta,
    message_object,
    run_object,
    sse,
    step_delta,
    step_object,
    tool_calls,
)

# Where it dies: the exception's name, and the reason. (The documentation's examples, INDEX.md, "Wire form".)
DIES: Final = {
    "openapi_docs_2026-08_createRun_streaming.sse": ("JSONDecodeError", "a run object has one `}` too many"),
    "openapi_docs_2026-08_createRun_streaming_with_functions.sse": (
        "JSONDecodeError",
        "a run object has one `}` too many",
    ),
    "openapi_docs_2026-08_createThreadAndRun_streaming.sse": (
        "JSONDecodeError",
        "the last run event has no `data:`, so that its data is empty",
    ),
    "openapi_docs_2026-08_createThreadAndRun_streaming_with_functions.sse": (
        "JSONDecodeError",
        "a run object has one `}` too many",
    ),
    "openapi_docs_2026-08_submitToolOuputsToRun_streaming.sse": (
        "JSONDecodeError",
        "a run object has one `}` too many",
    ),
}
# Where it survives and says something else, and why.
DIFFERS: Final = {
    "php_text_no_blank_lines.sse": (
        "no blank lines: a strict parser sees one event whose data is not JSON; a recording is read leniently here"
    ),
}


class Outcome(NamedTuple):
    """What the handler made of a stream."""

    messages: list[dict[str, Any]]
    steps: list[dict[str, Any]]
    text: str
    run: dict[str, Any] | None
    error: Exception | None


def _client(body: bytes) -> openai.OpenAI:
    """A client whose server is these bytes. No network: the transport answers by itself."""
    name = next(
        kind.__module__.split(".")[0]
        for kind in openai.DefaultHttpxClient.__mro__
        if kind.__module__.startswith("httpx")
    )
    http: Any = importlib.import_module(name)  # newer versions of the package bring their own httpx

    def answer(request: object) -> Any:
        return http.Response(200, headers={"content-type": "text/event-stream"}, content=body)

    client = openai.DefaultHttpxClient(transport=http.MockTransport(answer))
    return openai.OpenAI(api_key="none", base_url="http://offline.invalid/v1", http_client=client, max_retries=0)


class _Handler(openai.AssistantEventHandler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[dict[str, Any]] = []
        self.steps: list[dict[str, Any]] = []
        self.text: list[str] = []

    def on_message_done(self, message: Any) -> None:
        self.messages.append(message.to_dict(warnings=False))

    def on_run_step_done(self, run_step: Any) -> None:
        self.steps.append(run_step.to_dict(warnings=False))

    def on_text_delta(self, delta: Any, snapshot: Any) -> None:
        self.text.append(delta.value or "")


def handled(body: bytes) -> Outcome:
    """What the `openai` package makes of a stream."""
    handler = _Handler()
    error: Exception | None = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the package deprecates its own interface
        try:
            with (
                _client(body) as client,
                client.beta.threads.runs.stream(
                    thread_id="thread", assistant_id="assistant", event_handler=handler
                ) as stream,
            ):
                stream.until_done()
        except Exception as raised:
            error = raised
    run = handler.current_run
    return Outcome(
        handler.messages,
        handler.steps,
        "".join(handler.text),
        run.to_dict(warnings=False) if run is not None else None,
        error,
    )


@pytest.mark.parametrize("name", [name for name in STREAMS if name not in DIES and name not in DIFFERS])
def test_the_handler_and_fold_agree(name: str) -> None:
    """Final messages, ended steps, the text and the run are the same, field by field."""
    body = body_of(name)
    theirs = handled(body)
    assert theirs.error is None
    (ours,) = fold(read_recording(body, format="sse")).runs
    assert {message["id"]: without_nulls(message) for message in theirs.messages} == {
        message.id: message.to_dict() for message in ours.messages if message.is_terminal
    }
    assert {step["id"]: without_nulls(step) for step in theirs.steps} == {
        step.id: step.to_dict() for step in ours.steps if step.is_terminal
    }
    assert theirs.text == ours.text
    assert theirs.run is not None
    assert without_nulls(theirs.run) == ours.run.to_dict()


@pytest.mark.parametrize("name", [name for name in STREAMS if name in DIES])
def test_where_the_handler_dies_fold_goes_on(name: str) -> None:
    """Broken JSON ends the handler for a known reason; fold rejects that event and reads the others."""
    body = body_of(name)
    theirs = handled(body)
    assert (type(theirs.error).__name__, DIES[name][1]) == DIES[name]
    folded = fold(read_recording(body, format="sse"))
    assert folded.rejects
    readable = [event for event, _ in said(list(read_recording(body, format="sse")))]
    assert folded.stats.events >= len(readable)
    assert not folded.runs or folded.runs[0].messages


@pytest.mark.parametrize("name", [name for name in STREAMS if name in DIFFERS])
def test_where_the_handler_differs(name: str) -> None:
    """The handler sees no event in a recording without blank lines; fold reads all of it."""
    body = body_of(name)
    theirs = handled(body)
    assert DIFFERS[name]
    assert theirs.error is None
    assert (theirs.run, theirs.text) == (None, "")
    (ours,) = fold(read_recording(body, format="sse")).runs
    assert ours.is_terminal
    assert ours.text


def test_the_error_of_a_stream_without_a_last_blank_line() -> None:
    """The handler drops an `error` that no blank line follows, and raises the one that a blank line follows."""
    if not RECORDINGS.exists():
        pytest.skip(f"the shared recordings are not there: {RECORDINGS}")
    body = body_of("simple_error_midstream_2024-05.sse")
    assert handled(body).error is None
    assert isinstance(handled(body.rstrip() + b"\n\n").error, openai.APIError)
    for given in (body, body.rstrip() + b"\n\n"):
        signals = fold(read_recording(given, format="sse")).signals
        assert [signal.type for signal in signals if signal.type.startswith("source.error")] == ["source.error"]
        assert signals[-2].type == "run.interrupted"


RUN = run_object("run_1", status="in_progress")
STARTED = Event("thread.run.in_progress", RUN)


def _text(*events: Event) -> dict[str, str]:
    (state,) = fold(read_recording(sse(events), format="sse")).runs
    return {message.id: message.text for message in state.messages}


def test_two_open_messages_mix_in_the_handler() -> None:
    """The handler appends every delta to the message created last, fold to the one whose id it has."""
    one, two = (message_object(id, RUN) for id in ("msg_1", "msg_2"))
    events = [
        STARTED,
        Event("thread.message.created", one),
        Event("thread.message.created", two),
        Event("thread.message.delta", message_delta("msg_1", "for one")),
        Event("thread.message.delta", message_delta("msg_2", "for two")),
    ]
    seen: list[str] = []

    class Handler(_Handler):
        def on_text_delta(self, delta: Any, snapshot: Any) -> None:
            seen.append(snapshot.value)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        with (
            _client(sse(events)) as client,
            client.beta.threads.runs.stream(
                thread_id="thread", assistant_id="assistant", event_handler=Handler()
            ) as stream,
        ):
            stream.until_done()
    assert seen[-1] == "for onefor two"
    assert _text(*events) == {"msg_1": "for one", "msg_2": "for two"}


def test_a_delta_before_its_message_ends_the_handler() -> None:
    """The handler dies of a delta whose object it never saw; fold makes a partial object of it."""
    step = step_object("step_1", RUN, {"type": "message_creation", "message_creation": {"message_id": "msg_1"}})
    events = [
        STARTED,
        Event("thread.run.step.created", step),
        Event("thread.message.delta", message_delta("msg_1", "hello")),
    ]
    assert isinstance(handled(sse(events)).error, RuntimeError)
    assert _text(*events) == {"msg_1": "hello"}


def test_calls_out_of_index_order_end_the_handler() -> None:
    """The handler reads an index as a place in its list; fold as a key."""
    step = step_object("step_1", RUN, tool_calls())
    events = [
        STARTED,
        Event("thread.run.step.created", step),
        Event("thread.run.step.delta", step_delta("step_1", function_call_delta(1, id="call_b", name="b"))),
        Event("thread.run.step.delta", step_delta("step_1", function_call_delta(0, id="call_a", name="a"))),
        Event("thread.run.step.delta", step_delta("step_1", function_call_delta(1, '{"x":1}'))),
        Event("thread.run.step.delta", step_delta("step_1", function_call_delta(0, "{}"))),
    ]
    assert isinstance(handled(sse(events)).error, Exception)
    (state,) = fold(read_recording(sse(events), format="sse")).runs
    assert [(call.id, json.loads(call.arguments or "")) for call in state.tool_calls] == [
        ("call_a", {}),
        ("call_b", {"x": 1}),
    ]
