"""Fragments of text in, growing lines out: inline while one text grows alone, by the line while several do."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from runstream.cli.terminal import Output, escape
from runstream.core.signals import ArgumentsDelta, Signal, TextDelta, TextReplaced

__all__ = ["Growth"]

Key: TypeAlias = tuple[str, int]
Grown: TypeAlias = TextDelta | ArgumentsDelta | TextReplaced

_MIN_ROOM: Final = 24
_ANSI: Final = re.compile("\x1b\\[[0-9;]*m")
_WORDS: Final = re.compile(r"\s*\S+|\s+")


class _Text:
    """One text that grows: what was not shown of it yet, and since which signal."""

    __slots__ = ("first", "pending", "run_id", "since")

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.pending = ""
        self.first: Grown | None = None
        self.since = 0.0


class Growth:
    """Shows texts as they grow.

    Tokens of two texts that grow at once come in turns, and a line a token can't be read. So, while more than one
    grows, each is collected and shown a full line at a time, or when it ends, or when something else is to be
    told of its run. A text alone is shown at once, fragment by fragment, on one line that is wrapped at words.

    Args:
        output: Where to write.
        head: Gives the columns before the text.
        patience: How long (seconds) collected text may wait for its line to be full.
    """

    def __init__(self, output: Output, head: Callable[[Signal], str], *, patience: float = 2.0) -> None:
        self._output = output
        self._head = head
        self._patience = patience
        self._texts: dict[Key, _Text] = {}
        self._inline: Key | None = None
        self._column = 0
        self._margin = 0

    def add(self, signal: Grown, key: Key, fragment: str) -> None:
        """A text has grown by a fragment."""
        text = self._texts.get(key)
        if text is None:
            text = self._texts[key] = _Text(signal.run_id)
        if len(self._texts) == 1:
            if self._inline != key:
                self._open(signal, key)
            self._write(fragment)
            return
        self._break()
        if text.first is None:
            text.first, text.since = signal, signal.at
        text.pending += fragment
        self._flush_lines(text)
        for other in self._texts.values():
            if other.first is not None and signal.at - other.since > self._patience:
                self._flush(other)

    def replace(self, signal: TextReplaced, key: Key, whole: str) -> None:
        """What was shown was wrong: the text begins anew, on a line of its own."""
        self._break()
        if (text := self._texts.get(key)) is not None:
            text.pending, text.first = "", None
        self._open(signal, key)
        self._write(whole)
        self._break()

    def finish(self, owner: str) -> None:
        """The texts of this message or call grow no more."""
        self._break()
        for key in [key for key in self._texts if key[0] == owner]:
            self._flush(self._texts.pop(key))

    def settle(self, run_id: str | None) -> None:
        """Something else is told of this run (of a source: ``None``): its texts so far come first."""
        self._break()
        for key, text in list(self._texts.items()):
            if text.run_id == run_id:
                self._flush(text)
                # It may grow on, and is then entered again; one that doesn't must not keep the others from it.
                del self._texts[key]

    def close(self) -> None:
        """Show what is left."""
        self._break()
        for text in self._texts.values():
            self._flush(text)
        self._texts.clear()

    def _open(self, signal: Grown, key: Key) -> None:
        self._break()
        head = self._head(signal)
        self._margin = self._column = len(_ANSI.sub("", head))
        self._inline = key
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
                if self._column + len(shown) > width and self._column > self._margin and word[0].isspace():
                    out.append(indent)
                    self._column = self._margin
                    shown = shown.lstrip()
                out.append(shown)
                self._column += len(shown)
        self._output.piece("".join(out))

    def _flush_lines(self, text: _Text) -> None:
        """Show the full lines of what was collected."""
        room = 0
        while text.first is not None:
            if not room:
                head = len(_ANSI.sub("", self._head(text.first)))
                room = max(_MIN_ROOM, self._output.width - head)
            line, end, rest = text.pending.partition("\n")
            if not end:
                if len(line) <= room:
                    return
                cut = line.rfind(" ", 1, room + 1)
                if cut < 1:
                    return  # one long word: let it end
                line, rest = line[:cut], line[cut + 1 :]
            first = text.first
            text.pending = line
            self._flush(text)
            if rest:
                text.pending, text.first, text.since = rest, first, first.at

    def _flush(self, text: _Text) -> None:
        if text.first is None:
            return
        shown = escape(text.pending.strip("\r\n").expandtabs(4))
        if shown.strip():
            self._output.line(f"{self._head(text.first)}{shown}")
        text.pending, text.first = "", None
