"""The promises once more, over streams that are not well-behaved: gaps, losses, any ending, any order of objects."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runstream.core.reduce import reduce
from runstream.core.state import RunState
from runstream.dialects.assistants import AssistantsDialect
from runstream.engine.engine import Engine
from runstream.engine.fold import Folded, fold, fold_sources
from runstream.engine.intake import Intake
from runstream.model.events import Event, Reject
from runstream.model.limits import Limits
from runstream.model.raw import RawEvent
from runstream.model.signals import ProgressSignal, Signal, SourceSignal, TextDelta, TextReplaced
from tests.properties.strategies import Line, is_run, lines, raws, tales
from tests.support.wire import function_call, required_action, run_object

pytestmark = pytest.mark.slow

# RUNSTREAM_EXAMPLES=20 looks twenty times as long.
some = settings(
    max_examples=40 * int(os.environ.get("RUNSTREAM_EXAMPLES", "1")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def clock() -> float:
    return 1.0


def folded(stream: Iterable[RawEvent]) -> Folded:
    return fold(stream, clock=clock)


def states(found: Folded | Engine) -> list[Any]:
    """Every run's final state in full."""
    runs = found.runs if isinstance(found, Folded) else found.states()
    return [state.to_dict() for state in runs]


def facts(signals: Iterable[Signal]) -> list[str]:
    """The keys of all signals but progress and those of sources."""
    return [s.key for s in signals if not isinstance(s, SourceSignal | ProgressSignal | TextReplaced)]


def told_twice(signals: Iterable[Signal]) -> list[str]:
    """Keys that came more than once."""
    return [key for key, count in Counter(signal.key for signal in signals).items() if count > 1]


def running() -> tuple[Engine, Intake, list[Signal]]:
    """An engine with one source, and its signals."""
    engine, signals = Engine(clock=clock), list[Signal]()
    engine.on_signal = signals.append
    return engine, engine.intake("stream"), signals


def told_text(signals: Iterable[Signal]) -> dict[str, str]:
    """What somebody who shows text has on the screen, by message, its parts in order."""
    shown: dict[str, dict[int, str]] = defaultdict(lambda: defaultdict(str))
    for signal in signals:
        if isinstance(signal, TextDelta):
            assert signal.offset == len(shown[signal.message_id][signal.part])
            assert signal.delta
            shown[signal.message_id][signal.part] += signal.delta
        elif isinstance(signal, TextReplaced):
            assert shown[signal.message_id][signal.part] != signal.text
            shown[signal.message_id][signal.part] = signal.text
    return {id: "".join(text for _, text in sorted(parts.items())) for id, parts in shown.items()}


def written_text(runs: Iterable[RunState]) -> dict[str, str]:
    """What the states hold."""
    return {message.id: message.text for state in runs for message in state.messages}


def same_text(told: dict[str, str], written: dict[str, str]) -> bool:
    """Equal, where a message without text is as good as none."""
    return {id: text for id, text in told.items() if text} == {id: text for id, text in written.items() if text}


@given(lines())
@some
def test_order(told: list[Line]) -> None:
    """Promise 1: events are passed on as received, and signals in the order of the events that gave them."""
    stream = raws(told)
    engine, intake, signals = running()
    events: list[Event] = []
    engine.on_event = events.append
    intake.feed_all(stream)
    assert [event.event for event in events] == [raw.event for raw in stream]
    if engine.stats().orphans == 0:
        for run_id in [state.run_id for state in engine.states()]:
            times = [s.at for s in signals if not isinstance(s, SourceSignal) and s.run_id == run_id]
            assert times == sorted(times) or _has_early_objects(told, run_id)


def _has_early_objects(told: Sequence[Line], run_id: str) -> bool:
    """Whether deltas came before anything said whose they are: these are told late."""
    known: set[str] = set()
    for _, data in told:
        if "delta" in data and data["id"] not in known and run_id in data["id"]:
            return True
        known.add(data["id"])
    return False


