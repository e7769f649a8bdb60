"""The page about the Run: it names every member of the seed, and what it shows is so."""

from __future__ import annotations

import builtins
import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pytest

import runstream.model as model
from runstream.model import Run, RunStatus
from tests.model.seed import FIELDS, MEMBERS

PAGE = (Path(__file__).parents[2] / "docs" / "run.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without its head."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[2:]]


def named(cell: str) -> list[str]:
    """The names in a cell, without their arguments."""
    return [name.split("(")[0] for name in re.findall(r"`([^`]+)`", cell)]


SEED = rows("From Dart to Python")


@pytest.mark.parametrize("member", MEMBERS)
def test_every_member_of_the_seed_is_in_the_table(member: str) -> None:
    """Each member has its row, once."""
    found = [row for row in SEED if row[0].strip("`") == member or row[0].strip("`").startswith(member + "(")]
    if member.endswith("("):
        found = [row for row in SEED if row[0].strip("`").startswith(member)]
    assert len(found) == 1


def test_the_table_has_nothing_else() -> None:
    """No row is made up."""
    assert len(SEED) == len(MEMBERS)


def test_the_fields_have_their_names() -> None:
    """The table says of each field what the tests of the fields say."""
    table = {named(row[0])[0]: named(row[1])[0] for row in SEED}
    for field in FIELDS:
        assert table[field.dart] == field.name


@pytest.mark.parametrize("row", SEED, ids=lambda row: row[0])
def test_every_python_name_exists(row: list[str]) -> None:
    """The Python name is the run's, or the class itself; classes in the note exist."""
    for name in named(row[1]):
        assert hasattr(Run, name.removeprefix("Run.")) or name == "Run", name
    for name in named(row[2]):
        if re.fullmatch("([A-Z][a-z]+)+", name) and name not in {"RunError", "RunIncompleteDetails"}:  # Dart's
            assert hasattr(model, name) or hasattr(builtins, name), name


@pytest.mark.parametrize("row", rows("What runstream adds"), ids=lambda row: row[0])
def test_what_is_added_exists_too(row: list[str]) -> None:
    """The names of the second table are the run's, or its status's."""
    for name in named(row[0]):
        if name.startswith("status."):
            assert hasattr(RunStatus.QUEUED, name.removeprefix("status."))
        else:
            assert hasattr(Run, name)


def test_the_examples_print_what_they_say() -> None:
    """The page's examples run, one after the other, and print what stands under them."""
    blocks = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) == PAGE.count("```python") == PAGE.count("```text")
    names: dict[str, Any] = {}
    for code, output in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(code, "run.md", "exec"), names)
        assert printed.getvalue() == output
