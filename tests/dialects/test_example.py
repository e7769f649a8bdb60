"""The dialect of the example, as docs/dialects.md advises to test one: whole, cut, twice, and in two sources."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest

from runstream.engine.fold import Folded, fold, fold_sources

EXAMPLE = Path(__file__).parents[2] / "examples" / "16_write_a_dialect.py"


@pytest.fixture(scope="module")
def desk() -> Any:
    spec = importlib.util.spec_from_file_location("write_a_dialect", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def keys(folded: Folded) -> list[str]:
    found = [signal.key for signal in folded.signals]
    assert len(set(found)) == len(found)
    return [key for key in found if not key.startswith("source")]


def both(desk: Any, asked: list[bytes], answered: list[bytes]) -> Folded:
    return fold_sources([("asked", asked), ("answered", answered, {"continues": "j1"})], dialect=desk.DeskDialect)


def test_two_sources_are_one_run(desk: Any) -> None:
    """The run waits in between, and completes when the second source has ended."""
    folded = both(desk, desk.ASKED, desk.ANSWERED)
    (state,) = folded.runs
    assert (state.run_id, state.status, state.text, state.pieces) == ("j1", "completed", "Room 7.", ("j1", "j2"))
    assert [key for key in keys(folded) if "action" in key or "completed" in key] == [
        "j1/call/c1/completed",
        "j1/step/step%3Ac1/completed",
        "j1/action_required/c1",
        "j1/message/j2%3Aanswer/completed",
        "j1/completed",
    ]


def test_twice_is_the_same(desk: Any) -> None:
    """Each line of a job has an identity, so repeated lines change nothing."""
    once = both(desk, desk.ASKED, desk.ANSWERED)
    twice = both(desk, desk.ASKED * 2, [line for line in desk.ANSWERED for _ in range(2)])
    assert keys(twice) == keys(once)
    assert twice.runs == once.runs


def test_a_cut_stream_is_no_success(desk: Any) -> None:
    """Cut at each line, the run has not ended; an error after the end is believed."""
    for at in range(1, len(desk.ANSWERED) - 1):
        (state,) = both(desk, desk.ASKED, desk.ANSWERED[:at]).runs
        assert not state.is_terminal
    late = [*desk.ANSWERED, b'{"do": "error", "job": "j2", "n": 6}']
    assert both(desk, desk.ASKED, late).runs[0].status == "failed"


def test_bad_lines_are_rejects(desk: Any) -> None:
    """No input raises."""
    folded = fold([b"", b"{}", b'{"do": 1}', b"\xff"], dialect=desk.DeskDialect)
    assert (len(folded.rejects), folded.runs) == (4, ())
