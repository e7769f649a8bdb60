"""The judge of the fault cases: it lets pass what is right, and nothing else."""

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
from tests.faults.expected import clean
from tests.faults.oracle import judge
from tests.faults.runner import Seen
from tests.faults.streams import interleaved

CASE = Case.parse("ws;demo/text.sse;none;replay;drop@500;1")
NAMES = CASE.tellings


def seen_of(case: Case = CASE, *, events: int | None = None) -> Seen:
    """What is seen where so many events arrive, and the source then ends."""
    told = interleaved(case.tellings, None)[:events]
    raws = [Item(item.name, item.data, None, item.number).envelope() for item in told]
    folded = fold(raws, name="source", clock=lambda: 1.0)
    ended = all(state.is_terminal for state in folded.runs)
    results = {state.run_id: state.run if state.is_terminal else IncompleteStream("cut") for state in folded.runs}
    return Seen(
        states=folded.runs,
        signals=list(folded.signals),
        rejects=list(folded.rejects),
        results=results,
        everything=tuple(state.run for state in folded.runs) if ended else IncompleteStream("cut"),
        stats=folded.stats,
        sent=frozenset(item.number for item in told),
    )


def test_the_clean_stream_is_equal() -> None:
    """Nothing lost, nothing to complain of."""
    assert judge(CASE, seen_of()) == ("equal", [])


def _without(kind: type) -> Callable[[Seen], None]:
    def doctor(seen: Seen) -> None:
        seen.signals[:] = [signal for signal in seen.signals if not isinstance(signal, kind)]

    return doctor


def _twice(kind: type) -> Callable[[Seen], None]:
    def doctor(seen: Seen) -> None:
        seen.signals.append(next(signal for signal in seen.signals if isinstance(signal, kind)))

    return doctor


def _swapped(seen: Seen) -> None:
    places = [at for at, signal in enumerate(seen.signals) if isinstance(signal, RunCreated | MessageCompleted)]
    one, other = places[0], places[-1]
    seen.signals[one], seen.signals[other] = seen.signals[other], seen.signals[one]


def _shorter(seen: Seen) -> None:
    at = next(at for at, signal in enumerate(seen.signals) if isinstance(signal, TextDelta))
    seen.signals[at] = structs.replace(seen.signals[at], delta="?")


def _never_said(seen: Seen) -> None:
    seen.sent -= clean(NAMES, "ws").terminal[seen.states[0].run_id]


def _cut(seen: Seen) -> None:
    cut = seen_of(events=40)
    seen.states = cut.states


def _given_up(seen: Seen) -> None:
    seen.signals.insert(-1, SourceError("source", "", 1.0, 1, "the server closed the connection", 1))


def _other_text(seen: Seen) -> None:
    told = [item._replace(data=item.data.replace(b"rain", b"snow")) for item in interleaved(NAMES, None)]
    seen.states = fold([Item(item.name, item.data, None, item.number).envelope() for item in told]).runs


@pytest.mark.parametrize(
    "doctor",
    [
        _without(MessageCompleted),
        _without(RunCompleted),
        _without(SourceEnded),
        _without(TextDelta),
        _twice(RunCreated),
        _twice(TextDelta),
        _swapped,
        _shorter,
        _never_said,
        _cut,
        _given_up,
        _other_text,
        lambda seen: setattr(seen, "hung", True),
        lambda seen: setattr(seen, "error", "RuntimeError"),
        lambda seen: setattr(seen, "states", ()),
        lambda seen: setattr(seen, "results", dict.fromkeys(seen.results, IncompleteStream("cut"))),
        lambda seen: seen.rejects.append(Reject(RawEvent(), "bad")),
    ],
)
def test_whatever_is_wrong_is_found(doctor: Callable[[Seen], None]) -> None:
    """Each one fault in what is seen is a failure."""
    seen = seen_of()
    doctor(seen)
    assert judge(CASE, seen).kind == "failure"


def test_a_cut_without_a_cause_is_a_failure() -> None:
    """The server is there again after a drop: whoever gives up before is wrong, and whoever ends well more so."""
    assert judge(CASE, seen_of(events=40)).kind == "failure"


def test_a_cut_by_a_server_that_is_gone_is_interrupted() -> None:
    """A refusal for good ends it, and the run says so; without that word it is a failure."""
    case = Case.parse("ws;demo/text.sse;none;replay;drop@500,http-403@0;1")
    seen = seen_of(case, events=40)
    seen.signals.insert(-1, SourceError("source", "", 1.0, 1, "refused the connection with HTTP 403", 1))
    assert judge(case, seen) == ("interrupted", [])
    seen.signals[:] = [signal for signal in seen.signals if not isinstance(signal, RunInterrupted)]
    assert judge(case, seen).kind == "failure"


def test_a_result_for_a_run_that_was_cut_is_a_failure() -> None:
    """A wrong success, in whatever way it is given."""
    case = Case.parse("ws;demo/text.sse;none;replay;drop@500,http-403@0;1")
    seen = seen_of(case, events=40)
    seen.signals.insert(-1, SourceError("source", "", 1.0, 1, "refused the connection with HTTP 403", 1))
    seen.everything = (seen.states[0].run,)
    assert judge(case, seen).kind == "failure"
    seen.everything = IncompleteStream("cut")
    seen.results = {seen.states[0].run_id: seen.states[0].run}
    assert judge(case, seen).kind == "failure"
