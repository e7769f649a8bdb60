"""The logging sink: signals become records, whole, escaped, and without text, arguments and errors by default.

First the record of every class of signal, made by hand with a secret in each place that can have one; then what
reaches structlog or the standard library.
"""

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

from runstream import demo
from runstream.engine.fold import fold
from runstream.errors import SubscribersFailed
from runstream.model.common import ErrorObject
from runstream.model.frozen import FrozenList
from runstream.model.message import Message
from runstream.model.progress_signals import PROGRESS
from runstream.model.run import Run, RunStatus
from runstream.model.signals import (
    SIGNAL_TYPES,
    ActionRequired,
    ActivityChanged,
    ArgumentsDelta,
    CustomReceived,
    DocumentChanged,
    MessageIncomplete,
    ReasoningDelta,
    RefusalDelta,
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
    ToolCallOutputDelta,
    ToolCallResult,
)
from runstream.model.step import RunStep
from runstream.model.tool_calls import FunctionToolCall
from runstream.recordings.reader import read_recording
from runstream.sinks.log import log_record, log_signals
from runstream.stream.run_stream import RunStream
from runstream.testing import script
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
        "delta": "ARGUED" if kind in (ArgumentsDelta, ToolCallOutputDelta) else "SAID",
        "text": "SAID",
        "source": "gateway",
        "calls": (),
        "request": "call_1",
        "call_key": "run_1/call/call_1",
        "step_id": "step_1",
        "kind": "summary",
        "output": "ARGUED",
        "name": "progress",
        "value": {"SAID": "ARGUED"},
        "server_message": "BLAMED",
        "path": (),
        "version": 2,
        "operations": FrozenList([{"op": "add", "path": "/SAID", "value": "ARGUED"}]),
        "size": 17,
        "partial": True,
        "activity_id": "plan_1",
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
    "message.refusal": "debug",
    "reasoning.text": "debug",
    "tool_call.output": "debug",
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
        (SourceError, "server_message", "BLAMED"),
        (SourceDisconnected, "server_message", "BLAMED"),
        (RunInterrupted, "server_message", "BLAMED"),
        (RefusalDelta, "text", "SAID"),
        (ReasoningDelta, "text", "SAID"),
    ],
)
def test_text_is_logged_on_request(kind: Any, name: str, value: str) -> None:
    """Message text and the words of errors."""
    assert log_record(made(kind), include_text=True)[2][name] == value


def test_arguments_are_logged_on_request() -> None:
    """Those that grow, those that are whole, and those that are waited for."""
    assert log_record(made(ArgumentsDelta), include_arguments=True)[2]["arguments"] == "ARGUED"
    assert log_record(made(ToolCallCompleted), include_arguments=True)[2]["arguments"] == '{"zone": "ARGUED"}'
    for kind in (ToolCallOutputDelta, ToolCallResult):
        assert log_record(made(kind), include_arguments=True)[2]["output"] == "ARGUED"
    (asked,) = (signal for signal in fold(story()).signals if isinstance(signal, ActionRequired))
    fields = log_record(asked, include_arguments=True)[2]
    assert fields["tools"] == ["get_time"]
    assert [json.loads(text) for text in fields["arguments"]] == [{"zone": "ARGUED"}]


