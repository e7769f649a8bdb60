"""The tests themselves: none hangs, none depends on the program that started them, and none has a long name."""

from __future__ import annotations

import ast
import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.support.guards import TookTooLong, bounded, heeding_signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

TESTS: Final = Path(__file__).resolve().parents[1]
MAX_NAME: Final = 70  # characters

ASKS = "import signal; print(signal.getsignal(signal.SIGINT) is signal.SIG_IGN)"


def _catching() -> None:
    """Code that swallows exceptions, as the library does with those of subscribers."""
    try:
        time.sleep(60)
    except Exception:
        time.sleep(60)


@pytest.mark.parametrize(
    "hangs",
    [lambda: time.sleep(60), _catching, lambda: asyncio.run(asyncio.Event().wait())],
    ids=["call", "caught", "loop"],
)
def test_what_hangs_is_ended(hangs: Callable[[], object]) -> None:
    """In a call of the system, in a loop, and where exceptions are caught; the bound around it holds again."""
    with pytest.raises(TookTooLong, match=r"more than 0\.05 s"), bounded(0.05):
        hangs()
    assert signal.getitimer(signal.ITIMER_REAL)[0] > 10


def test_programs_heed_what_their_starter_ignores() -> None:
    """Ctrl-C reaches a program that a test starts, also where the tests are a script's background job."""

    def ignores() -> str:
        return subprocess.check_output([sys.executable, "-c", ASKS], text=True, timeout=60).strip()

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert ignores() == "True"
        with heeding_signals():
            assert ignores() == "False"
            signal.raise_signal(signal.SIGINT)  # this process goes on ignoring it
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_names_are_short() -> None:
    """A name of a test has at most 70 characters; more belongs into its docstring."""
    long = [
        f"{path.relative_to(TESTS)}: {node.name}"
        for path in sorted(TESTS.rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if node.name.startswith("test_") and len(node.name) > MAX_NAME
    ]
    assert long == []
