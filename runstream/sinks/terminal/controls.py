"""The keys of the terminal view: keys in, what is shown out. Pure: no terminal is read here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runstream.model.run import RunKey
from runstream.sinks.terminal.open_runs import OpenRun, OpenRuns

__all__ = ["HELP", "Controls", "split_keys"]

HELP: Final = "q quit · p pause · / filter · j k select · enter one run · ↑ ↓ scroll · esc back"
"""The keys, in one line."""

_ESCAPES: Final = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1bOA": "up",
    "\x1bOB": "down",
}
_PAGE: Final = 10  # lines


class Controls:
    """What a person has chosen with the keys.

    Attributes:
        paused: True if the drawing stands still; the stream goes on.
        words: What a run must have to be shown: parts of its id, agent, model, status or text. "" for all runs.
        typing: True while the words are typed.
        selected: The run that is marked, ``None`` for none.
        full: True if the marked run is shown alone, in full.
        scroll: The lines that are scrolled up from the end of that run.
        help: True if the keys are listed.
        quit: True once the view was asked to end.
    """

    def __init__(self) -> None:
        self.paused = False
        self.words = ""
        self.typing = False
        self.selected: RunKey | None = None
        self.full = False
        self.scroll = 0
        self.help = False
        self.quit = False

    def press(self, key: str, runs: OpenRuns) -> None:
        """Take one key.

        Args:
            key: A character, or a name of `split_keys`.
            runs: The runs that are shown.
        """
        if self.typing:
            self._type(key)
        elif key in ("q", "\x03"):
            self.quit = True
        elif key in ("p", " "):
            self.paused = not self.paused
        elif key == "/":
            self.typing, self.full = True, False
        elif key == "?":
            self.help = not self.help
        elif key == "\x1b":
            self._back()
        elif key in ("\r", "\n"):
            self.full, self.scroll = self.selected is not None and not self.full, 0
        elif self.full and key in ("up", "k", "down", "j", "page up", "page down"):
            step = _PAGE if key.startswith("page") else 1
            self.scroll = max(0, self.scroll + (step if key in ("up", "k", "page up") else -step))
        elif key in ("j", "down", "k", "up"):
            self._select(1 if key in ("j", "down") else -1, self.shown(runs))

    def shown(self, runs: OpenRuns) -> list[OpenRun]:
        """The runs that have all the words, in order of appearance."""
        words = self.words.lower().split()
        return [row for row in runs.rows.values() if not words or _has(row, words)]

    def _type(self, key: str) -> None:
        if key in ("\r", "\n"):
            self.typing = False
        elif key == "\x1b":
            self.typing, self.words = False, ""
        elif key in ("\x7f", "\b"):
            self.words = self.words[:-1]
        elif len(key) == 1 and key.isprintable():
            self.words += key

    def _back(self) -> None:
        """Undo the last choice: the one run, the mark, the words."""
        if self.full:
            self.full, self.scroll = False, 0
        elif self.selected is not None:
            self.selected = None
        else:
            self.words, self.help = "", False

    def _select(self, step: int, rows: Sequence[OpenRun]) -> None:
        keys = [(row.state.scope, row.state.run_id) for row in rows]
        if not keys:
            self.selected = None
        elif self.selected not in keys:
            self.selected = keys[0 if step > 0 else -1]
        else:
            self.selected = keys[min(max(keys.index(self.selected) + step, 0), len(keys) - 1)]


def split_keys(text: str) -> list[str]:
    """The keys in what a terminal has sent: characters, and the names of arrows and of page keys."""
    keys = []
    while text:
        for sequence, name in _ESCAPES.items():
            if text.startswith(sequence):
                keys.append(name)
                text = text[len(sequence) :]
                break
        else:
            keys.append(text[0])
            text = text[1:]
    return keys


def _has(row: OpenRun, words: Sequence[str]) -> bool:
    run = row.state.run
    names = (run.id, row.state.scope, run.assistant_id, run.model, row.label, row.state.text)
    text = "\n".join(str(name) for name in names if name).lower()
    return all(word in text for word in words)
