"""The rules of the Responses protocol: each is broken once by a stream that keeps all others in its way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, get_args

import pytest

from runstream.checker.responses_rules import FIELDS, RESPONSES_RULES
from tests.checker.streams import (
    Event,
    check_blocks,
    check_lines,
    edited,
    errors,
    notes,
    response_object,
    responses_events,
)

Edit = Callable[[list[Event]], object]


def renumbered(events: list[Event]) -> None:
    """Give the events numbers without a gap."""
    for number, event in enumerate(events):
        event["sequence_number"] = number


def put(place: int, *events: Event) -> Edit:
    """Insert events and renumber."""

    def edit(all_events: list[Event]) -> None:
        all_events[place:place] = events
        renumbered(all_events)

    return edit


def cut(*places: int) -> Edit:
    """Remove events and renumber."""

    def edit(events: list[Event]) -> None:
        for place in sorted(places, reverse=True):
            del events[place]
        renumbered(events)

    return edit


def change(place: int, **fields: Any) -> Edit:
    """Change fields of an event."""
    return lambda events: events[place].update(fields)


def change_in(place: int, key: str, **fields: Any) -> Edit:
    """Change fields of an object in an event."""
    return lambda events: events[place][key].update(fields)


def drop(place: int, *names: str) -> Edit:
    """Remove fields of an event."""
    return lambda events: [events[place].pop(name) for name in names]


def incomplete(events: list[Event]) -> None:
    """Cut the arguments of the call, in an incomplete response."""
    whole = events[13]["response"]
    events[10]["delta"] = events[11]["arguments"] = events[12]["item"]["arguments"] = "{"
    whole["output"][1]["arguments"] = "{"
    events[13]["type"] = "response.incomplete"
    whole.update(status="incomplete", incomplete_details={"reason": "max_output_tokens"})


def broken_arguments(events: list[Event]) -> None:
    """Send arguments that are not JSON."""
    events[10]["delta"] = events[11]["arguments"] = events[12]["item"]["arguments"] = "{}{}"
    events[13]["response"]["output"][1]["arguments"] = "{}{}"


def failed(error: object, *before: Event) -> Edit:
    """End the response as failed after its message."""

    def edit(events: list[Event]) -> None:
        whole = events[13]["response"]
        del events[9:]
        ended = {**whole, "status": "failed", "error": error, "output": whole["output"][:1]}
        events += [*before, {"type": "response.failed", "response": ended}]
        renumbered(events)

    return edit


def call_of_server(events: list[Event]) -> None:
    """Turn the function call into a custom one of no offered tool."""
    for item in (events[9]["item"], events[12]["item"], events[13]["response"]["output"][1]):
        item["type"] = "custom_tool_call"
        item["input"] = item.pop("arguments")
    del events[10:12]
    renumbered(events)


FAILURE: Event = {"type": "error", "code": "server_error", "message": "no", "param": None}
EXTRA: Event = {"id": "msg_2", "type": "message", "content": []}

CASES: dict[str, list[tuple[Edit, str]]] = {
    "type_missing": [(drop(5, "type"), "sequence_gap text_whole")],
    "field_missing": [(drop(4, "content_index"), ""), (drop(10, "item_id", "output_index"), "text_without_deltas")],
    "known_type": [(put(2, {"type": "response.private"}), "")],
    "keepalive": [(put(5, {"type": "keepalive"}), "")],
    "item_id_absent": [
        (
            put(
                10, {"type": "response.shell_call_command.delta", "output_index": 1, "command_index": 0, "delta": "ls"}
            ),
            "",
        )
    ],
    "done_marker": [(lambda events: events.append("[DONE]"), "")],  # type: ignore[arg-type,return-value]
    "first_event": [(cut(0), "")],
    "resumed_stream": [(lambda events: events.__delitem__(slice(0, 5)), "")],
    "terminal_event": [(lambda events: events.pop(), "")],
    "one_terminal_event": [(lambda events: events.append({**events[-1], "sequence_number": 14}), "")],
    "event_after_end": [(lambda events: events.append({**events[5], "sequence_number": 14}), "")],
    "created_once": [(put(2, responses_events()[0]), "")],
    "response_id": [(change_in(1, "response", id="resp_2"), "")],
    "response_status": [
        (change_in(0, "response", status="queued"), ""),
        (change_in(13, "response", status="in_progress"), ""),
    ],
    "response_fields": [
        (lambda events: events[0]["response"].pop("tools"), ""),
        (change_in(13, "response", output=None), ""),
    ],
    "usage_absent": [(lambda events: events[0]["response"].pop("usage"), "")],
    "fractional_time": [(change_in(1, "response", created_at=1.5), "")],
    "truncated_but_completed": [
        (change_in(13, "response", max_output_tokens=5, usage={"output_tokens": 5, "total_tokens": 9}), "")
    ],
    "failure_reason": [(failed(None), "")],
    "error_form": [(failed({"code": "x", "message": "no"}, {"type": "error", "error": FAILURE}), "error_repeated")],
    "error_repeated": [(failed({"code": "x", "message": "no"}, FAILURE), "")],
    "sequence_number": [(drop(4, "sequence_number"), "sequence_gap")],
    "sequence_start": [
        (lambda events: [event.update(sequence_number=event["sequence_number"] + 1) for event in events], "")
    ],
    "sequence_growth": [(lambda events: [event.update(sequence_number=0) for event in events], "")],
    "sequence_gap": [(lambda events: events.__delitem__(4), "text_whole")],
    "item_added": [(cut(2), ""), (cut(9), "")],
    "item_added_once": [
        (put(3, {"type": "response.output_item.added", "output_index": 0, "item": {**EXTRA, "id": "msg_1"}}), "")
    ],
    "item_id": [(change(5, item_id="msg_other"), ""), (change_in(8, "item", id="msg_other"), "")],
    "item_index": [(change(10, output_index=3), "")],
    "index_shared": [(lambda events: [event.update(output_index=0) for event in events[9:13]], "")],
    "item_done": [(cut(8), "items_overlap")],
    "event_after_item": [(put(9, {**responses_events()[5]}), "")],
    "items_overlap": [(lambda events: [events.insert(3, events.pop(9)), renumbered(events)], "")],
    "item_status": [(lambda events: events[13]["response"]["output"][1].update(status="in_progress"), "")],
    "part_added": [(cut(3), "")],
    "part_done": [(cut(7), "")],
    "text_done": [(cut(6), "")],
    "text_whole": [
        (change(6, text="Hello"), ""),
        (change_in(7, "part", text="Hello"), ""),
        (lambda events: events[8]["item"]["content"][0].update(text="Hello"), ""),
        (lambda events: events[13]["response"]["output"][0]["content"][0].update(text="Hello"), ""),
        (change(11, arguments="[]"), ""),
    ],
    "text_without_deltas": [(cut(10), "")],
    "output_complete": [(change_in(13, "response", output=[]), "")],
    "output_streamed": [(lambda events: events[13]["response"]["output"].append({**EXTRA, "status": "completed"}), "")],
    "call_id": [(lambda events: events[12]["item"].pop("call_id"), "")],
    "call_id_once": [],
    "call_id_counted": [(change_in(12, "item", call_id="call_0"), "")],
    "arguments_json": [(broken_arguments, "")],
    "arguments_cut": [(incomplete, "")],
    "call_of_server": [(call_of_server, "")],
    "event_name": [],
}
"""For each rule the edits of a conforming stream that break it, with the rules that they can't help but break too."""


