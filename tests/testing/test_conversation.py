"""Conversations of scripted runs: `fold` gives the expected states, however the events arrive."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.engine.fold import Folded, fold, fold_sources
from runstream.model.raw import RawEvent
from runstream.model.signals import ProgressSignal, Signal, SourceSignal
from runstream.recordings.reader import read_recording
from runstream.testing import Conversation, conversations, events_of, script

slow = settings(
    max_examples=int(os.environ.get("RUNSTREAM_EXAMPLES", "120")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def found(folded: Folded | tuple[RunState, ...]) -> dict[str, Any]:
    """The final states, written out, by run id."""
    states = folded.runs if isinstance(folded, Folded) else folded
    return {state.run_id: state.to_dict() for state in states}


def facts(folded: Folded) -> set[str]:
    """The keys of the signals that concern runs, progress apart (how text is cut says nothing about it)."""
    return {
        signal.key
        for signal in folded.signals
        if not isinstance(signal, ProgressSignal | SourceSignal) and signal.type != "message.text_replaced"
    }


@slow
@given(conversations())
def test_fold_gives_the_conversation(conversation: Conversation) -> None:
    """Runs, steps, messages, text and arguments are those of the scripts; nothing is rejected or left over."""
    folded = fold(conversation.raw_events())
    assert found(folded) == conversation.expected_runs
    assert (folded.rejects, folded.orphans) == ((), {})
    stats = folded.stats
    assert (stats.mistyped, stats.stale, stats.late, stats.surprising, stats.unknown) == (0, 0, 0, 0, 0)
    assert len({signal.key for signal in folded.signals}) == len(folded.signals)


@slow
@given(conversations(), st.integers(0, 99), st.booleans())
def test_interleaving_changes_nothing(conversation: Conversation, seed: int, enveloped: bool) -> None:
    """Interleaved runs have the same states as runs streamed one after the other."""
    folded = fold(conversation.raw_events(interleaved=True, seed=seed, enveloped=enveloped))
    assert found(folded) == conversation.expected_runs
    assert facts(folded) == facts(fold(conversation.raw_events()))


@slow
@given(conversations(), st.randoms(use_true_random=False))
def test_duplicates_with_identity_change_nothing(conversation: Conversation, random: Any) -> None:
    """Repeated events with the same ids, at any later time, are dropped and counted."""
    raws = conversation.raw_events(interleaved=True, ids=True)
    once = fold(raws, clock=lambda: 0.0)
    repeated: list[RawEvent] = []
    for raw in raws:
        repeated.append(raw)
        repeated += random.choices(repeated, k=random.choice([0, 0, 1, 2]))
    twice = fold(repeated, clock=lambda: 0.0)
    assert twice.runs == once.runs
    # The id to resume from is that of the block that came last, a duplicate or not.
    assert [_fields(signal) for signal in twice.signals] == [_fields(signal) for signal in once.signals]
    assert twice.stats.duplicates == len(repeated) - len(raws)
    assert found(twice) == conversation.expected_runs


def _fields(signal: Signal) -> dict[str, Any]:
    return {name: value for name, value in signal.to_dict().items() if name != "last_event_id"}


@slow
@given(conversations(), st.lists(st.floats(0, 1), max_size=3))
def test_cut_and_continued_changes_nothing(conversation: Conversation, places: list[float]) -> None:
    """A stream cut anywhere into several sources has the same runs and facts, except for the facts about the cuts."""
    raws = conversation.raw_events(interleaved=True)
    cuts = sorted(int(place * len(raws)) for place in places)
    parts = [raws[start:end] for start, end in zip([0, *cuts], [*cuts, len(raws)], strict=True)]
    folded = fold_sources((f"part {number}", part) for number, part in enumerate(parts))
    assert found(folded) == conversation.expected_runs
    assert not folded.orphans
    ends = ("run.paused", "run.interrupted")
    parted, whole = ([signal for signal in given.signals if signal.type not in ends] for given in (folded, fold(raws)))
    assert [_fact(signal) for signal in parted if not signal.type.startswith("source.")] == [
        _fact(signal) for signal in whole if not signal.type.startswith("source.")
    ]


def _fact(signal: Signal) -> tuple[str, str]:
    return signal.type, signal.key


@slow
@given(conversations(), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9)), max_size=3))
def test_reconnects_with_repeats_change_nothing(conversation: Conversation, losses: list[tuple[float, int]]) -> None:
    """Reconnects that repeat the last events with their ids have the same runs."""
    raws = conversation.raw_events(interleaved=True, ids=True)
    engine = Engine()
    intake = engine.intake("socket")
    intake.connected()
    places = {int(place * len(raws)): again for place, again in losses}
    for place, raw in enumerate(raws):
        if place in places:
            intake.disconnected("lost")
            intake.connected(1)
            for event in raws[max(0, place - places[place]) : place]:
                intake.feed(event)
        intake.feed(raw)
    intake.end()
    assert found(engine.states()) == conversation.expected_runs


@slow
@given(conversations(), st.booleans())
def test_recordings_of_a_conversation_fold_the_same(conversation: Conversation, ids: bool) -> None:
    """A conversation has the same states as an event stream and as JSON lines."""
    for body, format in ((conversation.sse(ids=ids), "sse"), (conversation.jsonl(ids=ids), "jsonl")):
        folded = fold(read_recording(body, format=format))  # type: ignore[arg-type]
        assert found(folded) == conversation.expected_runs
        assert not folded.rejects


@slow
@given(conversations())
def test_an_earlier_state_never_changes(conversation: Conversation) -> None:
    """Intermediate states are written in the same way after all later events."""
    engine = Engine()
    kept: list[tuple[RunState, dict[str, Any]]] = []
    engine.on_state = lambda state: kept.append((state, state.to_dict()))
    intake = engine.intake("stream")
    for raw in conversation.raw_events(interleaved=True):
        intake.feed(raw)
    for state, written in kept:
        assert state.to_dict() == written


def test_events_of_one_line() -> None:
    """`events_of` builds runs that have a message, wait, receive outputs, or have no end."""
    assert fold(events_of("Hello there.")).runs[0].text == "Hello there."
    waiting = fold(events_of(calls={"weather": {"city": "Oslo"}})).runs[0]
    assert [call.name for call in waiting.run.pending_tool_calls] == ["weather"]
    answered = fold(events_of("Sunny.", calls={"weather": {}}, outputs=["sunny"])).runs[0]
    assert (answered.text, answered.round) == ("Sunny.", 1)
    assert not fold(events_of("Hel", ends=None)).runs[0].is_terminal
    assert all(raw.id for raw in events_of("Hello", ids=True))


def test_streams_by_run() -> None:
    """A conversation returns the streams of each run, for separate sources."""
    run = script("run_1").call(weather={}).answer("sunny").say("Sunny.").end()
    streams = Conversation([run, script("run_2").end("failed")]).streams(ids=True)
    assert {id: len(parts) for id, parts in streams.items()} == {"run_1": 2, "run_2": 1}
    folded = fold_sources(("stream", part) for parts in streams.values() for part in parts)
    assert [state.status.value for state in folded.runs] == ["completed", "failed"]


def test_a_conversation_shows_what_it_is() -> None:
    """Its repr is short: run ids, statuses, the number of events."""
    assert repr(Conversation([script().end()])) == "Conversation(run_1: completed; 5 events)"
