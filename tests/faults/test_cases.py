"""The cases of the fault harness: each is one line of text that repeats it."""

from __future__ import annotations

import pytest

from tests.faults.cases import FAULTS, SOURCES, Case, connection_plans, generate
from tests.faults.content import connection_items
from tests.faults.streams import disjoint, load, stream_names


@pytest.mark.parametrize("source", SOURCES)
def test_a_line_repeats_a_case(source: str) -> None:
    """The printed line of a case is read as the same case, for which the server sends the same events."""
    for case in generate(source, 100, 7):
        again = Case.parse(str(case))
        assert again == case
        for number, plan in enumerate(connection_plans(case)):
            assert connection_items(case, number, plan, 0) == connection_items(again, number, plan, 0)


@pytest.mark.parametrize("source", SOURCES)
def test_a_seed_gives_the_same_cases_and_every_fault(source: str) -> None:
    """Kinds of faults follow one another, so that enough cases contain all of them."""
    cases = generate(source, 100, 3)
    assert cases == generate(source, 100, 3)
    assert cases != generate(source, 100, 4)
    mine = {name for name, sources in FAULTS.items() if source in sources}
    assert {fault.name for case in cases for fault in case.faults} == mine
    assert all(1 <= len(case.faults) <= 3 for case in cases)


def test_mixed_streams_share_no_id() -> None:
    """Recordings of the same run or message can't be two streams of one case."""
    assert disjoint(["demo/text.sse", "demo/text.sse", "demo/failed.sse"]) == ["demo/text.sse", "demo/failed.sse"]


def test_every_stream_has_events() -> None:
    """No recording is empty; two random runs differ."""
    assert all(load(name) for name in stream_names())
    assert load("made/1") != load("made/2")