@pytest.mark.parametrize("rule", sorted(CASES))
def test_an_edit_breaks_its_rule_alone(rule: str) -> None:
    """The rule is found, with the place, and no other than those that the edit can't help but break."""
    for edit, more in CASES[rule]:
        report = check_lines(edited(responses_events(), edit), "responses")
        assert errors(report) | notes(report) == {rule, *more.split()}
        finding = next(finding for finding in report.findings if finding.rule.name == rule)
        assert finding.rule == RESPONSES_RULES[rule]
        assert finding.places[0].event == finding.places[0].line <= 16


def test_every_rule_has_a_case() -> None:
    """A new rule needs a stream that breaks it."""
    assert set(CASES) == set(RESPONSES_RULES)


def test_the_fields_are_those_of_the_official_package() -> None:
    """Each type of the package is known, and a field that the checker demands is one that the package requires."""
    responses = pytest.importorskip("openai.types.responses")
    seen = set()
    for event in get_args(get_args(responses.ResponseStreamEvent)[0]):
        (kind,) = get_args(event.model_fields["type"].annotation)
        required = {name for name, field in event.model_fields.items() if field.is_required()}
        assert set(FIELDS[kind]) <= required | {"annotation"}, kind
        seen.add(kind)
    assert len(seen) > 50
    assert all(kind.startswith(("response.steer.", "response.inject.")) for kind in set(FIELDS) - seen)


