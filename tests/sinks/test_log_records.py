"""The record of every class of signal, made by hand with a secret wherever there is room for one."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from reactivex.subject import Subject
from structlog.testing import capture_logs

from runstream.core.signals import (
    SIGNAL_TYPES,
    ActionRequired,
    ArgumentsDelta,
    MessageIncomplete,
    RunCompleted,
    RunFailed,
    RunInterrupted,
    RunSignal,
    Signal,
    SourceDisconnected,
    SourceError,
    StepFailed,
    TextDelta,
    TextReplaced,
    ToolCallCompleted,
)
from runstream.fold import fold
from runstream.model.calls import FunctionToolCall
from runstream.model.message import Message
from runstream.model.run import Run, RunStatus
from runstream.model.shared import ErrorObject
from runstream.model.step import RunStep
from runstream.sinks.log import log_record, log_signals
from runstream.stream import RunStream
from tests.support.story import RunStory
from tests.support.wire import (
    envelope,
    function_call,
    message_creation,
    message_object,
    required_action,
    run_object,
    step_object,
    text_part,
    usage,
)

SECRETS = ("SAID", "ARGUED", "BLAMED")
"""What stands in the text, in the arguments and in the words of errors of all signals below."""

RUN = run_object("run_1")
HEAD = ("run_1", "thread_1", "", 12.5)


def story() -> list[str]:
    """A run that says something, asks for a call, and fails."""
    told = RunStory("log")
    told.open()
    told.start()
    told.say("SAID it all, twice: SAID", prompt=3)
    told.require(told.call_functions(("get_time", {"zone": "ARGUED"})))
    return [envelope(event) for event in told.cut()]


def made(kind: Any) -> Signal:
    """A signal of a class, with a secret wherever there is room for one."""
    error = {"code": "server_error", "message": "BLAMED"}
    call = function_call("call_1", "get_time", '{"zone": "ARGUED"}')
    values: dict[str, Any] = {
        "run_id": "run_1",
        "thread_id": "thread_1",
        "scope": "",
        "at": 12.5,
        "run": Run.from_json(
            run_object(
                "run_1",
                status="incomplete",
                last_error=error,
                usage=usage(5, 7),
                instructions="SAID",
                required_action=required_action(call),
                incomplete_details={"reason": "max_completion_tokens"},
            )
        ),
        "message": Message.from_json(
            message_object("msg_1", RUN, content=[text_part("SAID")], incomplete_details={"reason": "max_tokens"})
        ),
        "step": RunStep.from_json(
            step_object("step_1", RUN, details=message_creation("msg_1"), status="failed", last_error=error)
        ),
        "call": FunctionToolCall.from_json(call),
        "error": ErrorObject(code="rate_limit", message="BLAMED", type="server_error"),
        "before": RunStatus.QUEUED,
        "after": RunStatus.IN_PROGRESS,
        "duration": 3.5,
        "reason": "the connection broke off",
        "last_event_id": "e7",
        "attempts": 2,
        "attempt": 2,
        "idle": 61.0,
        "limit": "stalled_after",
        "n": 1,
        "round": 1,
        "message_id": "msg_1",
        "call_id": "call_1",
        "part": 0,
        "offset": 4,
        "delta": "ARGUED" if kind is ArgumentsDelta else "SAID",
        "text": "SAID",
        "source": "gateway",
        "calls": (),
    }
    values["action"] = values["run"].required_action
    signal: Signal = kind(**{name: values[name] for name in kind.__struct_fields__})
    return signal


EVERY = [pytest.param(kind, id=name) for name, kind in SIGNAL_TYPES.items()]

LEVELS = {
    "run.failed": "error",
    "step.failed": "error",
    "run.expired": "warning",
    "step.expired": "warning",
    "run.incomplete": "warning",
    "run.interrupted": "warning",
    "run.stalled": "warning",
    "message.incomplete": "warning",
    "source.error": "warning",
    "source.disconnected": "warning",
    "message.text": "debug",
    "message.text_replaced": "debug",
    "tool_call.arguments": "debug",
}


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Leaves structlog as it was found."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("kind", EVERY)
def test_every_signal_has_a_level_and_a_name(kind: Any) -> None:
    """The event is the signal's type, the level that of its meaning; the common fields are always there."""
    signal = made(kind)
    level, event, fields = log_record(signal)
    assert (level, event) == (LEVELS.get(signal.type, "info"), signal.type)
    assert fields["key"] == signal.key
    assert fields["scope"] == ""
    if isinstance(signal, RunSignal):
        assert (fields["run_id"], fields["thread_id"]) == ("run_1", "thread_1")
    else:
        assert (fields["source"], fields["attempt"]) == ("gateway", 2)


@pytest.mark.parametrize("kind", EVERY)
def test_by_default_nothing_that_was_said_is_logged(kind: Any) -> None:
    """No text, no arguments, no words of errors; and every field is plain enough for any renderer."""
    signal = made(kind)
    record = json.dumps(log_record(signal))
    assert not [secret for secret in SECRETS if secret in record]
    assert not {"event", "level", "timestamp", "logger", "exc_info", "stack_info"} & set(log_record(signal)[2])


