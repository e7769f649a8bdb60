"""Runs in pieces: whatever is sent again, each round and each fact once, and a restart changes nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from runstream.engine.engine import Engine
from runstream.model.raw import RawEvent
from runstream.model.signals import ActionRequired, Signal, SourceSignal
from runstream.store.codec import decode_state, encode_state
from tests.support.dialects import PiecesDialect
from tests.support.wire import (
    dumps,
    function_call,
    function_call_delta,
    required_action,
    run_object,
    step_delta,
    step_object,
    tool_calls,
)

pytestmark = pytest.mark.slow

some = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


class Told(NamedTuple):
    """A run of several pieces: its events by piece, and the calls of each request."""

    pieces: list[list[RawEvent]]
    requests: list[list[str]]

    @property
    def events(self) -> list[RawEvent]:
        return [event for piece in self.pieces for event in piece]


def snapshot(piece: int, status: str, name: str = "", **fields: Any) -> RawEvent:
    """A snapshot of the run in a piece."""
    run = run_object("run_1", created_at=100, status=status, piece=f"piece_{piece}", **fields)
    return RawEvent(f"thread.run.{name or status}", dumps(run).encode())


@st.composite
def pieced(draw: DrawFn) -> Told:
    """Each piece but the last one ends with a request; ids and arguments are used again, times too."""
    pieces, requests = [], []
    count = draw(st.integers(1, 4))
    for number in range(count):
        at = draw(st.sampled_from([None, 110, 110, 120]))
        events = [snapshot(number, "queued", "created")] if not number or draw(st.booleans()) else []
        if draw(st.booleans()) or not events:
            events.append(snapshot(number, "in_progress", started_at=at))
        if number == count - 1 and draw(st.booleans()):
            events.append(snapshot(number, draw(st.sampled_from(["completed", "failed"])), started_at=at))
        else:
            ids = draw(st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2, unique=True))
            if draw(st.booleans()):
                step = step_object(f"step_{number}", run_object("run_1", created_at=100), tool_calls())
                events.append(RawEvent("thread.run.step.created", dumps(step).encode()))
                for index, id in enumerate(ids):
                    delta = step_delta(step["id"], function_call_delta(index, "{}", id=id, name="f"))
                    events.append(RawEvent("thread.run.step.delta", dumps(delta).encode()))
            action = required_action(*[function_call(id, "f", "{}") for id in ids])
            events.append(snapshot(number, "requires_action", started_at=at, required_action=action))
            requests.append(ids)
        pieces.append(events)
    return Told(pieces, requests)


def engine_of(signals: list[Signal]) -> Engine:
    """An engine whose signals come here."""
    engine = Engine(clock=lambda: 1.0, progress=False)
    engine.on_signal = signals.append
    return engine


def facts(signals: list[Signal]) -> list[str]:
    """The keys of the facts of runs."""
    return [signal.key for signal in signals if not isinstance(signal, SourceSignal)]


@given(pieced())
@some
def test_each_request_of_a_piece_is_a_round(told: Told) -> None:
    """Its calls have keys of their own, the k-th of an id the k-th."""
    signals: list[Signal] = []
    engine = engine_of(signals)
    engine.intake("server", dialect=PiecesDialect()).feed_all(told.events)
    (state,) = engine.states()
    assert state.pieces == tuple(f"piece_{number}" for number in range(len(told.pieces)))
    assert state.round == len(told.requests)
    asked = [signal for signal in signals if isinstance(signal, ActionRequired)]
    seen: Counter[str] = Counter()
    for signal, ids in zip(asked, told.requests, strict=True):
        seen.update(ids)
        names = [id if seen[id] == 1 else f"{id}~{seen[id]}" for id in ids]
        assert [call.key for call in signal.calls] == [f"run_1/call/{name}" for name in names]
    assert max(Counter(facts(signals)).values()) == 1


@given(pieced(), st.data())
@some
def test_a_replay_makes_no_fact(told: Told, data: st.DataObject) -> None:
    """All again from the beginning of a piece on, in the same or a later connection, a second source, a new process."""
    signals: list[Signal] = []
    engine = engine_of(signals)
    intake = engine.intake("server", dialect=PiecesDialect())
    intake.connected()
    cut = data.draw(st.integers(1, len(told.events)))
    intake.feed_all(told.events[:cut])
    (before,) = engine.states()
    expected = facts(signals)
    whole: list[Signal] = []
    engine_of(whole).intake("server", dialect=PiecesDialect()).feed_all(told.events)
    if data.draw(st.booleans()):
        read = decode_state(encode_state(before))
        assert read == before
        engine = engine_of(signals)
        engine.restore(read)
        intake = engine.intake("server", dialect=PiecesDialect())
    elif data.draw(st.booleans()):
        intake = engine.intake("other", dialect=PiecesDialect())
    if data.draw(st.booleans()):
        intake.connected()
    # Without a `created` nothing says that the last piece is sent again.
    starts = [number for number, piece in enumerate(told.pieces) if piece[0].event == "thread.run.created"]
    start = data.draw(st.sampled_from(starts))
    begin = sum(map(len, told.pieces[:start]))
    if begin < cut:
        intake.feed_all(told.events[begin:cut])
        assert facts(signals) == expected
        (after,) = engine.states()
        assert (after.status, after.round, after.pieces) == (before.status, before.round, before.pieces)
    intake.feed_all(told.events[cut:])
    assert facts(signals) == facts(whole)


def test_a_run_that_waits_is_found() -> None:
    """By its id, its last piece and its calls, while it waits; not under an id that two runs share."""
    engine = engine_of([])
    intake = engine.intake("server", dialect=PiecesDialect())
    find = engine.registry.waiting_run
    action = required_action(function_call("call_1", "f", "{}"))
    intake.feed_all([snapshot(0, "in_progress"), snapshot(1, "in_progress")])
    assert [find("", id) for id in ("run_1", "piece_1", "call_1")] == [None] * 3
    asks = snapshot(1, "requires_action", required_action=action)
    intake.feed(asks)
    assert [find("", id) for id in ("run_1", "piece_1", "call_1")] == ["run_1"] * 3
    assert [find("", "piece_0"), find("elsewhere", "run_1")] == [None, None]
    intake.feed(RawEvent(asks.event, asks.data.replace(b"run_1", b"run_2").replace(b"piece_1", b"piece_9")))
    assert [find("", id) for id in ("run_1", "piece_1", "run_2", "piece_9", "call_1")] == [
        *("run_1", "run_1", "run_2", "run_2"),
        None,
    ]
    intake.feed(snapshot(2, "queued"))
    assert [find("", id) for id in ("run_1", "piece_1", "piece_2", "call_1")] == [None, None, None, "run_2"]


@given(pieced(), st.data())
@some
def test_the_index_of_waiting_runs_is_no_longer_than_they(told: Told, data: st.DataObject) -> None:
    """It has the ids of the run that waits now, also after a restart, and nothing once it has ended or gone."""
    engine = engine_of([])
    intake = engine.intake("server", dialect=PiecesDialect())
    intake.feed_all(told.events[: data.draw(st.integers(1, len(told.events)))])
    (state,) = engine.states()
    later = engine_of([])
    later.restore(decode_state(encode_state(state)))
    for each in (engine, later):
        (scope,) = each.registry.scopes.values()
        ids = {*state.pieces[-1:], *(call.id for call in state.run.pending_tool_calls)}
        waits = state.run.requires_action
        assert {id for id in (*state.pieces, "a", "b") if scope.waiting.find(id) == "run_1"} == (
            ids if waits else set()
        )
        assert len(scope.waiting) == (len(ids) if waits else 0)
        record = scope.runs["run_1"]
        if waits:
            each.registry.release(record)
        if waits or state.is_terminal:
            each.registry.evict(record)
            assert len(scope.waiting) == 0