def test_the_name_of_the_framing_is_the_type() -> None:
    """Without `event:`, or with another one, a reader of event streams misses the event."""
    events = responses_events()
    named: list[tuple[str | None, Any, str | None]] = [(event["type"], event, None) for event in events]
    assert check_blocks(named).ok
    assert errors(check_blocks([(None, event, None) for event in events])) == {"event_name"}
    named[3] = ("message", events[3], None)
    report = check_blocks(named)
    assert errors(report) == {"event_name"}
    assert report.errors[0].places[0].detail == "`event:` is another one"


def test_another_response_begins_too_early() -> None:
    """A `created` of another id begins another response: the first one has no end then."""
    events = responses_events()
    others = [{**event, "response": {**event["response"], "id": "resp_2"}} for event in events[:2]]
    report = check_lines([*events[:2], *others, *events[2:-1]], "responses")
    assert errors(report) == {"terminal_event"}
    assert [place.object_id for place in report.errors[0].places] == ["resp_1", "resp_2"]


def test_lanes_have_numbers_of_their_own() -> None:
    """Two responses that interleave on one socket are each checked for themselves."""
    one = [{**event, "stream_id": "a"} for event in responses_events()]
    two = [{**event, "stream_id": "b"} for event in responses_events()]
    for event in two:
        if "response" in event:
            event["response"] = {**event["response"], "id": "resp_2"}
    mixed = [event for pair in zip(one, two, strict=True) for event in pair]
    report = check_lines(mixed, "responses")
    assert report.findings == ()
    assert [run.id for run in report.runs] == ["resp_1", "resp_2"]


def test_two_calls_of_one_id() -> None:
    """The calls of one response can't be answered by themselves if they share an id."""

    def edit(events: list[Event]) -> None:
        again = [{**event, "output_index": 2} for event in events[9:13]]
        for event in again:
            event["item_id"] = "fc_2"
            if "item" in event:
                event["item"] = {**event["item"], "id": "fc_2"}
                del event["item_id"]
        events[13:13] = again
        events[-1]["response"]["output"].append(again[-1]["item"])
        renumbered(events)

    assert errors(check_lines(edited(responses_events(), edit), "responses")) == {"call_id_once"}


def test_an_incomplete_response_has_a_reason() -> None:
    """The type alone does not say why."""
    events = edited(responses_events(), incomplete)
    events[13]["response"]["incomplete_details"] = None
    assert errors(check_lines(events, "responses")) == {"failure_reason"}


def test_a_polled_response_is_checked_too() -> None:
    """A document of responses has no events, but objects."""
    lacking = response_object("completed")
    del lacking["error"]
    report = check_lines([lacking], "responses")
    assert errors(report) == {"response_fields"}
    assert report.errors[0].places[0].detail == "error"


@pytest.mark.parametrize("place", range(1, 14))
def test_a_cut_is_found_at_every_event(place: int) -> None:
    """A stream that ends before its terminal event has no end of its response."""
    report = check_lines(responses_events()[:place], "responses")
    assert errors(report) == {"terminal_event"}
    assert [run.interrupted for run in report.runs] == [True]


@pytest.mark.parametrize("place", range(2, 13))
def test_a_resumed_stream_breaks_no_rule(place: int) -> None:
    """A reader that goes on behind a number gets items that were opened before."""
    report = check_lines(responses_events()[place:], "responses")
    assert errors(report) == set()
    assert notes(report) == {"resumed_stream"}