@given(lines(), st.data())
@some
def test_anything_with_identity_twice(told: list[Line], data: st.DataObject) -> None:
    """Promise 2: several events come again with their ids, anywhere later: nothing changes, all are counted."""
    stream = raws(told, ids=True)
    mixed = list(stream)
    again = data.draw(st.lists(st.integers(0, len(stream) - 1), min_size=1, max_size=5))
    for index in again:
        place = data.draw(st.integers(mixed.index(stream[index]) + 1, len(mixed)))
        mixed.insert(place, stream[index])
    once, twice = folded(stream), folded(mixed)
    assert states(once) == states(twice)
    assert [s.key for s in once.signals] == [s.key for s in twice.signals]
    assert twice.stats.duplicates == len(again)


@given(lines(), st.data())
@some
def test_run_events_without_identity_twice(told: list[Line], data: st.DataObject) -> None:
    """Promise 2: snapshots of runs come again without ids, anywhere later: no state, no fact and no key differs."""
    stream = raws(told)
    mixed = list(stream)
    snapshots = [index for index, raw in enumerate(stream) if is_run(raw) and b"generating" not in raw.data]
    for index in data.draw(st.lists(st.sampled_from(snapshots), min_size=1, max_size=4)) if snapshots else []:
        place = data.draw(st.integers(mixed.index(stream[index]) + 1, len(mixed)))
        mixed.insert(place, stream[index])
    once, twice = folded(stream), folded(mixed)
    assert facts(once.signals) == facts(twice.signals)
    assert states(once) == states(twice)
    assert told_twice(twice.signals) == []


_RUN = run_object("run_1", created_at=1)
_ASKS = required_action(function_call("call_1", "look_up", "{}"))
QUEUED_AGAIN: list[Line] = [
    ("thread.run.queued", _RUN),
    ("thread.run.in_progress", {**_RUN, "status": "in_progress", "started_at": 2}),
    ("thread.run.requires_action", {**_RUN, "status": "requires_action", "started_at": 2, "required_action": _ASKS}),
    ("thread.run.queued", {**_RUN, "started_at": 2}),
]
"""A run without `created` whose request was answered."""


@given(lines(max_runs=2), st.integers(0, 999), st.booleans(), st.booleans())
@example(told=QUEUED_AGAIN, place=4, ids=False, dated=True)
@some
def test_a_replay_from_the_start(told: list[Line], place: int, ids: bool, dated: bool) -> None:
    """Promise 5: told again from the start at any moment, with ids or (snapshots of runs) without, by servers that
    date their starts or not: no run changes, no signal is repeated, and then the rest counts as ever.
    """
    if not dated:
        told = [(name, {key: item for key, item in body.items() if key != "started_at"}) for name, body in told]
        told = [line for line in told if line[1]["id"] not in _without_created(told)]
    stream = [raw for raw in raws(told, ids=ids) if b"generating" not in raw.data]
    cut = place % (len(stream) + 1)
    engine, intake, signals = running()
    intake.feed_all(stream[:cut])
    before, so_far = engine.states(), len(signals)
    intake.feed_all(stream[:cut] if ids else [raw for raw in stream[:cut] if is_run(raw)])
    assert all(one is other for one, other in zip(engine.states(), before, strict=True))
    assert len(signals) == so_far
    intake.feed_all(stream[cut:])
    intake.end()
    once = folded(stream)
    assert states(engine) == states(once)
    assert facts(signals) == facts(once.signals)
    assert told_twice(signals) == []


def _without_created(told: Sequence[Line]) -> set[str]:
    """Runs whose `created` is missing: without dates nothing shows that they are told again."""
    return (
        {body["id"] for _, body in told}
        - {body["id"] for name, body in told if name == "thread.run.created"}
        - {body["id"] for name, body in told if not name.startswith("thread.run.") or ".step." in name}
    )


