"""The page about AG-UI shows the code of its example, and names what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runstream.dialects.ag_ui_rules import RULES
from runstream.dialects.ag_ui_wire import EVENT_TYPES

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "ag-ui.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"<!-- (examples/\S+) -->\n\n```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(("name", "code"), BLOCKS, ids=range(len(BLOCKS)))
def test_the_code_is_that_of_the_example(name: str, code: str) -> None:
    """Word for word."""
    assert code in (ROOT / name).read_text(encoding="utf-8")


def test_every_event_is_in_the_table() -> None:
    """By its name, or by the beginning of its name."""
    named = set(re.findall(r"[A-Z]+(?:_[A-Z]+)*_?\*?", PAGE))
    families = tuple(name[:-1] for name in named if name.endswith("*"))
    assert [name for name in EVENT_TYPES if name not in named and not name.startswith(families)] == []


def test_the_violations_that_are_shown_exist() -> None:
    """The names are those of rules."""
    shown = re.search(r"\{'(.*?)\}", PAGE)
    assert shown is not None
    assert set(re.findall(r"'(\w+)'", shown[0])) <= set(RULES)
