"""Text from the wire in, lines out that fit a terminal and do not control it."""

from __future__ import annotations

import re
from typing import Final

from rich.cells import cell_len

from runstream.model.escaping import escape_control

__all__ = ["ascii_only", "columns", "fit", "on_one_line", "tail", "tail_of_line", "wrap"]

_WORDS: Final = re.compile(r"\s*\S+")
# Terminals differ in the width of these: emoji joined by U+200D, with a skin tone, or made from a sign by U+FE0F, and
# flags, which are two letters.
_AMBIGUOUS: Final = re.compile("[\u200d\ufe0f\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff]")
_ANCHOR: Final = 1024
"""The wrapping of a long text begins at a multiple of this (characters), so that lines do not shift as it grows."""


def columns(text: str) -> int:
    """The width of a line in columns; the largest one where terminals differ.

    A line that is wider than expected wraps, and later drawings over it are in the wrong place.
    """
    return sum(map(_columns, text)) if _AMBIGUOUS.search(text) else cell_len(text)


def _columns(char: str) -> int:
    if char == "\u200d":
        return 0
    if char == "\ufe0f":
        return 1
    return 2 if _AMBIGUOUS.match(char) else cell_len(char)


def _first(text: str, width: int) -> str:
    """The longest beginning that fits."""
    used = 0
    for place, char in enumerate(text):
        size = _columns(char)
        used += size
        if used > width:
            return text[:place]
    return text


def ascii_only(text: str) -> str:
    """The text for a terminal that shows ASCII only; other characters are escaped."""
    return text.encode("ascii", "backslashreplace").decode()


def wrap(text: str, width: int) -> list[str]:
    """The lines of a text, escaped, and wrapped at words to ``width`` columns."""
    return [line for part in text.replace("\r\n", "\n").split("\n") for line in _wrap_line(part, width)]


def _wrap_line(part: str, width: int) -> list[str]:
    part = escape_control(part.expandtabs(4)).rstrip()
    if columns(part) <= width:
        return [part]
    lines: list[str] = []
    line, used = "", 0
    for found in _WORDS.findall(part):
        word, size = found, columns(found)
        if used + size > width and line:
            lines.append(line)
            line, used = "", 0
            word = word.lstrip()
            size = columns(word)
        while size > width:  # a word longer than a line, an address for instance
            lines.append(_first(word, width) or word[0])
            word = word[len(lines[-1]) :]
            size = columns(word)
        line, used = line + word, used + size
    return [*lines, line]


def tail(text: str, width: int, lines: int) -> list[str]:
    """The last lines of a text, wrapped. The cost does not depend on the length of the text."""
    text = text.rstrip()
    room = width * lines
    if len(text) > room + _ANCHOR:
        start = (len(text) - room) // _ANCHOR * _ANCHOR
        text = text[start:]
        # Begin at a word; a text without spaces begins where it is cut.
        text = text[found.end() :] if (found := re.match(r"\S{0,80}\s+", text)) else text
    return wrap(text, width)[-lines:]


def on_one_line(text: str, limit: int = 2000) -> str:
    """The beginning of a text, escaped, with a space for each run of white space; an ellipsis where it is cut."""
    shown = escape_control(" ".join(text[:limit].split()))
    return f"{shown}…" if len(text) > limit else shown


def fit(text: str, width: int) -> str:
    """One line, cut with an ellipsis where it is longer than ``width`` columns."""
    if columns(text) <= width:
        return text
    return _first(text, width - 1).rstrip() + "…" if width > 1 else ""


def tail_of_line(text: str, width: int) -> str:
    """The end of one line, after an ellipsis where it is longer than ``width`` columns."""
    text = text[-4 * max(width, 1) :]
    text = on_one_line(text, len(text))
    if columns(text) <= width:
        return text
    if width < 2:
        return ""
    while columns(text) > width - 1:
        text = text[max(1, (columns(text) - width + 1) // 2) :]
    return f"…{text}"
