"""The rules of the Assistants protocol: each is broken once by a stream that keeps all others in its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runstream.checker.assistants import ASSISTANTS_RULES
from runstream.checker.check import check
from tests.checker.streams import Event, assistants_events, check_blocks, check_lines, edited, errors, notes

Edit = Callable[[list[Event]], object]
CREATED, QUEUED, RUNNING, STEP, STEP_RUNNING, CALL, MORE, STEP_END = range(8)
MESSAGE, MESSAGE_RUNNING, TEXT, TEXT_2, MESSAGE_END, END, DONE = range(8, 15)


def data(place: int, **fields: Any) -> Edit:
    """Change fields of the data of an event."""
    return lambda events: events[place]["data"].update(fields)


def put(place: int, name: str, like: int, **fields: Any) -> Edit:
    """Insert an event with the data of another one."""
    return lambda events: events.insert(
        place,
        {"event": name, "data": {**events[like]["data"], **fields} if isinstance(events[like]["data"], dict) else "x"},
    )


def cut(*places: int) -> Edit:
    """Remove events."""
    return lambda events: [events.pop(place) for place in sorted(places, reverse=True)]


def waiting(action: object) -> Edit:
    """End the run with a request for action."""

    def edit(events: list[Event]) -> None:
        run = {**events[RUNNING]["data"], "status": "requires_action", "required_action": action}
        del events[STEP_END:DONE]
        events.insert(STEP_END, {"event": "thread.run.requires_action", "data": run})

    return edit


def content(place: int) -> Any:
    """The content of a delta of a message, to be edited."""
    return lambda events: events[place]["data"]["delta"]["content"]


def other_call(events: list[Event]) -> None:
    """Let a second call come at the index of the first one."""
    calls = events[MORE]["data"]["delta"]["step_details"]["tool_calls"]
    calls.append({"index": 0, "type": "function", "id": "call_2", "function": {"name": "x"}})


CALLS = [{"id": "call_1", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}]

CASES: dict[str, list[tuple[Edit, str]]] = {
    "event_name": [],
    "known_type": [(put(3, "thread.run.paused", RUNNING), "")],
    "done_data": [(lambda events: events[DONE].update(data={}), "")],
    "done_event": [(cut(DONE), "")],
    "event_after_done": [(put(15, "thread.run.later", RUNNING), "known_type")],
    "error_form": [(lambda events: events.insert(2, {"event": "error", "data": {"error": {"message": "no"}}}), "")],
    "object_fields": [(lambda events: events[CREATED]["data"].pop("created_at"), "")],
    "fields_absent": [(lambda events: events[CREATED]["data"].pop("usage"), "")],
    "time_form": [(data(END, completed_at=1.5), ""), (data(STEP, created_at=1_700_000_000_000), "")],
    "unknown_value": [
        (data(STEP, type="activities"), ""),
        (data(CREATED, last_error={"code": "odd", "message": "no"}), ""),
        (
            waiting(
                {
                    "type": "submit_tool_approval",
                    "submit_tool_approval": {"tool_calls": [{"id": "c", "type": "mcp", "name": "x"}]},
                }
            ),
            "",
        ),
    ],
    "event_status": [(data(RUNNING, status="queued"), ""), (data(MESSAGE_END, status="in_progress"), "")],
    "created_first": [(cut(STEP), ""), (cut(MESSAGE, MESSAGE_RUNNING), ""), (cut(CREATED, QUEUED), "")],
    "created_once": [(put(5, "thread.run.step.created", STEP), "")],
    "status_repeated": [
        (put(3, "thread.run.in_progress", RUNNING), ""),
        (put(8, "thread.run.step.completed", STEP_END), ""),
    ],
    "event_after_end": [
        (lambda events: events.insert(MESSAGE_END, events.pop(MESSAGE_END)) or events.insert(13, events[TEXT]), ""),
        (put(14, "thread.run.in_progress", RUNNING), ""),
    ],
    "status_order": [(put(3, "thread.run.queued", QUEUED), ""), (cut(RUNNING), "")],
    "terminal_event": [(cut(END), "")],
    "required_action": [
        (waiting({"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": []}}), ""),
        (waiting({"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": [{"id": "c"}]}}), ""),
        (waiting(None), ""),
    ],
    "left_open": [(cut(STEP_END), ""), (cut(MESSAGE_END), "")],
    "message_incomplete": [
        (
            lambda events: events[MESSAGE_END].update(
                event="thread.message.incomplete", data={**events[MESSAGE_END]["data"], "status": "incomplete"}
            ),
            "",
        )
    ],
    "delta_form": [(lambda events: events[TEXT]["data"].update(delta={"content": {"type": "text"}}), "text_whole")],
    "delta_index": [(lambda events: content(TEXT)(events)[0].pop("index"), "")],
    "index_shared": [(other_call, "")],
    "text_whole": [
        (lambda events: events[MESSAGE_END]["data"]["content"][0]["text"].update(value="Hi"), ""),
        (
            lambda events: events[STEP_END]["data"]["step_details"]["tool_calls"][0]["function"].update(arguments="[]"),
            "",
        ),
    ],
}
"""For each rule the edits of a conforming stream that break it, with the rules that they can't help but break too."""


@pytest.mark.parametrize("rule", sorted(CASES))
def test_an_edit_breaks_its_rule_alone(rule: str) -> None:
    """The rule is found, and no other than those that the edit can't help but break; in both framings."""
    for edit, more in CASES[rule]:
        events = edited(assistants_events(), edit)
        for report in (
            check_lines(events, "assistants"),
            check_blocks([(event["event"], event["data"], None) for event in events], "assistants"),
        ):
            assert errors(report) | notes(report) == {rule, *more.split()}


def test_every_rule_has_a_case() -> None:
    """A new rule needs a stream that breaks it."""
    assert set(CASES) == set(ASSISTANTS_RULES)


def test_a_request_for_action_ends_a_stream() -> None:
    """A run that waits is no run that is left open."""
    action = {"type": "submit_tool_outputs", "submit_tool_outputs": {"tool_calls": CALLS}}
    report = check_lines(edited(assistants_events(), waiting(action)))
    assert report.findings == ()
    assert [(run.status, run.awaited) for run in report.runs] == [("requires_action", 1)]


def test_the_stream_after_the_outputs_breaks_no_rule() -> None:
    """A stream that continues a run begins with the end of a step, and with the run as queued."""
    report = check_lines([event for at, event in enumerate(assistants_events()) if at not in (0, 3, 4, 5, 6)])
    assert report.findings == ()


def test_an_event_has_a_name() -> None:
    """Bare objects in an event stream can't be told apart from those of a poll."""
    blocks = [(None, event["data"], None) for event in assistants_events()]
    assert errors(check_blocks(blocks, "assistants")) == {"event_name"}


def test_a_polled_run_is_no_stream() -> None:
    """A run in a line of its own, or in a document, needs no `done`."""
    run = assistants_events()[END]["data"]
    assert check_lines([run]).findings == ()
    del run["usage"]
    report = check(b"[" + __import__("msgspec").json.encode(run) + b"]", name="poll.json")
    assert errors(report) == set()
    assert notes(report) == {"fields_absent"}
    assert report.notes[0].places[0].detail == "usage"
