"""Reads a docstring: the description of a function, and those of its parameters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Final

__all__ = ["read_docstring"]

_HEADING: Final = re.compile(r"([A-Z][A-Za-z ]*):\s*")  # Google
_RULE: Final = re.compile(r"-{3,}\s*")  # under a heading, NumPy
_SPHINX: Final = re.compile(r":(?:param|parameter|arg|argument)\s+(?:[^:]*\s)?\*{0,2}(\w+)\s*:\s*(.*)")
_SPHINX_FIELD: Final = re.compile(r":\w+[^:]*:")
_GOOGLE_ENTRY: Final = re.compile(r"\*{0,2}(\w+)\s*(?:\([^)]*\))?\s*:\s*(.*)")
_NUMPY_ENTRY: Final = re.compile(r"\*{0,2}(\w+)\s*(?::.*)?()")
_GOOGLE_SECTIONS: Final = frozenset({"Args", "Arguments", "Parameters", "Params"})
_NUMPY_SECTIONS: Final = frozenset({"Parameters", "Other Parameters"})


def read_docstring(text: str) -> tuple[str, dict[str, str]]:
    """The description of a function and the descriptions of its parameters, each as one line.

    Args:
        text: The docstring without its indentation, in the style of Google, NumPy or Sphinx.

    Returns:
        The text before the first section, its paragraphs as they are; and the descriptions by the parameters' names.
    """
    (_, _, summary), *sections = _sections(text.splitlines())
    entries: dict[str, list[str]] = {}
    for style, heading, lines in sections:
        if style == "google" and heading in _GOOGLE_SECTIONS:
            entries |= _entries(lines, _GOOGLE_ENTRY)
        elif style == "numpy" and heading in _NUMPY_SECTIONS:
            entries |= _entries(lines, _NUMPY_ENTRY)
        elif style == "sphinx" and (first := _SPHINX.fullmatch(heading)):
            entries[first[1]] = [first[2], *lines]
    described = {name: " ".join(filter(None, map(str.strip, lines))) for name, lines in entries.items()}
    return "\n".join(summary).strip(), {name: words for name, words in described.items() if words}


def _sections(lines: list[str]) -> Iterator[tuple[str, str, list[str]]]:
    """The sections as style, heading and lines; the first has no heading."""
    style, heading, content = "", "", list[str]()
    for line, following in pairwise([*lines, ""]):
        if _RULE.fullmatch(line):
            continue
        found = None
        if _RULE.fullmatch(following):
            found = ("numpy", line.strip())
        elif _SPHINX_FIELD.match(line):
            found = ("sphinx", line.strip())
        elif style != "numpy" and (google := _HEADING.fullmatch(line)):
            found = ("google", google[1])
        if found is None:
            content.append(line)
        else:
            yield style, heading, content
            (style, heading), content = found, []
    yield style, heading, content


def _entries(lines: Iterable[str], entry: re.Pattern[str]) -> dict[str, list[str]]:
    """The lines of each entry by its name; an entry begins at the indentation of the first."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    first: int | None = None
    for line in filter(str.strip, lines):
        indent = len(line) - len(line.lstrip())
        first = indent if first is None else first
        match = entry.fullmatch(line.strip()) if indent == first else None
        if match is not None:
            current = found[match[1]] = [match[2]]
        elif indent > first:
            current.append(line)
        else:
            current = []  # not an entry: its lines belong to none
    return found
