"""Programs that stand for what people met in public, and for broken promises: each one holds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
CASES: Final = Path(os.environ.get("RUNSTREAM_CASES", ROOT.parent / "shared" / "cases"))
"""Beside the repository, and no part of it."""

# Where there are none, one name that is skipped: a test without parameters would say nothing.
NAMES: Final = sorted(path.relative_to(CASES).as_posix() for path in CASES.glob("*/*.py")) or ["absent"]


@pytest.mark.slow  # all of them together
@pytest.mark.parametrize("name", NAMES)
def test_a_case_holds(name: str) -> None:
    """Each program ends within a minute, and exits with 0 if the behaviour is right."""
    path = CASES / name
    if not path.exists():
        pytest.skip(f"{CASES} is not there: the cases are no part of this repository (RUNSTREAM_CASES names them)")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(path)], check=False, capture_output=True, text=True, timeout=60, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
