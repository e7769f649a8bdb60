"""Fragments of text in, growing lines out: inline while one text grows alone, by the line while several do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from runstream.cli.output import Output, escape
from runstream.model.signals import ArgumentsDelta, Signal, TextDelta, TextReplaced

__all__ = ["Growth"]

Key: TypeAlias = tuple[str, int]
Grown: TypeAlias = TextDelta | ArgumentsDelta | TextReplaced

_MIN_ROOM: Final = 24
_ANSI: Final = re.compile("\x1b\\[[0-9;]*m")
_WORDS: Final = re.compile(r"\s*\S+|\s+")


class _Text:
    """One text that grows: what was not shown of it yet, and since when."""

    __slots__ = ("continued", "pending", "signal", "since")

    def __init__(self, signal: Grown) -> None:
        self.signal = signal  # any of its own: for the columns before it
        self.pending = ""
        self.since = signal.at
        # Whether what is pending goes on with what was shown: then a space between the two shows nothing.
        self.continued = not isinstance(signal, TextReplaced) and signal.offset > 0


class Growth:
    """Shows texts as they grow.

    Tokens of two texts that grow at once come in turns, and a line a token can't be read. So, while more than one
    grows, each is collected and shown a full line at a time, or when it ends, or when something else is to be
    told of its run. A text alone is shown at once, fragment by fragment, on one line that is wrapped at words.

    Args:
        output: Where to write.
        head: Gives the columns before the text, for a signal and the time that it is shown at.
        patience: How long (seconds) collected text may wait for its line to be full.
    """

    def __init__(self, output: Output, head: Callable[[Signal, float], str], *, patience: float = 2.0) -> None:
        self._output = output
        self._head = head
        self._patience = patience
        self._texts: dict[Key, _Text] = {}
        self._inline: Key | None = None
        self._column = 0
        self._margin = 0
        self._after_space = False

    def add(self, signal: Grown, key: Key, fragment: str) -> None:
        """A text has grown by a fragment."""
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = _Text(signal)
        if len(self._texts) == 1:
            fragment, text.pending = text.pending + fragment, ""
            if self._inline != key:
                self._open(signal, key)
                fragment = fragment.lstrip(" ") if text.continued else fragment
            text.continued = True
            self._write(fragment)
            return
        self._break()
        if not text.pending:
            text.since = signal.at
        text.pending += fragment
        self._show_lines(text, signal.at)
        for other in self._texts.values():
            if other.pending and signal.at - other.since > self._patience:
                self._show_words(other, signal.at)

    def replace(self, signal: TextReplaced, key: Key, whole: str) -> None:
        """What was shown was wrong: the text begins anew, on a line of its own."""
        self._texts.pop(key, None)
        self._open(signal, key)
        self._write(whole)
        self._break()

    def finish(self, owner: str, at: float) -> None:
        """The texts of this message or call grow no more."""
        self._break()
        for key in [key for key in self._texts if key[0] == owner]:
            self._show(self._texts.pop(key), at)

    def settle(self, run_id: str | None, at: float) -> None:
        """Something else is told of this run (of a source: ``None``): its texts so far come first."""
        self._break()
        for key, text in list(self._texts.items()):
            if text.signal.run_id == run_id:
                self._show(text, at)
                # It may grow on, and is then entered again; one that doesn't must not keep the others from it.
                del self._texts[key]

    def close(self) -> None:
        """Show what is left."""
        self._break()
        for text in self._texts.values():
            self._show(text, text.since)
        self._texts.clear()

    def _open(self, signal: Grown, key: Key) -> None:
        self._break()
        head = self._head(signal, signal.at)
        self._margin = self._column = len(_ANSI.sub("", head))
        self._inline, self._after_space = key, False
        self._output.piece(head)

    def _break(self) -> None:
        """End the line that grows, if one does."""
        if self._inline is not None:
            self._inline = None
            self._output.line()

    def _write(self, fragment: str) -> None:
        """Write into the open line; where it is full, go on below, under the text's beginning."""
        width = max(self._output.width, self._margin + _MIN_ROOM)
        indent = f"\n{'':{self._margin}}"
        out = []
        for number, part in enumerate(fragment.replace("\r\n", "\n").split("\n")):
            if number:
                out.append(indent)
                self._column = self._margin
            for word in _WORDS.findall(part):
                shown = escape(word.expandtabs(4))
                # A fragment may begin inside a word: that is no place to break.
                between = word[0].isspace() or self._after_space
                if between and self._column > self._margin and self._column + len(shown) > width:
                    out.append(indent)
                    self._column = self._margin
                    shown = shown.lstrip()
                out.append(shown)
                self._column += len(shown)
                self._after_space = word[-1].isspace()
        self._output.piece("".join(out))

    def _show_lines(self, text: _Text, at: float) -> None:
        """Show the full lines of what was collected."""
        head = len(_ANSI.sub("", self._head(text.signal, at)))
        room = max(_MIN_ROOM, self._output.width - head)
        while text.pending:
            line, end, rest = text.pending.partition("\n")
            if len(line) > room and (cut := line.rfind(" ", 1, room + 1)) > 0:
                self._show(text, at, cut)
            elif end:
                text.pending = line
                self._show(text, at)
                text.pending, text.continued = rest, False
            else:
                return

    def _show_words(self, text: _Text, at: float) -> None:
        """Show the words of what was collected, but for the last: it may not be whole."""
        cut = text.pending.rstrip().rfind(" ")
        self._show(text, at, cut if cut > 0 else len(text.pending))

    def _show(self, text: _Text, at: float, cut: int | None = None) -> None:
        """Show what was collected, up to an offset."""
        told, text.pending = text.pending[:cut], text.pending[cut:] if cut is not None else ""
        shown = escape(told.lstrip(" ") if text.continued else told).rstrip()
        text.since, text.continued = at, bool(told)
        if shown.strip():
            self._output.line(f"{self._head(text.signal, at)}{shown}")
