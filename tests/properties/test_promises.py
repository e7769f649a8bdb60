"""The promises of the pipeline, each as a property over made-up conversations (`docs/guarantees.md` lists them)."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstream.core.reduce import reduce
from runstream.core.state import RunState
from runstream.dialects.assistants import AssistantsDialect
from runstream.engine.engine import Engine
from runstream.engine.fold import Folded, fold, fold_sources
from runstream.model.events import Event, Reject, RunEvent
from runstream.model.limits import Limits
from runstream.model.raw import RawEvent
from runstream.model.signals import ProgressSignal, Signal, SourceSignal, TextDelta, TextReplaced
from runstream.testing import Conversation, conversations

pytestmark = pytest.mark.slow

some = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
RUN_EVENTS = "thread.run."


def clock() -> float:
    return 1.0


def outcome(folded: Folded) -> tuple[list[Any], list[str]]:
    """What must not differ: the final states, and every signal but progress and those of sources."""
    return [state.to_dict() for state in folded.runs], keys(folded.signals)


def keys(signals: Any) -> list[str]:
    """The keys of the run signals other than progress, in order."""
    return [s.key for s in signals if not isinstance(s, SourceSignal | ProgressSignal | TextReplaced)]


def is_run_event(raw: RawEvent) -> bool:
    """Whether a raw event (SSE framing) is a snapshot of a run."""
    return raw.event is not None and raw.event.startswith(RUN_EVENTS) and ".step." not in raw.event


@given(conversations(), st.data())
@some
def test_repeated_events_with_identity_change_nothing(conversation: Conversation, data: st.DataObject) -> None:
    """Promise 2: an event that comes again with its id, at any later moment, changes nothing and is counted."""
    raws = conversation.raw_events(interleaved=True, ids=True)
    index = data.draw(st.integers(0, len(raws) - 1))
    later = data.draw(st.integers(index + 1, len(raws)))
    again = fold([*raws[:later], raws[index], *raws[later:]], clock=clock)
    once = fold(raws, clock=clock)
    assert outcome(again) == outcome(once)
    assert [signal.key for signal in again.signals] == [signal.key for signal in once.signals]
    assert again.stats.duplicates == once.stats.duplicates + 1


@given(conversations(), st.data())
@some
def test_repeated_run_events_without_identity_change_nothing(conversation: Conversation, data: st.DataObject) -> None:
    """Promise 2: a snapshot of a run that comes again without any id, at any later moment, changes nothing."""
    raws = conversation.raw_events(interleaved=True)
    snapshots = [index for index, raw in enumerate(raws) if is_run_event(raw)]
    index = data.draw(st.sampled_from(snapshots))
    later = data.draw(st.integers(index + 1, len(raws)))
    assert outcome(fold([*raws[:later], raws[index], *raws[later:]])) == outcome(fold(raws))


@given(conversations(max_runs=2), st.data(), st.booleans())
@some
def test_a_replay_from_the_start_changes_no_run(conversation: Conversation, data: st.DataObject, ids: bool) -> None:
    """Promise 5: told again from the start at any moment, with ids or (the snapshots of runs) without, then going on:
    no run changes, no run signal is repeated, and afterwards all is as it would have been.
    """
    raws = conversation.raw_events(interleaved=True, ids=ids)
    cut = data.draw(st.integers(1, len(raws)))
    told = raws[:cut] if ids else [raw for raw in raws[:cut] if is_run_event(raw)]
    engine = Engine(clock=clock)
    signals: list[Signal] = []
    engine.on_signal = signals.append
    intake = engine.intake("stream")
    intake.feed_all(raws[:cut])
    before, so_far = [state.to_dict() for state in engine.states()], len(signals)
    intake.feed_all(told)
    assert [state.to_dict() for state in engine.states()] == before
    assert keys(signals[so_far:]) == []
    intake.feed_all(raws[cut:])
    intake.end()
    folded = fold(raws, clock=clock)
    assert [state.to_dict() for state in engine.states()] == [state.to_dict() for state in folded.runs]
    assert keys(signals) == keys(folded.signals)


@given(conversations(), st.integers(0, 2**16))
@some
def test_interleaved_runs_are_each_alone(conversation: Conversation, seed: int) -> None:
    """Promise 1: however runs are interleaved in one source, each ends as it does alone."""
    folded = fold(conversation.raw_events(interleaved=True, seed=seed))
    assert {state.run_id: state.to_dict() for state in folded.runs} == {
        state.run_id: state.to_dict() for script in conversation.scripts for state in fold(script.raw_events()).runs
    }


@given(conversations(max_runs=2), st.data())
@some
def test_cut_and_continued_in_a_second_source(conversation: Conversation, data: st.DataObject) -> None:
    """Promise 6: a stream that is cut anywhere and goes on in a second source gives the same states, and the same
    signals but for the pauses and interruptions, which are the cut's.
    """
    raws = conversation.raw_events(interleaved=True)
    cut = data.draw(st.integers(0, len(raws)))
    two = fold_sources([("a", raws[:cut]), ("b", raws[cut:])])
    one = fold(raws)
    assert [state.to_dict() for state in two.runs] == [state.to_dict() for state in one.runs]

    def lasting(folded: Folded) -> list[str]:
        return [key for key in keys(folded.signals) if "/paused/" not in key and "/interrupted/" not in key]

    assert lasting(two) == lasting(one)


@given(conversations(max_runs=2))
@some
def test_every_key_once(conversation: Conversation) -> None:
    """Promise 5: no two signals of a stream have one key, progress included."""
    all_keys = [signal.key for signal in fold(conversation.raw_events(interleaved=True)).signals]
    assert len(all_keys) == len(set(all_keys))


@given(conversations())
@some
def test_told_text_is_the_text(conversation: Conversation) -> None:
    """What the text signals told, put together, is the text that the states hold."""
    folded = fold(conversation.raw_events(interleaved=True))
    told: dict[tuple[str, int], str] = defaultdict(str)
    for signal in folded.signals:
        if isinstance(signal, TextDelta):
            assert signal.offset == len(told[signal.message_id, signal.part])
            told[signal.message_id, signal.part] += signal.delta
        elif isinstance(signal, TextReplaced):
            told[signal.message_id, signal.part] = signal.text
    for state in folded.runs:
        for message in state.messages:
            texts = {at: part for (id, at), part in told.items() if id == message.id}
            assert "".join(text for _, text in sorted(texts.items())) == message.text


@given(conversations(max_runs=2), st.lists(st.binary(max_size=30), max_size=5), st.data())
@some
def test_garbage_changes_nothing_but_rejects(
    conversation: Conversation, junk: list[bytes], data: st.DataObject
) -> None:
    """Promise 7: bytes that are no events, anywhere in a stream, become rejects and change nothing else."""
    raws = conversation.raw_events(enveloped=True)
    mixed = list(raws)
    for piece in junk:
        mixed.insert(data.draw(st.integers(0, len(mixed))), RawEvent(data=b"\x00" + piece))
    folded = fold(mixed)
    assert outcome(folded) == outcome(fold(raws))
    assert len(folded.rejects) == len(junk)


def decoded(raws: list[RawEvent]) -> list[Event]:
    """The events of raw events, all of them good."""
    dialect = AssistantsDialect()
    return [event for raw in raws for event in (dialect.decode(raw),) if not isinstance(event, Reject)]


@given(conversations(max_runs=2), conversations(max_runs=2))
@some
def test_every_event_on_every_state_gives_a_state(one: Conversation, other: Conversation) -> None:
    """Promise 3: the reducer is total (events of another conversation included) and pure: what it was given stays,
    and the same event again on the state that it gave, if it is a snapshot of a run, gives that same object.
    """
    states: list[RunState] = [state for n in range(3) for state in fold(one.raw_events()[: 4 + 9 * n]).runs]
    for state in states:
        before = state.to_dict()
        for event in decoded(other.raw_events()):
            after = reduce(state, event)
            assert after is not None
            if isinstance(event, RunEvent):
                assert reduce(after, event) is after
        assert state.to_dict() == before


@given(conversations(max_runs=1), st.text(max_size=5), st.text(max_size=5))
@some
def test_two_fragments_on_one_state_give_two_right_states(conversation: Conversation, left: str, right: str) -> None:
    """Promise 3: two different deltas applied to one earlier state give two right states, and it stays as it was."""

    def fragment(id: str, text: str) -> Event:
        delta = {"content": [{"index": 0, "type": "text", "text": {"value": text}}]}
        raw = RawEvent("thread.message.delta", msgspec.json.encode({"id": id, "delta": delta}))
        return decoded([raw])[0]

    start = fold(conversation.raw_events()[:4]).runs
    for state in start:
        base = reduce(state, fragment("msg_x", "base "))
        assert base is not None
        one, two = reduce(base, fragment("msg_x", left)), reduce(base, fragment("msg_x", right))
        assert one is not None
        assert two is not None
        texts = [found.message("msg_x").text for found in (base, one, two)]  # type: ignore[union-attr]
        assert texts == ["base ", "base " + left, "base " + right]


@given(conversations())
@some
def test_forgotten_runs_stay_quiet(conversation: Conversation) -> None:
    """Promise 7: a run that has ended and was evicted comes back by none of its late events."""
    raws = conversation.raw_events()
    engine = Engine(limits=Limits(max_finished_runs=0), clock=clock)
    signals: list[Signal] = []
    engine.on_signal = signals.append
    intake = engine.intake("stream")
    intake.feed_all(raws)
    ended = {state.run_id for state in fold(raws).runs if state.is_terminal}
    assert ended.isdisjoint({state.run_id for state in engine.states()})
    so_far = len(signals)
    for script in conversation.scripts:
        if script.run_id in ended:
            intake.feed_all(script.raw_events())
    assert [signal.type for signal in signals[so_far:] if not isinstance(signal, SourceSignal)] == []
    assert ended.isdisjoint({state.run_id for state in engine.states()})
