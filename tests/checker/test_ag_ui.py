"""The rules of the AG-UI protocol: those that the dialect counts have places, and legal forms are noted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runstream.checker.ag_ui import AG_UI_RULES
from runstream.checker.check import check
from runstream.dialects.ag_ui_rules import RULES
from runstream.model.raw import RawEvent, Request
from tests.checker.streams import Event, ag_ui_events, check_lines, edited, errors, notes

Edit = Callable[[list[Event]], object]
START, SPAN, REASONING, THOUGHT, REASONING_END, SPAN_END, MESSAGE, TEXT, MESSAGE_END = range(9)
CALL, ARGS, CALL_END, RESULT, FINISH = range(9, 14)


def change(place: int, **fields: Any) -> Edit:
    """Change fields of an event."""
    return lambda events: events[place].update(fields)


def put(place: int, *events: Event) -> Edit:
    """Insert events."""
    return lambda all_events: all_events.__setitem__(slice(place, place), events)


def cut(*places: int) -> Edit:
    """Remove events."""
    return lambda events: [events.pop(place) for place in sorted(places, reverse=True)]


def drop(place: int, name: str) -> Edit:
    """Remove a field of an event."""
    return lambda events: events[place].pop(name)


def of(kind: str, **fields: Any) -> Event:
    """An event."""
    return {"type": kind, **fields}


def snapshot(*messages: Event) -> Event:
    """A snapshot of messages."""
    return of("MESSAGES_SNAPSHOT", messages=list(messages))


USER: Event = {"id": "u1", "role": "user", "content": "?"}
SAID: Event = {"id": "m1", "role": "assistant", "content": "Hello"}
STEP = of("STEP_STARTED", stepName="s")
STEP_END = of("STEP_FINISHED", stepName="s")
AGENT = of("SUBAGENT_STARTED", subagentRunId="a", name="helper")
AGENT_END = of("SUBAGENT_FINISHED", subagentRunId="a")

CASES: dict[str, list[tuple[Edit, str]]] = {
    "first_event": [(put(0, of("CUSTOM", name="x", value=1)), "")],
    "terminal_event": [(cut(FINISH), "")],
    "done_marker": [(lambda events: events.append("[DONE]"), "")],  # type: ignore[arg-type,return-value]
    "known_type": [(put(3, of("OWN_EVENT")), "")],
    "field_name": [(lambda events: events[TEXT].update(message_id=events[TEXT].pop("messageId")), "")],
    "field_value": [(drop(TEXT, "messageId"), "empty_message")],
    "delta_name": [(lambda events: events[TEXT].update(content=events[TEXT].pop("delta")), "")],
    "older_type": [(put(6, of("THINKING_START"), of("THINKING_END")), "")],
    "run_started_once": [(put(6, of("RUN_STARTED", threadId="t1", runId="r1")), "")],
    "run_id": [(change(FINISH, runId="other"), "")],
    "event_after_end": [(put(14, of("CUSTOM", name="x", value=1)), "")],
    "one_terminal_event": [(put(14, of("RUN_FINISHED", threadId="t1", runId="r1")), "")],
    "known_outcome": [(change(FINISH, outcome={"type": "odd"}), "")],
    "closed_at_finish": [
        (cut(MESSAGE_END), ""),
        (cut(SPAN_END), ""),
        (cut(CALL_END), ""),  # a result ends no call
        (put(FINISH, STEP), ""),
    ],
    "message_opened_once": [(put(8, ag_ui_events()[MESSAGE]), "")],
    "message_open": [(put(9, of("TEXT_MESSAGE_END", messageId="m1")), "")],
    "snapshot_text": [(put(FINISH, snapshot(USER, {**SAID, "content": "Never."})), "")],
    "call_opened_once": [(put(10, ag_ui_events()[CALL]), "")],
    "call_open": [(put(12, of("TOOL_CALL_ARGS", toolCallId="c1", delta="x")), "")],
    "call_announced_again": [(put(12, *ag_ui_events()[CALL : CALL_END + 1]), "")],
    "result_once": [(put(13, {**ag_ui_events()[RESULT], "messageId": "m3"}), "")],
    "result_of_known_call": [],
    "result_message": [(drop(RESULT, "messageId"), "")],
    "reasoning_opened_once": [(put(3, ag_ui_events()[REASONING]), ""), (put(2, ag_ui_events()[SPAN]), "")],
    "reasoning_open": [
        (put(5, of("REASONING_MESSAGE_END", messageId="rs1")), ""),
        (put(6, ag_ui_events()[SPAN_END]), ""),
    ],
    "step_opened_once": [(put(6, STEP, STEP, STEP_END, STEP_END), "")],
    "step_open": [(put(6, STEP_END), "")],
    "subagent_once": [(put(6, AGENT, AGENT, AGENT_END), "")],
    "subagent_open": [(put(6, AGENT, AGENT_END, AGENT_END), ""), (put(6, AGENT_END), "")],
    "subagent_known": [(change(CALL, subagentRunId="a"), "")],
    "subagent_of_opener": [],
    "chunk_has_id": [(put(9, of("TEXT_MESSAGE_CHUNK", delta="x")), "")],
    "chunk_agrees": [],
    "patch_form": [(put(9, of("STATE_DELTA", delta={"op": "add"})), "")],
    "field_form": [
        (change(MESSAGE, name=5), ""),
        (change(START, timestamp=1.7e12), ""),
        (change(RESULT, content={"time": "noon"}), ""),
        (drop(REASONING, "role"), ""),
        (change(RESULT, role="user"), ""),
        (drop(START, "threadId"), ""),
    ],
    "null_field": [(change(FINISH, outcome=None), ""), (change(MESSAGE, name=None), "field_form")],
    "timestamp_unit": [(change(START, timestamp=1_700_000_000), "")],
    "waiting_calls": [(cut(RESULT), "")],
    "interrupt_form": [(put(FINISH, of("CUSTOM", name="on_interrupt", value="{}")), "")],
    "parent_message": [(change(CALL, parentMessageId=""), "")],
    "empty_message": [(cut(TEXT), "")],
    "snapshot_ids": [
        (put(FINISH, snapshot(USER, {**SAID, "id": "other"})), ""),
        (put(FINISH, snapshot(USER, SAID, {"id": "other", "role": "tool", "toolCallId": "c1", "content": "noon"})), ""),
    ],
    "earlier_call": [(cut(CALL, ARGS, CALL_END), "")],
    "reasoning_repeated": [
        (put(6, *({**event, "messageId": "rs2"} for event in ag_ui_events()[REASONING : REASONING_END + 1])), "")
    ],
    "snapshot_only": [(lambda events: events.__setitem__(slice(1, FINISH), [snapshot(USER, SAID)]), "")],
}
"""For each rule the edits of a conforming stream that break it, with the rules that they can't help but break too."""


