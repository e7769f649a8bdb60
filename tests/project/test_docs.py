"""The documentation says what the code does."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from runstream.sinks.log import _FIELDS as FIELDS_OF_RECORDS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def test_the_status_page_is_the_table() -> None:
    """docs/statuses.md is what its script writes from the table of transitions."""
    page = runpy.run_path(str(ROOT / "docs" / "make_statuses.py"))["page"]()
    assert (ROOT / "docs" / "statuses.md").read_text(encoding="utf-8") == page


def test_the_page_of_the_checker_is_its_rules() -> None:
    """docs/check.md is what its script writes from the rules of the checker."""
    page = runpy.run_path(str(ROOT / "docs" / "make_check.py"))["page"]()
    assert (ROOT / "docs" / "check.md").read_text(encoding="utf-8") == page


def test_the_diagrams_are_the_code() -> None:
    """The diagrams are what their script draws from the table of transitions and from the imports."""
    for name, diagram in runpy.run_path(str(ROOT / "docs" / "make_diagrams.py"))["DIAGRAMS"].items():
        assert (ROOT / "docs" / name).read_text(encoding="utf-8") == diagram(), name


def test_the_picture_of_a_trace_is_what_is_recorded() -> None:
    """docs/traces.svg shows the spans that the tracer records."""
    page = runpy.run_path(str(ROOT / "docs" / "make_traces.py"))["picture"]()
    assert "execute_tool" in page
    assert (ROOT / "docs" / "traces.svg").read_text(encoding="utf-8") == page


def test_the_index_of_names_is_the_docstrings() -> None:
    """docs/api.md is what its script writes: each public name, and the first line of its docstring."""
    page = runpy.run_path(str(ROOT / "docs" / "make_api.py"))["page"]()
    assert (ROOT / "docs" / "api.md").read_text(encoding="utf-8") == page
    assert "|  |\n" not in page  # constants and names for types have a docstring too


def test_the_logging_page_is_what_is_logged() -> None:
    """docs/logging.md is what its script writes; columns aside, which differ between releases of structlog."""
    page = runpy.run_path(str(ROOT / "docs" / "make_logging.py"))["page"]()
    assert "run.failed" in page
    assert (ROOT / "docs" / "logging.md").read_text(encoding="utf-8").split() == page.split()


def test_the_logging_page_names_every_field() -> None:
    """Each field that the sink writes of any signal is in the table of fields, or among what stays out."""
    page = (ROOT / "docs" / "logging.md").read_text(encoding="utf-8")
    table = page.partition("## What a record has")[2].partition("## In a shell")[0]
    named = set(re.findall(r"`(\w+)`", "\n".join(line for line in table.splitlines() if line.startswith("| `"))))
    written = {name for names in FIELDS_OF_RECORDS.values() for name in names}
    assert written <= named


def test_the_picture_of_the_terminal_is_the_view() -> None:
    """docs/terminal.svg says what its script draws of the demo."""
    script = runpy.run_path(str(ROOT / "docs" / "make_terminal.py"))
    drawn = script["words"](script["picture"]())
    assert "completed" in drawn
    assert script["words"]((ROOT / "docs" / "terminal.svg").read_text(encoding="utf-8")) == drawn


def test_every_page_is_in_the_index() -> None:
    """No page of the documentation is out of reach."""
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    for path in (ROOT / "docs").glob("*.md"):
        assert path.name == "index.md" or f"({path.name})" in index, path.name


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link of a page names a file that exists."""
    text = re.sub(r"```.*?```|`[^`\n]*`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (path.parent / target).exists(), target