@pytest.mark.parametrize("kind", EVERY)
def test_each_consent_is_for_its_own(kind: Any) -> None:
    """Text does not bring arguments with it, nor arguments text."""
    signal = made(kind)
    assert "ARGUED" not in json.dumps(log_record(signal, include_text=True))
    said = json.dumps(log_record(signal, include_arguments=True))
    assert "SAID" not in said
    assert "BLAMED" not in said


@pytest.mark.parametrize(
    ("kind", "name", "value"),
    [
        (TextDelta, "text", "SAID"),
        (TextReplaced, "text", "SAID"),
        (RunFailed, "error_message", "BLAMED"),
        (StepFailed, "error_message", "BLAMED"),
        (SourceError, "error_message", "BLAMED"),
    ],
)
def test_text_is_logged_on_request(kind: Any, name: str, value: str) -> None:
    """Message text and the words of errors."""
    assert log_record(made(kind), include_text=True)[2][name] == value


def test_arguments_are_logged_on_request() -> None:
    """Those that grow, those that are whole, and those that are waited for."""
    assert log_record(made(ArgumentsDelta), include_arguments=True)[2]["arguments"] == "ARGUED"
    assert log_record(made(ToolCallCompleted), include_arguments=True)[2]["arguments"] == '{"zone": "ARGUED"}'
    (asked,) = (signal for signal in fold(story()).signals if isinstance(signal, ActionRequired))
    fields = log_record(asked, include_arguments=True)[2]
    assert fields["tools"] == ["get_time"]
    assert [json.loads(text) for text in fields["arguments"]] == [{"zone": "ARGUED"}]


def test_the_fields_of_an_ending() -> None:
    """How long it took, what it cost, why it ended."""
    fields = log_record(made(RunFailed))[2]
    assert fields == {
        "key": "run_1/failed",
        "run_id": "run_1",
        "thread_id": "thread_1",
        "scope": "",
        "duration": 3.5,
        "assistant_id": "asst_0001",
        "model": "gpt-4o-mini",
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "total_tokens": 12,
        "error_code": "server_error",
        "incomplete_reason": "max_completion_tokens",
    }
    bare = RunCompleted(*HEAD, Run.from_json(run_object("run_1", status="completed")), None)
    assert not {"total_tokens", "error_code", "incomplete_reason"} & set(log_record(bare)[2])


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (ActionRequired, {"action": "submit_tool_outputs", "calls": 0, "tools": []}),
        (RunInterrupted, {"reason": "the connection broke off", "last_event_id": "e7", "attempts": 2}),
        (MessageIncomplete, {"message_id": "msg_1", "incomplete_reason": "max_tokens"}),
        (StepFailed, {"step_id": "step_1", "step_type": "message_creation", "error_code": "server_error"}),
        (TextDelta, {"message_id": "msg_1", "part": 0, "offset": 4, "characters": 4}),
        (ArgumentsDelta, {"call_id": "call_1", "offset": 4, "characters": 6}),
        (ToolCallCompleted, {"call_id": "call_1", "tool": "get_time"}),
        (SourceDisconnected, {"reason": "the connection broke off", "attempt": 2}),
        (SourceError, {"error_type": "server_error", "error_code": "rate_limit"}),
    ],
)
def test_the_fields_of_some_others(kind: Any, fields: dict[str, Any]) -> None:
    """What tells one from another."""
    assert fields.items() <= log_record(made(kind))[2].items()


def test_the_fields_of_a_status() -> None:
    """Statuses as the wire writes them, unknown ones too."""
    kind = SIGNAL_TYPES["run.status_changed"]
    assert {"before": "queued", "after": "in_progress"}.items() <= log_record(made(kind))[2].items()
    odd = log_record(kind(*HEAD, None, RunStatus("on\nhold"), 1))[2]
    assert (odd["before"], odd["after"]) == (None, "on\\nhold")


def test_a_sources_own_failure_says_why() -> None:
    """Where there is no error of the server, the reason is ours."""
    assert log_record(SourceError("gateway", "", 1.0, 1, "the connection broke off", 3))[2]["reason"] == (
        "the connection broke off"
    )


@pytest.mark.parametrize("text", ["\x1b[31m", "a\r\nlevel=error event=forged", "\u2028", "\x00", "\u202e"])
def test_control_characters_are_escaped(text: str) -> None:
    """What came over the wire forges no line and steers no terminal, in lists too."""
    call = FunctionToolCall.from_json(function_call("call_1", text, "{}"))
    run = Run.from_json(run_object("run_1", status="requires_action", required_action=required_action(call.to_dict())))
    assert run.required_action is not None
    for signal in (
        TextDelta(text, text, text, 1.0, text, 0, 0, text),
        RunInterrupted(*HEAD, run, text, text, 1, 1),
        ToolCallCompleted(*HEAD, text, call),
        *fold([envelope(event) for event in _asking(text)]).signals,
    ):
        _, _, fields = log_record(signal, include_text=True, include_arguments=True)
        assert all(piece.isprintable() for value in fields.values() for piece in _strings(value))


