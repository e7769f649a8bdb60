"""Real streams folded, against the objects that the servers themselves called complete."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runstream.core.state import RunState
from runstream.engine.fold import Folded, fold, fold_sources
from runstream.model.raw import RawEvent
from runstream.model.signals import ActionRequired, RunCompleted, RunCreated
from tests.conformance.recorded import (
    ENDED,
    PAIRS,
    POLLED,
    STREAMS,
    ended_objects,
    exchanges,
    is_full_ending,
    raws_of,
    said,
    without_nulls,
)

# The documentation's examples whose run objects have one `}` too many: their runs are rejects, and nothing but
# the run is missing (INDEX.md, "Wire form").
BROKEN_RUNS = frozenset(
    {
        "openapi_docs_2026-08_createRun_streaming.sse",
        "openapi_docs_2026-08_createRun_streaming_with_functions.sse",
        "openapi_docs_2026-08_createThreadAndRun_streaming_with_functions.sse",
        "openapi_docs_2026-08_submitToolOuputsToRun_streaming.sse",
    }
)
# The documentation leaves deltas out ("..."), so these say less than the whole message.
ELIDED = {
    "openapi_docs_2026-08_createRun_streaming.sse": "Hello today?",
    "openapi_docs_2026-08_createRun_streaming_with_functions.sse": "Hello today?",
    "openapi_docs_2026-08_createThreadAndRun_streaming.sse": "Hello today?",
    "openapi_docs_2026-08_submitToolOuputsToRun_streaming.sse": "The current weather sunny.",
}


def _told(name: str, raws: list[Any]) -> Folded:
    """The stream folded; where the run itself is unreadable, a run is put before it."""
    if name in BROKEN_RUNS:
        run = {"event": "thread.run.created", "data": {"id": "run_123", "status": "queued"}}
        return fold([run, *raws])
    return fold(raws)


def _run(folded: Folded) -> RunState:
    (state,) = folded.runs
    return state


@pytest.mark.parametrize("name", STREAMS)
def test_whole_streams_give_the_objects_that_the_server_completed(name: str) -> None:
    """Messages and steps are, field by field, what the server's last object of each says."""
    raws = raws_of(name)
    folded = _told(name, raws)
    state = _run(folded)
    for kind, found in (("thread.message", state.messages), ("thread.run.step", state.steps)):
        expected = ended_objects(raws, kind)
        assert {item.id: item.to_dict() for item in found if item.id in expected} == without_nulls(expected)
    assert not folded.orphans
    assert not state.partial


@pytest.mark.parametrize("name", STREAMS)
def test_the_run_is_the_last_snapshot(name: str) -> None:
    """The final run is the server's last snapshot of it."""
    raws = raws_of(name)
    snapshots = [data for event, data in said(raws) if data.get("object") == "thread.run"]
    if name in BROKEN_RUNS:
        assert all("Not JSON" in reject.reason for reject in fold(raws).rejects)
        assert not snapshots
        return
    run = _run(fold(raws)).run
    assert run.to_dict() == without_nulls(snapshots[-1])


def _content(message: dict[str, Any]) -> list[Any]:
    """A message's content as deltas can carry it: whole, but for the `quote` that only deltas have."""
    content: list[Any] = json.loads(json.dumps(message["content"]))
    for part in content:
        for note in part.get("text", {}).get("annotations", ()):
            # A citation has an empty `quote` in the delta and none in the completed message (INDEX.md, "Fields").
            note.get("file_citation", {}).pop("quote", None)
    return content


def _calls(step: dict[str, Any]) -> list[Any]:
    """The tool calls of a step as deltas can carry them: without what only the whole object tells."""
    calls: list[Any] = json.loads(json.dumps(step["step_details"].get("tool_calls", [])))
    for call in calls:
        # `file_search.results` is [] in the delta, and filled in `step.completed` (INDEX.md, "Fields").
        call.get("file_search", {}).pop("results", None)
        # Outputs are submitted by the application, and no delta repeats them.
        call.get("function", {}).pop("output", None)
    return calls


@pytest.mark.parametrize("name", STREAMS)
def test_deltas_alone_give_the_same_text_arguments_and_code(name: str) -> None:
    """With all ended objects taken out, what the deltas carry is what the ended objects said."""
    raws = raws_of(name)
    state = _run(_told(name, [raw for raw in raws if not is_full_ending(raw)]))
    messages, steps = ended_objects(raws, "thread.message"), ended_objects(raws, "thread.run.step")
    held = {item.id: item for item in state.messages}
    for id, expected in messages.items():
        message = held[id]
        assert not message.is_terminal
        if name in ELIDED:
            assert message.text == ELIDED[name]
        else:
            assert _content(message.to_dict()) == _content(without_nulls(expected))
    found = {item.id: item for item in state.steps}
    for id, expected in steps.items():
        if id not in found:
            # Created in the first stream of a pair, and only completed here.
            assert not any(data["id"] == id for event, data in said(raws) if event.endswith("step.created"))
            continue
        # Azure's activities come in no delta at all: that step is known by its `created` and `completed` alone.
        assert _calls(found[id].to_dict()) == _calls(without_nulls(expected))


