"""Custom events: one signal each, in the run that they name, with a number that survives a restart."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.engine.engine import Engine
from runstream.model.events import CustomEvent, UnknownEvent
from runstream.model.limits import Limits
from runstream.model.signals import CustomReceived
from runstream.store.memory import MemoryStore
from tests.support.canonical import append, message, play, run

START = (run("queued"), run("in_progress"))


def custom(name: str = "progress", value: Any = None, run_id: str | None = "run_1", **fields: Any) -> CustomEvent:
    """A custom event."""
    return CustomEvent(value, run_id=run_id, name=name, **fields)


def received(signals: Any) -> list[CustomReceived]:
    """The signals of custom events."""
    return [signal for signal in signals if isinstance(signal, CustomReceived)]


@pytest.mark.parametrize("value", [None, 0.5, "half", [1, {"a": []}], {"done": 0.5}])
def test_a_custom_event_is_one_signal(value: Any) -> None:
    """Name and value are as its sender gave them; its key has its number in the run."""
    _, signals = play([*START, custom(value=value), custom("other", value)])
    first, second = received(signals)
    assert (first.name, first.value, first.n, first.run_id) == ("progress", value, 1, "run_1")
    assert [first.key, second.key] == ["run_1/custom/1", "run_1/custom/2"]
    assert second.to_dict()["value"] == value


def test_the_value_is_read_only() -> None:
    """A subscriber can't change what the next one receives."""
    _, signals = play([*START, custom(value={"a": [1]})])
    with pytest.raises(AttributeError):
        received(signals)[0].value["a"].append(2)


def test_a_custom_event_lets_a_text_grow_on() -> None:
    """It comes between two fragments and changes neither of them."""
    events = [*START, message(), append("msg_1", "text", "Hel"), custom(), append("msg_1", "text", "lo")]
    engine, signals = play(events)
    assert engine.states()[0].text == "Hello"
    assert [signal.type for signal in signals[-3:]] == ["message.text", "custom", "message.text"]
    assert engine.states()[0].changed_by == "delta"


def test_a_custom_event_before_its_run_waits_for_it() -> None:
    """It is kept until the run is seen, as every event that names its run."""
    engine, signals = play([custom(value=1), *START])
    assert [signal.value for signal in received(signals)] == [1]
    assert engine.stats().orphans == 0


def test_too_many_custom_events_of_unseen_runs_are_rejected() -> None:
    """Those that are removed to make room are rejects, with their value as data."""
    rejects: list[Any] = []
    engine = Engine(limits=Limits(max_orphans=1), clock=lambda: 1.0)
    engine.on_reject = rejects.append
    play([custom(value={"n": n}, run_id=f"run_{n}") for n in range(3)], engine)
    assert [reject.raw.data for reject in rejects] == [b'{"n":0}', b'{"n":1}']
    assert engine.stats().orphans == 1


def test_a_custom_event_without_a_run_is_counted() -> None:
    """It is of no run, so it is no signal of one; but it is not lost in silence."""
    engine, signals = play([*START, custom(run_id=None)])
    assert received(signals) == []
    assert engine.stats().unattached == 1


def test_a_source_that_continues_a_run_speaks_of_it() -> None:
    """A custom event that names no run is of the run that its source continues."""
    engine, _ = play([*START])
    _, signals = play([custom(run_id=None)], engine, "second", continues="run_1")
    assert [signal.key for signal in received(signals)] == ["run_1/custom/1"]


def test_a_custom_event_after_the_end_of_its_run() -> None:
    """It is emitted: it changes nothing of the run that has ended."""
    engine, signals = play([*START, run("completed"), custom()])
    assert signals[-1].key == "run_1/custom/1"
    assert engine.states()[0].is_terminal


def test_a_custom_event_of_an_evicted_run_is_late() -> None:
    """Its run is done and forgotten; the event is counted."""
    engine, signals = play([*START, run("completed"), custom()], Engine(limits=Limits(max_finished_runs=0)))
    assert received(signals) == []
    assert engine.stats().late == 1


@given(st.lists(st.booleans(), min_size=1, max_size=9), st.integers(0, 9))
def test_numbers_go_on_after_a_restart(kinds: list[bool], cut: int) -> None:
    """With a store the numbers count from the run's beginning, in whatever process; no key is used twice."""
    events = [*START, *(custom(value=n) if kind else run("in_progress") for n, kind in enumerate(kinds))]
    store = MemoryStore(clock=lambda: 1.0)
    found = []
    for part in (events[: cut + 2], events[cut + 2 :]):
        _, signals = play(part, Engine(clock=lambda: 1.0, store=store))
        found += [signal.key for signal in received(signals)]
    assert found == [f"run_1/custom/{n + 1}" for n in range(sum(kinds))]


def test_an_unknown_event_of_a_run_is_counted() -> None:
    """It changes nothing, and shows a watchdog that its run is alive."""
    engine, signals = play([*START, UnknownEvent(b"{}", run_id="run_1", name="news")])
    assert engine.stats().unknown == 1
    assert [signal.type for signal in signals] == ["run.created", "run.status_changed", "run.status_changed"]
    record = engine.registry.record("", "run_1")
    assert record is not None
    assert record.touched
