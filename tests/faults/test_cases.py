"""The cases of the fault harness: each is one line of text that repeats it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from runstream.dialects.ag_ui_wire import EVENT_TYPES
from runstream.dialects.registry import find_dialect
from runstream.dialects.responses_wire import TARGETS
from runstream.model.raw import RawEvent
from tests.faults.cases import FAULTS, PAIRS, Case, connection_plans, generate, has_fault
from tests.faults.content import connection_items
from tests.faults.streams import PROTOCOLS, disjoint, is_numbered, load, stream_names
from tests.support.ag_ui_runs import ag_ui_runs
from tests.support.graph_runs import graph_run, graph_thread
from tests.support.talks import talk


@pytest.mark.parametrize(("source", "protocol"), PAIRS)
def test_a_line_repeats_a_case(source: str, protocol: str) -> None:
    """The printed line of a case is read as the same case, for which the server sends the same events."""
    for case in generate(source, 100, 7, protocol=protocol):
        assert case.protocol == protocol
        again = Case.parse(str(case))
        assert again == case
        for number, plan in enumerate(connection_plans(case)):
            assert connection_items(case, number, plan, 0) == connection_items(again, number, plan, 0)


@pytest.mark.parametrize(("source", "protocol"), PAIRS)
def test_a_seed_gives_the_same_cases_and_every_fault(source: str, protocol: str) -> None:
    """Kinds of faults follow one another, so that enough cases contain all of them."""
    cases = generate(source, 100, 3, protocol=protocol)
    assert cases == generate(source, 100, 3, protocol=protocol)
    assert cases != generate(source, 100, 4, protocol=protocol)
    mine = {name for name, sources in FAULTS.items() if source in sources and has_fault(name, protocol)}
    assert {fault.name for case in cases for fault in case.faults} == mine
    assert all(1 <= len(case.faults) <= 3 for case in cases)


def test_mixed_streams_share_no_id() -> None:
    """Recordings of the same run or message can't be two streams of one case."""
    assert disjoint(["demo/text.sse", "demo/text.sse", "demo/failed.sse"]) == ["demo/text.sse", "demo/failed.sse"]


def test_every_stream_has_events() -> None:
    """No recording is empty; two random runs differ."""
    assert all(load(name) for protocol in PROTOCOLS for name in stream_names(protocol))
    assert load("made/1") != load("made/2")
    assert load("talk/1") != load("talk/2")
    assert load("thread/1") != load("thread/2")


def test_random_threads_have_all_that_they_promise() -> None:
    """Every end, one to three runs, and each family of events."""
    threads = [ag_ui_runs(seed) for seed in range(200)]
    names = {event["type"] for events in threads for event in events}
    assert names == EVENT_TYPES - {name for name in EVENT_TYPES if name.startswith("THINKING")} - {
        "MESSAGES_SNAPSHOT",
        "RAW",
        "REASONING_ENCRYPTED_VALUE",
        "REASONING_END",
        "REASONING_MESSAGE_CHUNK",
        "REASONING_START",
        "SUBAGENT_ERROR",
        "TOOL_CALL_CHUNK",
    }
    assert {sum(event["type"] == "RUN_STARTED" for event in events) for events in threads} == {1, 2, 3}
    outcomes = {(events[-1].get("outcome") or {}).get("type") for events in threads}
    assert outcomes == {None, "success", "cancelled", "interrupt"}


def test_random_responses_have_all_that_they_promise() -> None:
    """Every end, one to three responses, items that are open at once, and whole texts without a fragment."""
    runs = [[event for event in talk(seed) if event] for seed in range(200)]
    names = {event["type"].removeprefix("response.") for events in runs for event in events}
    assert {"completed", "incomplete", "failed", "error", "keepalive", "queued"} <= names
    assert {f"{text}.delta" for text in TARGETS} - names == {"reasoning.delta", "code_interpreter_call_code.delta"}
    assert {sum(event["type"] == "response.created" for event in events) for events in runs} == {1, 2, 3}
    assert {events[-1]["type"] for events in runs} >= {"error", "response.failed", "response.incomplete"}
    steps = [[event["type"] for event in events if "output_item." in event["type"]] for events in runs]
    assert any(a == b == "response.output_item.added" for names in steps for a, b in pairwise(names))
    assert any(is_numbered(f"talk/{seed}") for seed in range(3))


def test_random_graphs_have_all_that_they_promise() -> None:
    """Each event of the run wire and each method of the thread protocol, and every end."""
    runs, threads = ([make(seed) for seed in range(100)] for make in (graph_run, graph_thread))
    assert {name for run in runs for name, _ in run.events} == {
        *("metadata", "values", "updates", "messages", "custom", "error")
    }
    assert {run.answers["run"]["status"] for run in runs} == {"success", "error", "interrupted", "timeout"}
    assert {len(task["interrupts"]) for run in runs for task in run.answers["state"]["tasks"]} == {1, 2}
    assert {name for run in threads for name, _ in run.events} == {"lifecycle", "values", "messages", "custom"}
    assert {run.answers["run"]["status"] for run in threads} == {"success", "error", "interrupted"}


def test_the_place_of_an_event_is_its_cursor() -> None:
    """A client that has received an event of the Responses wire sends the id under which the harness finds it."""
    for seed in range(50):
        dialect = find_dialect("responses")()
        for event in load(f"talk/{seed}"):
            dialect.decode(RawEvent(data=event.data))
            if event.id:
                assert dialect.cursor() == event.id
