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
    ReasoningDelta,
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
from tests.faults.streams import StreamEvent, interleaved

CASE = Case.parse("ws;demo/text.sse;none;replay;drop@500;1")
CASES = [
    CASE,
    Case.parse("ws;talk/67;none;replay;drop@500;1"),
    Case.parse("ws;thread/222;none;replay;drop@500;1"),
]


def frames_of(case: Case, events: list[StreamEvent]) -> list[bytes]:
    """The messages of a WebSocket with these events."""
    bare = case.protocol != "assistants"
    return [Item(event.name, event.data, None, event.number, bare=bare).envelope() for event in events]


def observation_of(case: Case = CASE, *, events: int | None = None) -> Observation:
    """The observation if only the first ``events`` events arrive and the source then ends."""
    arrived = interleaved(case.streams, None)[:events]
    folded = fold(frames_of(case, arrived), name="source", dialect=case.protocol, clock=lambda: 1.0)
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


Error = Callable[[Observation, Case], None]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.protocol)
def test_the_clean_stream_is_equal(case: Case) -> None:
    """A result without a difference has no problem."""
    assert judge(case, observation_of(case)) == ("equal", [])


def _without(kind: type) -> Error:
    def change(observed: Observation, case: Case) -> None:
        observed.signals[:] = [signal for signal in observed.signals if not isinstance(signal, kind)]

    return change


def _twice(kind: type) -> Error:
    def change(observed: Observation, case: Case) -> None:
        observed.signals.append(next(signal for signal in observed.signals if isinstance(signal, kind)))

    return change


def _swapped(observed: Observation, case: Case) -> None:
    places = [at for at, signal in enumerate(observed.signals) if isinstance(signal, RunCreated | MessageCompleted)]
    one, other = places[0], places[-1]
    observed.signals[one], observed.signals[other] = observed.signals[other], observed.signals[one]


def _shorter(observed: Observation, case: Case) -> None:
    at = next(at for at, signal in enumerate(observed.signals) if isinstance(signal, TextDelta))
    observed.signals[at] = structs.replace(observed.signals[at], delta="?")


def _end_not_sent(observed: Observation, case: Case) -> None:
    observed.sent -= expected_of(case.streams, "ws").terminal[observed.states[0].run_id]


def _cut(observed: Observation, case: Case) -> None:
    cut = observation_of(case, events=40)
    observed.states = cut.states


def _failed_source(observed: Observation, case: Case) -> None:
    observed.signals.insert(-1, SourceError("source", "", 1.0, 1, "the server closed the connection", 1))


def _other_text(observed: Observation, case: Case) -> None:
    events = interleaved(case.streams, None)
    for word, other in ((b"rain", b"snow"), (b"Let", b"Lot")):
        events = [event._replace(data=event.data.replace(word, other)) for event in events]
    observed.states = fold(frames_of(case, events), dialect=case.protocol).runs


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.protocol)
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
        lambda observed, case: setattr(observed, "hung", True),
        lambda observed, case: setattr(observed, "error", "RuntimeError"),
        lambda observed, case: setattr(observed, "states", ()),
        lambda observed, case: setattr(observed, "results", dict.fromkeys(observed.results, IncompleteStream("cut"))),
        lambda observed, case: observed.rejects.append(Reject(RawEvent(), "bad")),
    ],
)
def test_every_error_is_found(change: Error, case: Case) -> None:
    """Each single error in an observation is a failure."""
    observed = observation_of(case)
    change(observed, case)
    assert judge(case, observed).kind == "failure"


def test_a_missing_fragment_of_reasoning_is_found() -> None:
    """A screen that follows the progress of reasoning has its text."""
    observed = observation_of(CASES[1])
    observed.signals.remove([signal for signal in observed.signals if isinstance(signal, ReasoningDelta)][-1])
    assert judge(CASES[1], observed).kind == "failure"


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
