"""Each event of a stream unreadable, one at a time, in three forms: the cases in which the position decides."""

from __future__ import annotations

import pytest

from runstream.engine.fold import fold
from runstream.errors import IncompleteStream
from runstream.model.raw import RawEvent, RawItem, Request
from tests.faults.cases import Case
from tests.faults.expected import expected_of
from tests.faults.oracle import judge
from tests.faults.runner import Observation
from tests.faults.streams import PROTOCOLS, StreamEvent, interleaved, load, stream_names, tool_names

_MADE = {
    "assistants": "made",
    "responses": "talk",
    "ag-ui": "thread",
    "langgraph": "graph",
    "langgraph-thread": "graph-thread",
}
_LONGEST = 40  # events
_FORMS = {
    "nothing": lambda data: data[:6],
    "beginning": lambda data: data[: max(len(data) * 3 // 4, 1)],
    "all": lambda data: b"\xff" + data,
}


def streams_of(protocol: str) -> list[str]:
    """Some random runs and the short recordings of a protocol."""
    recordings = [name for name in stream_names(protocol) if len(load(name)) <= _LONGEST]
    return [*(f"{_MADE[protocol]}/{seed}" for seed in range(4)), *recordings[::5]]


def observe(case: Case, events: list[StreamEvent], at: int, data: bytes) -> Observation:
    """The fold of a stream in which the data of one event are these."""
    items: list[RawItem] = [
        RawEvent(event.name or None, data if place == at else event.data) for place, event in enumerate(events)
    ]
    if case.source == "post":
        tools = ",".join(f'{{"name":"{name}"}}' for name in tool_names(case.streams))
        items.insert(0, Request(body=f'{{"tools":[{tools}]}}'.encode()))
    folded = fold(items, name="source", dialect=case.protocol, clock=lambda: 1.0)
    states = {state.run_id: state for state in folded.runs}
    ended = {id: state.run for id, state in states.items() if state.is_terminal}
    return Observation(
        states=folded.runs,
        signals=list(folded.signals),
        rejects=list(folded.rejects),
        results={
            id: ended.get(id, IncompleteStream("cut"))
            for id in {**expected_of(case.streams, case.source).runs, **states}
        },
        everything=tuple(ended.values()) if states and len(ended) == len(states) else IncompleteStream("cut"),
        stats=folded.stats,
        sent=frozenset(event.number for place, event in enumerate(events) if place != at),
    )


@pytest.mark.slow
@pytest.mark.parametrize(("protocol", "source"), [*((protocol, "file") for protocol in PROTOCOLS), ("ag-ui", "post")])
@pytest.mark.parametrize("form", _FORMS)
def test_an_event_that_can_not_be_read(protocol: str, source: str, form: str) -> None:
    """Wherever it stands, and whatever its bytes still show: the differences are those that are permitted."""
    failed = []
    server = "once" if source == "file" else "replay"
    for name in streams_of(protocol):
        case = Case.parse(f"{source};{name};none;{server};corrupt@0;1")
        events = interleaved(case.streams, None)
        for at, event in enumerate(events):
            observed = observe(case, events, at, _FORMS[form](event.data))
            if problems := judge(case, observed).problems:
                failed.append(f"{name}, event {at}: {problems[0]}")
    assert not failed, "\n".join(failed[:10])