@given(st.lists(st.integers(1, 3), min_size=1, max_size=3, unique=True), st.data())
@some
def test_runs_together_are_runs_alone(numbers: list[int], data: st.DataObject) -> None:
    """Promise 1: interleaved or alone, each run ends alike and gives the same facts in the same order."""
    told = data.draw(lines())
    together = folded(raws(told))
    owners = {body["id"]: _owner(body) for _, body in told if _owner(body)}
    for state in together.runs:
        alone = folded(raws([line for line in told if owners.get(line[1]["id"], "") == state.run_id]))
        assert states(alone) == [state.to_dict()]
        mine = [s for s in together.signals if not isinstance(s, SourceSignal) and s.run_id == state.run_id]
        assert facts(mine) == facts(alone.signals)
        assert [s.key for s in mine] == [s.key for s in alone.signals if not isinstance(s, SourceSignal)]


def _owner(body: dict[str, Any]) -> str:
    """The run of an object, by the way in which these streams name their objects."""
    return next((f"run_{number}" for number in (1, 2, 3) if f"run_{number}" in body["id"]), "")


@given(lines(max_runs=2), st.data())
@some
def test_cut_into_sources(told: list[Line], data: st.DataObject) -> None:
    """Promise 6: cut anywhere into up to three sources, the runs end alike; a run that a cut left open is told of
    once a source, as paused (once a round) or interrupted, in order of appearance.
    """
    stream = raws(told)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=2)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    one, many = folded(stream), fold_sources([(str(n), piece) for n, piece in enumerate(pieces)], clock=clock)
    assert states(one) == states(many)
    assert told_twice(many.signals) == []

    def lasting(signals: Iterable[Signal]) -> list[str]:
        return [key for key in facts(signals) if "/paused/" not in key and "/interrupted/" not in key]

    assert lasting(one.signals) == lasting(many.signals)


@given(lines())
@some
def test_what_says_nothing_new_gives_the_same_object(told: list[Line]) -> None:
    """Promise 3: the same snapshot at once again gives the same state, and no signal."""
    engine, intake, signals = running()
    for raw in raws(told):
        intake.feed(raw)
        if "delta" not in str(raw.event):
            before, so_far = engine.states(), len(signals)
            intake.feed(raw)
            assert all(one is other for one, other in zip(engine.states(), before, strict=True))
            assert len(signals) == so_far


@given(lines())
@some
def test_every_key_once_and_all_text_told(told: list[Line]) -> None:
    """Promise 5: no two signals have one key, and the text told is the text written."""
    found = folded(raws(told))
    assert told_twice(found.signals) == []
    assert same_text(told_text(found.signals), written_text(found.runs))


@given(tales(), st.data())
@some
def test_a_later_connection_tells_all_again(told: list[Line], data: st.DataObject) -> None:
    """Promise 2: after a reconnect everything is told from the start, without ids, and what was lost before is there:
    nothing is told twice, the facts are those of the whole stream, and text and states too.
    """
    stream = raws(told)
    cut = data.draw(st.integers(0, len(stream)))
    lost = data.draw(st.sets(st.integers(0, max(cut - 1, 0)), max_size=3))
    first = [raw for index, raw in enumerate(stream[:cut]) if index not in lost or "delta" not in str(raw.event)]
    started = {body["id"] for name, body in told if name.endswith(".created")}
    if any("delta" in body and body["id"] not in started for _, body in told):
        return  # nothing in the stream says where such an object begins again
    if told[0][0] != "thread.run.created" and any(body.get("status") == "generating" for _, body in told):
        return  # nor that a status which nobody knows is told again
    engine, intake, signals = running()
    intake.connected()
    intake.feed_all(first)
    intake.disconnected("lost")
    intake.connected()
    intake.feed_all(stream)
    intake.end()
    once = folded(stream)
    assert told_twice(signals) == []
    assert states(engine) == states(once)
    assert set(facts(signals)) == set(facts(once.signals))
    assert same_text(told_text(signals), written_text(engine.states()))