@pytest.mark.parametrize("code", ["my diary says", "x" * 80, ""])
def test_a_code_that_is_no_short_name_is_not_logged(code: str) -> None:
    """It may quote anything, as a message may."""
    failed = {"last_error": {"code": code, "message": "m"}, "incomplete_details": {"reason": code}}
    run = Run.from_json(run_object("run_1", status="failed", **failed))
    signal = RunFailed(*HEAD, run, None)
    assert not {"error_code", "incomplete_reason"} & log_record(signal)[2].keys()
    assert log_record(signal, include_text=True)[2]["error_code"] == code


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
        (ToolCallOutputDelta, {"call_id": "call_1", "offset": 4, "characters": 6}),
        (ToolCallResult, {"call_id": "call_1", "tool": "get_time", "characters": 6}),
        (RefusalDelta, {"message_id": "msg_1", "part": 0, "offset": 4, "characters": 4}),
        (ReasoningDelta, {"step_id": "step_1", "kind": "summary", "part": 0, "offset": 4, "characters": 4}),
        (DocumentChanged, {"version": 2, "operations": 1, "size": 17, "partial": True}),
        (
            ActivityChanged,
            {"activity_id": "plan_1", "kind": "summary", "version": 2, "operations": 1, "size": 17, "partial": True},
        ),
        (CustomReceived, {"name": "progress", "n": 1}),
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
        "key": "run_1/step/step_1/completed",
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
        ToolCallCompleted(*HEAD, text, call, text),
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


SECRET = "the s3cret words"
FORGED = "look_up\n2099-01-01 [error] run.failed run_id=run_forged\x1b[31m\u2028\x00"


@pytest.fixture(autouse=True)
def unconfigured() -> Iterator[None]:
    """Leaves structlog as it was found."""
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def said(secret: str = SECRET, run_id: str = "run_1") -> list[Signal]:
    """Signals of runs that say the words, call with them, and fail with them."""
    run = script(run_id).say(secret).call(look_up={"query": secret}).answer(secret).say(secret)
    failed = script(f"{run_id}_failed").start().end("failed", last_error={"code": "server_error", "message": secret})
    return [*fold(run.end().raw_events()).signals, *fold(failed.raw_events()).signals]


def shown() -> list[Signal]:
    """All signals of the bundled recordings, progress too."""
    return [s for name in demo.recordings() for s in fold(read_recording(demo.load(name))).signals]


def emit(signals: list[Signal], logger: Any = None, **options: bool) -> None:
    subject: Subject[Signal] = Subject()
    log_signals(subject, logger, **options)
    for signal in signals:
        subject.on_next(signal)


def logged(signals: list[Signal], logger: Any = None, **options: bool) -> list[Any]:
    """What structlog is given."""
    with capture_logs() as entries:
        emit(signals, logger, **options)
    return entries


def rendered(signals: list[Signal], renderer: Any, **options: bool) -> str:
    """What a renderer of structlog writes."""
    out = io.StringIO()
    logger = structlog.wrap_logger(
        structlog.PrintLogger(out), processors=[structlog.processors.add_log_level, renderer]
    )
    emit(signals, logger, progress=True, **options)
    return out.getvalue()


def test_level_event_and_fields_reach_structlog() -> None:
    entry = logged(said())[-2]
    assert (entry["log_level"], entry["event"], entry["run_id"]) == ("error", "run.failed", "run_1_failed")


def test_all_that_is_told_of_a_run_is_bound_to_its_assistant() -> None:
    """Also what does not name it by itself; each run to its own."""
    signals = shown()
    assistants = {s.run_id: s.run.assistant_id for s in signals if isinstance(s, RunSignal) and hasattr(s, "run")}
    assert len(set(assistants.values())) > 5
    entries = [entry for entry in logged(signals, progress=True) if "run_id" in entry]
    assert {entry["event"] for entry in entries} >= {"message.text", "tool_call.arguments", "tool_call.completed"}
    for entry in entries:
        assert entry["thread_id"]
        assert entry["assistant_id"] == assistants[entry["run_id"]]


def test_progress_is_off_by_default() -> None:
    """Growing text and arguments are left out; everything else is there, in order."""
    signals = said()
    others = [signal.type for signal in signals if type(signal) not in PROGRESS]
    assert len(others) < len(signals)
    assert [entry["event"] for entry in logged(signals)] == others
    assert [entry["event"] for entry in logged(signals, progress=True)] == [signal.type for signal in signals]


