"""Signals in, lines out: as JSON for programs, as columns for people, with text as it grows.

A view is anything with `show` and `close`; a live one may join these two without any command knowing.
"""

from __future__ import annotations

from typing import Protocol

from runstream.cli.describe import describe, style_of
from runstream.cli.growth import Growth
from runstream.cli.terminal import Output, escape, escape_json
from runstream.core.signals import (
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

__all__ = ["JsonView", "PlainView", "View", "make_view", "short_id"]

_ID_WIDTH = 16
_NAME_WIDTH = 21  # the longest name, message.text_replaced
_HUES = 6
_MAX_NAMES = 1000  # short names remembered, so that a watch of many days does not grow


class View(Protocol):
    """Shows signals."""

    times: bool
    """Whether the time of a signal means anything to a reader."""

    def show(self, signal: Signal) -> None:
        """Show one signal."""

    def close(self) -> None:
        """Finish what was begun; nothing more comes."""


def make_view(output: Output, *, json: bool) -> View:
    """The view that fits."""
    return JsonView(output) if json else PlainView(output)


class JsonView:
    """One signal a line, as JSON."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.times = True

    def show(self, signal: Signal) -> None:
        """Write one line."""
        self._output.line(escape_json(signal.to_json()))

    def close(self) -> None:
        """Hand on what is buffered."""
        self._output.flush()


def short_id(run_id: str) -> str:
    """The end of a run's id (it tells runs apart better than its beginning), cut at a word where there is one."""
    name = run_id.removeprefix("run_") or run_id
    if len(name) > _ID_WIDTH:
        name = name[-_ID_WIDTH:]
        head, cut, tail = name.partition("_")
        name = tail if cut and len(tail) >= _ID_WIDTH // 2 and head != tail else name
    return escape(name)[:_ID_WIDTH]


class PlainView:
    """One line a signal, in columns: seconds since the first one, run, signal, details.

    The signal's own name stands in its column: what is read here can be subscribed to under the same name.
    """

    def __init__(self, output: Output) -> None:
        self._output = output
        self._start: float | None = None
        self._runs: dict[str, tuple[str, int]] = {}
        self._hue = 0
        self._growth = Growth(output, self._head)
        self.times = True

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
            run = " " * _ID_WIDTH
        else:
            name, hue = self._name(signal.run_id)
            run = paint(f"run{hue}", name) + " " * (_ID_WIDTH - len(name))
        name = paint(style_of(signal), signal.type) + " " * (_NAME_WIDTH - len(signal.type))
        return f"{time}{run}  {name}  "

    def _name(self, run_id: str) -> tuple[str, int]:
        """A run's short name and colour, both its own: names that come out alike are numbered."""
        known = self._runs.get(run_id)
        if known is None:
            name = short_id(run_id)
            taken = {name for name, _ in self._runs.values()}
            number = 2
            while name in taken:
                suffix = f"~{number}"
                name, number = short_id(run_id)[: _ID_WIDTH - len(suffix)] + suffix, number + 1
            known = self._runs[run_id] = (name, self._hue)
            self._hue = (self._hue + 1) % _HUES
            if len(self._runs) > _MAX_NAMES:
                del self._runs[next(iter(self._runs))]
        return known
