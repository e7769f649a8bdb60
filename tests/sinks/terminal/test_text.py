"""Foreign text on the terminal: wrap by columns, cut at its ends, and never obeyed."""

from __future__ import annotations

import re
import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from runstream.model.escaping import escape_control
from runstream.sinks.terminal.text import ascii_only, columns, fit, on_one_line, tail, tail_of_line, wrap

TEXTS = st.text(st.characters(exclude_categories=()), max_size=300)
WIDTHS = st.integers(2, 60)


@given(TEXTS, WIDTHS)
def test_lines_fit_and_lose_nothing(text: str, width: int) -> None:
    """No line is wider than it may be, and all that is not white space is there, in order."""
    lines = wrap(text, width)
    assert all(columns(line) <= width for line in lines)
    kept = escape_control(text.replace("\r\n", "\n").replace("\n", " ").expandtabs(4))
    assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", kept)


@given(TEXTS, WIDTHS, st.integers(1, 5))
def test_cut_text_fits(text: str, width: int, lines: int) -> None:
    """Whatever is cut, and wherever."""
    assert columns(fit(on_one_line(text), width)) <= width
    assert columns(tail_of_line(text, width)) <= width
    found = tail(text, width, lines)
    assert len(found) <= lines
    assert all(columns(line) <= width for line in found)


def test_words_are_kept_whole() -> None:
    assert wrap("one two three four", 9) == ["one two", "three", "four"]
    assert wrap("a\n\n  b\tc", 20) == ["a", "", "  b c"]
    assert wrap("x" * 7, 3) == ["xxx", "xxx", "x"]


def test_wide_characters_take_two_columns() -> None:
    assert wrap("世界世界世", 4) == ["世界", "世界", "世"]
    assert fit("世界世界", 5) == "世界…"
    assert tail_of_line("世界世界", 5) == "…世界"


@pytest.mark.parametrize(
    ("text", "most"), [("👍🏽", 4), ("👨‍👩‍👧", 6), ("🇧🇪", 4), ("❤️", 2), ("1️⃣", 2), ("e\u0301", 1), ("世", 2), ("a", 1)]
)
def test_where_terminals_disagree_the_widest_counts(text: str, most: int) -> None:
    """One that draws the parts of an emoji beside each other must not wrap a line that was thought to fit."""
    assert columns(text) == most
    assert columns(text) >= cell_len(text)
    assert all(columns(line) <= 9 for line in wrap(text * 20, 9))
    assert columns(fit(text * 20, 9)) <= 9
    assert columns(tail_of_line(text * 20, 9)) <= 9


def test_control_characters_are_shown() -> None:
    assert wrap("\x1b[31m red\r", 40) == ["\\x1b[31m red\\x0d"]
    assert on_one_line("a\n\u202eb") == "a \\u202eb"


def test_the_lines_of_a_long_text_do_not_shift_as_it_grows() -> None:
    """A word more changes the last line only, but for once in about a thousand characters."""
    words = [f"word{number} " for number in range(2000)]
    text = ""
    shifts = 0
    before: list[str] = []
    for word in words:
        text += word
        found = tail(text, 40, 5)
        shifts += bool(before) and found[:-1] not in (before[:-1], before[1:]) and found[:-2] != before[1:-1]
        before = found
    assert shifts <= len(text) / 1024 + 2
    assert " ".join(before[1:]) in text


def test_the_end_of_a_huge_text_is_found_at_once() -> None:
    """The cost does not grow with the text: neither the calls that are made, nor the characters that are copied."""
    costs = []
    for text in ("word " * 2_000 + "end.", "word " * 200_000 + "end."):
        calls = 0

        def count(*_: object) -> None:
            nonlocal calls
            calls += 1

        tail(text, 80, 5)  # what is compiled at the first use is
        tracemalloc.start()
        sys.setprofile(count)
        try:
            tail(text, 80, 5)
        finally:
            sys.setprofile(None)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        costs.append((calls, peak))
    assert costs[1][0] < 2 * costs[0][0]
    assert costs[1][1] < 2 * costs[0][1] + 4096


def test_ascii() -> None:
    assert ascii_only("é…") == "\\xe9\\u2026"


def test_a_long_line_is_cut_with_a_mark() -> None:
    assert on_one_line("a\n b", 4) == "a b"
    assert on_one_line("abcdef", 4) == "abcd…"
    assert tail_of_line("x" * 3000 + "end", 2500).startswith("…x")
    assert tail_of_line("end", 600) == "end"
