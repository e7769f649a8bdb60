"""Foreign text in, lines out that fit a terminal: nothing in them steers it, and its end stays where it is."""

from __future__ import annotations

import re
from typing import Final

from rich.cells import cell_len, chop_cells, set_cell_size

from runstream.escaping import visible

__all__ = ["ascii_only", "fitted", "on_one_line", "tail", "tail_of_line", "wrapped"]

_WORDS: Final = re.compile(r"\s*\S+")
_ANCHOR: Final = 1024
"""A long text is wrapped from a multiple of this on (characters): so its lines don't shift as it grows."""


def ascii_only(text: str) -> str:
    """The text for a terminal that shows nothing else."""
    return text.encode("ascii", "backslashreplace").decode()


def wrapped(text: str, width: int) -> list[str]:
    """The lines of a text, escaped, and wrapped at words to ``width`` columns."""
    return [line for part in text.replace("\r\n", "\n").split("\n") for line in _wrapped(part, width)]


def _wrapped(part: str, width: int) -> list[str]:
    part = visible(part.expandtabs(4)).rstrip()
    if cell_len(part) <= width:
        return [part]
    lines: list[str] = []
    line, used = "", 0
    for found in _WORDS.findall(part):
        word, size = found, cell_len(found)
        if used + size > width and line:
            lines.append(line)
            line, used = "", 0
            word = word.lstrip()
            size = cell_len(word)
        if size > width:  # a word longer than a line, an address for instance
            *full, word = chop_cells(word, width)
            lines += full
            size = cell_len(word)
        line, used = line + word, used + size
    return [*lines, line]


def tail(text: str, width: int, lines: int) -> list[str]:
    """The last lines of a text, wrapped. What it costs does not depend on the length of the text."""
    text = text.rstrip()
    room = width * lines
    if len(text) > room + _ANCHOR:
        start = (len(text) - room) // _ANCHOR * _ANCHOR
        text = text[start:]
        # Begin at a word; a text without any begins where it is cut.
        text = text[found.end() :] if (found := re.match(r"\S{0,80}\s+", text)) else text
    return wrapped(text, width)[-lines:]


def on_one_line(text: str, limit: int = 2000) -> str:
    """The beginning of a text, escaped, with a space for each run of white space."""
    return visible(" ".join(text[:limit].split()))


def fitted(text: str, width: int) -> str:
    """One line, cut with an ellipsis where it is longer than ``width`` columns."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 1 else ""


def tail_of_line(text: str, width: int) -> str:
    """The end of one line, after an ellipsis where it is longer than ``width`` columns."""
    text = on_one_line(text[-4 * max(width, 1) :])
    if cell_len(text) <= width:
        return text
    if width < 2:
        return ""
    while cell_len(text) > width - 1:
        text = text[max(1, (cell_len(text) - width + 1) // 2) :]
    return f"…{text}"