def test_what_was_said_is_logged_on_request_only() -> None:
    """Each consent for its own."""
    assert "s3cret" not in repr(logged(said(), progress=True))
    text = logged(said(), progress=True, include_text=True)
    assert [entry for entry in text if entry.get("error_message") == SECRET]
    assert not [entry for entry in text if "arguments" in entry]
    arguments = logged(said(), progress=True, include_arguments=True)
    assert [entry for entry in arguments if SECRET in str(entry.get("arguments"))]
    assert not [entry for entry in arguments if "text" in entry or "error_message" in entry]


@pytest.mark.parametrize("progress", [False, True])
async def test_a_stream_is_logged(progress: bool) -> None:
    """A stream itself can be given; without progress it does not even build those signals."""
    run = script().say("Hello there.").call(look_up={})
    with capture_logs() as entries:
        async with RunStream(run.raw_events()) as stream:
            log_signals(stream, progress=progress)
            await stream.when("source.ended")
            built = stream.stats.signals
    events = [entry["event"] for entry in entries]
    assert {"run.created", "run.action_required", "run.paused", "source.ended"} <= set(events)
    assert ("message.text" in events) is progress
    assert built == len(events)


async def test_a_logger_that_raises_is_the_only_one_to_suffer() -> None:
    """The others get every signal; the stream says whose failure it was."""

    class Full:
        def __getattr__(self, level: str) -> Any:
            raise OSError(28, "No space left on device")

    got: list[Signal] = []
    with capture_logs() as entries:
        async with RunStream(script().say("Hello there.").end().raw_events()) as stream:
            log_signals(stream, Full())
            stream.signals.subscribe(got.append)
            with pytest.raises(SubscribersFailed, match="log_signals"):
                await stream.results()
            failures = stream.stats.failures
    assert [signal.type for signal in got][-1] == "source.ended"
    assert failures == sum(not isinstance(signal, TextDelta) for signal in got)
    assert {entry["event"] for entry in entries} == {"subscriber_failed"}


def test_disposing_ends_the_logging() -> None:
    subject: Subject[Signal] = Subject()
    with capture_logs() as entries:
        log_signals(subject).dispose()
        subject.on_next(said()[0])
    assert entries == []


def test_another_type_than_a_stream_or_a_logger_is_refused() -> None:
    """At once, not when the first signal is logged."""
    with pytest.raises(TypeError, match=r"^logger must be a structlog logger, a logging.Logger, or .*, not a str$"):
        log_signals(Subject(), "runs")
    with pytest.raises(TypeError, match=r"^signals must be a RunStream or an Observable of signals, not a int$"):
        log_signals(5)


def test_bound_fields_are_kept() -> None:
    """A logger's own context goes along."""
    (entry, *_) = logged(said(), structlog.get_logger().bind(request="r1"))
    assert entry["request"] == "r1"


def test_nothing_is_configured(capsys: pytest.CaptureFixture[str]) -> None:
    """A library leaves the application's logging alone, and its standard output: the lines go to standard logging."""
    root = logging.getLogger()
    before = (list(root.handlers), root.level)
    emit(said())
    assert capsys.readouterr().out == ""
    assert not structlog.is_configured()
    assert (list(root.handlers), root.level) == before
    assert logging.getLogger("runstream").level == logging.NOTSET


def test_json_lines_can_be_read_back() -> None:
    """One line each, for any signal, whatever is asked for."""
    signals = [*shown(), *said()]
    lines = rendered(signals, structlog.processors.JSONRenderer(), include_text=True, include_arguments=True)
    entries = [json.loads(line) for line in lines.splitlines()]
    assert [(entry["event"], entry["key"]) for entry in entries] == [(signal.type, signal.key) for signal in signals]


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
    signals = forged()
    text = rendered(signals, renderer, include_text=True, include_arguments=True)
    assert len(text.splitlines()) == len(signals)
    assert text.replace("\n", "").isprintable()
    assert "look_up" in text


