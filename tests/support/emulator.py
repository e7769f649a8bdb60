"""A terminal: what a program writes in, what a person sees out. Knows what the live view uses, and no more."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial

from rich.cells import cell_len

__all__ = ["CONTROL", "EVIL", "Terminal"]

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe\u2028\r\x08\x7f"
"""What would take over a terminal that obeys it."""

CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What no output for people may hold."""

_PIECES = re.compile("\x1b\\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n])", re.DOTALL)


class Terminal:
    """A screen of ``width`` by ``height``, and what has scrolled out of it above.

    Anything it does not know fails the test: nothing but what is known may reach a terminal.
    """

    def __init__(self, width: int = 80, height: int = 24) -> None:
        self.width = width
        self.height = height
        self.rows: list[str] = [""]
        self.cursor_shown = True
        self.styles: set[str] = set()
        self._row = 0
        self._column = 0
        self._codes: dict[str, Callable[[str], None]] = {
            "A": self._up,
            "K": self._erase,
            "l": partial(self._mode, False),
            "h": partial(self._mode, True),
            "m": self._style,
        }

    def feed(self, text: str) -> None:
        """Take what a program has written."""
        end = 0
        for found in _PIECES.finditer(text):
            assert found.start() == end, f"unknown: {text[end : end + 20]!r}"
            end = found.end()
            given, code, control, shown = found.groups()
            if code is not None:
                self._codes[code](given)
            elif control == "\r":
                self._column = 0
            elif control == "\n":
                self._column = 0  # as terminals are set up: a new line begins at its beginning
                self._down()
            else:
                assert shown.isprintable() or shown == "\u200d", f"not to be shown: {shown!r}"
                self._put(shown)
        assert end == len(text), f"unknown: {text[end : end + 20]!r}"

    @property
    def screen(self) -> list[str]:
        """The lines that are to be seen, without blank ones at the end."""
        return _trimmed(self.rows[-self.height :])

    @property
    def lines(self) -> list[str]:
        """These, after all that have scrolled out."""
        return _trimmed(self.rows)

    def resize(self, width: int) -> None:
        """Make the window narrower or wider: lines that are too wide are wrapped, the cursor stays with its text."""
        rows: list[str] = []
        for number, row in enumerate(self.rows):
            pieces = [row[at : at + width] for at in range(0, len(row), width)] or [""]
            rows += pieces
            if number == self._row:
                self._row, self._column = len(rows) - 1, len(pieces[-1])
        self.rows, self.width = rows, width

    def _put(self, shown: str) -> None:
        size = cell_len(shown)
        if self._column + size > self.width:
            self._column = 0
            self._down()
        row = self.rows[self._row].ljust(self._column)
        # A wide character takes two columns, and one place in the text.
        assert len(row) <= self._column or row[self._column :].strip() == "", "written over what was not erased"
        self.rows[self._row] = row[: self._column] + shown + "\0" * (size - 1)
        self._column += size

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self.rows):
            self.rows.append("")

    def _up(self, given: str) -> None:
        top = max(0, len(self.rows) - self.height)
        self._row = max(top, self._row - int(given or 1))

    def _erase(self, given: str) -> None:
        assert given == "2"
        self.rows[self._row] = ""

    def _mode(self, shown: bool, given: str) -> None:
        assert given == "?25", given
        self.cursor_shown = shown

    def _style(self, given: str) -> None:
        self.styles.update(code for code in given.split(";") if code not in {"", "0"})


def _trimmed(rows: list[str]) -> list[str]:
    shown = [row.replace("\0", "").rstrip() for row in rows]
    while shown and not shown[-1]:
        shown.pop()
    return shown
