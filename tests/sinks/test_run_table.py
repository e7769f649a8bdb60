"""The table of runs that the terminal and the page share: rows by scope and id, and notices."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from runstream.core.state import RunState
from runstream.engine.fold import fold
from runstream.model.limits import Stats
from runstream.model.signals import RunInterrupted, RunPaused, RunStalled
from runstream.sinks.page.snapshot import PageSnapshot
from runstream.sinks.run_table import NOTICES, Notice, RunTable
from runstream.sinks.terminal.open_runs import OpenRuns
from runstream.testing import script


def terminal() -> tuple[RunTable[Any], Callable[[RunState], None]]:
    runs = OpenRuns()
    return runs, lambda state: runs.update(state, 0.0)


def page() -> tuple[RunTable[Any], Callable[[RunState], None]]:
    snapshot = PageSnapshot(max_runs=9, max_text=100, clock=time.time, stats=Stats, on_change=lambda: None)
    return snapshot, snapshot.update


TABLES = pytest.mark.parametrize("table", [terminal, page])


def state(run_id: str = "run_1") -> RunState:
    return fold(script(run_id).start().raw_events()).runs[0]


def notice(kind: type, now: RunState) -> Notice:
    head = (now.run_id, None, now.scope, 0.0, now.run)
    if kind is RunInterrupted:
        return RunInterrupted(*head, "cut off", None, 0, 1)
    return RunStalled(*head, 30.0, "idle", 1) if kind is RunStalled else RunPaused(*head, 1)


@TABLES
def test_rows_have_numbers_in_order_of_appearance(table: Callable) -> None:
    rows, update = table()
    for run_id in ("run_1", "run_2", "run_1", "run_3"):
        update(state(run_id))
    assert sorted((row.number, row.state.run_id) for row in rows.rows.values()) == [
        (1, "run_1"),
        (2, "run_2"),
        (3, "run_3"),
    ]


@TABLES
@pytest.mark.parametrize("kind", NOTICES)
def test_a_notice_is_valid_until_the_next_state(table: Callable, kind: type) -> None:
    rows, update = table()
    now = state()
    update(now)
    sent = notice(kind, now)
    row = rows.add_notice(sent)
    assert row is rows.rows["", "run_1"]
    left = {RunInterrupted: "interrupted", RunStalled: "stalled", RunPaused: ""}[kind]
    assert (row.notice, row.source_status, row.label) == (sent, left, left or "in_progress")
    update(now)
    assert (row.notice, row.source_status, row.label) == (None, "", "in_progress")


@TABLES
def test_a_notice_of_another_run_is_skipped(table: Callable) -> None:
    rows, update = table()
    update(state("run_1"))
    assert rows.add_notice(notice(RunStalled, state("run_2"))) is None
    assert [row.notice for row in rows.rows.values()] == [None]
