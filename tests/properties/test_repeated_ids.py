"""Ids used again, in another run, scope, message, step or round: no fact is lost, and none comes twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from runstream.engine.engine import Engine
from runstream.engine.fold import fold
from runstream.model.raw import RawEvent
from runstream.model.signals import (
    ActionRequired,
    ArgumentsDelta,
    ProgressSignal,
    RunSignal,
    Signal,
    SourceSignal,
    ToolCallCompleted,
)
from runstream.store.codec import decode_state, encode_state
from runstream.store.memory import MemoryStore
from tests.properties.strategies import interleavings
from tests.store.support import live
from tests.support.wire import (
    Json,
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
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

IDS = ["x", "x~2", "a/b", "s:x"]


class Told(NamedTuple):
    """A run of a server that uses ids again: its events, and the arguments of the calls in each of its rounds."""

    run_id: str
    events: list[RawEvent]
    rounds: list[list[str]]


@st.composite
def runs(draw: DrawFn, run_id: str, *, times: bool | None = None) -> Told:
    """A run with up to three rounds. All calls have one id, and so have the run, its message and its first step."""
    times = draw(st.booleans()) if times is None else times
    steps = draw(st.booleans())
    call_id = draw(st.sampled_from(IDS))
    events: list[RawEvent] = []
    run = run_object(run_id, created_at=100, status="queued")
    now = 100

    def tell(name: str, data: Json) -> None:
        events.append(RawEvent(f"thread.{name}", dumps(data).encode()))

    def change(status: str, name: str = "", **fields: Any) -> None:
        nonlocal run
        run = {**run, "status": status, "required_action": None, **fields}
        tell(f"run.{name or status}", run)

    change("queued", "created")
    rounds = draw(st.lists(st.lists(st.sampled_from(["{}", '{"n": 1}']), min_size=1, max_size=2), max_size=3))
    for number, texts in enumerate([*rounds, []]):
        now += 10
        change("in_progress", **({"started_at": now} if times else {}))
        if not texts:
            break
        step_id = f"{run_id}{number or ''}"
        calls = [function_call(call_id, "f", text) for text in texts]
        if steps:
            tell("run.step.created", step_object(step_id, run, tool_calls()))
            for index, text in enumerate(texts):
                first = function_call_delta(index, text[:1], id=call_id, name="f")
                tell("run.step.delta", step_delta(step_id, first))
                tell("run.step.delta", step_delta(step_id, function_call_delta(index, text[1:])))
        change("requires_action", required_action=required_action(*calls))
        if steps and draw(st.booleans()):
            tell("run.step.completed", step_object(step_id, run, tool_calls(*calls), status="completed"))
        change("queued")
    message_id = f"{run_id}m"
    tell("message.created", message_object(message_id, run))
    tell("message.delta", message_delta(message_id, "Hi"))
    done = message_object(message_id, run, status="completed", content=[text_part("Hi")])
    tell("message.completed", done)
    change("completed")
    return Told(run_id, events, rounds)


def facts(signals: Iterable[Signal]) -> list[str]:
    """The keys of all signals but progress and those of sources."""
    return [signal.key for signal in signals if not isinstance(signal, SourceSignal | ProgressSignal)]


def twice(keys: Iterable[str]) -> list[str]:
    """The keys that came more than once."""
    return [key for key, count in Counter(keys).items() if count > 1]


def check_calls(signals: list[Signal], told: Told, scope: str = "") -> None:
    """Each round is requested once, and each call has one key, in its requests and when it is complete."""
    own = [s for s in signals if isinstance(s, RunSignal) and (s.scope, s.run_id) == (scope, told.run_id)]
    requests = [signal for signal in own if isinstance(signal, ActionRequired)]
    assert [[call.arguments for call in signal.calls] for signal in requests] == told.rounds
    keys = [call.key for signal in requests for call in signal.calls]
    assert twice(keys) == []
    assert sorted(signal.call_key for signal in own if isinstance(signal, ToolCallCompleted)) == sorted(keys)
    arguments = {signal.call_key for signal in own if isinstance(signal, ArgumentsDelta)}
    assert arguments <= set(keys)


@given(st.data())
@some
def test_no_two_signals_share_a_key(data: st.DataObject) -> None:
    """Several runs in several scopes and sources, all with the same ids of calls; the run ids are equal in scopes."""
    engine, signals = Engine(clock=lambda: 1.0), list[Signal]()
    engine.on_signal = signals.append
    scopes = ["", "x", "s"]
    told = {scope: [data.draw(runs(id)) for id in ("x", "x:x")] for scope in scopes}
    intakes = {scope: engine.intake("server", scope=scope) for scope in scopes}
    tracks = [[(scope, raw) for run in runs for raw in run.events] for scope, runs in told.items()]
    for intake in intakes.values():
        intake.connected()
    for scope, raw in data.draw(interleavings(tracks)):
        intakes[scope].feed(raw)
    for intake in intakes.values():
        intake.end()
    assert twice(signal.key for signal in signals) == []
    for scope, found in told.items():
        for run in found:
            check_calls(signals, run, scope)


@given(runs("x"))
@some
def test_equal_items_give_equal_keys(told: Told) -> None:
    """The same events again, in another process, have the same keys."""
    first, second = (fold(told.events, clock=lambda: 1.0).signals for _ in range(2))
    assert [signal.key for signal in first] == [signal.key for signal in second]
    check_calls(list(first), told)


@given(runs("x"), st.data())
@some
def test_a_replay_gives_no_new_fact(told: Told, data: st.DataObject) -> None:
    """The source begins again after a cut, twice: no fact is new, none is lost, and no call gets another key."""
    engine, signals = Engine(clock=lambda: 1.0), list[Signal]()
    engine.on_signal = signals.append
    intake = engine.intake("server")
    cut = data.draw(st.integers(0, len(told.events)))
    for _ in range(2):
        intake.connected()
        intake.feed_all(told.events[:cut])
        found = [(state.status, state.round) for state in engine.states()]
        assert found == [(state.status, state.round) for state in fold(told.events[:cut]).runs]
        intake.disconnected("lost")
    intake.connected()
    intake.feed_all(told.events)
    assert twice(facts(signals)) == []
    assert set(facts(signals)) == set(facts(fold(told.events).signals)) - {"stream/ended/1"}
    check_calls(signals, told)


@given(runs("x"), st.data())
@some
def test_a_stored_state_goes_on_with_its_numbers(told: Told, data: st.DataObject) -> None:
    """Numbers stand in the state: written and read anywhere, it continues as it would have."""
    cut = data.draw(st.integers(0, len(told.events)))
    first, found = Engine(clock=lambda: 1.0), list[Signal]()
    first.on_signal = found.append
    first.intake("server").feed_all(told.events[:cut])
    second = Engine(clock=lambda: 1.0)
    second.on_signal = found.append
    for state in first.states():
        record = second.restore(decode_state(encode_state(state)))
        old = first.registry.record("", state.run_id)
        assert old is not None
        record.places = old.places
    second.intake("server").feed_all(told.events[cut:])
    assert facts(found) == facts(fold(told.events).signals)
    check_calls(found, told)


@given(runs("x"), st.integers(0, 2**16))
@some
def test_killed_processes_repeat_one_fact_at_most(told: Told, seed: int) -> None:
    """With a store and ids of events: nothing is lost, and a fact is repeated with its key, once for each kill."""
    raws = [RawEvent(raw.event, raw.data, str(n), str(n)) for n, raw in enumerate(told.events)]
    life = live(MemoryStore(), raws, resumes=True, seed=seed)
    once = facts(fold(raws).signals)
    assert set(facts(life.signals)) == set(once)
    assert len(facts(life.signals)) <= len(once) + life.kills
