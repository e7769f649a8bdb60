"""The made-up runs of `runstream.testing`, and fold held against whole conversations of them."""

from __future__ import annotations

import builtins
import os
import sys
from typing import Any, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstream.core.state import RunState
from runstream.dialects.assistants_wire import EVENT_TYPES
from runstream.engine.engine import Engine
from runstream.engine.fold import Folded, fold, fold_sources
from runstream.model.base import WireStruct
from runstream.model.lenient import read
from runstream.model.raw import RawEvent
from runstream.model.signals import Signal
from runstream.recordings.reader import read_recording
from runstream.testing import Conversation, Script, conversations, events_of, script, scripts, texts

pytestmark = pytest.mark.slow

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
        if not signal.type.startswith(("source.", "message.text", "tool_call.arguments"))
    }


@slow
@given(conversations())
def test_fold_gives_the_conversation(conversation: Conversation) -> None:
    """Runs, steps, messages, text and arguments are those that were told; nothing is rejected or left over."""
    folded = fold(conversation.raw_events())
    assert found(folded) == conversation.expected_runs
    assert (folded.rejects, folded.orphans) == ((), {})
    stats = folded.stats
    assert (stats.mistyped, stats.stale, stats.late, stats.surprising, stats.unknown) == (0, 0, 0, 0, 0)
    assert len({signal.key for signal in folded.signals}) == len(folded.signals)


@slow
@given(conversations(), st.integers(0, 99), st.booleans())
def test_interleaving_changes_nothing(conversation: Conversation, seed: int, enveloped: bool) -> None:
    """Runs told all at once come out as runs told one after the other."""
    folded = fold(conversation.raw_events(interleaved=True, seed=seed, enveloped=enveloped))
    assert found(folded) == conversation.expected_runs
    assert facts(folded) == facts(fold(conversation.raw_events()))


@slow
@given(conversations(), st.randoms(use_true_random=False))
def test_duplicates_with_identity_change_nothing(conversation: Conversation, random: Any) -> None:
    """Events that come again with their ids, however late, are dropped and counted."""
    raws = conversation.raw_events(interleaved=True, ids=True)
    once = fold(raws, clock=lambda: 0.0)
    told: list[RawEvent] = []
    for raw in raws:
        told.append(raw)
        told += random.choices(told, k=random.choice([0, 0, 1, 2]))
    twice = fold(told, clock=lambda: 0.0)
    assert twice.runs == once.runs
    # The id to resume from is that of the block that came last, a duplicate or not.
    assert [_said(signal) for signal in twice.signals] == [_said(signal) for signal in once.signals]
    assert twice.stats.duplicates == len(told) - len(raws)
    assert found(twice) == conversation.expected_runs


def _said(signal: Signal) -> dict[str, Any]:
    return {name: value for name, value in signal.to_dict().items() if name != "last_event_id"}


@slow
@given(conversations(), st.lists(st.floats(0, 1), max_size=3))
def test_cut_and_continued_changes_nothing(conversation: Conversation, places: list[float]) -> None:
    """A stream in several sources, cut anywhere, gives the same runs and the same facts but for the cuts."""
    raws = conversation.raw_events(interleaved=True)
    cuts = sorted(int(place * len(raws)) for place in places)
    parts = [raws[start:end] for start, end in zip([0, *cuts], [*cuts, len(raws)], strict=True)]
    folded = fold_sources((f"part {number}", part) for number, part in enumerate(parts))
    assert found(folded) == conversation.expected_runs
    assert not folded.orphans
    ends = ("run.paused", "run.interrupted")
    told, whole = ([signal for signal in given.signals if signal.type not in ends] for given in (folded, fold(raws)))
    assert [_fact(signal) for signal in told if not signal.type.startswith("source.")] == [
        _fact(signal) for signal in whole if not signal.type.startswith("source.")
    ]


def _fact(signal: Signal) -> tuple[str, str]:
    return signal.type, signal.key


@slow
@given(conversations(), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9)), max_size=3))
def test_reconnects_that_tell_again_change_nothing(conversation: Conversation, losses: list[tuple[float, int]]) -> None:
    """Connections that are lost, and tell their last events again with their ids, give the same runs."""
    raws = conversation.raw_events(interleaved=True, ids=True)
    engine = Engine()
    intake = engine.intake("socket")
    intake.connected()
    places = {int(place * len(raws)): again for place, again in losses}
    for place, raw in enumerate(raws):
        if place in places:
            intake.disconnected("lost")
            intake.connected(1)
            for told in raws[max(0, place - places[place]) : place]:
                intake.feed(told)
        intake.feed(raw)
    intake.end()
    assert found(engine.states()) == conversation.expected_runs


@slow
@given(conversations(), st.booleans())
def test_recordings_of_a_conversation_fold_the_same(conversation: Conversation, ids: bool) -> None:
    """As an event stream and as JSON lines a conversation says the same."""
    for body, format in ((conversation.sse(ids=ids), "sse"), (conversation.jsonl(ids=ids), "jsonl")):
        folded = fold(read_recording(body, format=format))  # type: ignore[arg-type]
        assert found(folded) == conversation.expected_runs
        assert not folded.rejects


