"""A type checker sees whether a `match` over `Signal` is exhaustive, and what `on`, `when` and `only` give."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runstream import SIGNAL_TYPES

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]

HEAD = """
from typing import assert_never
import runstream
from runstream import *

def react(signal: Signal) -> str:
    match signal:
{cases}
        case _:
            assert_never(signal)
"""
BASES = """
        case RunCompleted() | RunFailed() | RunCancelled() | RunExpired() | RunIncomplete():
            return str(signal.duration)
        case TextDelta(delta=delta):
            return delta
        case RunSignal():
            return signal.run_id
        case SourceSignal():
            return signal.source
"""
DOORS = """
import runstream
from runstream import *
from reactivex import Observable

def text(signal: TextDelta) -> str:
    return signal.delta

class Agent:
    @handles(TextDelta)
    def grow(self, signal: TextDelta) -> None: ...
    @handles(RunCompleted, RunFailed)
    async def ended(self, signal: RunCompleted | RunFailed) -> None: ...
    @handles(RunCompleted)
    def any(self, signal: RunSignal) -> None: ...

async def doors(stream: RunStream) -> None:
    stream.on(TextDelta, text)
    stream.on(RunCompleted | RunFailed, print, assistant_id="a", metadata={"a": "b"})
    stream.on(Agent(), thread_id="t")
    run = stream.run("run_1")
    run.on(Agent())
    action: ActionRequired = await run.when(ActionRequired, timeout=3)
    done: Observable[RunCompleted] = run.signals.pipe(only(RunCompleted))
    states: Observable[RunState] = run.states.pipe(where(thread_id="t"))
    async for signal in run:
        print(signal.type)
    async for state in run.iter("states"):
        print(state.text)
"""
WRONG = """
import runstream
from runstream import *

def text(signal: TextDelta) -> str:
    return signal.delta

class Agent:
    @handles(TextDelta)  # wrong
    def grow(self, signal: RunCompleted) -> None: ...

def doors(stream: RunStream) -> None:
    stream.on(RunSignal, text, thread="t")  # wrong
    stream.run("run_1").on(RunSignal, text, assistant_id="t")  # wrong
    stream.run(1)  # wrong
"""


def check(tmp_path: Path, code: str) -> tuple[int, str]:
    """What mypy says of a program."""
    path = tmp_path / "program.py"
    path.write_text(code, encoding="utf-8")
    found = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "--no-error-summary", path],
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=300,
        check=False,
    )
    return found.returncode, found.stdout + found.stderr


def test_a_type_checker_sees_it(tmp_path: Path) -> None:
    """Every class by itself, or by bases, is exhaustive; one that is missing is named."""
    pytest.importorskip("mypy")
    classes = [f"        case {kind.__name__}():\n            return signal.key" for kind in SIGNAL_TYPES.values()]
    assert check(tmp_path, HEAD.format(cases="\n".join(classes))) == (0, "")
    assert check(tmp_path, HEAD.format(cases=BASES)) == (0, "")
    assert check(tmp_path, DOORS) == (0, "")
    code, said = check(tmp_path, HEAD.format(cases="\n".join(classes[:-1])))
    assert code == 1
    assert "SourceError" in said
    code, said = check(tmp_path, WRONG)
    assert code == 1
    lines = WRONG.splitlines()
    wrong = [number for number, line in enumerate(lines, start=1) if line.endswith("# wrong")]
    assert sorted({int(line.split(":")[1]) for line in said.splitlines() if ": error:" in line}) == wrong, said
