"""``source.error`` names the run that it concerns, where that is known; see design, "source.error, with the run"."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

import pytest

from runstream import Engine, MemoryStore, RawEvent, RunStream, Signal, SourceError, fold
from runstream.cluster.facts import read_signal
from runstream.model.common import ErrorObject
from runstream.model.events import ErrorEvent, RunEvent
from runstream.model.raw import Answer, Request
from runstream.model.run import Run, RunStatus
from runstream.sinks.log import log_record
from runstream.testing import Script
from tests.support import canonical
from tests.support.canonical import ListDialect

ERROR = ErrorObject(code="busy", message="the model is busy")


def of(run_id: str, status: str = "in_progress", piece: str | None = None) -> RunEvent:
    return RunEvent(Run(id=run_id, status=RunStatus(status)), run_id=run_id, piece=piece, name="run")


def errors(signals: Iterable[Signal]) -> list[SourceError]:
    return [signal for signal in signals if isinstance(signal, SourceError)]


def play(events: list[Any], continues: str | None = None, failure: str = "", known: tuple[str, ...] = ()) -> list[Any]:
    """The ids of the runs in the errors of one source. Another source sends the known runs before."""
    signals: list[Signal] = []
    engine = Engine()
    engine.on_signal = signals.append
    if known:
        canonical.play([of(run_id) for run_id in known], engine, "before")
        engine.on_signal = signals.append
    intake = engine.intake("source", dialect=ListDialect(events), continues=continues)
    intake.feed_all([RawEvent(data=str(place).encode()) for place in range(len(events))])
    if failure:
        intake.failed(failure)
    intake.end("the server closed the connection")
    return [signal.run_id for signal in errors(signals)]


@pytest.mark.parametrize(
    ("events", "continues", "failure", "expected"),
    [
        ([ErrorEvent(ERROR)], None, "", [None]),
        ([ErrorEvent(ERROR, run_id="run_1")], None, "", ["run_1"]),  # the dialect has it
        ([ErrorEvent(ERROR)], "run_1", "", ["run_1"]),  # a request that was to continue a run was refused
        ([], "run_1", "HTTP 500", ["run_1"]),
        ([], None, "HTTP 500", [None]),
        ([of("run_1"), ErrorEvent(ERROR)], None, "", ["run_1"]),  # the source has sent one run
        ([of("run_1", "completed"), ErrorEvent(ERROR)], None, "", ["run_1"]),
        ([of("run_1"), of("run_2"), ErrorEvent(ERROR)], None, "", [None]),  # nothing is guessed
        ([of("run_1", "completed"), of("run_2"), ErrorEvent(ERROR)], None, "", [None]),
        ([of("run_1", "completed"), of("run_2")], None, "HTTP 500", ["run_2"]),  # the failure interrupts this one
        ([of("run_1"), of("run_2")], None, "HTTP 500", [None]),
        ([of("run_1"), of("run_2"), ErrorEvent(ERROR, run_id="run_2")], None, "", ["run_2"]),
        ([of("run_1"), of("run_2")], "run_1", "HTTP 500", [None]),
        ([of("run_1", piece="p1"), of("run_1", piece="p2"), ErrorEvent(ERROR, run_id="p2")], None, "", ["run_1"]),
    ],
)
def test_the_run_of_an_error(events: list[Any], continues: str | None, failure: str, expected: list[Any]) -> None:
    assert play(events, continues, failure) == expected


def test_runs_of_other_sources_are_not_named() -> None:
    assert play([ErrorEvent(ERROR)], failure="HTTP 500", known=("run_1",)) == [None, None]


def assistants() -> list[Signal]:
    return list(fold(Script().start().emit("error", {"error": {"message": "busy"}}).raw_events()).signals)


def _lines(*values: dict[str, Any]) -> list[RawEvent]:
    return [RawEvent(data=json.dumps(value).encode()) for value in values]


def responses() -> list[Signal]:
    response = {"id": "resp_1", "object": "response", "status": "in_progress", "output": []}
    refusal = {"type": "error", "sequence_number": 2, "code": "response_not_found", "message": "none"}
    created = {"type": "response.created", "sequence_number": 0, "response": response}
    return list(fold(_lines(created, refusal), dialect="responses").signals)


def ag_ui() -> list[Signal]:
    start = {"type": "RUN_STARTED", "threadId": "t", "runId": "run_1"}
    other = {**start, "runId": "run_2"}
    late = {"type": "RUN_ERROR", "message": "late", "runId": "run_1"}
    finish = {**start, "type": "RUN_FINISHED"}
    return list(fold(_lines(start, finish, other, late), dialect="ag-ui").signals)


@pytest.mark.parametrize(("signals", "run_id"), [(assistants, None), (responses, "resp_1"), (ag_ui, "run_1")])
def test_the_wires(signals: Any, run_id: str | None) -> None:
    found = signals()
    (error,) = errors(found)
    assert error.run_id == (run_id or next(signal.run_id for signal in found if signal.type == "run.created"))


def test_a_refused_answer_on_a_thread_of_langgraph() -> None:
    """The run whose interrupt was answered still waits, and the error names it. A later run is not linked to it."""
    signals: list[Signal] = []
    engine = Engine()
    engine.on_signal = signals.append
    intake = engine.intake("source", dialect="langgraph-thread")

    def send(method: str, data: dict[str, Any], id: str) -> None:
        frame = {"type": "event", "method": method, "params": {"namespace": [], "data": data}, "event_id": id}
        intake.feed(RawEvent(data=json.dumps(frame).encode()))

    def refuse(method: str, params: dict[str, Any]) -> None:
        intake.feed(Request(body=json.dumps({"id": 1, "method": method, "params": params}).encode()))
        reply = {"type": "error", "id": 1, "error": "no_such_run", "message": "gone"}
        intake.feed(Answer(data=json.dumps(reply).encode()))

    send("lifecycle", {"event": "running"}, "synth:run_1:lc||running")
    send("input.requested", {"interrupt_id": "int_1", "value": "ok?"}, "synth:run_1:input||int_1")
    send("lifecycle", {"event": "interrupted"}, "synth:run_1:lc||interrupted")
    state = {"values": {}, "next": ["ask"], "tasks": [{"interrupts": [{"id": "int_1", "value": "ok?"}]}]}
    asked = {"run": {"run_id": "run_1", "status": "success"}, "state": state, "thread": {"status": "interrupted"}}
    parts = {name: {"http": 200, "body": body} for name, body in asked.items()}
    intake.feed(Answer(data=json.dumps({"run_id": "run_1", **parts}).encode()))
    assert [state.status for state in engine.states()] == ["requires_action"]
    refuse("input.respond", {"interrupt_id": "int_1", "response": "yes"})
    refuse("run.start", {"assistant_id": "agent", "input": {}})
    assert [signal.run_id for signal in errors(signals)] == ["run_1", "run_1"]
    assert [state.status for state in engine.states()] == ["requires_action"]


def test_its_forms() -> None:
    """In JSON the run stands behind the signal's own fields; a log has it, and the key is that of the source."""
    (found,) = errors(assistants())
    value = found.to_dict()
    assert list(value)[:3] == ["type", "source", "key"]
    assert value["run_id"] == found.run_id
    assert "/error/1" in found.key
    assert read_signal(json.loads(found.to_json())) == found
    assert log_record(found)[2]["run_id"] == found.run_id
    assert "run_id" not in log_record(SourceError("source", "", 0.0, 1))[2]


def test_a_store_counts_on_after_a_restart() -> None:
    """The error is a fact of its source: that it names a run suppresses no error of a later process."""
    store = MemoryStore()
    found = []
    for _ in range(2):
        _, signals = canonical.play([of("run_1"), ErrorEvent(ERROR)], Engine(store=store), "source")
        found += errors(signals)
    assert [(signal.run_id, signal.n) for signal in found] == [("run_1", 1), ("run_1", 2)]


async def _replay(raws: list[bytes]) -> AsyncIterator[bytes]:
    for raw in raws:
        yield raw


async def test_a_run_delivers_its_errors() -> None:
    """By a filter and by ``when``; an error that names no run is delivered to neither."""
    events = [of("run_1"), ErrorEvent(ERROR), of("run_2"), ErrorEvent(ERROR), of("run_1", "completed")]
    raws = [str(place).encode() for place in range(len(events))]
    found: list[Any] = []
    async with RunStream(_replay(raws), dialect=lambda: ListDialect(events), on_subscriber_error="raise") as stream:
        stream.on(SourceError, found.append, run_id="run_1")
        first = await stream.when("source.error", run_id="run_1")
        assert await stream.result("run_1")
    assert found == [first]
    assert (first.run_id, first.n) == ("run_1", 1)