@slow
@given(scripts())
def test_every_object_survives_json(told: Script) -> None:
    """``from_json(to_json(x)) == x`` for everything that was told and everything that came of it."""
    objects: list[Any] = [
        _typed(event.name, event.data)
        for event in told.events
        if isinstance(event.data, dict) and event.name != "error"
    ]
    (state,) = fold(told.raw_events()).runs
    objects += [state.run, *state.steps, *state.messages]
    for item in objects:
        again = type(item).from_json(item.to_json())
        assert again == item
        assert hash(again) == hash(item)
        assert again.to_dict() == item.to_dict()


def _typed(name: str, data: dict[str, Any]) -> WireStruct:
    issues: list[Any] = []
    value = read(get_type_hints(EVENT_TYPES[name])["data"], data, issues)
    assert not issues
    assert isinstance(value, WireStruct)
    return value


@slow
@given(conversations())
def test_a_state_once_held_never_changes(conversation: Conversation) -> None:
    """States kept along the way are written out the same after everything that followed."""
    engine = Engine()
    kept: list[tuple[RunState, dict[str, Any]]] = []
    engine.on_state = lambda state: kept.append((state, state.to_dict()))
    intake = engine.intake("stream")
    for raw in conversation.raw_events(interleaved=True):
        intake.feed(raw)
    for state, written in kept:
        assert state.to_dict() == written


def test_a_script_in_a_few_lines() -> None:
    """The README's way: a run that calls a function, is answered, and speaks."""
    run = script("run_1").say("Let me see.").call(weather={"city": "Oslo"})
    run.answer("sunny").say("It is sunny.").end()
    (state,) = fold(run.raw_events()).runs
    assert state.to_dict() == run.expected
    assert state.text == "Let me see.It is sunny."
    assert [(call.name, call.arguments) for call in state.tool_calls] == [("weather", '{"city": "Oslo"}')]
    assert [stream[-1].name for stream in run.streams if stream] == ["done", "done"]


def test_every_kind_of_act_folds_as_expected() -> None:
    """Code, searches, activities, errors, refusals, images: each comes out as it was told."""
    run = script("run_1", metadata={"user": "me"})
    run.run_code("print(1)", logs="1\n", image="file_9").search({"file_id": "file_1", "score": 0.5})
    run.act({"type": "mcp_list_tools", "server_label": "docs"}).error("hiccup", code="x")
    writing = run.open_message()
    writing.write("See ").write("[1]", annotation={"type": "file_path", "text": "[1]"})
    writing.show("file_9", part=1).refuse("No.", part=2).close("max_tokens")
    run.end("incomplete", usage={"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3})
    folded = fold(run.raw_events())
    assert folded.runs[0].to_dict() == run.expected
    assert not folded.rejects


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "expired", "incomplete"])
def test_all_endings(status: str) -> None:
    """A run can end in all five ways, and the signal says so."""
    folded = fold(events_of("Hello", ends=status))
    assert folded.runs[0].status == status
    assert f"run.{status}" in [signal.type for signal in folded.signals]


def test_events_of_one_line() -> None:
    """`events_of` makes runs that speak, wait, are answered, or are cut off."""
    assert fold(events_of("Hello there.")).runs[0].text == "Hello there."
    waiting = fold(events_of(calls={"weather": {"city": "Oslo"}})).runs[0]
    assert [call.name for call in waiting.run.pending_tool_calls] == ["weather"]
    answered = fold(events_of("Sunny.", calls={"weather": {}}, outputs=["sunny"])).runs[0]
    assert (answered.text, answered.round) == ("Sunny.", 1)
    assert not fold(events_of("Hel", ends=None)).runs[0].is_terminal
    assert all(raw.id for raw in events_of("Hello", ids=True))


def test_streams_are_told_apart() -> None:
    """A conversation hands out the streams of each run, for sources of one's own."""
    run = script("run_1").call(weather={}).answer("sunny").say("Sunny.").end()
    streams = Conversation([run, script("run_2").end("failed")]).streams(ids=True)
    assert {id: len(parts) for id, parts in streams.items()} == {"run_1": 2, "run_2": 1}
    folded = fold_sources(("stream", part) for parts in streams.values() for part in parts)
    assert [state.status.value for state in folded.runs] == ["completed", "failed"]


def test_mistakes_in_a_script_say_what_is_wrong() -> None:
    """Answers without a question, and parts or calls out of order, are refused in words."""
    with pytest.raises(ValueError, match="comes before `answer`"):
        script().answer("sunny")
    with pytest.raises(ValueError, match="Part 0 comes before part 1"):
        script().open_message().write("x", part=1)
    with pytest.raises(ValueError, match="Call 0 comes before call 2"):
        script().open_calls().open(2, "function")


def test_a_conversation_shows_what_it_is() -> None:
    """Its repr is short: run ids, statuses, the number of events."""
    assert repr(Conversation([script().end()])) == "Conversation(run_1: completed; 5 events)"


@given(texts(5))
def test_texts_can_be_written(text: str) -> None:
    """Texts are short enough and can be encoded."""
    assert len(text) <= 5
    assert text.encode().decode() == text


def test_without_hypothesis_the_strategies_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything but the strategies works without Hypothesis, and they name what to install."""
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] == "hypothesis":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    import runstream.testing as package

    monkeypatch.delattr(package, "strategies", raising=False)
    monkeypatch.delitem(sys.modules, "runstream.testing.strategies", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    assert events_of("Hello")
    with pytest.raises(ImportError, match="pip install hypothesis"):
        conversations()
