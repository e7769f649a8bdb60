"""The status table cell by cell, and the evidence of age that comes before it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from runstream.core.status import TRANSITIONS, Transition, classify_transition
from runstream.model.run import Run, RunStatus

# One row for each known status, as in the wire reference: E expected, L legal though surprising, S stale.
TERMINAL = ["completed", "incomplete", "failed", "cancelled", "expired"]
COLUMNS = ["queued", "in_progress", "requires_action", "cancelling", *TERMINAL]
TABLE = {
    "queued": "E E L E L L E E E",
    "in_progress": "S E E E E E E E E",
    "requires_action": "E L E E L L E E E",
    "cancelling": "S S S E E E E E E",
}
LETTERS = {"E": Transition.EXPECTED, "L": Transition.LEGAL, "S": Transition.STALE}
CELLS = [
    (known, new, LETTERS[letter])
    for known, row in TABLE.items()
    for new, letter in zip(COLUMNS, row.split(), strict=True)
]


def run(status: str, started_at: int | None = None, **fields: Any) -> Run:
    """A run in a status."""
    return Run(id="run_1", status=RunStatus(status), started_at=started_at, **fields)


@pytest.mark.parametrize(("known", "new", "transition"), CELLS)
def test_every_cell(known: str, new: str, transition: Transition) -> None:
    """Each cell of the table is what the life cycle says, and without evidence of age it decides."""
    assert TRANSITIONS[RunStatus(known), RunStatus(new)] is transition
    assert classify_transition(run(known), run(new)) is transition


def test_the_table_is_whole() -> None:
    """Every status that is not terminal has a row, and every status a column."""
    assert set(TRANSITIONS) == {(RunStatus(known), RunStatus(new)) for known in TABLE for new in COLUMNS}


@pytest.mark.parametrize(("known", "new"), list(itertools.product(TERMINAL, [*COLUMNS, "generating"])))
def test_terminal_absorbs_everything(known: str, new: str) -> None:
    """The first terminal status wins, whatever comes and however new it looks."""
    assert classify_transition(run(known, 5), run(new, 9)) is Transition.ABSORBED
    assert classify_transition(run(known, 5), run(new, 9), old_request=True, replaying=True) is Transition.ABSORBED


@pytest.mark.parametrize("known", ["queued", "in_progress", "requires_action", "cancelling", "generating"])
@pytest.mark.parametrize("new", ["queued", "in_progress", "requires_action", "cancelling", "generating"])
@pytest.mark.parametrize("started_at", [None, 109])
def test_an_older_start_is_stale(known: str, new: str, started_at: int | None) -> None:
    """A snapshot whose `started_at` is null or smaller than the known one is stale, whatever it says."""
    assert classify_transition(run(known, 110), run(new, started_at)) is Transition.STALE


@pytest.mark.parametrize("new", TERMINAL)
def test_an_end_needs_no_start(new: str) -> None:
    """An end counts even where its snapshot has no `started_at`: servers may clear it."""
    assert classify_transition(run("in_progress", 110), run(new, None)) is Transition.EXPECTED
    assert classify_transition(run("cancelling", 110), run(new, 50)) is Transition.EXPECTED


@pytest.mark.parametrize("known", ["queued", "in_progress", "requires_action"])
@pytest.mark.parametrize("new", ["queued", "in_progress", "requires_action", "cancelling"])
def test_a_newer_start_counts(known: str, new: str) -> None:
    """A larger `started_at` is newer, whatever the table says; what the table does not expect is surprising."""
    expected = known == new or TRANSITIONS[RunStatus(known), RunStatus(new)] is Transition.EXPECTED
    transition = classify_transition(run(known, 110), run(new, 120))
    assert transition is (Transition.EXPECTED if expected else Transition.LEGAL)


@pytest.mark.parametrize("new", ["queued", "in_progress", "requires_action"])
def test_cancelling_is_left_only_by_an_end(new: str) -> None:
    """No start is so new that a run that is being cancelled goes on."""
    assert classify_transition(run("cancelling", 110), run(new, 120)) is Transition.STALE


def test_a_first_start_is_newer_than_none() -> None:
    """A known null is no evidence of age: the table decides."""
    assert classify_transition(run("queued"), run("in_progress", 110)) is Transition.EXPECTED
    assert classify_transition(run("in_progress"), run("queued", 110)) is Transition.STALE


@pytest.mark.parametrize("known", ["requires_action", "queued"])
def test_the_same_start_again_is_from_before_the_request(known: str) -> None:
    """`in_progress` with the start that the run has left behind is old; with a later one it goes on."""
    assert classify_transition(run(known, 110), run("in_progress", 110)) is Transition.STALE
    assert classify_transition(run(known, 110), run("in_progress", 111)) is not Transition.STALE
    assert classify_transition(run(known), run("in_progress")) is not Transition.STALE


def test_a_requeue_keeps_its_start() -> None:
    """`requires_action → queued` with the same `started_at` is expected."""
    assert classify_transition(run("requires_action", 110), run("queued", 110)) is Transition.EXPECTED


@pytest.mark.parametrize("known", ["queued", "in_progress", "cancelling", "requires_action", "generating"])
def test_calls_that_were_left_are_stale(known: str) -> None:
    """A snapshot that asks for calls which the run has left is stale, even with a larger start."""
    assert classify_transition(run(known, 110), run("requires_action", 120), old_request=True) is Transition.STALE


@pytest.mark.parametrize(
    ("known", "new", "transition"),
    [
        ("requires_action", "queued", Transition.STALE),
        ("requires_action", "in_progress", Transition.STALE),
        ("queued", "in_progress", Transition.STALE),
        ("requires_action", "requires_action", Transition.EXPECTED),
        ("in_progress", "in_progress", Transition.EXPECTED),
        ("requires_action", "cancelling", Transition.EXPECTED),
        ("in_progress", "completed", Transition.EXPECTED),
        ("generating", "queued", Transition.LEGAL),
        ("queued", "generating", Transition.STALE),
        ("requires_action", "generating", Transition.STALE),
        ("cancelling", "generating", Transition.STALE),
        ("in_progress", "generating", Transition.LEGAL),
    ],
)
def test_told_again_without_evidence(known: str, new: str, transition: Transition) -> None:
    """Where nothing shows age and the run is told again from its start, what it was before is old."""
    assert classify_transition(run(known), run(new), replaying=True) is transition


def test_evidence_of_age_comes_before_replaying() -> None:
    """Where `started_at` shows the age, a repeated `created` alone makes nothing old."""
    assert classify_transition(run("requires_action", 110), run("queued", 110), replaying=True) is Transition.EXPECTED
    assert classify_transition(run("queued", 110), run("in_progress", 120), replaying=True) is Transition.EXPECTED


@pytest.mark.parametrize("other", ["queued", "in_progress", "requires_action", "cancelling", "completed"])
def test_unknown_statuses_come_and_go(other: str) -> None:
    """A change from or to a status that the table does not know is legal though surprising."""
    assert classify_transition(run("generating"), run(other)) is Transition.LEGAL
    if other != "completed":
        assert classify_transition(run(other), run("generating")) is Transition.LEGAL
    assert classify_transition(run("generating"), run("pondering")) is Transition.LEGAL
