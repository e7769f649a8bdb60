"""The logging sink: what stands in a log of every signal, and what never does."""

from __future__ import annotations

import asyncio
import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from reactivex.subject import Subject
from structlog.testing import capture_logs

import runstream
from runstream import demo
from runstream.core.signals import (
    SIGNAL_TYPES,
    MessageIncomplete,
    RunInterrupted,
    RunStalled,
    Signal,
    SourceDisconnected,
    SourceError,
    StepExpired,
    StepFailed,
)
from runstream.model.message import Message
from runstream.model.run import Run
from runstream.model.shared import ErrorObject
from runstream.model.step import RunStep
from runstream.sinks.log import log_record, log_signals
from runstream.sources.recording_reader import read_recording
from runstream.testing import script

FORGED = "look_up\n2099-01-01 [error] run.failed run_id=run_forged\x1b[31m\u2028\x00"
SECRET = "the s3cret words"
AT = 1_790_000_000.0


def said(secret: str = SECRET) -> list[Signal]:
    """Signals of runs in which the words are everywhere where words can be."""
    run = script("run_1").say(secret).call(look_up={"query": secret}).answer(secret).say(secret).end()
    signals = list(runstream.fold(run.raw_events()).signals)
    failed = Run.from_json(
        {"id": "run_2", "status": "failed", "last_error": {"code": "server_error", "message": secret}}
    )
    step = RunStep.from_json({"id": "step_1", "last_error": {"code": "server_error", "message": secret}})
    message = Message.from_json({"id": "msg_1", "content": [], "incomplete_details": {"reason": "max_tokens"}})
    signals += [
        SIGNAL_TYPES["run.failed"]("run_2", None, "", AT, failed, 2.5),
        StepFailed("run_2", None, "", AT, step),
        StepExpired("run_2", None, "", AT, step),
        MessageIncomplete("run_2", None, "", AT, message),
        RunInterrupted("run_2", None, "", AT, failed, "the connection broke off", "e7", 3, 1),
        RunStalled("run_2", None, "", AT, failed, 30.5, "idle", 1),
        SourceError("ws://h/", "", AT, 1, secret, 0, ErrorObject(code="server_error", message=secret)),
        SourceDisconnected("ws://h/", "", AT, 1, "the connection broke off", 2),
    ]
    return signals


def demo_signals() -> list[Signal]:
    """All signals of the bundled recordings, progress too."""
    return [s for name in demo.recordings() for s in runstream.fold(read_recording(demo.load(name))).signals]


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with capture_logs() as logs:
        yield logs


def emit(signals: list[Signal], **options: Any) -> None:
    subject: Subject[Signal] = Subject()
    log_signals(subject, **options)
    for signal in signals:
        subject.on_next(signal)


def test_every_record_has_its_name_its_level_and_what_binds_it_to_a_run() -> None:
    for signal in [*demo_signals(), *said()]:
        level, event, fields = log_record(signal)
        assert level in {"debug", "info", "warning", "error"}
        assert (event, fields["key"], fields["scope"]) == (signal.type, signal.key, signal.scope)
        if isinstance(signal, runstream.SourceSignal):
            assert fields["source"] == signal.source
        else:
            assert (fields["run_id"], fields["thread_id"]) == (signal.run_id, signal.thread_id)
        assert json.loads(json.dumps(fields)) == fields
        assert not {"event", "level", "timestamp"} & fields.keys()


@pytest.mark.parametrize(
    ("type", "level"),
    [
        ("run.created", "info"),
        ("run.status_changed", "info"),
        ("run.action_required", "info"),
        ("run.completed", "info"),
        ("run.cancelled", "info"),
        ("run.failed", "error"),
        ("run.expired", "warning"),
        ("run.incomplete", "warning"),
        ("run.interrupted", "warning"),
        ("run.stalled", "warning"),
        ("message.text", "debug"),
        ("message.created", "info"),
        ("message.completed", "info"),
        ("message.incomplete", "warning"),
        ("step.created", "info"),
        ("step.completed", "info"),
        ("step.failed", "error"),
        ("step.expired", "warning"),
        ("tool_call.arguments", "debug"),
        ("tool_call.completed", "info"),
        ("source.error", "warning"),
        ("source.disconnected", "warning"),
        ("source.ended", "info"),
    ],
)
def test_the_level_is_what_it_means(type: str, level: str) -> None:
    found = {log_record(signal)[0] for signal in [*demo_signals(), *said()] if signal.type == type}
    assert found == {level}


def record(type: str, signals: list[Signal] | None = None, **options: bool) -> dict[str, Any]:
    """The fields of the last signal of a type."""
    return [log_record(s, **options)[2] for s in signals or said() if s.type == type][-1]


def test_an_end_has_its_duration_and_its_tokens() -> None:
    (completed,) = [
        s for s in runstream.fold(read_recording(demo.load("text.sse"))).signals if s.type == "run.completed"
    ]
    fields = log_record(completed)[2]
    assert isinstance(completed, runstream.RunCompleted)
    usage = completed.run.usage
    assert usage is not None
    assert fields["duration"] == completed.duration
    assert fields["total_tokens"] == usage.total_tokens
    assert (fields["prompt_tokens"], fields["completion_tokens"]) == (usage.prompt_tokens, usage.completion_tokens)
    assert (fields["assistant_id"], fields["model"]) == (completed.run.assistant_id, "gpt-4o-mini")


