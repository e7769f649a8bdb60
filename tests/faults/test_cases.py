"""The cases of the fault harness: each is one line, and that line is all it takes to repeat it."""

from __future__ import annotations

import pytest

from tests.faults.cases import FAULTS, SOURCES, Case, generate, legs
from tests.faults.content import tell
from tests.faults.streams import load, names, together


@pytest.mark.parametrize("source", SOURCES)
def test_a_line_repeats_a_case(source: str) -> None:
    """What a failing case prints gives the same case again, and the server tells the same."""
    for case in generate(source, 100, 7):
        again = Case.parse(str(case))
        assert again == case
        for number, leg in enumerate(legs(case)):
            assert tell(case, number, leg, 0) == tell(again, number, leg, 0)


@pytest.mark.parametrize("source", SOURCES)
def test_a_seed_gives_the_same_cases_and_every_fault(source: str) -> None:
    """Each kind in turn, so that no kind is left out where there are enough cases."""
    cases = generate(source, 100, 3)
    assert cases == generate(source, 100, 3)
    assert cases != generate(source, 100, 4)
    mine = {name for name, sources in FAULTS.items() if source in sources}
    assert {fault.name for case in cases for fault in case.faults} == mine
    assert all(1 <= len(case.faults) <= 3 for case in cases)


def test_what_is_told_together_shares_no_id() -> None:
    """Recordings that speak of one run or message can't be told as two."""
    assert together(["demo/text.sse", "demo/text.sse", "demo/failed.sse"]) == ["demo/text.sse", "demo/failed.sse"]


def test_every_recording_and_made_up_run_can_be_told() -> None:
    """None is empty; two made-up runs differ."""
    assert all(load(name) for name in names())
    assert load("made/1") != load("made/2")
