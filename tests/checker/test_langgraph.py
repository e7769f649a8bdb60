"""The rules of LangGraph's two wires: each is broken once by a stream that keeps all others in its way."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from runstream.checker.langgraph import LANGGRAPH_RULES
from runstream.checker.langgraph_thread import LANGGRAPH_THREAD_RULES
from tests.checker.streams import (
    Event,
    check_blocks,
    check_lines,
    edited,
    errors,
    langgraph_events,
    notes,
    thread_events,
)

Block = tuple[str | None, Any, str | None]
Edit = Callable[[list[Block]], object]
METADATA, VALUES, CHUNK, CALL, MORE, UPDATES, CUSTOM, ERROR = range(8)


def asks(*ids: str | None) -> dict[str, Any]:
    """Data with interrupts."""
    return {"__interrupt__": [{"value": "?", **({"id": id} if id else {})} for id in ids]}


def put(place: int, name: str | None, data: Any, id: str | None = "6-5") -> Edit:
    """Insert an event."""
    return lambda events: events.insert(place, (name, data, id))


def cut(*places: int) -> Edit:
    """Remove events."""
    return lambda events: [events.pop(place) for place in sorted(places, reverse=True)]


def without_ids(events: list[Block]) -> None:
    """Remove the ids, and the metadata."""
    events[:] = [(name, data, None) for name, data, _ in events[1:]]


def waiting(*blocks: Block) -> Edit:
    """End the run with these events instead of an error."""
    return lambda events: events.__setitem__(slice(ERROR, None), blocks)


RUN: dict[str, list[tuple[Edit, str]]] = {
    "event_name": [(put(6, None, {"x": 1}), "")],
    "known_mode": [(put(7, "own", {}), "")],
    "data_form": [
        (put(7, "messages", [{"type": "ai"}]), ""),
        (put(7, "updates", []), ""),
        (put(7, "values", []), ""),
        (put(7, "messages/partial", {}), ""),
        (lambda events: events.__setitem__(ERROR, ("error", {"message": "no"}, "7-0")), ""),
    ],
    "metadata_first": [(without_ids, "")],
    "joined_stream": [(cut(METADATA), "")],
    "event_after_error": [(put(8, "values", {}, "8-0"), "")],
    "outcome": [(cut(ERROR), "")],
    "pause_visible": [(cut(VALUES, UPDATES, ERROR), "outcome")],
    "run_id": [(lambda events: events.__setitem__(METADATA, ("metadata", {"attempt": 1}, "1-0")), "unreadable_event")],
    "retry": [(put(7, "metadata", {"run_id": "run_1", "attempt": 2}), "")],
    "id_growth": [(put(7, "updates", {}, "2-5"), "")],
    "id_repeated": [(put(7, "updates", {}, "6-0"), "")],
    "id_missing": [(put(7, "updates", {}, None), "")],
    "message_id": [(put(7, "messages", [{"type": "AIMessageChunk", "content": "x"}, {}]), "")],
    "call_start": [(cut(CALL), "")],
    "interrupt_id": [(waiting(("updates", asks(None), "7-0")), "outcome")],
    "interrupts_apart": [(waiting(("updates", asks("a"), "7-0"), ("updates", asks("b"), "7-1")), "outcome")],
    "interrupt_left_out": [(waiting(("values", {"x": 1, **asks("a")}, "7-0"), ("values", {"x": 1}, "7-1")), "outcome")],
    "request_headers": [
        (put(7, "checkpoints", {"config": {"configurable": {"authorization": "Bearer secret"}}}), ""),
        (put(7, "messages", [{"type": "ai", "id": "m"}, {"x-tenant": "secret"}]), ""),
    ],
}
"""For each rule of the run wire the edits that break it, with the rules that they can't help but break too."""


@pytest.mark.parametrize("rule", sorted(RUN))
def test_an_edit_breaks_its_rule_alone(rule: str) -> None:
    """The rule is found, and no other than those that the edit can't help but break."""
    for edit, more in RUN[rule]:
        events = langgraph_events()
        edit(events)
        report = check_blocks(events, "langgraph")
        assert errors(report) | notes(report) == {rule, *more.split()}
        assert "secret" not in str(report.to_dict())


def test_every_rule_has_a_case() -> None:
    """A new rule needs a stream that breaks it."""
    assert set(RUN) == set(LANGGRAPH_RULES)
    assert set(THREAD) == set(LANGGRAPH_THREAD_RULES)