def forged() -> list[Signal]:
    """Signals with line ends and control sequences wherever a server can put them."""
    run = script("run_2\nforged").say(FORGED).call(**{FORGED: {"query": FORGED}}).answer(FORGED).end()
    return [*fold(run.raw_events()).signals, *said(FORGED, run_id="run_3")]


class Handler(logging.Handler):
    """Keeps the records that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def standard() -> Iterator[tuple[logging.Logger, Handler]]:
    """A logger of the standard library that nothing else listens to."""
    logger, handler = logging.getLogger("app.runs"), Handler()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield logger, handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)
    logger.propagate = True


def test_structlog_over_the_standard_library(standard: tuple[logging.Logger, Handler]) -> None:
    """Levels and names arrive there; what it filters out is not rendered."""
    logger, handler = standard
    logger.setLevel(logging.INFO)
    wrapped = structlog.wrap_logger(
        logger,
        processors=[structlog.stdlib.filter_by_level, structlog.processors.KeyValueRenderer(key_order=["event"])],
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    emit(said(), wrapped, progress=True)
    seen = [(record.levelname, record.getMessage().split()[0]) for record in handler.records]
    assert ("ERROR", "event='run.failed'") in seen
    assert not [name for level, name in seen if level == "DEBUG"]


def test_a_logger_of_the_standard_library(standard: tuple[logging.Logger, Handler]) -> None:
    """Without structlog: the message says it all, the fields are attributes of the record, at the right level."""
    logger, handler = standard
    emit(said(), logger, progress=True)
    entries = logged(said(), progress=True)
    assert len(handler.records) == len(entries)
    for record, entry in zip(handler.records, entries, strict=True):
        assert record.levelname.lower() == entry.pop("log_level")
        assert record.getMessage().startswith(f"{entry['event']} key=")
        assert {name: getattr(record, name) for name in entry} == entry
    failed = next(record for record in handler.records if record.event == "run.failed")  # type: ignore[attr-defined]
    assert " run_id=run_1_failed thread_id=thread_1 assistant_id=" in failed.getMessage()
    assert "s3cret" not in "".join(record.getMessage() for record in handler.records)


def test_a_field_that_would_not_read_as_one_is_quoted(standard: tuple[logging.Logger, Handler]) -> None:
    """Names and values of a message can be told apart, and no line is forged."""
    logger, handler = standard
    emit(forged(), logger, progress=True, include_text=True, include_arguments=True)
    for record in handler.records:
        assert record.getMessage().isprintable()
    said_it = next(r.getMessage() for r in handler.records if r.event == "run.failed")  # type: ignore[attr-defined]
    assert ' error_message="look_up\\\\n2099-01-01 [error] run.failed run_id=run_forged' in said_it
    asked = next(r.getMessage() for r in handler.records if r.event == "run.action_required")  # type: ignore[attr-defined]
    assert " calls=1 tools=[" in asked


def test_what_the_standard_library_filters_is_not_built(standard: tuple[logging.Logger, Handler]) -> None:
    logger, handler = standard
    logger.setLevel(logging.ERROR)
    emit(said(), logger, progress=True)
    assert [record.levelname for record in handler.records] == ["ERROR"]


def test_an_adapter_keeps_its_fields(standard: tuple[logging.Logger, Handler]) -> None:
    """Its own beside those of the signal; and what it does to messages."""

    class Marking(logging.LoggerAdapter[logging.Logger]):
        def process(self, msg: Any, kwargs: Any) -> tuple[Any, Any]:
            msg, kwargs = super().process(msg, kwargs)
            return f"> {msg}", kwargs

    logger, handler = standard
    emit(said(), Marking(logger, {"request": "r1"}))
    record: Any = handler.records[0]
    assert (record.request, record.event, record.run_id) == ("r1", "run.created", "run_1")
    assert record.getMessage().startswith("> run.created key=")
