"""Signals in, lines out: as JSON for programs, in columns for people, with text as it grows.

A view is an object with the methods of `View`; `runstream.cli.screen` has one that draws instead.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import Final, Protocol, TypeAlias

from runstream.cli.signal_text import format_signal, style_of
from runstream.cli.stdio import Output, escape, escape_json
from runstream.core.selection import RUN_ENDS
from runstream.engine.engine import Engine
from runstream.model.signals import (
    ArgumentsDelta,
    MessageCompleted,
    MessageIncomplete,
    ReasoningDelta,
    RefusalDelta,
    RunCreated,
    RunSignal,
    Signal,
    SourceError,
    SourceSignal,
    StepCancelled,
    StepCompleted,
    StepExpired,
    StepFailed,
    TextDelta,
    TextReplaced,
    ToolCallCompleted,
    ToolCallOutputDelta,
    ToolCallResult,
)
from runstream.sinks.terminal.run_names import NAME_WIDTH, RunNames
from runstream.stream.run_stream import RunStream

__all__ = ["JsonView", "PlainView", "View"]

_MAX_CREATED: Final = 100_000  # runs whose beginning is remembered; the default of `Limits.max_open_runs`
_TYPE_WIDTH: Final = 21  # the longest type, message.text_replaced

_Key: TypeAlias = tuple[str, int]
_Growth: TypeAlias = TextDelta | RefusalDelta | ReasoningDelta | ArgumentsDelta | ToolCallOutputDelta | TextReplaced

_MIN_ROOM: Final = 24
_ANSI: Final = re.compile("\x1b\\[[0-9;]*m")
_WORDS: Final = re.compile(r"\s*\S+|\s+")


class View(Protocol):
    """Shows signals."""

    times: bool
    """True to show the times of signals; without times of arrival they mean nothing to a reader."""

    reasons: bool
    """False to leave out why a source failed: the command reports that itself, on standard error."""

    counts: bool
    """True if the view itself ends with the number of runs and their statuses."""

    def show(self, signal: Signal) -> None:
        """Show one signal."""

    def close(self) -> None:
        """Finish the output; there are no further signals."""

    def watching(self, stream: RunStream) -> AbstractAsyncContextManager[object]:
        """A context for the time in which a stream is read."""

    def reading(self, engine: Engine) -> AbstractContextManager[AbstractContextManager[object]]:
        """A context for the time in which an engine is fed; it returns a context for each event."""


class _Lines:
    """A view that writes signals, and needs neither stream nor engine."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.times = self.reasons = True
        self.counts = False

    def watching(self, stream: RunStream) -> AbstractAsyncContextManager[object]:
        """An empty context."""
        return nullcontext()

    def reading(self, engine: Engine) -> AbstractContextManager[AbstractContextManager[object]]:
        """An empty context."""
        return nullcontext(nullcontext())


class JsonView(_Lines):
    """One signal a line, as JSON."""

    def show(self, signal: Signal) -> None:
        """Write one line."""
        self._output.line(escape_json(signal.to_json()))

    def close(self) -> None:
        """Flush buffered output."""
        self._output.flush()


