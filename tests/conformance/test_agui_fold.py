"""Every recorded AG-UI stream folds to what an independent reading of its file says."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from runstream.core.state import RunState
from runstream.engine.fold import Folded, fold, fold_sources
from runstream.model.frozen import thaw
from runstream.model.raw import ConnectionEvent, RawEvent, Request
from runstream.model.signals import RunSignal
from runstream.recordings.reader import read_recording
from runstream.sources.sse_parser import SSEParser
from tests.conformance.agui_oracle import Reading, events_of, read_file
from tests.conformance.recorded import RECORDINGS

FOLDER = RECORDINGS / "agui"
FILES = sorted(path.name for path in FOLDER.glob("*") if path.suffix in (".sse", ".jsonl")) or ["absent"]
SSE_FILES = [name for name in FILES if name.endswith(".sse")] or ["absent"]


def raws_of(name: str) -> list[RawEvent]:
    """The raw events of a recording; skips the test where there are none."""
    path = FOLDER / name
    if not path.exists():
        pytest.skip("no shared recordings beside the repository")
    return [item for item in read_recording(path) if isinstance(item, RawEvent)]


def folded_keys(folded: Folded) -> list[str]:
    """The keys of the signals of runs; none comes twice."""
    found = [signal.key for signal in folded.signals]
    assert len(set(found)) == len(found)
    return [signal.key for signal in folded.signals if isinstance(signal, RunSignal)]


def said(state: RunState) -> dict[str, Any]:
    """What a state says, in the words of a reading."""
    run = state.run
    calls = {
        call.id: (call.name, call.arguments or "", call.output) for step in state.steps for call in step.tool_calls
    }
    return {
        "id": run.metadata["runstream.run_id"],
        "thread_id": run.thread_id,
        "status": run.status.value,
        "text": state.text,
        "reasoning": state.reasoning,
        "calls": calls,
        "pending": [call.id for call in run.required_action.tool_calls] if run.required_action is not None else [],
        "labels": [step.name for step in state.steps if step.type == "label"],
        "subagents": [step.name for step in state.steps if step.type == "subagent"],
        "document": thaw(state.document) if state.document is not None else None,
        "activities": {activity.id: thaw(activity.value) for activity in state.activities},
        "tokens": run.usage.total_tokens if run.usage is not None else None,
        "error": run.last_error.message if run.last_error is not None else None,
    }


def expected(reading: Reading) -> dict[str, Any]:
    """A reading, in the same words."""
    names = ("id", "thread_id", "status", "text", "reasoning", "calls", "pending", "labels", "subagents")
    return {name: getattr(reading, name) for name in (*names, "document", "activities", "tokens", "error")}


@pytest.mark.parametrize("name", FILES)
def test_a_recording_folds_to_its_reading(name: str) -> None:
    """Status, texts, calls with their results, what waits, document, activities, usage and errors are the file's."""
    folded = fold(raws_of(name), dialect="ag-ui")
    folded_keys(folded)
    assert [said(state) for state in folded.runs] == [expected(reading) for reading in read_file(FOLDER / name)]
    assert not folded.rejects
    assert not folded.orphans
    assert all(step.is_terminal for state in folded.runs if state.is_terminal for step in state.steps)


@pytest.mark.parametrize("name", SSE_FILES)
@pytest.mark.parametrize("size", [1, 7, 100, 65536])
def test_chunks_of_bytes_of_any_size_are_the_same(name: str, size: int) -> None:
    """The bytes of a body, in pieces of one size, fold to the same keys."""
    whole = folded_keys(fold(raws_of(name), dialect="ag-ui"))
    body = (FOLDER / name).read_bytes()
    if len(body) // size > 30_000:
        pytest.skip("too many pieces")
    parser = SSEParser()
    items: list[Any] = []
    for at in range(0, len(body), size):
        items += parser.feed(body[at : at + size])
    items += parser.close()
    assert folded_keys(fold(items, dialect="ag-ui")) == whole


@pytest.mark.parametrize("name", FILES)
def test_a_cut_recording_is_no_success(name: str) -> None:
    """Cut after every event, no run has ended before the event that says so, and all keys are those of the whole."""
    raws = raws_of(name)
    whole = set(folded_keys(fold(raws, dialect="ag-ui")))
    events = events_of(FOLDER / name)
    ids = {reading.id for reading in read_file(FOLDER / name)}
    for at in range(1, len(raws)):
        folded = fold(raws[:at], dialect="ag-ui")
        keys = folded_keys(folded)
        types = [event["type"] for event in events[:at]]
        for state in folded.runs:
            if "RUN_STARTED" in types:
                assert state.run_id in ids
            if state.is_terminal:
                assert "RUN_FINISHED" in types or "RUN_ERROR" in types
        if "RUN_STARTED" in types and "RUN_FINISHED" not in types:
            assert {key for key in keys if "/interrupted/" not in key and "/paused/" not in key} <= whole


