"""The failure page says what the code says: every exception, and every reason in the words that users get."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from runstream import errors

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "failures.md").read_text(encoding="utf-8")
CODE = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "runstream").rglob("*.py")))
TESTS = "\n".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "tests").rglob("test_*.py")))
ROWS = re.findall(r"^\| (.*?) \|", PAGE, re.MULTILINE)
REASONS = [word for row in ROWS for word in re.findall(r"`([^`]*[a-z] [^`]*)`", row)]


def test_there_are_reasons() -> None:
    """The tables are read at all."""
    assert len(REASONS) > 15


@pytest.mark.parametrize("reason", REASONS)
def test_a_reason_is_in_the_code(reason: str) -> None:
    """What stands between the parts that vary is written so where it is made."""
    code = re.sub(r'"\s*\n?\s*f?"', "", CODE)
    for words in re.split(r"…|\b\d{3,}\b", reason):
        assert words.strip(" ,:") in code, words


def test_every_exception_is_on_the_page() -> None:
    """Whoever meets one finds it."""
    told = {"RunstreamError", "DecodeError"}  # the base, and a mistake in handing JSON to the model
    for name in set(errors.__all__) - told:
        assert name in PAGE, name


def test_links_within_the_page_lead_somewhere() -> None:
    """Each section that is named is there."""
    sections = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.*)$", PAGE, re.MULTILINE)}
    assert set(re.findall(r"\]\(#([^)]*)\)", PAGE)) <= sections


@pytest.mark.parametrize("page", sorted((ROOT / "docs").glob("*.md")), ids=lambda path: path.name)
def test_the_tests_that_a_page_names_are_there(page: Path) -> None:
    """A promise is held by a test that exists."""
    text = page.read_text(encoding="utf-8")
    for path in re.findall(r"`(tests/[\w/]*(?:\.py)?)`", text):
        assert (ROOT / path).exists(), path
    for name in re.findall(r"`(test_\w+)(?:\[[^`]*)?`", text):
        assert re.search(rf"def {name}\(", TESTS), name
