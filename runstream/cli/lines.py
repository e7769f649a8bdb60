"""Signals in, lines out: as JSON for programs, as columns for people, with text as it grows.

A view is anything with these few methods; `runstream.cli.screen` has one that draws instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import Final, Protocol, TypeAlias

from runstream.cli.output import Output, escape, escape_json
from runstream.cli.words import format_signal, style_of
from runstream.engine.engine import Engine
from runstream.model.signals import (
    ArgumentsDelta,
    MessageCompleted,
    MessageIncomplete,
    RunSignal,
    Signal,
    SourceSignal,
    TextDelta,
    TextReplaced,
    ToolCallCompleted,
)
from runstream.sinks.terminal.run_names import NAME_WIDTH, Names
from runstream.stream.run_stream import RunStream

__all__ = ["JsonView", "PlainView", "View"]

_NAME_WIDTH: Final = 21  # the longest name, message.text_replaced

Key: TypeAlias = tuple[str, int]
Grown: TypeAlias = TextDelta | ArgumentsDelta | TextReplaced

_MIN_ROOM: Final = 24
_ANSI: Final = re.compile("\x1b\\[[0-9;]*m")
_WORDS: Final = re.compile(r"\s*\S+|\s+")


class View(Protocol):
    """Shows signals."""

    times: bool
    """Whether the time of a signal means anything to a reader."""

    counts: bool
    """Whether it says at its end how many runs there were, and how they ended."""

    def show(self, signal: Signal) -> None:
        """Show one signal."""

    def close(self) -> None:
        """Finish what was begun; nothing more comes."""

    def watching(self, stream: RunStream) -> AbstractAsyncContextManager[object]:
        """What to enter while a stream is read."""

    def reading(self, engine: Engine) -> AbstractContextManager[AbstractContextManager[object]]:
        """What to enter while an engine is fed; it gives what to enter for each time that it is."""


class _Lines:
    """A view that writes down what it is shown, and needs to know of nothing else."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.times = True
        self.counts = False

    def watching(self, stream: RunStream) -> AbstractAsyncContextManager[object]:
        """Nothing to do."""
        return nullcontext()

    def reading(self, engine: Engine) -> AbstractContextManager[AbstractContextManager[object]]:
        """Nothing to do."""
        return nullcontext(nullcontext())


class JsonView(_Lines):
    """One signal a line, as JSON."""

    def show(self, signal: Signal) -> None:
        """Write one line."""
        self._output.line(escape_json(signal.to_json()))

    def close(self) -> None:
        """Hand on what is buffered."""
        self._output.flush()


class PlainView(_Lines):
    """One line a signal, in columns: seconds since the first one, run, signal, details.

    The signal's own name stands in its column: what is read here can be subscribed to under the same name.
    """

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._start: float | None = None
        self._names = Names()
        self._growth = Growth(output, self._head)

    def show(self, signal: Signal) -> None:
        """Write a line, or let one grow."""
        if self._start is None:
            self._start = signal.at
        match signal:
            case TextDelta():
                self._growth.add(signal, (signal.message_id, signal.part), signal.delta)
                return
            case ArgumentsDelta():
                self._growth.add(signal, (signal.call_id, 0), signal.delta)
                return
            case TextReplaced():
                self._growth.replace(signal, (signal.message_id, signal.part), signal.text)
                return
            case MessageCompleted() | MessageIncomplete():
                self._growth.finish(signal.message.id, signal.at)
            case ToolCallCompleted():
                self._growth.finish(signal.call_id, signal.at)
            case RunSignal():
                self._growth.settle(signal.run_id, signal.at)
            case _:
                self._growth.settle(None, signal.at)
        self._output.line(f"{self._head(signal, signal.at)}{format_signal(signal)}".rstrip())

    def close(self) -> None:
        """End the line that is open."""
        self._growth.close()
        self._output.flush()

    def _head(self, signal: Signal, at: float) -> str:
        """The columns before the details."""
        paint = self._output.paint
        time = ""
        if self.times and self._start is not None:
            time = paint("dim", f"{at - self._start:8.2f}s") + "  "
        if isinstance(signal, SourceSignal):
            run = " " * NAME_WIDTH
        else:
            name, hue = self._names(signal.run_id)
            run = paint(f"run{hue}", name) + " " * (NAME_WIDTH - len(name))
        name = paint(style_of(signal), signal.type) + " " * (_NAME_WIDTH - len(signal.type))
        return f"{time}{run}  {name}  "


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
