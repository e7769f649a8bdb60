"""Lines in, a region at the end of the terminal out that is drawn over, while everything else scrolls above it.

Rich's own ``Live`` does this too, but takes the terminal to be as wide as it was when the region was drawn: once a
narrower window has wrapped the lines, it leaves pieces of them behind. Here their rows are counted anew.
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

__all__ = ["Painter"]


class Painter(RenderHook):
    """Draws on a console; thread-safe.

    Args:
        console: Where to draw.
        animated: Whether there is a region: where not, lines are only added, as in a pipe.
    """

    def __init__(self, console: Console, *, animated: bool) -> None:
        self.console = console
        self.animated = animated
        self._lines: Sequence[Text] = ()
        self._drawn: list[int] = []  # columns of each line on the screen
        self._place: tuple[int, int] = (0, 0)
        self._lock = RLock()
        self._started = False
        self._suspended = False
        self._kept: list[Text] = []  # lines that are to stay, from while the terminal was another's
        self._redirected: list[tuple[str, Any]] = []

    def start(self) -> None:
        """Hide the cursor, and take over what is printed otherwise, so that it scrolls above the region."""
        if self.animated and not self._started:
            self._started = True
            self.console.show_cursor(False)
            self.console.push_render_hook(self)
            mine = self.console.file in {sys.stdout, sys.stderr}
            for name in ("stdout", "stderr") if mine else ():
                stream = getattr(sys, name)
                # What goes into a file goes on into the file.
                if stream is not None and not isinstance(stream, _Above) and stream.isatty():
                    self._redirected.append((name, stream))
                    setattr(sys, name, _Above(self, stream))

    def draw(self, lines: Sequence[Text], above: Iterable[Text] = ()) -> None:
        """Draw the region, below lines that stay."""
        with self._lock:
            staying = [*self._kept, *above]
            self._kept = staying if self._suspended else []
            if self._suspended:
                return
            if not self._started:
                if staying:
                    self.console.print(_Lines(staying, open=False))
                return
            size = self.console.size
            if not staying and size == self._place and _same(lines, self._lines):
                return
            self._lines, self._place = lines, size
            self.console.print(_Lines(staying, open=False) if staying else Control())

    def suspend(self) -> None:
        """Give the terminal back for a while: nothing is drawn until `resume`."""
        with self._lock:
            if self._started and not self._suspended:
                self._suspended = True
                self.console.pop_render_hook()
                self.console.show_cursor(True)
                self.console.print()  # what comes now begins below what was drawn

    def resume(self) -> None:
        """Take the terminal over again; the region begins where the cursor is now."""
        with self._lock:
            if self._suspended:
                self._suspended = False
                self._drawn, self._place = [], (0, 0)
                self.console.show_cursor(False)
                self.console.push_render_hook(self)

    def stop(self, last: Sequence[Text] = ()) -> None:
        """Leave lines in place of the region, and the terminal as it was."""
        with self._lock:
            self.resume()
            if not self._started:
                self.draw((), last)
                return
            try:
                above = self._restore()
                self._lines = ()
                last = [*self._kept, *last]
                self.console.print(_Lines(last, open=False) if last else Control())
                for begun in above:
                    begun.finish()
            finally:
                self.release()
                self.console.show_cursor(True)

    def release(self) -> None:
        """Give back what was taken over, and write nothing."""
        with self._lock:
            self._restore()
            if self._started and not self._suspended:
                self.console.pop_render_hook()
            self._started = self._suspended = False

    def _restore(self) -> list[_Above]:
        """Give back standard output and error; gives what stood for them."""
        stood = []
        for name, stream in self._redirected:
            above = getattr(sys, name)
            if isinstance(above, _Above):
                setattr(sys, name, stream)
                stood.append(above)
        self._redirected.clear()
        return stood

    def print(self, line: str) -> None:
        """Print a line above the region, in the colours that it has."""
        with self._lock:
            self.console.print(Text.from_ansi(line), soft_wrap=True)

    def process_renderables(self, renderables: list[ConsoleRenderable]) -> list[ConsoleRenderable]:
        """Rich's hook: whatever is printed goes between the erased region and the region drawn anew."""
        with self._lock:
            erase = self._erase()
            self._drawn = [line.cell_len for line in self._lines]
            return [erase, *renderables, _Lines(self._lines, open=True)]

    def _erase(self) -> Control:
        """Move to where the region begins, and erase from there on."""
        width = max(1, self.console.width)
        # A window that has become narrower has wrapped what was wider.
        rows = sum(max(1, -(-columns // width)) for columns in self._drawn)
        codes: list[Any] = [ControlType.CARRIAGE_RETURN, (ControlType.ERASE_IN_LINE, 2)] if rows else []
        # Line by line: some terminals (tmux) save what is erased in one go, if that is the whole screen.
        codes += [(ControlType.CURSOR_UP, 1), (ControlType.ERASE_IN_LINE, 2)] * (rows - 1)
        return Control(*codes)


class _Lines:
    """Lines, each as wide as it is: not filled up, so that a narrower window wraps as little as can be."""

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
    """Stands for standard output or error: whole lines go above the region."""

    def __init__(self, painter: Painter, stream: Any) -> None:
        self._painter = painter
        self._stream = stream
        self._begun = ""

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._painter.print(line)
        return len(text)

    def finish(self) -> None:
        """Print a line that was begun and not ended."""
        if self._begun:
            self.write("\n")

    @property
    def rich_proxied_file(self) -> Any:
        """Where a console writes that finds this in place of standard output; Rich asks for it."""
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