def test_a_conforming_run_breaks_no_rule() -> None:
    """The stream that the cases edit."""
    assert check_blocks(langgraph_events()).findings == ()


def test_ids_of_the_older_server_are_counted() -> None:
    """Ids are compared by their numbers: 10 comes after 9."""
    events = [(name, data, str(at)) for at, (name, data, _) in enumerate(langgraph_events() * 2)]
    events = [event for event in events if event[0] != "error"]
    assert "id_growth" not in errors(check_blocks(events))


def change(place: int, **fields: Any) -> Callable[[list[Event]], object]:
    """Change fields of an event."""
    return lambda events: events[place].update(fields)


def numbered(events: list[Event]) -> list[Event]:
    """The events with new numbers."""
    numbers = count(1)
    return [{**event, "seq": next(numbers)} if "seq" in event else event for event in events]


def lifecycle(event: str, id: str = "synth:run_1:lc||x") -> Event:
    """An event of the lifecycle of the root."""
    return {**thread_events()[0], "event_id": id, "params": {"namespace": [], "data": {"event": event}}}


def of(method: str, event_id: str, **data: Any) -> Event:
    """An event of the root."""
    return {**thread_events()[0], "method": method, "event_id": event_id, "params": {"namespace": [], "data": data}}


MESSAGE_2 = of("messages", "9-9", event="message-start", id="m2", role="ai")
BLOCK = of("messages", "9-8", event="content-block-delta", index=7, delta={"type": "text-delta", "text": "x"})

THREAD: dict[str, list[tuple[Callable[[list[Event]], object], str]]] = {
    "event_form": [(lambda events: events[3].pop("params"), "block_whole"), (change(4, type="note"), "")][1:],
    "known_method": [(lambda events: events.insert(7, of("own", "9-1")), "")],
    "event_name": [],
    "command_refused": [(lambda events: events.insert(3, {"type": "error", "id": 1, "error": "no"}), "")],
    "seq_growth": [],
    "seq_gap": [],
    "event_id_once": [(lambda events: events[5].update(event_id="5-0"), "")],
    "joined_stream": [(lambda events: events.pop(0), "")],
    "lifecycle_order": [
        (lambda events: events.insert(3, lifecycle("running")), "message_open"),
        (lambda events: events.append(lifecycle("failed")), ""),
        (lambda events: events.insert(3, lifecycle("odd")), ""),
    ],
    "terminal_event": [(lambda events: events.pop(), "")],
    "interrupted_without_input": [(lambda events: events.__setitem__(7, lifecycle("interrupted")), "")],
    "late_event": [(lambda events: events.append(of("values", "9-2", x=1)), "")],
    "message_open": [(lambda events: events.pop(1), "")],
    "message_finish": [(lambda events: events.pop(6), "")],
    "messages_overlap": [(lambda events: events.insert(5, MESSAGE_2), "message_finish unreadable_event")],
    "block_open": [(lambda events: events.insert(5, BLOCK), "")],
    "block_finish": [(lambda events: events.pop(5), "")],
    "block_whole": [(lambda events: events.pop(4), "")],
}
"""For each rule of the thread protocol the edits that break it, with those that they can't help but break too."""


@pytest.mark.parametrize("rule", sorted(THREAD))
def test_an_edit_breaks_its_rule_of_threads(rule: str) -> None:
    """The rule is found, and no other than those that the edit can't help but break."""
    for edit, more in THREAD[rule]:
        report = check_lines(numbered(edited(thread_events(), edit)), "langgraph-thread")
        assert errors(report) | notes(report) == {rule, *more.split()}


def test_numbers_and_names_of_a_thread() -> None:
    """The framing repeats method and number; numbers grow, and a gap is noted."""
    events = thread_events()
    blocks: list[Block] = [(event["method"], event, str(event["seq"])) for event in events]
    assert check_blocks(blocks).findings == ()
    assert errors(check_blocks([(None, event, None) for event in events], "langgraph-thread")) == {"event_name"}
    blocks[3] = ("messages", events[3], "77")
    assert errors(check_blocks(blocks)) == {"event_name"}
    assert errors(check_lines([{**event, "seq": 1} for event in events])) == {"seq_growth"}
    assert notes(check_lines([{**event, "seq": event["seq"] * 2} for event in events])) == {"seq_gap"}