@pytest.mark.parametrize("name", STREAMS)
def test_deltas_alone_make_the_arguments_that_the_run_asks_for(name: str) -> None:
    """A run's request repeats, whole, the arguments that the deltas built."""
    raws = raws_of(name)
    state = _run(_told(name, raws))
    wanted = {call.id: call.arguments for call in state.run.pending_tool_calls}
    built = {call.id: call.arguments for step in state.steps for call in step.tool_calls if call.id in wanted}
    if name.startswith("azure_mcp"):
        # Azure's MCP call has no delta with its arguments.
        assert wanted
        return
    assert built == wanted


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_pair_is_one_run_of_two_sources(first: str, second: str) -> None:
    """Two streams of one run make one run, created once, asking once, completed once."""
    folded = fold_sources([(first, raws_of(first)), (second, raws_of(second))])
    state = _run(folded)
    for kind in (RunCreated, ActionRequired, RunCompleted):
        assert [signal.run_id for signal in folded.signals if isinstance(signal, kind)] == [state.run_id]
    names = [signal.type for signal in folded.signals]
    assert names.index("run.action_required") < names.index("run.paused") < names.index("run.completed")
    assert len({signal.key for signal in folded.signals}) == len(folded.signals)
    steps = ended_objects(raws_of(second), "thread.run.step")
    assert {step.id: step.to_dict() for step in state.steps} == without_nulls(steps)
    assert folded.stats.surprising == folded.stats.stale == folded.stats.rejected == 0


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_a_pairs_deltas_alone_give_its_arguments(first: str, second: str) -> None:
    """The first stream's deltas are the arguments of the step that the second stream completes."""
    state = _run(fold(raws_of(first)))
    completed = ended_objects(raws_of(second), "thread.run.step")
    checked = 0
    for step in state.steps:
        for call, whole in zip(step.tool_calls, completed[step.id]["step_details"]["tool_calls"], strict=True):
            assert (call.id, call.arguments) == (whole["id"], whole["function"]["arguments"])
            checked += 1
    assert checked


def _bodies(name: str) -> list[dict[str, Any]]:
    """Every object that the exchanges returned, those in lists included, in order."""
    out: list[dict[str, Any]] = []
    for body in exchanges(name):
        out.extend(body["data"] if body.get("object") == "list" else [body])
    return out


def _polled(bodies: list[dict[str, Any]]) -> Folded:
    return fold([RawEvent(data=json.dumps(body).encode()) for body in bodies])


def _last(bodies: list[dict[str, Any]], kind: str) -> dict[str, dict[str, Any]]:
    return {body["id"]: body for body in bodies if body.get("object") == kind}


@pytest.mark.parametrize("name", POLLED)
def test_polled_snapshots_end_in_the_last_one(name: str) -> None:
    """Bare snapshots in order give the last of each run; what a poll leaves out is not cleared."""
    bodies = _bodies(name)
    folded = _polled(bodies)
    last = _last(bodies, "thread.run")
    assert [state.run_id for state in folded.runs] == list(last)
    for state in folded.runs:
        told = without_nulls(last[state.run_id])
        found = state.run.to_dict()
        assert {key: value for key, value in found.items() if key in last[state.run_id]} == told
        # Fields that some snapshots have and the last one lacks: as they were said last.
        for key in found.keys() - told.keys():
            said_last = [body[key] for body in bodies if body.get("id") == state.run_id and key in body][-1]
            assert found[key] == without_nulls(said_last)
        assert state.status.value in ENDED | {"queued", "requires_action", "cancelling"}


@pytest.mark.parametrize("name", POLLED)
def test_polled_steps_and_messages_are_the_last_objects(name: str) -> None:
    """Listed steps and messages are held under their run; those of a run that was never polled are orphans.

    Messages of users that name no run belong to none.
    """
    bodies = _bodies(name)
    folded = _polled(bodies)
    runs = _last(bodies, "thread.run")
    for kind in ("thread.message", "thread.run.step"):
        expected = {id: without_nulls(body) for id, body in _last(bodies, kind).items() if body["run_id"] in runs}
        found = [
            item for state in folded.runs for item in (state.messages if kind == "thread.message" else state.steps)
        ]
        assert {item.id: item.to_dict() for item in found} == expected
    others = [
        body["id"]
        for body in bodies
        if body.get("object") in {"thread.message", "thread.run.step"}
        and body["run_id"] not in runs
        and (body["run_id"] is not None or body.get("role") != "user")
    ]
    assert sorted(
        id for events in folded.orphans.values() for event in events if (id := getattr(event.data, "id", None))
    ) == sorted(others)
