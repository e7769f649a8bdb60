"""The page of bounds says all of them, with their defaults, and names only counts that there are."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from runstream import Limits, RunStream, Stats

PAGE = (Path(__file__).parents[2] / "docs" / "limits.md").read_text(encoding="utf-8")
ROWS = {
    name.strip("`"): (default, counts)
    for line in PAGE.splitlines()
    if line.startswith("| `") and line.count("|") == 5  # those of the store have no count
    for names, default, _, counts in [[cell.strip() for cell in line.strip("|").split("|")]]
    for name in names.split(", ")
}
OF_STREAM = ("max_connections", "buffer", "wait_timeout", "close_timeout")


def number(text: str) -> float:
    """A number as the page writes it."""
    found = re.match(r"[\d,.]+", text)
    assert found, text
    return float(found[0].replace(",", "")) * (2**20 if "MiB" in text else 1)


def test_every_bound_has_a_row() -> None:
    """Those of `Limits` and of `RunStream`, and no other."""
    assert set(ROWS) == {*Limits.__struct_fields__, *OF_STREAM}


@pytest.mark.parametrize("name", ROWS)
def test_the_defaults_are_those_of_the_code(name: str) -> None:
    """What the page calls the default is the default."""
    parameters = inspect.signature(RunStream).parameters
    default = parameters[name].default if name in OF_STREAM else getattr(Limits(), name)
    assert number(ROWS[name][0]) == default


@pytest.mark.parametrize("name", ROWS)
def test_the_counts_exist(name: str) -> None:
    """What went over a bound is counted under the name that the page gives."""
    counts = re.findall(r"`(\w+)`", ROWS[name][1])
    assert counts or name == "close_timeout"
    assert set(counts) <= set(Stats.__struct_fields__)