@given(lines(max_runs=2), lines(max_runs=2), st.data())
@some
def test_every_event_on_every_state(one: list[Line], other: list[Line], data: st.DataObject) -> None:
    """Promise 3: any event on any state gives a state, and what was held before stays as it was."""
    cut = data.draw(st.integers(0, len(one)))
    events = [
        event for raw in raws(other) for event in (AssistantsDialect().decode(raw),) if not isinstance(event, Reject)
    ]
    for held in folded(raws(one[:cut])).runs:
        before, state = held.to_dict(), held
        for event in events:
            after = reduce(state, event, restart=data.draw(st.booleans()))
            assert isinstance(after, RunState)
            after.to_dict()
            state = after
        assert held.to_dict() == before


@given(tales(), st.data())
@some
def test_two_futures_of_one_state(told: list[Line], data: st.DataObject) -> None:
    """Promise 3: from any state two different futures can be told, step by step in turn, and both come out right."""
    events = [
        event for raw in raws(told) for event in (AssistantsDialect().decode(raw),) if not isinstance(event, Reject)
    ]
    cut = data.draw(st.integers(0, len(events)))
    drop = data.draw(st.sets(st.integers(cut, max(cut, len(events) - 1)), max_size=4))
    futures = [events[cut:], [event for index, event in enumerate(events) if index >= cut and index not in drop]]

    def after(start: RunState | None, rest: Iterable[Event]) -> RunState | None:
        for event in rest:
            start = reduce(start, event)
        return start

    common = after(None, events[:cut])
    ends = [common, common]
    for step in range(len(events)):
        for which, future in enumerate(futures):
            if step < len(future):
                ends[which] = reduce(ends[which], future[step])
    for end, future in zip(ends, futures, strict=True):
        alone = after(None, [*events[:cut], *future])
        assert (end and end.to_dict()) == (alone and alone.to_dict())
    assert (common and common.to_dict()) == ((again := after(None, events[:cut])) and again.to_dict())


@given(lines(max_runs=2), st.lists(st.binary(max_size=12), min_size=1, max_size=6), st.data())
@some
def test_garbage_between(told: list[Line], junk: list[bytes], data: st.DataObject) -> None:
    """Promise 7: what can't be read, anywhere, under any name, becomes rejects and changes nothing else."""
    stream = raws(told)
    mixed = list(stream)
    for piece in junk:
        name = data.draw(
            st.sampled_from([None, "thread.run.queued", "thread.message.delta", "thread.run.step.created"])
        )
        mixed.insert(data.draw(st.integers(0, len(mixed))), RawEvent(name, b"\xff" + piece))
    clean, dirty = folded(stream), folded(mixed)
    assert states(clean) == states(dirty)
    assert [s.key for s in clean.signals] == [s.key for s in dirty.signals]
    assert len(dirty.rejects) == len(junk)


@given(lines(), st.integers(0, 2))
@some
def test_forgotten_runs_stay_quiet(told: list[Line], kept: int) -> None:
    """Promise 7: with few ended runs kept and all told again, no key comes twice and no forgotten run comes back."""
    stream = raws(told)
    engine = Engine(limits=Limits(max_finished_runs=kept), clock=clock)
    signals: list[Signal] = []
    engine.on_signal = signals.append
    intake = engine.intake("stream")
    intake.feed_all(stream)
    ended = {state.run_id for state in folded(stream).runs if state.is_terminal}
    held = {state.run_id for state in engine.states()}
    assert len(ended & held) == min(kept, len(ended))
    so_far = len(signals)
    intake.feed_all([raw for raw in stream if any(id.encode() in raw.data for id in ended - held)])
    intake.feed_all([raw for raw in filter(is_run, stream) if any(id.encode() in raw.data for id in ended)])
    assert {state.run_id for state in engine.states()} == held
    assert len(signals) == so_far
