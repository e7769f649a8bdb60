"""Small versions of the benchmarks of whole processes: each checks what came, and that memory is flat, by itself."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(script: str, *options: str) -> str:
    """What a benchmark prints; what goes wrong in it is in the failure's text."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(BENCHMARKS / script), *options],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
        cwd=BENCHMARKS.parent,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "options"), [("WebSocket", ()), ("SSE", ("--sse",))])
def test_two_hundred_live_sources_lose_nothing(kind: str, options: tuple[str, ...]) -> None:
    """Each source's run completes, and each fragment comes once; how soon is measured, not asserted."""
    shown = run("many_sources.py", "--sources=200", "--rate=400", "--seconds=2", *options)
    assert f"| 200 {kind} | 400 |" in shown


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "amounts"),
    [("runs", ("--runs=20000", "--connections=0")), ("connections", ("--runs=0", "--connections=400"))],
)
def test_memory_and_open_files_are_flat(what: str, amounts: tuple[str, str]) -> None:
    """Every bound of `Limits` is met all the time, and the last tenth uses no more than the first half."""
    shown = run("soak.py", *amounts)
    assert len([line for line in shown.splitlines() if line.startswith("| ")]) == 11, what


@pytest.mark.slow
def test_the_core_is_compared_with_the_floor() -> None:
    """The short script runs through, having checked what each contender made of the stream; no figure is asserted."""
    shown = run("core.py", "1")
    assert "| core fold, 210 events a run, against bare typed decode | ≤ 2.5 |" in shown
    assert "a fragment at 100,000 against 1,000 in one message, unread" in shown
    for kind in ("a string that counts", "a number"):
        assert f"| the same with an event id on each, {kind}, against bare decode | ≤ 4.0 |" in shown
        assert f"| {kind} as id, against the fold without ids | ≤ 1.6 |" in shown


@pytest.mark.slow
def test_the_costs_of_a_fragment_in_each_dialect() -> None:
    """The script runs through, having checked the texts that three dialects have read; no figure is asserted."""
    assert "| a Responses text delta beyond bare decoding" in run("dialects.py", "1")


@pytest.mark.slow
def test_what_a_first_use_costs_stands_beside_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    """The import alone would hide it: the rows run through, each with something measured."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    rows = importlib.import_module("scale").import_rows(1)
    assert rows[0].what == "`import runstream` against `import openai`"
    assert [row.aim for row in rows] == ["≤ 0.27", *[""] * (len(rows) - 1)]
    assert {"`from runstream import fold`", "`RunStream` and `WebSocketSource` reached"} <= {
        row.what.split(",")[0] for row in rows
    }
    # The import alone takes 2 ms, of which one round on a busy machine may measure nothing.
    assert all(row.ratio.median > 0 for row in rows[1:])


def test_rows_say_whether_the_aim_is_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    pairing = importlib.import_module("pairing")
    ratio = pairing.ratio_of([2.0, 1.0, 4.0])
    assert ratio == (2.0, 1.0, 4.0)
    assert [pairing.Row("x", aim, ratio).reached for aim in ("≤ 2.5", "≤ 1.9", "≥ 1,000", "≥ 2", "")] == [
        "yes",
        "no",
        "no",
        "yes",
        "",
    ]
    assert pairing.table([pairing.Row("x", "≤ 2.5", ratio, "y")]).splitlines()[-1] == (
        "| x | ≤ 2.5 | 2.00 | 1.00-4.00 | yes | y |"
    )


@pytest.mark.slow
def test_the_responses_wire_is_compared_with_the_package() -> None:
    """Status, text and number of fragments are equal in all contenders; no figure is asserted."""
    pytest.importorskip("azure.ai.agents", reason="the extra bench is not installed")
    shown = run("responses.py", "1")
    for words in (200, 1000):
        assert f"| openai's Responses stream: CPU time, times that of runstream; SSE, {words} deltas | ≥ 80 |" in shown
