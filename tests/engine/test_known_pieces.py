"""A piece of a run that another source sends again, or that is sent after the run was evicted, is no run of its own."""

from __future__ import annotations

import pytest

from runstream.engine.engine import Engine
from runstream.engine.intake import Intake
from runstream.model.limits import Limits
from runstream.model.raw import RawEvent
from runstream.model.signals import RunSignal, Signal
from runstream.store.memory import MemoryStore
from tests.support.responses import ResponseScript

FIRST = ResponseScript("resp_1").begin().call("call_1", "weather", "{}").end().raws()
SECOND = ResponseScript("resp_2", previous_response_id="resp_1").begin().say("Sun", "ny.").end().raws()


def running(store: MemoryStore | None = None, *, kept: int = 8) -> tuple[Engine, list[Signal]]:
    """An engine, and its signals."""
    engine, signals = Engine(clock=lambda: 1.0, limits=Limits(max_finished_runs=kept), store=store), list[Signal]()
    engine.on_signal = signals.append
    return engine, signals


def source(engine: Engine, name: str, raws: list[RawEvent]) -> Intake:
    """A source of the Responses wire that has sent these."""
    intake = engine.intake(name, dialect="responses")
    intake.connected()
    intake.feed_all(raws)
    return intake


def keys(signals: list[Signal]) -> list[str]:
    return [signal.key for signal in signals if isinstance(signal, RunSignal)]


CLEAN, EXPECTED = running()
source(CLEAN, "one", [*FIRST, *SECOND])


@pytest.mark.parametrize("cut", range(len(SECOND) + 1))
@pytest.mark.parametrize("ended", [False, True])
def test_a_second_source_sends_a_later_piece_again(cut: int, ended: bool) -> None:
    """The wire links it to a run that no longer waits: its own id is known."""
    engine, signals = running()
    one = source(engine, "one", [*FIRST, *SECOND[:cut]])
    if ended:
        one.end()
    two = source(engine, "two", SECOND)
    two.end()
    (state,) = engine.states()
    assert (state.run_id, state.status, state.text) == ("resp_1", "completed", "Sunny.")
    assert state.pieces == ("resp_1", "resp_2")
    assert [key for key in keys(signals) if "completed" in key or "created" in key] == [
        key for key in keys(EXPECTED) if "completed" in key or "created" in key
    ]


def test_a_second_source_that_reconnects() -> None:
    """What may be missing of the run is marked, though the source names the piece."""
    engine, _ = running()
    source(engine, "one", [*FIRST, *SECOND[:4]]).end()
    two = source(engine, "two", SECOND[:4])
    state = engine.state("resp_1")
    assert state is not None
    assert (state.text, state.partial) == ("Sun", frozenset())
    two.disconnected("lost")
    two.connected()
    rest = ResponseScript("resp_2", numbered=False).begin().say("Sun", "ny.").raws()
    two.feed(rest[4])
    state = engine.state("resp_1")
    assert state is not None
    assert state.partial


@pytest.mark.parametrize("from_store", [False, True])
def test_a_piece_of_a_run_that_was_evicted(from_store: bool) -> None:
    """It stays quiet, as the run does."""
    store = MemoryStore() if from_store else None
    engine, signals = running(store, kept=0)
    source(engine, "one", [*FIRST, *SECOND])
    assert engine.states() == ()
    so_far = len(keys(signals))
    source(engine, "two", [*FIRST, *SECOND])
    assert keys(signals)[so_far:] == []
    assert engine.states() == ()


def test_a_later_piece_after_a_restart() -> None:
    """The next process knows the pieces of the runs that it reads."""
    store = MemoryStore()
    engine, signals = running(store)
    source(engine, "one", [*FIRST, *SECOND[:4]])
    engine, signals = running(store)
    engine.intake("one", dialect="responses")
    source(engine, "two", SECOND)
    assert [state.run_id for state in engine.states()] == ["resp_1"]
    assert [key for key in keys(signals) if key.endswith("resp_2/created")] == []
