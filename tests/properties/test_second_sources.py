"""A run that several sources send, one after the other, each from its beginning: one run, each fact once."""

from __future__ import annotations

import json
import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstream.engine.engine import Engine
from runstream.model.raw import RawEvent
from runstream.model.signals import ProgressSignal, RunInterrupted, RunPaused, Signal, SourceSignal, TextReplaced
from tests.properties.strategies import raws, tales
from tests.support.talks import talk

pytestmark = pytest.mark.slow

some = settings(
    max_examples=100 * int(os.environ.get("RUNSTREAM_EXAMPLES", "1")),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def frames(seed: int, *, numbered: bool) -> list[RawEvent]:
    """The events of a random run of the Responses wire, of one to three responses."""
    found = []
    for event in filter(None, talk(seed)):
        if not numbered:
            del event["sequence_number"]
        found.append(RawEvent(data=json.dumps(event).encode()))
    return found


def engine_of(signals: list[Signal]) -> Engine:
    engine = Engine(clock=lambda: 1.0)
    engine.on_signal = signals.append
    return engine


def facts(signals: list[Signal]) -> Counter[str]:
    """The keys of the facts of runs, but for those of the ends of sources."""
    others = SourceSignal | ProgressSignal | TextReplaced | RunInterrupted | RunPaused
    return Counter(signal.key for signal in signals if not isinstance(signal, others))


def check(stream: list[RawEvent], cuts: list[int], dialect: str) -> None:
    """Each source sends the beginning of the stream, and the last one all of it."""
    clean: list[Signal] = []
    once = engine_of(clean)
    whole = once.intake("whole", dialect=dialect)
    whole.feed_all(stream)
    whole.end()
    signals: list[Signal] = []
    engine = engine_of(signals)
    for number, cut in enumerate([*cuts, len(stream)]):
        intake = engine.intake(f"source_{number}", dialect=dialect)
        intake.connected()
        intake.feed_all(stream[: cut % (len(stream) + 1) or len(stream)])
        intake.end()
    assert [state.to_dict() for state in engine.states()] == [state.to_dict() for state in once.states()]
    assert facts(signals) == facts(clean)
    assert max(facts(signals).values()) == 1


@given(st.integers(0, 999), st.booleans(), st.lists(st.integers(1, 99), min_size=1, max_size=2))
@some
def test_responses_from_several_sources(seed: int, numbered: bool, cuts: list[int]) -> None:
    """A later response stays a part of its run, though the run does not wait any more when it is sent again."""
    check(frames(seed, numbered=numbered), cuts, "responses")


@given(tales(), st.booleans(), st.lists(st.integers(1, 99), min_size=1, max_size=2))
@some
def test_runs_from_several_sources(told: list[tuple[str, dict[str, object]]], ids: bool, cuts: list[int]) -> None:
    """Where each run and each object has its `created`, nothing counts twice."""
    started = {body["id"] for name, body in told if name.endswith(".created")}
    if told[0][0] != "thread.run.created" or any(body["id"] not in started for name, body in told if "delta" in body):
        return
    check(raws(told, ids=ids), cuts, "assistants")
