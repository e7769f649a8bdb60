"""Signals in, lines out: as JSON for programs, as columns for people, with text as it grows.

A view is anything with these few methods; `runstream.cli.screen` has one that draws instead.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext
from typing import Protocol

from runstream.cli.growth import Growth
from runstream.cli.output import Output, escape_json
from runstream.cli.words import describe, style_of
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
from runstream.sinks.terminal.names import NAME_WIDTH, Names
from runstream.stream.run_stream import RunStream

__all__ = ["JsonView", "PlainView", "View"]

_NAME_WIDTH = 21  # the longest name, message.text_replaced


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
        self._output.line(f"{self._head(signal, signal.at)}{describe(signal)}".rstrip())

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
