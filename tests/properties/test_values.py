"""The promises for documents and activities: any events, any cut, any restart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from runstream.core.derive import derive
from runstream.core.reduce import reduce
from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.model.events import DocumentPatch, DocumentSnapshot, Reject
from runstream.model.frozen import thaw
from runstream.model.signals import ActivityChanged, DocumentChanged, Signal
from runstream.store.codec import decode_state, encode_state
from runstream.store.memory import MemoryStore
from runstream.store.sqlite import SqliteStore
from runstream.testing import value_events
from tests.support.canonical import append, folded, message, play, run

START = (run("queued"), run("in_progress"))


def values(signals: Sequence[Signal]) -> list[Any]:
    """The signals of documents and activities."""
    return [signal for signal in signals if isinstance(signal, DocumentChanged | ActivityChanged)]


@settings(deadline=None)
@given(value_events())
def test_each_fact_is_one_signal(events: list[Any]) -> None:
    """No two signals have one key; versions have no gap; the last signal has the value of the state."""
    engine, signals = play([*START, *events])
    found = values(signals)
    assert len({signal.key for signal in found}) == len(found)
    state = engine.states()[0]
    documents = [signal for signal in found if isinstance(signal, DocumentChanged)]
    assert [signal.version for signal in documents] == [*range(1, len(documents) + 1)]
    assert state.document_version == len(documents)
    last = {signal.path: signal.value for signal in documents}
    assert dict(state.documents) == last
    for activity in state.activities:
        own = [each for each in found if isinstance(each, ActivityChanged) and each.activity_id == activity.id]
        assert [signal.version for signal in own] == [*range(1, activity.version + 1)]
        assert own[-1].value == activity.value
        assert own[-1].kind == activity.kind


@settings(deadline=None)
@given(value_events())
def test_the_reducer_alone_does_the_same(events: list[Any]) -> None:
    """Engine, or reduce and derive: the same state and the same signals; each state stays as it was."""
    state, signals = folded([*START, *events])
    engine, others = play([*START, *events])
    assert engine.states()[0] == state
    assert [signal.to_dict() for signal in values(signals)] == [signal.to_dict() for signal in values(others)]
    before: RunState | None = None
    seen: list[tuple[RunState, Any]] = []
    for event in [*START, *events]:
        before = reduce(before, event, at=1.0)
        assert before is not None
        seen.append((before, before.to_dict()))
    assert all(each.to_dict() == written for each, written in seen)


@settings(deadline=None)
@given(value_events(), st.integers(0, 12))
def test_a_stored_state_goes_on_alike(events: list[Any], cut: int) -> None:
    """A state that was written and read is equal, and each later event gives the same signals and an equal state."""
    state, _ = folded([*START, *events[:cut]])
    again = decode_state(encode_state(state))
    assert again == state
    for event in events[cut:]:
        after, other = reduce(state, event, at=1.0), reduce(again, event, at=1.0)
        assert after is not None
        assert other is not None
        assert after == other
        assert (after is state) == (other is again)
        assert derive(state, after, 1.0) == derive(again, other, 1.0)
        state, again = after, other


@settings(deadline=None)
@given(value_events(), st.integers(0, 12))
def test_a_replay_changes_nothing(events: list[Any], cut: int) -> None:
    """The server sends again what it has sent, with its ids: the same states, and no signal twice."""
    engine, signals = play([*START, *events, *events[cut:], *events])
    once, expected = play([*START, *events])
    assert engine.states() == once.states()
    assert [signal.key for signal in values(signals)] == [signal.key for signal in values(expected)]


@settings(deadline=None, max_examples=50)
@given(value_events(), st.integers(0, 12), st.booleans())
def test_a_restart_delivers_each_fact_once(events: list[Any], cut: int, in_file: bool) -> None:
    """A process that goes on with the store where another ended: the same keys, each once, and the same state."""
    store: Any = SqliteStore(":memory:") if in_file else MemoryStore()
    _, first = play([*START, *events[:cut]], Engine(clock=lambda: 1.0, store=store))
    after, second = play(events[cut:], Engine(clock=lambda: 1.0, store=store))
    once, expected = play([*START, *events])
    keys = [signal.key for signal in values([*first, *second])]
    assert keys == [signal.key for signal in values(expected)]
    if after.states():
        known = once.states()[0]
        assert after.states()[0].to_dict().get("document") == known.to_dict().get("document")
        assert [each.value for each in after.states()[0].activities] == [each.value for each in known.activities]


@settings(deadline=None)
@given(value_events(), st.integers(0, 12))
def test_a_late_joiner_ends_with_the_same_values(events: list[Any], cut: int) -> None:
    """Who joins in the middle has, after a snapshot of each document, what all others have."""
    engine, _ = play([*START, *events])
    state = engine.states()[0]
    snapshots = [
        DocumentSnapshot(thaw(value), f"last {path}", run_id="run_1", path=path)
        for path, value in state.documents.items()
    ]
    late, _ = play([run("in_progress"), *events[cut:], *snapshots])
    joined = late.states()[0]
    assert dict(joined.documents) == dict(state.documents)
    assert not (joined.document_partial and () in state.documents)


@settings(deadline=None)
@given(value_events(), st.data())
def test_texts_and_values_do_not_touch_each_other(events: list[Any], data: st.DataObject) -> None:
    """A text that grows between them is whole, and its fragments have no gap."""
    words = data.draw(st.lists(st.sampled_from(["a", "bc", "d e"]), max_size=8))
    queue: list[Any] = [append("msg_1", "text", word) for word in words]
    mixed: list[Any] = []
    for event in events:
        if queue and data.draw(st.booleans()):
            mixed.append(queue.pop(0))
        mixed.append(event)
    engine, signals = play([*START, message("msg_1"), *mixed, *queue])
    assert engine.states()[0].text == "".join(words)
    assert "".join([signal.delta for signal in signals if signal.type == "message.text"]) == "".join(words)  # type: ignore[union-attr]
    alone, _ = play([*START, *events])
    assert dict(engine.states()[0].documents) == dict(alone.states()[0].documents)


@settings(deadline=None)
@given(value_events(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=3), st.lists))
def test_bad_patches_are_one_reject_each(events: list[Any], junk: Any) -> None:
    """Whatever stands in place of operations: nothing is raised, one reject, and the values stay."""
    engine = Engine(clock=lambda: 1.0)
    rejects: list[Reject] = []
    engine.on_reject = rejects.append
    play([*START, *events], engine)
    before, known = engine.states()[0], len(rejects)
    play([structs.replace(DocumentPatch(junk, run_id="run_1"), data=junk)], engine)
    after = engine.states()[0]
    assert len(rejects) == known + (junk != [])
    assert dict(after.documents) == dict(before.documents)