@pytest.mark.parametrize("name", FILES)
def test_a_later_connection_sends_all_again(name: str) -> None:
    """After a cut at any place, a connection that begins again has the same texts, calls and status."""
    raws = raws_of(name)
    whole = [said(state) for state in fold(raws, dialect="ag-ui").runs]
    step = max(1, len(raws) // 12)
    for at in range(1, len(raws), step):
        again = [
            ConnectionEvent(connected=True),
            *raws[:at],
            ConnectionEvent(connected=False, reason="cut"),
            ConnectionEvent(connected=True, attempt=1),
            *raws,
        ]
        folded = fold(again, dialect="ag-ui")
        assert [said(state) for state in folded.runs] == whole


PAIRS = [
    ("adk_confirmation_1.sse", "adk_confirmation_2.sse"),
    ("agno_confirmation_1.sse", "agno_confirmation_2.sse"),
    ("dotnet_approval_1.jsonl", "dotnet_approval_2.jsonl"),
    ("dotnet_mixed_tools_1.jsonl", "dotnet_mixed_tools_2.jsonl"),
    ("dotnet_user_input_1.jsonl", "dotnet_user_input_2.jsonl"),
    ("langgraph_interrupt_default_1.sse", "langgraph_interrupt_default_2.sse"),
    ("langgraph_interrupt_default_1.sse", "langgraph_interrupt_default_again.sse", "langgraph_interrupt_default_2.sse"),
    ("maf_approval_1.sse", "maf_approval_2.sse"),
    ("maf_workflow_1.sse", "maf_workflow_2.sse"),
    ("pydantic_approval_1.sse", "pydantic_approval_2_approved.sse"),
    ("pydantic_approval_1.sse", "pydantic_approval_2_cancelled.sse"),
    ("pydantic_frontend_tool_1.sse", "pydantic_frontend_tool_2.sse"),
    ("tanstack_approval_1.sse", "tanstack_approval_2.sse"),
]


@pytest.mark.parametrize("names", PAIRS, ids=lambda names: names[-1])
def test_a_pause_and_its_answer_are_one_run(names: tuple[str, ...]) -> None:
    """The application says that the second stream continues the first: one run with each call once."""
    raws = [raws_of(name) for name in names]
    readings = [read_file(FOLDER / name)[0] for name in names]
    run_id = readings[0].id
    sources: list[Any] = [(name, stream, {"continues": run_id}) for name, stream in zip(names, raws, strict=True)]
    folded = fold_sources([sources[0][:2], *sources[1:]], dialect="ag-ui")
    (state,) = folded.runs
    assert (state.run_id, state.status) == (run_id, "completed")
    assert state.pieces == tuple(reading.id for reading in readings)
    assert state.text == "".join(reading.text for reading in readings)
    calls: dict[str, Any] = {}
    for reading in readings:
        for id, (name, arguments, result) in reading.calls.items():
            known = calls.get(id, (None, "", None))
            calls[id] = known[0] or name, known[1] or arguments, known[2] if known[2] is not None else result
    steps = [call for step in state.steps for call in step.tool_calls]
    assert {call.id: (call.name, call.arguments, call.output) for call in steps} == calls
    assert len(steps) == len(calls)
    keys = folded_keys(folded)
    assert len([key for key in keys if "/action_required/" in key]) == len(names) - 1
    assert keys[-1].endswith("/completed")


@pytest.mark.parametrize("names", [pair for pair in PAIRS if len(pair) == 2], ids=lambda names: names[-1])
def test_the_request_links_a_pair(names: tuple[str, str]) -> None:
    """The body that the application sent names the interrupts or calls that it answers: no other word is needed."""
    first, second = (raws_of(name) for name in names)
    readings = [read_file(FOLDER / name)[0] for name in names]
    (waiting,) = fold(first, dialect="ag-ui").runs
    ids = [call.id for call in waiting.run.pending_tool_calls]
    if "" in ids:
        pytest.skip("the interrupt has no id on this wire")
    is_interrupt = waiting.run.required_action.calls[0].kind == "interrupt"  # type: ignore[union-attr]
    body: dict[str, Any] = {"threadId": readings[0].thread_id, "runId": readings[1].id, "tools": [], "messages": []}
    if is_interrupt:
        body["resume"] = [{"interruptId": id, "status": "resolved", "payload": {}} for id in ids]
    else:
        body["messages"] = [{"id": f"t{id}", "role": "tool", "toolCallId": id, "content": "yes"} for id in ids]
    request = Request(body=json.dumps(body).encode())
    folded = fold_sources([("one", first), ("two", [request, *second])], dialect="ag-ui")
    (state,) = folded.runs
    assert (state.run_id, state.status, len(state.pieces)) == (readings[0].id, "completed", 2)
    if not is_interrupt:
        answered = {call.id: call.output for step in state.steps for call in step.tool_calls}
        assert all(answered[id] is not None for id in ids)


def test_only_offered_tools_wait() -> None:
    """With the request known, a call that the server has not run yet is not asked for."""
    raws = raws_of("dotnet_mixed_tools_1.jsonl")
    body = {"threadId": "t", "runId": "run_Id_1", "messages": [], "tools": [{"name": "get_user_location"}]}
    (state,) = fold([Request(body=json.dumps(body).encode()), *raws], dialect="ag-ui").runs
    assert [call.id for call in state.run.pending_tool_calls] == ["call_Id_1"]
    body["tools"] = []
    (state,) = fold([Request(body=json.dumps(body).encode()), *raws], dialect="ag-ui").runs
    assert state.status == "completed"


@pytest.mark.parametrize("names", [("pydantic_approval_1.sse", "pydantic_approval_2_approved.sse")])
def test_fold_continue_on_the_command_line(names: tuple[str, ...]) -> None:
    """``fold --continue A B`` shows one run."""
    for name in names:
        raws_of(name)
    paths = [str(FOLDER / name) for name in names]
    command = [sys.executable, "-m", "runstream", "fold", "--json", "--dialect", "ag-ui", "--continue", *paths]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    (run,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert (run["run"]["id"], run["run"]["status"]) == ("run-tick-1", "completed")