def test_a_failure_has_its_code_and_its_words_only_if_asked_for() -> None:
    for type in ("run.failed", "step.failed", "step.expired", "source.error"):
        assert record(type)["error_code"] == "server_error"
        assert "error_message" not in record(type)
        assert record(type, include_text=True)["error_message"] == SECRET
    assert record("message.incomplete")["incomplete_reason"] == "max_tokens"
    assert record("run.incomplete", demo_signals())["incomplete_reason"] == "max_completion_tokens"


def test_what_is_awaited_is_counted_and_named() -> None:
    fields = record("run.action_required")
    assert (fields["action"], fields["calls"], fields["tools"]) == ("submit_tool_outputs", 1, ["look_up"])
    assert "arguments" not in fields
    assert SECRET in record("run.action_required", include_arguments=True)["arguments"][0]


def test_losses_say_why_and_how_often_it_was_tried() -> None:
    fields = record("run.interrupted")
    assert (fields["reason"], fields["last_event_id"], fields["attempts"]) == ("the connection broke off", "e7", 3)
    assert (record("source.disconnected")["reason"], record("source.disconnected")["attempt"]) == (
        "the connection broke off",
        2,
    )
    assert (record("run.stalled")["idle"], record("run.stalled")["limit"]) == (30.5, "idle")


def test_no_text_and_no_arguments_are_logged_unless_asked_for(logged: list[Any]) -> None:
    emit(said(), progress=True)
    assert len(logged) == len(said())
    assert SECRET not in repr(logged)
    assert "s3cret" not in repr(logged)


def test_text_and_arguments_are_logged_apart(logged: list[Any]) -> None:
    emit(said(), progress=True, include_text=True)
    assert {entry["text"].strip() for entry in logged if "text" in entry} & {SECRET, "the"}
    assert not [entry for entry in logged if "arguments" in entry]
    logged.clear()
    emit(said(), progress=True, include_arguments=True)
    assert [entry for entry in logged if "arguments" in entry]
    assert not [entry for entry in logged if "text" in entry or "error_message" in entry]


def test_growing_text_is_left_out_by_default(logged: list[Any]) -> None:
    emit(said())
    names = {entry["event"] for entry in logged}
    assert not {"message.text", "tool_call.arguments"} & names
    assert {"message.completed", "tool_call.completed"} <= names


def test_a_disposed_sink_is_silent(logged: list[Any]) -> None:
    subject: Subject[Signal] = Subject()
    log_signals(subject).dispose()
    subject.on_next(said()[0])
    assert logged == []


async def test_a_stream_is_logged_without_building_signals_of_growing_text(logged: list[Any]) -> None:
    async def source() -> Any:
        for event in read_recording(demo.load("text.sse")):
            yield event

    async with asyncio.timeout(2), runstream.RunStream(source()) as stream:
        log_signals(stream)
        await stream.result()
    names = [entry["event"] for entry in logged]
    assert names.count("run.completed") == 1
    assert "message.text" not in names


def render(signals: list[Signal], renderer: Any, **options: bool) -> str:
    """What a renderer writes, with a logger that nobody configured globally."""
    out = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(out), processors=[structlog.processors.add_log_level, renderer]
    )
    emit(signals, logger=logger, progress=True, **options)
    return out.getvalue()


def test_json_lines_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    signals = [*demo_signals(), *said()]
    lines = render(signals, structlog.processors.JSONRenderer(), include_text=True).splitlines()
    entries = [json.loads(line) for line in lines]
    assert [entry["event"] for entry in entries] == [signal.type for signal in signals]
    assert [entry["key"] for entry in entries] == [signal.key for signal in signals]
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "renderer",
    [
        structlog.processors.JSONRenderer(),
        structlog.processors.JSONRenderer(ensure_ascii=False),
        structlog.dev.ConsoleRenderer(colors=False),
        structlog.processors.LogfmtRenderer(),
        structlog.processors.KeyValueRenderer(repr_native_str=False),
    ],
    ids=["json", "json-unicode", "console", "logfmt", "key-value"],
)
def test_nothing_from_the_wire_forges_a_line_or_steers_a_terminal(renderer: Any) -> None:
    run = script("run_1\nforged").say(FORGED).call(**{FORGED: {"query": FORGED}}).answer(FORGED).end()
    signals = list(runstream.fold(run.raw_events()).signals) + said(FORGED)
    text = render(signals, renderer, include_text=True, include_arguments=True)
    assert len(text.splitlines()) == len(signals)
    assert text.replace("\n", "").isprintable()
    assert "look_up" in text


def test_a_name_with_a_line_end_is_escaped_and_still_readable() -> None:
    run = script("run_1").call(**{"look\nup": {}}).answer("ok").end()
    tools = record("run.action_required", list(runstream.fold(run.raw_events()).signals))["tools"]
    assert tools == ["look\\nup"]


def test_logging_is_not_configured_by_it(logged: list[Any]) -> None:
    handlers, level = list(logging.getLogger().handlers), logging.getLogger().level
    configured = structlog.is_configured()
    emit(said())
    assert (list(logging.getLogger().handlers), logging.getLogger().level) == (handlers, level)
    assert structlog.is_configured() == configured
