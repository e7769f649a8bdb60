"""The Responses dialect over several connections: a server goes on from an earlier event, or begins again."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runstream.engine.engine import Engine
from runstream.engine.fold import Folded, fold
from runstream.model.raw import ConnectionEvent, RawEvent
from runstream.model.signals import Signal, TextReplaced
from tests.store.support import facts
from tests.support.responses import ResponseScript
from tests.support.talks import talk


def frames(seed: int, *, numbered: bool) -> list[RawEvent]:
    """The events of a random run, with or without numbers."""
    found = []
    for event in talk(seed):
        if not numbered:
            event.pop("sequence_number", None)
        found.append(RawEvent(data=json.dumps(event).encode() if event else b"[DONE]"))
    return found


def cut_off(raws: list[RawEvent], cut: int, back: list[RawEvent]) -> Folded:
    """The fold of a source that lost its connection after some events, and what the next one brought."""
    lost = [ConnectionEvent(connected=False), ConnectionEvent(connected=True)]
    return fold([*raws[:cut], *lost, *back], dialect="responses", clock=lambda: 1.0)


@settings(deadline=None)  # folds a whole run twice
@example(504, 1.0, 4, True)
@example(200, 0.8125, 27, True)  # it goes on from within an earlier response, whose `keepalive` names none
@given(st.integers(0, 999), st.floats(0, 1), st.integers(0, 40), st.booleans())
def test_a_connection_that_is_lost_changes_nothing(seed: int, share: float, back: int, numbered: bool) -> None:
    """A server that goes on from an earlier event, or begins again where there are no numbers: equal facts and runs."""
    raws = frames(seed, numbered=numbered)
    cut = round(share * len(raws))
    engine, signals = Engine(clock=lambda: 1.0), list[Signal]()
    engine.on_signal = signals.append
    intake = engine.intake("source", dialect="responses")
    intake.connected()
    intake.feed_all(raws[:cut])
    intake.disconnected("lost")
    intake.connected()
    intake.feed_all(raws[max(cut - back, 0) if numbered else 0 :])
    intake.end()
    clean = fold(raws, dialect="responses", clock=lambda: 1.0)
    assert facts(signals) == facts(clean.signals)
    assert [state.to_dict() for state in engine.states()] == [state.to_dict() for state in clean.runs]
    assert not [signal for signal in signals if isinstance(signal, TextReplaced)]


@pytest.mark.parametrize("name", ["keepalive", "audio.delta", "audio.transcript.delta", "error"])
@pytest.mark.parametrize("start", range(4))
def test_an_event_without_an_item_is_of_the_response_before_it(start: int, name: str) -> None:
    """The server goes on from within the first of two responses, where an event names neither a response nor an item.

    The second response has had an event with its number.
    """
    first = ResponseScript("resp_1").begin()
    first.send(name, delta="AA", code="odd", message="no").say("one").end()
    second = ResponseScript("resp_2", previous_response_id="resp_1").begin().say("two", "three", "four", "five")
    raws = [*first.raws(), *second.raws(), *second.end().raws()[-1:]]
    cut = len(raws) - 2
    clean = fold(raws, dialect="responses", clock=lambda: 1.0)
    folded = cut_off(raws, cut, raws[start:])
    assert facts(folded.signals) == facts(clean.signals)
    assert [state.to_dict() for state in folded.runs] == [state.to_dict() for state in clean.runs]


def test_an_event_that_names_its_response_is_of_that_one() -> None:
    """Some servers name the response in the events of its items, whose ids and indices collide."""
    raws = []
    for id, text in (("resp_1", "one"), ("resp_2", "two")):
        script = ResponseScript(id).begin().say(text, id="msg")
        raws.append([RawEvent(data=json.dumps({**event, "response_id": id}).encode()) for event in script.end().events])
    once, again = (
        fold([*raws[0], *raws[1]], dialect="responses"),
        fold([*raws[0], *raws[1], *raws[0][3:]], dialect="responses"),
    )
    assert [state.text for state in again.runs] == ["one", "two"]
    assert facts(again.signals) == facts(once.signals)


# several responses with the same numbers


def script_of(id: str, **fields: Any) -> ResponseScript:
    """A response whose fragments are mostly equal."""
    script = ResponseScript(id, **fields).begin().say(*["ha"] * 6, "!").think("a", "b")
    return script.call(f"call_{id}", "look", '{"a"', ":1}").end()


@given(st.randoms(use_true_random=False))
def test_lanes_count_for_themselves(rng: random.Random) -> None:
    """The responses of several lanes have the same numbers and take turns, also after a loss."""
    tracks = [
        [{**event, **lane} for script in scripts for event in script.events]
        for lane, scripts in (
            ({}, [script_of("resp_1")]),
            ({"stream_id": "b"}, [script_of("resp_2"), script_of("resp_3", previous_response_id="resp_2")]),
            ({"stream_id": "c"}, [script_of("resp_4")]),
        )
    ]
    alone = [
        fold([RawEvent(data=json.dumps(event).encode()) for event in track], dialect="responses", clock=lambda: 1.0)
        for track in tracks
    ]
    waiting, mixed = [list(track) for track in tracks], []
    while tracks := [track for track in waiting if track]:
        mixed.append(RawEvent(data=json.dumps(rng.choice(tracks).pop(0)).encode()))
    cut = rng.randrange(len(mixed))
    for folded in (fold(mixed, dialect="responses"), cut_off(mixed, cut, mixed[rng.randrange(cut + 1) :])):
        assert set(facts(folded.signals)) == {key for each in alone for key in facts(each.signals)}
        assert {state.run_id: state.to_dict() for state in folded.runs} == {
            state.run_id: state.to_dict() for each in alone for state in each.runs
        }


@pytest.mark.parametrize("cut", range(1, len(script_of("resp_1").events)))
def test_numbers_that_restart_lose_nothing(cut: int) -> None:
    """A server that counts from 0 again where it goes on: a fragment that can't be told from a repetition is missing
    until the whole text, which says so.
    """
    clean = fold(script_of("resp_1").raws(), dialect="responses", clock=lambda: 1.0)
    script = script_of("resp_1")
    for number, event in enumerate(script.events[cut:]):
        event["sequence_number"] = number
    folded = cut_off(script.raws(), cut, script.raws()[cut:])
    assert folded.runs[0].to_dict() == clean.runs[0].to_dict()
    texts = {signal.key for signal in folded.signals if isinstance(signal, TextReplaced)}
    assert set(facts(folded.signals)) == set(facts(clean.signals)) | texts
    assert not texts or 4 <= cut < 9


# ids that a server uses again


@pytest.mark.parametrize("closes_alone", [True, False])
@pytest.mark.parametrize("numbered", [True, False])
@pytest.mark.parametrize("call_id", ["call_0", "call_1"])
@pytest.mark.parametrize("output", [{}, {"output": []}], ids=["output", "empty"])
def test_items_with_the_ids_of_the_response_before(
    output: dict[str, Any], call_id: str, numbered: bool, closes_alone: bool
) -> None:
    """Each response counts its items from 0: the items of the second one are its own, and their call waits."""
    first = (
        ResponseScript("resp_1", numbered=numbered)
        .begin()
        .call("call_0", "look", "{}")
        .say("one", id="msg")
        .end(**output)
    )
    second = ResponseScript("resp_2", numbered=numbered, previous_response_id="resp_1").begin()
    second.call(call_id, "look", '{"z"', ":1}").say("two", id="msg").end(**output)
    raws = []
    for event in (*first.events, *second.events):
        data = json.dumps(event).replace("fc_resp_1_0", "fc_0").replace("fc_resp_2_0", "fc_0")
        is_closing = '"response.output_item.added"' not in data and ".delta" not in data
        if is_closing or not closes_alone:
            raws.append(RawEvent(data=data.encode()))
    if closes_alone and numbered:
        numbers: dict[str, int] = {}
        for at, raw in enumerate(raws):
            event = json.loads(raw.data)
            response = "resp_1" if at < len(raws) // 2 else "resp_2"
            event["sequence_number"] = numbers[response] = numbers.get(response, -1) + 1
            raws[at] = RawEvent(data=json.dumps(event).encode())
    (state,) = fold(raws, dialect="responses").runs
    assert state.status == "requires_action"
    calls = getattr(state.run.required_action, "calls", ())
    assert [(call.id, call.arguments) for call in calls] == [(call_id, '{"z":1}')]
    assert [call.arguments for call in state.tool_calls] == ["{}", '{"z":1}']
    assert state.text == "onetwo"
    if numbered:
        again = cut_off(raws, len(raws) - 1, raws)
        assert again.runs[0].to_dict() == fold(raws, dialect="responses", clock=lambda: 1.0).runs[0].to_dict()


# forms of snapshots and names


def test_a_name_that_only_the_event_stream_has() -> None:
    """The data has no `type`: the name of the event is taken."""
    raws = script_of("resp_1").raws()
    bare = [
        RawEvent(raw.event, json.dumps({k: v for k, v in json.loads(raw.data).items() if k != "type"}).encode())
        for raw in raws
    ]
    assert fold(bare, dialect="auto").runs[0].to_dict() == fold(raws, dialect="responses").runs[0].to_dict()


def test_a_snapshot_that_is_the_event() -> None:
    """The fields of the response stand beside `type`."""
    raws = []
    for event in script_of("resp_1").events:
        response = event.pop("response", {})
        raws.append(RawEvent(data=json.dumps({**response, **event}).encode()))
    whole = fold(script_of("resp_1").raws(), dialect="responses")
    assert fold(raws, dialect="auto").runs[0].to_dict() == whole.runs[0].to_dict()


@pytest.mark.parametrize("status", ["failed", "incomplete", "cancelled"])
def test_a_failure_that_is_named_completed_is_no_success(status: str) -> None:
    script = ResponseScript().begin().call("call_1", "look", "{}")
    script.send("completed", response={**script.response, "status": status, "error": {"code": "odd"}})
    (state,) = fold(script.raws(), dialect="responses").runs
    assert state.status == status
