"""Promise 5 across restarts, as a property: wherever the process dies, no signal is lost, and one at most repeats."""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.model.limits import Limits
from runstream.model.raw import RawEvent
from runstream.model.signals import ProgressSignal, Signal, SourceSignal, TextReplaced
from runstream.store.memory import MemoryStore
from runstream.store.sqlite import SqliteStore
from runstream.testing import Conversation, conversations, events_of
from tests.properties.strategies import Line, lines, raws
from tests.store.support import Killed, facts, live

pytestmark = pytest.mark.slow

some = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)


def told(signals: Iterable[Signal]) -> list[str]:
    """The keys of facts. What replaces a text depends on what was shown of it, which differs after a loss."""
    return facts(signal for signal in signals if not isinstance(signal, TextReplaced))


def clean(stream: Iterable[RawEvent]) -> tuple[list[str], dict[str, Any]]:
    """What comes of it in one life."""
    engine, signals = Engine(clock=lambda: 1.0), list[Signal]()
    engine.on_signal = signals.append
    intake = engine.intake("server")
    intake.connected()
    for raw in stream:
        intake.feed(raw)
    return told(signals), {state.run_id: state.to_dict() for state in engine.states()}


@given(conversations(max_runs=3), st.integers(0, 2**16), st.sampled_from(["resumes", "replays", "has no ids"]))
@some
def test_a_killed_consumer_loses_nothing(conversation: Conversation, seed: int, server: str) -> None:
    """Whether the server resumes, tells all again with ids, or without: each fact is delivered, in order, and each
    kill repeats one at most. The states at the end are those of one life.
    """
    stream = conversation.raw_events(interleaved=True, seed=seed, ids=server != "has no ids")
    store = MemoryStore()
    life = live(store, stream, resumes=server == "resumes", seed=seed)
    expected, states = clean(stream)
    delivered = told(life.signals)
    assert list(dict.fromkeys(delivered)) == expected
    assert len(delivered) - len(expected) <= life.kills
    for run_id, state in states.items():
        kept = store.get("", run_id)
        assert kept is not None
        assert kept.state is not None
        held = life.states.get(run_id, kept.state)
        assert held.to_dict() == state
        assert not kept.delivered
        if kept.ended:
            assert kept.state.to_dict() == state


@given(lines(), st.integers(0, 2**16), st.booleans())
@some
def test_streams_that_are_not_well_behaved(story: list[Line], seed: int, sqlite: bool) -> None:
    """The same over gaps, losses and any order of objects, with a server that resumes; also from SQLite."""
    stream = raws(story, ids=True)
    expected, states = clean(stream)
    if sqlite:
        with SqliteStore(":memory:") as store:
            life = live(store, stream, resumes=True, seed=seed)
    else:
        life = live(MemoryStore(), stream, resumes=True, seed=seed)
    delivered = told(life.signals)
    missing = Counter(expected) - Counter(delivered)
    assert not missing
    assert len(delivered) - len(expected) <= life.kills
    for run_id, state in life.states.items():
        assert state.to_dict() == states[run_id]


def test_source_signals_go_on_counting() -> None:
    """A restarted process resumes its sources: the keys of their signals are not used again."""
    store, seen = MemoryStore(), list[Signal]()
    for _ in range(3):
        engine = Engine(store=store)
        engine.on_signal = seen.append
        intake = engine.intake("server")
        intake.connected()
        intake.end()
    keys = [signal.key for signal in seen if isinstance(signal, SourceSignal)]
    assert keys == [
        "server/connected/1",
        "server/ended/1",
        "server/resumed/1",
        "server/ended/2",
        "server/resumed/2",
        "server/ended/3",
    ]


@pytest.mark.parametrize("kills", [1, 5])
def test_the_property_would_notice_a_loss(kills: int) -> None:
    """A store that forgets is noticed: the property is no tautology."""

    class Forgetful(MemoryStore):
        def deliver(self, scope: str, run_id: str, key: str) -> None:
            pass

    stream = events_of("Hello there.", calls={"look": {"at": 1}}, outputs=["x"], ids=True)
    lost = 0
    for seed in range(60):
        life = live(Forgetful(), stream, resumes=True, seed=seed, kills=kills)
        delivered, (expected, _) = told(life.signals), clean(stream)
        lost += len(delivered) - len(expected) > life.kills
    assert lost


@given(conversations(max_runs=2), st.integers(0, 2**16), st.booleans())
@some
def test_a_server_that_goes_on_from_now(conversation: Conversation, seed: int, ids: bool) -> None:
    """What was told while nobody listened is lost; whole objects, told at last, heal it. Until then text that misses
    pieces is marked, and no fact is delivered twice but the one in delivery.
    """
    chance = random.Random(seed)
    stream = conversation.raw_events(interleaved=True, seed=seed, ids=ids)
    whole = [raw for raw in stream if raw.event is not None and ".delta" not in raw.event]
    _, states = clean(stream)
    texts = {message["id"]: text_of(message) for state in states.values() for message in state["messages"]}
    store, signals, kills, place = MemoryStore(), list[Signal](), 0, 0

    def check(state: RunState) -> None:
        for message in state.messages:
            sound = texts[message.id].startswith(message.text)
            assert sound or message.id in state.partial

    while True:
        left = chance.randint(1, 8) if kills < 8 else -1
        engine = Engine(clock=lambda: 1.0, store=store, limits=Limits(max_finished_age=math.inf))

        def take(signal: Signal) -> None:
            nonlocal left
            signals.append(signal)
            left -= not isinstance(signal, ProgressSignal)
            if left == 0:
                raise Killed

        engine.on_signal, engine.on_state = take, check
        intake = engine.intake("server")
        try:
            intake.connected()
            while place < len(stream):
                place += 1
                intake.feed(stream[place - 1])
            intake.connected()
            for raw in whole:
                intake.feed(raw)
        except Killed:
            kills += 1
            place += chance.randint(0, 6)
        else:
            break
    repeated = Counter(told(signals)) - Counter(set(told(signals)))
    assert repeated.total() <= kills
    for run_id, state in states.items():
        kept = store.get("", run_id)
        assert kept is not None
        assert kept.state is not None
        found = (engine.state(run_id) or kept.state).to_dict()
        assert found["run"] == state["run"]
        for kind in ("messages", "steps"):
            assert ended(found[kind]) == ended(state[kind])


def ended(objects: Any) -> dict[str, Any]:
    """The objects that have ended, by id: of the others only fragments told."""
    return {one["id"]: one for one in objects if one["status"] != "in_progress"}


def text_of(message: Any) -> str:
    """The text of a message on the wire."""
    return "".join(part["text"]["value"] for part in message.get("content", []) if part["type"] == "text")
