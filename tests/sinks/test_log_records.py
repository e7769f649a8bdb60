"""The record of every class of signal, made by hand with a secret wherever there is room for one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runstream.engine.fold import fold
from runstream.model.common import ErrorObject
from runstream.model.message import Message
from runstream.model.run import Run, RunStatus
from runstream.model.signals import (
    SIGNAL_TYPES,
    ActionRequired,
    ArgumentsDelta,
    MessageIncomplete,
    RunCompleted,
    RunFailed,
    RunInterrupted,
    RunPaused,
    RunSignal,
    RunStalled,
    Signal,
    SourceDisconnected,
    SourceError,
    StepCompleted,
    StepFailed,
    TextDelta,
    TextReplaced,
    ToolCallCompleted,
)
from runstream.model.step import RunStep
from runstream.model.tool_calls import FunctionToolCall
from runstream.sinks.log_records import log_record
from tests.support.scripts import LabelledScript, stream_of
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
    script = LabelledScript("log").write_message("SAID it all, twice: SAID", prompt=3)
    script.require(script.call_functions(("get_time", {"zone": "ARGUED"})))
    return [envelope(event) for event in stream_of(script)]


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


@pytest.mark.parametrize("kind", EVERY)
def test_every_signal_has_a_level_and_a_name(kind: Any) -> None:
    """The event is the signal's type, the level that of its meaning; the common fields are always there."""
    signal = made(kind)
    level, event, fields = log_record(signal)
    assert (level, event) == (LEVELS.get(signal.type, "info"), signal.type)
    assert fields["key"] == signal.key
    assert fields["scope"] == ""
    assert json.loads(json.dumps(fields)) == fields
    if isinstance(signal, RunSignal):
        assert (fields["run_id"], fields["thread_id"]) == ("run_1", "thread_1")
        named = {"run", "message", "step"} & set(kind.__struct_fields__)
        assert fields.get("assistant_id") == ("asst_0001" if named else None)
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
        (RunStalled, {"idle": 61.0, "limit": "stalled_after"}),
        (RunPaused, {"round": 1}),
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


def test_the_fields_of_a_step_that_has_ended() -> None:
    """How long it took by the server's clock, and what it cost."""
    data = step_object("step_1", RUN, details=message_creation("msg_1"), status="completed", usage=usage(5, 7))
    data |= {"created_at": 100, "completed_at": 104}
    fields = log_record(StepCompleted(*HEAD, RunStep.from_json(data)))[2]
    assert fields == {
        "key": "step_1/completed",
        "run_id": "run_1",
        "thread_id": "thread_1",
        "assistant_id": "asst_0001",
        "scope": "",
        "step_id": "step_1",
        "step_type": "message_creation",
        "duration": 4.0,
        "prompt_tokens": 5,
        "completion_tokens": 7,
        "total_tokens": 12,
    }
    for change in ({"completed_at": None}, {"created_at": None}, {"created_at": 105}):
        assert log_record(StepCompleted(*HEAD, RunStep.from_json({**data, **change})))[2]["duration"] is None


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
    script = LabelledScript("odd")
    return stream_of(script.require(script.call_functions((name, {}))))


def _strings(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else [*filter(None, value)] if isinstance(value, list) else []


def test_a_field_of_another_type_is_named_by_its_type() -> None:
    """A server may put anything anywhere; what is no plain value is not written out."""
    (created, *_) = fold([{"event": "thread.run.created", "data": run_object(model={"said": "SAID"})}]).signals
    fields = log_record(created, include_text=True)[2]
    assert json.loads(json.dumps(fields)) == fields
    assert "SAID" not in json.dumps(fields)
