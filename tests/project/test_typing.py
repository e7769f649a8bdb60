"""What type checkers accept and refuse, and that the lines of the documentation are typed."""

from __future__ import annotations

import builtins
import json
import os
import re
import shutil
import subprocess
import symtable
import sys
import textwrap
from pathlib import Path
from typing import Final, get_args

import pytest

import runstream
from runstream import SIGNAL_TYPES
from runstream.core.selection import SignalName

ROOT: Final = Path(__file__).resolve().parents[2]
SAMPLE: Final = Path(__file__).with_name("typing_sample.py")
PAGES: Final = sorted({ROOT / "README.md", *(ROOT / "docs").glob("*.md")})


def refused_by_mypy(path: Path, *options: str) -> dict[int, str]:
    """The lines of a file with an error of mypy --strict, and the first error of each."""
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--hide-error-context",
        *options,
        str(path),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "MYPYPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found: dict[int, str] = {}
    for name, line, message in re.findall(r"^(.*?):(\d+): error: (.*)$", done.stdout, re.MULTILINE):
        assert Path(ROOT, name).samefile(path), done.stdout
        found.setdefault(int(line), message)
    return found


def marked_lines() -> set[int]:
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith("# refused")}


def test_mypy_refuses_what_is_marked_and_nothing_else() -> None:
    assert len(marked_lines()) > 15
    assert refused_by_mypy(SAMPLE).keys() == marked_lines()


@pytest.mark.skipif(shutil.which("pyright") is None, reason="pyright is not installed")
def test_pyright_refuses_what_is_marked_and_nothing_else() -> None:
    command = ["pyright", "--outputjson", "--pythonpath", sys.executable, str(SAMPLE)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    found = json.loads(done.stdout)["generalDiagnostics"]
    lines = {one["range"]["start"]["line"] + 1 for one in found if one["severity"] == "error"}
    assert lines == marked_lines(), found


def test_the_names_of_signals_are_literals() -> None:
    """The names that a type checker knows are those that the library knows."""
    assert get_args(SignalName) == tuple(SIGNAL_TYPES)


# the lines of the documentation

TYPES: Final = {
    "stream": "runstream.RunStream",
    "blocking": "runstream.BlockingStream",
    "state": "runstream.RunState",
    "signal": "runstream.Signal",
    "store": "runstream.StateStore",
    "url": "str",
    "URL": "str",
    "token": "str",
    "run_id": "str",
}
"""Names that the pages use without a definition, with their types. Others are of the reader's program: ``Any``."""


GIVEN: Final = frozenset({"Any", "AsyncIterator", "asyncio", "contextlib", "ops", "runstream"})
"""Names that each page has without an import of its own."""


OTHERS: Final = "def __getattr__(self, name: str) -> Any: ..."
"""The members of a class of which a page shows one method."""


def python_blocks(page: Path) -> list[str]:
    """The blocks of a page; the beginnings of methods, which stand indented, as methods of a class that go on."""
    found = []
    for block in re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE):
        is_method = re.match(r"    (async )?def ", block)
        found.append(
            f"class Part(BaseDialect):\n    {OTHERS}\n{block}        raise NotImplementedError\n"
            if is_method
            else textwrap.dedent(block)
        )
    return found


def undefined_names(block: str) -> list[str]:
    """The names that a block uses and does not define, without builtins and public names."""
    top = symtable.symtable(block, "block", "exec")
    bound = {one.get_name() for one in top.get_symbols() if one.is_assigned() or one.is_imported()}
    used: set[str] = set()
    tables = [top]
    while tables:
        table = tables.pop()
        symbols = table.get_symbols()
        used |= {one.get_name() for one in symbols if one.is_referenced() and (table is top or one.is_global())}
        tables += table.get_children()
    return sorted(used - bound - set(dir(builtins)))


def module_of(page: Path) -> str:
    """The blocks of a page as a module: each in a coroutine function, with the names that it does not define."""
    lines = ["from __future__ import annotations", "import asyncio, contextlib", "from typing import Any"]
    lines += ["from collections.abc import AsyncIterator"]
    lines += ["import runstream", "from reactivex import operators as ops"]
    body: list[str] = []
    imported: set[str] = set()
    for number, block in enumerate(python_blocks(page)):
        names = [name for name in undefined_names(block) if name not in GIVEN]
        public = [name for name in names if name in runstream.MODULE_OF]
        imported.update(public)
        parameters = ", ".join(f"{name}: {TYPES.get(name, 'Any')}" for name in names if name not in public)
        body.append(f"async def block_{number}({parameters}) -> None:")
        body += [f"    {line}" if line.strip() else "" for line in block.splitlines()]
        body += ["    ...", ""]
    lines += [f"from runstream import {name}" for name in sorted(imported)]
    return "\n".join([*lines, "", *body]) + "\n"


def test_the_lines_of_the_documentation_pass_mypy(tmp_path: Path) -> None:
    """All of them, with --strict. A line that is not typed there teaches readers to go without types.

    Libraries that the pages use and the tests do not have are untyped here, and so are their decorators and what the
    reader's own functions return.
    """
    errors: list[str] = []
    for page in PAGES:
        module = tmp_path / f"{page.stem.replace('-', '_')}.py"
        module.write_text(module_of(page), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--no-error-summary",
        "--hide-error-context",
        "--no-warn-unused-ignores",
        "--allow-untyped-decorators",
        "--no-warn-return-any",
        "--allow-subclassing-any",
    ]
    done = subprocess.run(
        [*command, "--ignore-missing-imports", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    for name, line, message in re.findall(r"^(.*?):(\d+): error: (.*)$", done.stdout, re.MULTILINE):
        # The cache of mypy may have the module of an earlier run, in a directory that is gone.
        text = (tmp_path / Path(name).name).read_text(encoding="utf-8").splitlines()[int(line) - 1].strip()
        errors.append(f"{Path(name).name}: {text}: {message}")
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert not errors, "\n".join(errors)
