"""The programs of the home page, the quickstart and the tutorials run as printed and print what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = [
    ROOT / "docs" / "index.md",
    ROOT / "docs" / "quickstart.md",
    *sorted((ROOT / "docs").glob("tutorial-*.md")),
]
BLOCK: Final = re.compile(r'^```(?:python|text) title="([^"]+)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)


class Program(NamedTuple):
    """A program of a page: the name of its file, its source, and its output, if the page prints it."""

    name: str
    source: str
    output: str | None


def programs(text: str) -> list[Program]:
    """The programs of a page, in their order."""
    found: list[Program] = []
    for name, body in BLOCK.findall(text):
        if name == "output":
            found[-1] = found[-1]._replace(output=body)
        else:
            found.append(Program(name, body, None))
    return found


def prints(expected: str, printed: str) -> bool:
    """True if a program printed what a page says; ``…`` is any text within a line."""
    return re.fullmatch(r"[^\n]*".join(re.escape(part) for part in expected.split("…")), printed) is not None


def test_the_pages_have_programs() -> None:
    """Home page, quickstart and five tutorials are found, each with a program whose output is printed."""
    assert len(PAGES) >= 7
    for path in PAGES:
        assert any(program.output for program in programs(path.read_text(encoding="utf-8"))), path.name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_the_programs_run_as_printed(path: Path, tmp_path: Path) -> None:
    """Each program of the page ends without an error, and prints what the page says."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error", "PYTEST_ADDOPTS": ""}
    for program in programs(path.read_text(encoding="utf-8")):
        (tmp_path / program.name).write_text(program.source, encoding="utf-8")
        tests = (
            ["-W", "ignore", "-m", "pytest", "-q", "-p", "no:cacheprovider"] if program.name.startswith("test_") else []
        )
        done = subprocess.run(
            [sys.executable, *tests, program.name],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, f"{program.name}\n{done.stdout}\n{done.stderr}"
        if program.output is not None:
            assert prints(program.output, done.stdout), f"{program.name} printed\n{done.stdout}"
