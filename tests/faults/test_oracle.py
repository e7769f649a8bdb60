"""The oracle of the fault cases: it accepts correct results and no others."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec import structs

from runstream.engine.fold import fold
from runstream.errors import IncompleteStream
from runstream.model.events import Reject
from runstream.model.raw import RawEvent
from runstream.model.signals import (
    MessageCompleted,
    RunCompleted,
    RunCreated,
    RunInterrupted,
    SourceEnded,
    SourceError,
    TextDelta,
)
from tests.faults.cases import Case
from tests.faults.content import Item
from tests.faults.expected import expected_of
from tests.faults.oracle import judge
from tests.faults.runner import Observation
from tests.faults.streams import interleaved

CASE = Case.parse("ws;demo/text.sse;none;replay;drop@500;1")
NAMES = CASE.streams


def observation_of(case: Case = CASE, *, events: int | None = None) -> Observation:
    """The observation if only the first ``events`` events arrive and the source then ends."""
    arrived = interleaved(case.streams, None)[:events]
    raws = [Item(item.name, item.data, None, item.number).envelope() for item in arrived]
    folded = fold(raws, name="source", clock=lambda: 1.0)
    ended = all(state.is_terminal for state in folded.runs)
    results = {state.run_id: state.run if state.is_terminal else IncompleteStream("cut") for state in folded.runs}
    return Observation(
        states=folded.runs,
        signals=list(folded.signals),
        rejects=list(folded.rejects),
        results=results,
        everything=tuple(state.run for state in folded.runs) if ended else IncompleteStream("cut"),
        stats=folded.stats,
        sent=frozenset(item.number for item in arrived),
    )


def test_the_clean_stream_is_equal() -> None:
    """A result without a difference has no problem."""
    assert judge(CASE, observation_of()) == ("equal", [])


def _without(kind: type) -> Callable[[Observation], None]:
    def change(observed: Observation) -> None:
        observed.signals[:] = [signal for signal in observed.signals if not isinstance(signal, kind)]

    return change


def _twice(kind: type) -> Callable[[Observation], None]:
    def change(observed: Observation) -> None:
        observed.signals.append(next(signal for signal in observed.signals if isinstance(signal, kind)))

    return change


def _swapped(observed: Observation) -> None:
    places = [at for at, signal in enumerate(observed.signals) if isinstance(signal, RunCreated | MessageCompleted)]
    one, other = places[0], places[-1]
    observed.signals[one], observed.signals[other] = observed.signals[other], observed.signals[one]


def _shorter(observed: Observation) -> None:
    at = next(at for at, signal in enumerate(observed.signals) if isinstance(signal, TextDelta))
    observed.signals[at] = structs.replace(observed.signals[at], delta="?")


def _end_not_sent(observed: Observation) -> None:
    observed.sent -= expected_of(NAMES, "ws").terminal[observed.states[0].run_id]


def _cut(observed: Observation) -> None:
    cut = observation_of(events=40)
    observed.states = cut.states


def _failed_source(observed: Observation) -> None:
    observed.signals.insert(-1, SourceError("source", "", 1.0, 1, "the server closed the connection", 1))


def _other_text(observed: Observation) -> None:
    events = [item._replace(data=item.data.replace(b"rain", b"snow")) for item in interleaved(NAMES, None)]
    observed.states = fold([Item(item.name, item.data, None, item.number).envelope() for item in events]).runs


@pytest.mark.parametrize(
    "change",
    [
        _without(MessageCompleted),
        _without(RunCompleted),
        _without(SourceEnded),
        _without(TextDelta),
        _twice(RunCreated),
        _twice(TextDelta),
        _swapped,
        _shorter,
        _end_not_sent,
        _cut,
        _failed_source,
        _other_text,
        lambda observed: setattr(observed, "hung", True),
        lambda observed: setattr(observed, "error", "RuntimeError"),
        lambda observed: setattr(observed, "states", ()),
        lambda observed: setattr(observed, "results", dict.fromkeys(observed.results, IncompleteStream("cut"))),
        lambda observed: observed.rejects.append(Reject(RawEvent(), "bad")),
    ],
)
def test_every_error_is_found(change: Callable[[Observation], None]) -> None:
    """Each single error in an observation is a failure."""
    observed = observation_of()
    change(observed)
    assert judge(CASE, observed).kind == "failure"


def test_a_cut_without_a_cause_is_a_failure() -> None:
    """The server accepts connections again after a drop, so neither an early failure nor a normal end is right."""
    assert judge(CASE, observation_of(events=40)).kind == "failure"


def test_a_cut_by_a_server_that_is_gone_is_interrupted() -> None:
    """A final refusal ends the source, and the run is interrupted; without `run.interrupted` it is a failure."""
    case = Case.parse("ws;demo/text.sse;none;replay;drop@500,http-403@0;1")
    observed = observation_of(case, events=40)
    observed.signals.insert(-1, SourceError("source", "", 1.0, 1, "refused the connection with HTTP 403", 1))
    assert judge(case, observed) == ("interrupted", [])
    observed.signals[:] = [signal for signal in observed.signals if not isinstance(signal, RunInterrupted)]
    assert judge(case, observed).kind == "failure"


def test_a_result_for_a_run_that_was_cut_is_a_failure() -> None:
    """A wrong success, by `result()` or `results()`."""
    case = Case.parse("ws;demo/text.sse;none;replay;drop@500,http-403@0;1")
    observed = observation_of(case, events=40)
    observed.signals.insert(-1, SourceError("source", "", 1.0, 1, "refused the connection with HTTP 403", 1))
    observed.everything = (observed.states[0].run,)
    assert judge(case, observed).kind == "failure"
    observed.everything = IncompleteStream("cut")
    observed.results = {observed.states[0].run_id: observed.states[0].run}
    assert judge(case, observed).kind == "failure"
