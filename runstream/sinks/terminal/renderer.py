"""Draws lines as a region at the end of the terminal, over the last drawing; other output scrolls above it.

Rich's own ``Live`` does this too, but assumes that the terminal is as wide as when the region was drawn. When a
narrower window has wrapped the lines, it leaves parts of them behind. Here their rows are counted again.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Sequence
from threading import RLock
from typing import Any

from rich.console import Console, ConsoleOptions, ConsoleRenderable, RenderHook, RenderResult
from rich.control import Control
from rich.segment import ControlType, Segment
from rich.text import Text

__all__ = ["Renderer"]


class Renderer(RenderHook):
    """Draws on a console; thread-safe.

    Args:
        console: Where to draw.
        animated: True if there is a region. If not, lines are only appended, as in a pipe.
    """

    def __init__(self, console: Console, *, animated: bool) -> None:
        self.console = console
        self.animated = animated
        self._lines: Sequence[Text] = ()
        self._drawn: list[int] = []  # columns of each line on the screen
        self._size: tuple[int, int] = (0, 0)  # of the terminal at the last drawing
        self._lock = RLock()
        self._started = False
        self._suspended = False
        self._deferred: list[Text] = []  # permanent lines, received while suspended
        self._redirected: list[tuple[str, Any]] = []

    def start(self) -> None:
        """Hide the cursor, and redirect other output, so that it scrolls above the region."""
        if self.animated and not self._started:
            self._started = True
            self.console.show_cursor(False)
            self.console.push_render_hook(self)
            standard = self.console.file in {sys.stdout, sys.stderr}
            for name in ("stdout", "stderr") if standard else ():
                stream = getattr(sys, name)
                # A stream that is redirected to a file stays so.
                if stream is not None and not isinstance(stream, _Above) and stream.isatty():
                    self._redirected.append((name, stream))
                    setattr(sys, name, _Above(self, stream))

    def draw(self, lines: Sequence[Text], above: Iterable[Text] = ()) -> None:
        """Draw the region, and above it permanent lines."""
        with self._lock:
            staying = [*self._deferred, *above]
            self._deferred = staying if self._suspended else []
            if self._suspended:
                return
            if not self._started:
                if staying:
                    self.console.print(_Lines(staying, open=False))
                return
            size = self.console.size
            if not staying and size == self._size and _same(lines, self._lines):
                return
            self._lines, self._size = lines, size
            self.console.print(_Lines(staying, open=False) if staying else Control())

    def suspend(self) -> None:
        """Release the terminal; nothing is drawn until `resume`."""
        with self._lock:
            if self._started and not self._suspended:
                self._suspended = True
                self.console.pop_render_hook()
                self.console.show_cursor(True)
                self.console.print()  # other output begins below the region

    def resume(self) -> None:
        """Draw again; the region begins at the present position of the cursor."""
        with self._lock:
            if self._suspended:
                self._suspended = False
                self._drawn, self._size = [], (0, 0)
                self.console.show_cursor(False)
                self.console.push_render_hook(self)

    def stop(self, last: Sequence[Text] = ()) -> None:
        """Replace the region with permanent lines, and restore the terminal."""
        with self._lock:
            self.resume()
            if not self._started:
                self.draw((), last)
                return
            try:
                above = self._restore()
                self._lines = ()
                last = [*self._deferred, *last]
                self.console.print(_Lines(last, open=False) if last else Control())
                for output in above:
                    output.finish()
            finally:
                self.release()
                self.console.show_cursor(True)

    def release(self) -> None:
        """Restore the terminal, and write nothing."""
        with self._lock:
            self._restore()
            if self._started and not self._suspended:
                self.console.pop_render_hook()
            self._started = self._suspended = False

    def _restore(self) -> list[_Above]:
        """Restore standard output and error; returns the objects that replaced them."""
        replaced = []
        for name, stream in self._redirected:
            above = getattr(sys, name)
            if isinstance(above, _Above):
                setattr(sys, name, stream)
                replaced.append(above)
        self._redirected.clear()
        return replaced

    def print(self, line: str) -> None:
        """Print a line above the region, with the colours of its ANSI codes."""
        with self._lock:
            self.console.print(Text.from_ansi(line), soft_wrap=True)

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Rich's hook: printed text goes between the erased region and the region that is drawn again."""
        with self._lock:
            erase = self._erase()
            self._drawn = [line.cell_len for line in self._lines]
            return [erase, *renderables, _Lines(self._lines, open=True)]

    def _erase(self) -> Control:
        """Move to the beginning of the region, and erase from there on."""
        width = max(1, self.console.width)
        # A window that has become narrower has wrapped wider lines.
        rows = sum(max(1, -(-columns // width)) for columns in self._drawn)
        codes: list[Any] = [ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)] if rows else []
        # Line by line: some terminals (tmux) save an erased screen, if it is erased at once.
        codes += [(ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)] * (rows - 1)
        return Control(*codes)


class _Lines:
    """Lines without padding at their ends, so that a narrower window wraps as few of them as possible."""

    def __init__(self, lines: Sequence[Text], *, open: bool) -> None:
        self._lines = lines
        self._open = open  # whether the cursor stays in the last line: a new line would make the screen scroll

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        last = len(self._lines) - 1
        for number, line in enumerate(self._lines):
            yield from line.render(console)
            if number < last or not self._open:
                yield Segment.line()


class _Above(io.TextIOBase):
    """Replaces standard output or error: whole lines go above the region."""

    def __init__(self, renderer: Renderer, stream: Any) -> None:
        self._renderer = renderer
        self._stream = stream
        self._pending = ""

    def write(self, text: str) -> int:
        *lines, self._pending = (self._pending + text).split("\n")
        for line in lines:
            self._renderer.print(line)
        return len(text)

    def finish(self) -> None:
        """Print a line that has no line end yet."""
        if self._pending:
            self.write("\n")

    @property
    def rich_proxied_file(self) -> Any:
        """The stream that Rich writes to, in place of this object."""
        return self._stream

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return int(self._stream.fileno())

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return str(self._stream.encoding)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _same(some: Sequence[Text], others: Sequence[Text]) -> bool:
    return len(some) == len(others) and all(
        one.plain == other.plain and one.spans == other.spans and one.style == other.style
        for one, other in zip(some, others, strict=True)
    )
