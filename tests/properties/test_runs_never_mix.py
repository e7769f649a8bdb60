"""Servers that number the objects of each run from 0: what is of one run never becomes another's."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from runstream.engine.engine import Engine
from runstream.engine.fold import fold_sources
from runstream.model.limits import Limits
from runstream.model.raw import RawEvent
from runstream.model.signals import ArgumentsDelta, Signal, TextDelta
from tests.properties.strategies import interleavings
from tests.support.dialects import PiecesDialect
from tests.support.wire import (
    dumps,
    function_call,
    function_call_delta,
    message_delta,
    message_object,
    required_action,
    run_object,
    step_delta,
    step_object,
    text_part,
    tool_calls,
)

pytestmark = pytest.mark.slow

some = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

WORDS = st.lists(st.text("abc ", min_size=1, max_size=3), min_size=1, max_size=4)


class Told(NamedTuple):
    """A run: its events, its texts and the arguments of its calls, in order."""

    id: str
    events: list[RawEvent]
    texts: list[str]
    arguments: list[str]


def raw(name: str, data: dict[str, Any], **fields: Any) -> RawEvent:
    """An event, with more fields in its data."""
    return RawEvent(f"thread.{name}", dumps({**data, **fields}).encode())


def named(draw: DrawFn, run_id: str, always: bool) -> dict[str, Any]:
    """The run in a fragment of a dialect that knows it; nothing where it does not."""
    return {"of_run": run_id} if always or draw(st.booleans()) else {}


@st.composite
def numbered(draw: DrawFn, run_id: str, *, every: bool = False, messages_name: bool | None = None) -> Told:
    """A run whose messages, steps and calls are numbered from 0.

    Args:
        draw: Draws.
        run_id: Its id.
        every: True if each event names the run.
        messages_name: True if its messages and steps name the run, by the wire.
    """
    run = run_object(run_id, created_at=100, thread_id=f"thread_{run_id}")
    names = draw(st.booleans()) if messages_name is None else messages_name
    own = {} if names else {"run_id": None}
    events = [raw("run.created", {**run, "status": "queued"}), raw("run.in_progress", {**run, "status": "in_progress"})]
    texts, arguments = [], []
    for number in range(draw(st.integers(1, 2))):
        id, words = f"msg_{number}", draw(WORDS)
        says = named(draw, run_id, every)
        body = {**message_object(id, run), **own}
        if draw(st.booleans()):
            events.append(raw("message.created", body, **says))
            events += [raw("message.delta", message_delta(id, word), **named(draw, run_id, every)) for word in words]
        content = [text_part("".join(words))]
        events.append(raw("message.completed", {**body, "status": "completed", "content": content}, **says))
        texts.append("".join(words))
    for number in range(draw(st.integers(0, 2))):
        id, words = f"step_{number}", draw(WORDS)
        says = named(draw, run_id, every)
        step = {**step_object(id, run, tool_calls()), **own}
        events.append(raw("run.step.created", step, **says))
        first = function_call_delta(0, id=f"call_{number}", name="f")
        deltas = [first, *[function_call_delta(0, word) for word in words]]
        events += [raw("run.step.delta", step_delta(id, delta), **named(draw, run_id, every)) for delta in deltas]
        action = required_action(function_call(f"call_{number}", "f", "".join(words)))
        events.append(raw("run.requires_action", {**run, "status": "requires_action", "required_action": action}))
        events.append(raw("run.queued", {**run, "status": "queued"}))
        arguments.append("".join(words))
    if draw(st.booleans()):
        events.append(raw("run.completed", {**run, "status": "completed"}))
    return Told(run_id, events, texts, arguments)


def progress(signals: list[Signal], run_id: str) -> tuple[str, str]:
    """The texts and the arguments of a run, by its progress alone."""
    texts = [signal.delta for signal in signals if isinstance(signal, TextDelta) and signal.run_id == run_id]
    calls = [signal.delta for signal in signals if isinstance(signal, ArgumentsDelta) and signal.run_id == run_id]
    return "".join(texts), "".join(calls)


def check(signals: list[Signal], told: Told) -> None:
    """All of the run, and nothing else."""
    assert progress(signals, told.id) == ("".join(told.texts), "".join(told.arguments))


@given(st.data())
@some
def test_sources_in_one_scope_never_mix(data: st.DataObject) -> None:
    """Whatever the order of their events, with the run in each, in some or in no event but those of the run."""
    count = data.draw(st.integers(2, 3))
    runs = [data.draw(numbered(f"run_{number}")) for number in range(count)]
    tracks = [[(number, event) for event in told.events] for number, told in enumerate(runs)]
    signals: list[Signal] = []
    limits = Limits(max_finished_runs=data.draw(st.sampled_from([0, 1, 100])))
    engine = Engine(limits=limits, clock=lambda: 1.0)
    engine.on_signal = signals.append
    intakes = [engine.intake(f"source_{number}", dialect=PiecesDialect()) for number in range(count)]
    left = [len(told.events) for told in runs]
    for number, event in data.draw(interleavings(tracks)):
        intakes[number].feed(event)
        left[number] -= 1
        if not left[number] and data.draw(st.booleans()):
            intakes[number].end()
    for told in runs:
        check(signals, told)
    assert not engine.orphans()
    assert engine.counts.late == 0
    for state in engine.states():
        told = next(told for told in runs if told.id == state.run_id)
        assert state.text == "".join(told.texts)


@given(st.data())
@some
def test_one_source_whose_events_name_their_run_never_mixes(data: st.DataObject) -> None:
    """A dialect that knows the run of each event: its word counts, in any order of the runs."""
    runs = [data.draw(numbered(f"run_{number}", every=True)) for number in range(3)]
    signals: list[Signal] = []
    engine = Engine(clock=lambda: 1.0)
    engine.on_signal = signals.append
    engine.intake("server", dialect=PiecesDialect()).feed_all(data.draw(interleavings([told.events for told in runs])))
    for told in runs:
        check(signals, told)
    assert not engine.orphans()


@given(st.data())
@some
def test_runs_one_after_another_in_one_source_never_mix(data: st.DataObject) -> None:
    """A connection that serves one conversation after another, each numbered anew."""
    runs = [data.draw(numbered(f"run_{number}", messages_name=True)) for number in range(3)]
    signals: list[Signal] = []
    engine = Engine(limits=Limits(max_finished_runs=data.draw(st.integers(0, 2))), clock=lambda: 1.0)
    engine.on_signal = signals.append
    intake = engine.intake("server", dialect=PiecesDialect())
    for told in runs:
        intake.feed_all(told.events)
    for told in runs:
        check(signals, told)


@given(st.data())
@some
def test_what_comes_before_its_run_waits_for_its_own(data: st.DataObject) -> None:
    """The first events of each run are lost or late: the fragments wait with the message of their source."""
    runs = [data.draw(numbered(f"run_{number}", messages_name=True)) for number in range(2)]
    tracks = []
    for told in runs:
        (created, started), rest = told.events[:2], told.events[2:]
        place = data.draw(st.integers(0, len(rest)))
        while place and rest[place - 1].event.startswith("thread.run.") and ".step." not in rest[place - 1].event:
            place -= 1
        head = [event for event in rest[:place] if ".step." in event.event or ".message." in event.event]
        if len(head) < place:
            place = 0
        tracks.append((told.id, [*rest[:place], created, started, *rest[place:]]))
    items = data.draw(interleavings([[(id, event) for event in events] for id, events in tracks]))
    signals: list[Signal] = []
    engine = Engine(clock=lambda: 1.0)
    engine.on_signal = signals.append
    intakes = {told.id: engine.intake(told.id, dialect=PiecesDialect()) for told in runs}
    for id, event in items:
        intakes[id].feed(event)
    for told in runs:
        check(signals, told)
    assert not engine.orphans()


def test_a_folded_file_of_each_run_is_its_own() -> None:
    """Several files that are numbered alike, in one fold."""
    told = {}
    for run_id, words in (("run_a", "Alice"), ("run_b", "Bob")):
        run = run_object(run_id, created_at=100)
        told[run_id] = [
            raw("run.created", run),
            raw("message.created", message_object("msg_0", run)),
            *[raw("message.delta", message_delta("msg_0", letter)) for letter in words],
        ]
    folded = fold_sources(list(told.items()))
    assert {state.run_id: state.text for state in folded.runs} == {"run_a": "Alice", "run_b": "Bob"}