def _asking(name: str) -> list[Any]:
    told = RunStory("odd")
    told.open()
    told.start()
    told.require(told.call_functions((name, {})))
    return told.cut()


def _strings(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [*filter(None, value)] if isinstance(value, list) else []


def test_a_field_of_another_type_is_named_by_its_type() -> None:
    """A server may put anything anywhere; what is no plain value is not written out."""
    (created, *_) = fold([{"event": "thread.run.created", "data": run_object(model={"said": "SAID"})}]).signals
    fields = log_record(created, include_text=True)[2]
    assert json.loads(json.dumps(fields)) == fields
    assert "SAID" not in json.dumps(fields)


def logged(signals: list[Signal], **options: Any) -> list[Any]:
    """What structlog is given."""
    subject: Subject[Signal] = Subject()
    with capture_logs() as entries:
        log_signals(subject, **options)
        for signal in signals:
            subject.on_next(signal)
    return entries


def test_an_observable_is_logged() -> None:
    """Level, event and fields reach structlog."""
    (entry,) = logged([made(RunFailed)])
    assert (entry["log_level"], entry["event"], entry["run_id"]) == ("error", "run.failed", "run_1")


def test_progress_is_off_by_default() -> None:
    """Growing text is left out unless asked for, and even then shows no text."""
    signals = list(fold(story()).signals)
    growing = [signal for signal in signals if isinstance(signal, TextDelta | ArgumentsDelta)]
    assert growing
    assert len(logged(signals)) == len(signals) - len(growing)
    entries = logged(signals, progress=True)
    assert [entry["event"] for entry in entries] == [signal.type for signal in signals]
    assert not [secret for secret in SECRETS if secret in json.dumps(entries)]
    everything = json.dumps(logged(signals, progress=True, include_text=True, include_arguments=True))
    assert "SAID" in everything
    assert "ARGUED" in everything


@pytest.mark.parametrize("progress", [False, True])
async def test_a_stream_is_logged(progress: bool) -> None:
    """A stream itself can be given; without progress it does not even build those signals."""
    with capture_logs() as entries:
        async with RunStream(story()) as stream:
            log_signals(stream, progress=progress)
            await stream.when("source.ended")
    events = [entry["event"] for entry in entries]
    assert {"run.created", "run.action_required", "run.paused", "source.ended"} <= set(events)
    assert ("message.text" in events) is progress
    assert ("tool_call.arguments" in events) is progress


def test_disposing_ends_the_logging() -> None:
    """What comes later is not logged."""
    subject: Subject[Signal] = Subject()
    with capture_logs() as entries:
        log_signals(subject).dispose()
        subject.on_next(made(RunFailed))
    assert entries == []


def test_json_lines_can_be_read_back() -> None:
    """One line each, for any signal, whatever is asked for."""
    out = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(out),
        processors=[structlog.processors.add_log_level, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.BoundLogger,
    )
    subject: Subject[Signal] = Subject()
    log_signals(subject, logger, progress=True, include_text=True, include_arguments=True)
    signals = [made(kind) for kind in SIGNAL_TYPES.values()]
    for signal in signals:
        subject.on_next(signal)
    found = [json.loads(line) for line in out.getvalue().splitlines()]
    assert [(entry["event"], entry["key"]) for entry in found] == [(signal.type, signal.key) for signal in signals]


def test_a_logger_of_the_standard_library_behind_structlog(caplog: pytest.LogCaptureFixture) -> None:
    """Levels and names arrive there; what it filters out is not rendered."""
    caplog.set_level(logging.INFO, logger="app.runs")
    logger = structlog.wrap_logger(
        logging.getLogger("app.runs"),
        processors=[structlog.stdlib.filter_by_level, structlog.processors.KeyValueRenderer(key_order=["event"])],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    subject: Subject[Signal] = Subject()
    log_signals(subject, logger, progress=True)
    for kind in (RunFailed, TextDelta, RunInterrupted):
        subject.on_next(made(kind))
    assert [(record.levelname, record.getMessage().split()[0]) for record in caplog.records] == [
        ("ERROR", "event='run.failed'"),
        ("WARNING", "event='run.interrupted'"),
    ]


def test_bound_fields_are_kept() -> None:
    """A logger's own context goes along."""
    (entry,) = logged([made(RunFailed)], logger=structlog.get_logger().bind(request="r1"))
    assert entry["request"] == "r1"


def test_nothing_is_configured(capsys: pytest.CaptureFixture[str]) -> None:
    """A library leaves the application's logging alone; structlog's own default prints."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    subject: Subject[Signal] = Subject()
    log_signals(subject)
    subject.on_next(made(RunFailed))
    assert "run.failed" in capsys.readouterr().out
    assert not structlog.is_configured()
    assert (list(root.handlers), root.level) == before
    assert logging.getLogger("runstream").level == logging.NOTSET
