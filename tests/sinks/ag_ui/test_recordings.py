"""Every recorded run of every dialect, as an AG-UI stream that our own reader reads back."""

from __future__ import annotations

import pytest

from runstream.core.derive import awaited_calls
from runstream.sinks.ag_ui.encoder import AgUiEncoder
from tests.sinks.ag_ui.encoding import RECORDED, encode, items_of, knowledge, read_back, recorded_runs

REPLACED = {"responses/openai_local_shell.jsonl": "calls"}
"""Recordings with arguments that replace others: our reader keeps what was streamed. The official client does not
(tests/interop)."""
RENAMED = {"responses/open_responses_server_function_call.sse"}
"""Recordings in which a call gets another id: it was sent under both."""
STATUSES = {
    "completed": "completed",
    "requires_action": "requires_action",
    "failed": "failed",
    "cancelled": "cancelled",
    "expired": "failed",
    "incomplete": "failed",
    "in_progress": "failed",
    "queued": "failed",
    "cancelling": "failed",
}
"""The status that a reader of the stream knows, by that of the run: AG-UI has fewer."""


@pytest.mark.parametrize("name", RECORDED)
def test_the_reader_knows_the_same(name: str) -> None:
    """The stream breaks no rule; texts, calls, outputs, document, activities and labels are the same."""
    for encoded in recorded_runs(name):
        expected, found = knowledge(encoded.state), knowledge(read_back(encoded.events))
        outputs, read = expected.pop("outputs"), found.pop("outputs")
        expected["calls"] = {**encoded.calls, **expected["calls"]}
        if name in REPLACED:
            assert expected.pop(REPLACED[name]) != found.pop(REPLACED[name])
        if name in RENAMED:
            assert expected["calls"].items() < found["calls"].items()
            found["calls"] = expected["calls"]
        assert found == expected
        assert {id: read[id] for id in outputs} == outputs


@pytest.mark.parametrize("name", RECORDED)
def test_the_reader_knows_the_same_status(name: str) -> None:
    """The status is the same, but for those that AG-UI does not have."""
    for encoded in recorded_runs(name):
        state = read_back(encoded.events)
        assert state.status.value == STATUSES[encoded.state.status.value]


@pytest.mark.parametrize("name", RECORDED)
def test_offered_calls_are_left_to_the_front_end(name: str) -> None:
    """Calls of tools that the front end offers wait under their own ids; everything else is an interrupt."""
    items, dialect = items_of(name)
    for encoded in recorded_runs(name):
        waiting = awaited_calls(encoded.state)
        tools = {call.name for call in waiting if call.kind in ("function", "custom") and call.name}
        if not tools:
            continue
        for each in encode(
            items, dialect=dialect, make=lambda tools=tools: AgUiEncoder("thread-1", "run-1", tools=tools)
        ):
            if each.state.run_id != encoded.state.run_id:
                continue
            assert each.encoder.waiting is not None
            assert {call.name for call in each.encoder.waiting.calls} == tools
            state = read_back(each.events, tools)
            assert state.run.requires_action
            kinds = [call.kind for call in awaited_calls(state)]
            assert kinds.count("function") == len(each.encoder.waiting.calls)
            assert len(kinds) == len(waiting)


@pytest.mark.parametrize("name", RECORDED)
def test_older_peers_get_what_they_understand(name: str) -> None:
    """No subagents, outcomes, usage and versions; a question is a custom event; texts and calls are the same."""
    items, dialect = items_of(name)
    old = encode(items, dialect=dialect, make=lambda: AgUiEncoder("thread-1", "run-1", version=None))
    for encoded, modern in zip(old, recorded_runs(name), strict=True):
        names = {event["type"] for event in encoded.events}
        assert not {name for name in names if name.startswith("SUBAGENT")}
        assert not any(
            {"subagentRunId", "outcome", "usage", "protocolVersion"} & event.keys() for event in encoded.events
        )
        end, end_then = encoded.events[-1], modern.events[-1]
        if encoded.state.status == "cancelled":
            assert (end["type"], end["code"]) == ("RUN_ERROR", "cancelled")
        else:
            assert end["type"] == end_then["type"]
        questions = end_then.get("outcome", {}).get("interrupts", [])
        asked = [event for event in encoded.events if event["type"] == "CUSTOM" and event["name"] == "on_interrupt"]
        assert len(asked) == len(questions)
        assert knowledge(read_back(encoded.events))["calls"] == knowledge(read_back(modern.events))["calls"]


@pytest.mark.parametrize("name", RECORDED)
@pytest.mark.parametrize("share", [0.3, 0.7])
def test_a_late_front_end_knows_the_same(name: str, share: float) -> None:
    """Whoever joins late gets snapshots, and the rest of what is open."""
    items, dialect = items_of(name)
    for encoded in encode(items, dialect=dialect, join_after=int(len(items) * share)):
        expected, found = knowledge(encoded.state), knowledge(read_back(encoded.events))
        outputs, read = expected.pop("outputs"), found.pop("outputs")
        if REPLACED.get(name) != "calls":
            assert expected["calls"].items() <= found["calls"].items()
        for field in (
            "labels",
            "calls",
            *((REPLACED[name],) if name in REPLACED else ()),
        ):  # labels that have ended are gone
            expected.pop(field, None)
            found.pop(field, None)
        assert found == expected
        assert {id: read[id] for id in outputs} == outputs
        assert read_back(encoded.events).status.value == STATUSES[encoded.state.status.value]
