"""The package, its pages and its examples are plain technical English."""

from __future__ import annotations

import io
import re
import tokenize
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "runstream"

BANNED: Final = re.compile(
    r"""\b(?:
        tell|tells|telling|told|retold|untold      # emit, report, receive, repeat
        | hear|hears|hearing|heard|unheard         # receive, observe
        | speak|speaks|speaking|spoke|spoken       # refer to, name
        | hold|holds|holding|held                  # keep, store, contain, block
        | giv(?:e|es|en|ing)[ ]up | gave[ ]up      # stop, expire
        | let[ ]go | lets[ ]go                     # release, drop
        | taken?[ ]up | tak(?:es|ing)[ ]up | took[ ]up  # resume, claim
        | whoever | whomever | whosoever           # the caller, the subscriber
        | doubt|doubts|doubtful
        | fate|fates | in[ ]vain | of[ ]no[ ]use | on[ ]its[ ]way | its[ ]turn | through[ ]with
        | look(?:s|ed)?[ ]after | ask(?:s|ed)?[ ]of | nobody | anybody | everybody | somebody
        | dies? | died | dying | zombies? | troubles? | whence | hence | upon   # end, problem, so
        | com(?:e|es|ing)[ ]and[ ]go(?:es|ing)? | has[ ]the[ ]say | lets?[ ]it[ ]be | a[ ]word[ ]of[ ]what
        | know(?:s|ing)?[ ]nothing | surviv(?:e|es|ed|ing)                      # does not use, is kept
    )\b""",
    re.VERBOSE | re.IGNORECASE,
)
"""Old verbs and metaphors. The comments name words to use for data."""


def words(source: str) -> list[str]:
    """The banned words of a module: in strings, comments and names (whose parts are words too)."""
    found: list[str] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.STRING, tokenize.COMMENT):
            found += [match[0].lower() for match in BANNED.finditer(re.sub(r"\s+", " ", token.string))]
        elif token.type == tokenize.NAME:
            found += [match[0].lower() for match in BANNED.finditer(token.string.replace("_", " "))]
    return found


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_plain_words(path: Path) -> None:
    """A module contains no banned word."""
    found = words(path.read_text(encoding="utf-8"))
    assert not found, f"{dict(Counter(found))}: use plain words"


PAGES: Final = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").glob("*.md"),
        *(ROOT / "docs").glob("*.py"),
        *(ROOT / "examples").glob("*.*"),
        *(ROOT / "benchmarks").glob("*.py"),
    ]
)


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_plain_pages(path: Path) -> None:
    """A page, an example, a benchmark, or a script that writes a page contains no banned word."""
    text = re.sub(r"\s+", " ", path.read_text(encoding="utf-8"))
    found = [match[0].lower() for match in BANNED.finditer(text)]
    assert not found, f"{dict(Counter(found))}: use plain words"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('"""What is told."""\n', ["told"]),
        ("x = 1  # nobody\n# hears it\n", ["nobody", "hears"]),
        ("def give_up(): ...\n", ["give up"]),
        ("threshold = household = 1\n", []),
    ],
)
def test_the_scan(source: str, found: list[str]) -> None:
    """Words are found in docstrings, comments and names, but not within other words."""
    assert words(source) == found