class PlainView(_Lines):
    """One line a signal, in columns: seconds since the first signal, run, type, facts.

    The column has the signal's own type, so that a reader can subscribe to it under the same name.
    """

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._start: float | None = None
        self._created: dict[tuple[str, str], float] = {}  # when runs were first seen, for their durations
        self._failure: str | None = None  # the reason of the last source that failed
        self._names = RunNames()
        self._texts = TextLines(output, self._columns)

    def show(self, signal: Signal) -> None:
        """Write a line, or append to the open one."""
        if self._start is None:
            self._start = signal.at
        match signal:
            case TextDelta():
                self._texts.add(signal, (f"{signal.run_key}/{signal.message_id}", signal.part), signal.delta)
                return
            case ArgumentsDelta():
                self._texts.add(signal, (signal.call_key, 0), signal.delta)
                return
            case ToolCallOutputDelta():
                if not signal.offset:
                    self._texts.finish(signal.call_key, signal.at)  # an output follows the whole arguments
                self._texts.add(signal, (f"{signal.call_key}/output", 0), signal.delta)
                return
            case RefusalDelta():
                # Negative, so that a part has a text and a refusal of its own.
                key = f"{signal.run_key}/{signal.message_id}", -1 - signal.part
                self._texts.add(signal, key, signal.delta)
                return
            case ReasoningDelta():
                place = signal.part if signal.kind == "reasoning" else -1 - signal.part
                self._texts.add(signal, (f"{signal.run_key}/{signal.step_id}", place), signal.delta)
                return
            case TextReplaced():
                self._texts.replace(signal, (f"{signal.run_key}/{signal.message_id}", signal.part), signal.text)
                return
            case MessageCompleted() | MessageIncomplete():
                self._texts.finish(f"{signal.run_key}/{signal.message.id}", signal.at)
            case ToolCallCompleted():
                self._texts.finish(signal.call_key, signal.at)
            case ToolCallResult():
                self._texts.finish(f"{signal.call_key}/output", signal.at)
            case StepCompleted() | StepFailed() | StepCancelled() | StepExpired():
                self._texts.finish(f"{signal.run_key}/{signal.step.id}", signal.at)
            case RunSignal():
                self._texts.flush_run(signal.run_id, signal.at)
            case _:
                self._texts.flush_run(None, signal.at)
        if isinstance(signal, SourceError) and signal.error is None:
            self._failure = signal.reason
        reason = None if self.reasons else self._failure
        shown = format_signal(signal, duration=self._duration(signal), without=reason)
        self._output.line(f"{self._columns(signal, signal.at)}{shown}".rstrip())

    def close(self) -> None:
        """End the line that is open."""
        self._texts.close()
        self._output.flush()

    def _duration(self, signal: Signal) -> float | None:
        """The duration of the run that a signal ends: by the clock of the first column, if there are times.

        ``None``: by the server's clock.
        """
        if isinstance(signal, RunCreated):
            self._created[signal.scope, signal.run_id] = signal.at
            if len(self._created) > _MAX_CREATED:
                del self._created[next(iter(self._created))]
        elif isinstance(signal, RUN_ENDS):
            created = self._created.pop((signal.scope, signal.run_id), None)
            if self.times and created is not None:
                return signal.at - created
        return None

    def _columns(self, signal: Signal, at: float) -> str:
        """The columns before the facts."""
        paint = self._output.paint
        time = ""
        if self.times and self._start is not None:
            time = paint("dim", f"{at - self._start:8.2f}s") + "  "
        if isinstance(signal, SourceSignal):
            run = " " * NAME_WIDTH
        else:
            name, hue = self._names(signal.run_id)
            run = paint(f"run{hue}", name) + " " * (NAME_WIDTH - len(name))
        kind = paint(style_of(signal), signal.type) + " " * (_TYPE_WIDTH - len(signal.type))
        return f"{time}{run}  {kind}  "


class _PendingText:
    """A text that grows: the part that was not shown yet, and since when it waits."""

    __slots__ = ("continued", "pending", "signal", "since")

    def __init__(self, signal: _Growth) -> None:
        self.signal = signal  # any signal of the text, for the columns before it
        self.pending = ""
        self.since = signal.at
        # True if the pending part continues the shown one; then a space between the two is not shown.
        self.continued = not isinstance(signal, TextReplaced) and signal.offset > 0