@pytest.mark.parametrize("rule", sorted(CASES))
def test_an_edit_breaks_its_rule_alone(rule: str) -> None:
    """The rule is found, and no other than those that the edit can't help but break."""
    for edit, more in CASES[rule]:
        report = check_lines(edited(ag_ui_events(), edit), "ag-ui")
        assert errors(report) | notes(report) == {rule, *more.split()}


def test_every_rule_has_a_case() -> None:
    """A new rule needs a stream that breaks it; the rules of the dialect are all there."""
    assert set(CASES) == set(AG_UI_RULES)
    assert set(RULES) <= set(AG_UI_RULES)


def test_a_violation_has_its_place() -> None:
    """The number and the line of the event, its type and the object."""
    events = edited(ag_ui_events(), CASES["call_open"][0][0])
    place = check_lines(events).errors[0].places[0]
    assert (place.event, place.line, place.name, place.object_id) == (13, 13, "TOOL_CALL_ARGS", "c1")


def test_a_result_of_an_unknown_call() -> None:
    """A second run of a stream, or one whose request is known, has no call elsewhere."""
    second = edited(ag_ui_events(), CASES["earlier_call"][0][0])
    second[0]["runId"] = second[-1]["runId"] = "r2"
    for event in second:
        for name in ("messageId", "toolCallId"):
            if name in event:
                event[name] += "-2"
    assert errors(check_lines([*ag_ui_events(), *second])) == {"result_of_known_call"}
    import msgspec

    request = Request(body=msgspec.json.encode({"threadId": "t1", "runId": "r2", "messages": []}))
    raws = [request, *(RawEvent(data=msgspec.json.encode(event)) for event in second)]
    assert errors(check(raws)) == {"result_of_known_call"}
    assert errors(check(raws[1:])) == set()


def test_subagents_and_chunks() -> None:
    """Events of a message that another subagent opened, and chunks that contradict their first one."""
    other = edited(ag_ui_events(), put(MESSAGE, AGENT))
    other[TEXT + 1]["subagentRunId"] = "a"
    other.insert(-1, AGENT_END)
    assert errors(check_lines(other)) == {"subagent_of_opener"}
    chunks = [
        of("TEXT_MESSAGE_CHUNK", messageId="m9", role="assistant", delta="a"),
        of("TEXT_MESSAGE_CHUNK", messageId="m9", role="user", delta="b"),
    ]
    assert errors(check_lines(edited(ag_ui_events(), put(9, *chunks)))) == {"chunk_agrees"}


def test_an_end_after_the_result_is_in_its_place() -> None:
    """A call is closed by its end alone, which may come after its result."""
    events = ag_ui_events()
    events[CALL_END], events[RESULT] = events[RESULT], events[CALL_END]
    assert check_lines(events).findings == ()


def test_a_subagent_that_is_named_too_early_is_started_once() -> None:
    """An event of a subagent before its start breaks one rule, and its start none."""
    early = of("CUSTOM", name="x", value=1, subagentRunId="a")
    assert errors(check_lines(edited(ag_ui_events(), put(6, early, AGENT, AGENT_END)))) == {"subagent_known"}