class TextLines:
    """Shows texts as they grow.

    Tokens of two texts that grow at the same time alternate, and one line for each token is not readable. So, while
    more than one text grows, each is collected and shown by full lines, or when it ends, or before another signal of
    its run. A single text is shown at once, fragment by fragment, on one line that is wrapped at words.

    Args:
        output: Where to write.
        columns: Returns the columns before the text, for a signal and the time of its line.
        max_wait: Seconds that collected text waits for its line to be full.
    """

    def __init__(self, output: Output, columns: Callable[[Signal, float], str], *, max_wait: float = 2.0) -> None:
        self._output = output
        self._columns = columns
        self._max_wait = max_wait
        self._pending: dict[_Key, _PendingText] = {}
        self._inline: _Key | None = None
        self._column = 0
        self._margin = 0
        self._after_space = False

    def add(self, signal: _Growth, key: _Key, fragment: str) -> None:
        """Show or collect a fragment of a text."""
        text = self._pending.get(key)
        if text is None:
            text = self._pending[key] = _PendingText(signal)
        if len(self._pending) == 1:
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
        for other in self._pending.values():
            if other.pending and signal.at - other.since > self._max_wait:
                self._show_words(other, signal.at)

    def replace(self, signal: TextReplaced, key: _Key, whole: str) -> None:
        """Show a corrected text from its beginning, on a line of its own."""
        self._pending.pop(key, None)
        self._open(signal, key)
        self._write(whole)
        self._break()

    def finish(self, owner: str, at: float) -> None:
        """Show the rest of the texts of a message or call that has ended."""
        self._break()
        for key in [key for key in self._pending if key[0] == owner]:
            self._show(self._pending.pop(key), at)

    def flush_run(self, run_id: str | None, at: float) -> None:
        """Show the collected texts of a run (``None``: of none) before another signal of it."""
        self._break()
        for key, text in list(self._pending.items()):
            if text.signal.run_id == run_id:
                self._show(text, at)
                # If it grows further, it is added again. A text that does not would keep the others from being alone.
                del self._pending[key]

    def close(self) -> None:
        """Show all collected text."""
        self._break()
        for text in self._pending.values():
            self._show(text, text.since)
        self._pending.clear()

    def _open(self, signal: _Growth, key: _Key) -> None:
        self._break()
        head = self._columns(signal, signal.at)
        self._margin = self._column = len(_ANSI.sub("", head))
        self._inline, self._after_space = key, False
        self._output.piece(head)

    def _break(self) -> None:
        """End the open line, if there is one."""
        if self._inline is not None:
            self._inline = None
            self._output.line()

    def _write(self, fragment: str) -> None:
        """Append to the open line; a full one continues below, under the beginning of the text."""
        width = max(self._output.width, self._margin + _MIN_ROOM)
        indent = f"\n{'':{self._margin}}"
        out = []
        for number, part in enumerate(fragment.replace("\r\n", "\n").split("\n")):
            if number:
                out.append(indent)
                self._column = self._margin
            for word in _WORDS.findall(part):
                shown = escape(word.expandtabs(4))
                # A fragment may begin inside a word, where a line must not break.
                between = word[0].isspace() or self._after_space
                if between and self._column > self._margin and self._column + len(shown) > width:
                    out.append(indent)
                    self._column = self._margin
                    shown = shown.lstrip()
                out.append(shown)
                self._column += len(shown)
                self._after_space = word[-1].isspace()
        self._output.piece("".join(out))

    def _show_lines(self, text: _PendingText, at: float) -> None:
        """Show the full lines of the collected text."""
        margin = len(_ANSI.sub("", self._columns(text.signal, at)))
        room = max(_MIN_ROOM, self._output.width - margin)
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

    def _show_words(self, text: _PendingText, at: float) -> None:
        """Show the words of the collected text except the last one, which may be incomplete."""
        cut = text.pending.rstrip().rfind(" ")
        self._show(text, at, cut if cut > 0 else len(text.pending))

    def _show(self, text: _PendingText, at: float, cut: int | None = None) -> None:
        """Show the collected text up to an offset."""
        part, text.pending = text.pending[:cut], text.pending[cut:] if cut is not None else ""
        shown = escape(part.lstrip(" ") if text.continued else part).rstrip()
        text.since, text.continued = at, bool(part)
        if shown.strip():
            self._output.line(f"{self._columns(text.signal, at)}{shown}")
