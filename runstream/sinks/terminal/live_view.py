"""The live view: a stream's runs on the terminal, as they are right now."""

from __future__ import annotations

import asyncio
import sys
import time
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol

from reactivex import Observable
from reactivex import abc as rx_abc

from runstream.core.state import RunState
from runstream.logs import LOG
from runstream.model.limits import Stats
from runstream.model.signals import SourceSignal
from runstream.sinks.run_table import NOTES, Board

if TYPE_CHECKING:
    from rich.console import Console

    from runstream.sinks.terminal.renderer import Painter

__all__ = ["Display", "LiveView", "make_console"]


_MANY: Final = 20
"""Of more runs than this that are open at the end, only a line each is left."""


class Streamed(Protocol):
    """What is shown: a :class:`~runstream.RunStream`. Not by its class, for sinks know of states and signals alone."""

    @property
    def runs(self) -> Observable[RunState]:
        """The latest state of each run."""

    @property
    def stats(self) -> Stats:
        """The counts."""

    def on(self, kind: Any, fn: Any) -> rx_abc.DisposableBase:
        """Call a function with each signal of a kind."""


class LiveView:
    """Shows the runs of a stream on the terminal while it is read; an asynchronous context manager.

    Each run has its status, its step, the time it takes, its tool calls and the end of its text; below them stand the
    counts, tokens, rejected and repeated events among them. The screen is drawn anew ``rate`` times a second from the
    latest states, never for each token; more runs than fit give way to those that were active last. A run that has
    ended stays, as lines above. What the program prints meanwhile appears above too.

    Needs Rich (``pip install 'runstream[cli]'``). Where the output is no terminal, or a dumb one, only the lines of
    ended runs are written; ``NO_COLOR`` is honoured. Nothing in a text steers the terminal, and no markup is read.

    ::

        async with runstream.connect(url) as stream, LiveView(stream):
            await stream.results()

    Args:
        stream: A :class:`~runstream.RunStream`.
        console: A ``rich.console.Console``; one on standard output by default.
        rate: How often to draw, in times a second at most.
        text_lines: How many lines of its text are left of a run that has ended.

    Raises:
        ImportError: Rich is not there; the message says how to install it.
        ValueError: ``rate`` is not above 0.
    """

    def __init__(
        self, stream: Streamed, console: Console | None = None, *, rate: float = 10.0, text_lines: int = 8
    ) -> None:
        if not rate > 0:
            raise ValueError(f"rate is {rate}; give how often to draw in a second, such as 10")
        self._stream = stream
        self._period = 1 / rate
        self._display = Display(console, text_lines=text_lines)
        self._subscriptions: list[rx_abc.DisposableBase] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> LiveView:
        board, display = self._display.board, self._display
        replaying = True

        def take(state: RunState) -> None:
            if replaying:
                board.held(state, display.now(), max(0.0, time.time() - state.first_seen))
            else:
                board.state(state, display.now())

        self._subscriptions.append(self._stream.runs.subscribe(take, on_error=_told_elsewhere))
        replaying = False
        self._subscriptions.append(self._stream.on((*NOTES, SourceSignal), board.signal))
        display.start()
        self._task = asyncio.create_task(self._redraw(), name="runstream live view")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for subscription in self._subscriptions:
            subscription.dispose()
        if self._task is not None:
            self._task.cancel()
        try:
            self._display.stop(self._stream.stats)
        except Exception as failure:
            self._fail(failure)

    def suspend(self) -> None:
        """Give the terminal back for a while, to an editor or to the shell; nothing is drawn until :meth:`resume`.

        For Ctrl-Z, as the commands do it: suspend, stop the process (``SIGTSTP``), and resume when it goes on.
        """
        self._display.suspend()

    def resume(self) -> None:
        """Draw again, below what stands on the terminal by now."""
        self._display.resume()

    async def _redraw(self) -> None:
        try:
            while True:
                self._display.draw(self._stream.stats)
                await asyncio.sleep(self._period)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """The terminal is gone, for instance: the stream and its other subscribers go on."""
        for subscription in self._subscriptions:
            subscription.dispose()
        self._display.source_ended()
        with suppress(OSError):  # where logs go to what is gone, too
            LOG.error("live_view_failed", error=type(error).__name__)


class Display:
    """A board on a console: what draws, for those who have no stream or another clock.

    Args:
        console: Where to draw; standard output by default.
        text_lines: How many lines of its text are left of a run that has ended.
    """

    def __init__(self, console: Console | None = None, *, text_lines: int = 8) -> None:
        try:
            from runstream.sinks.terminal.layout import Screen
            from runstream.sinks.terminal.renderer import Painter
        except ImportError as error:
            raise ImportError("the live view needs Rich: pip install 'runstream[cli]'") from error
        animated = console is not None or (sys.stdout is not None and sys.stdout.isatty())
        console = console if console is not None else make_console()
        self.board = Board()
        self._console = console
        self._painter: Painter = Painter(
            console, animated=animated and console.is_interactive and not console.legacy_windows
        )
        self._screen = Screen(unicode=console.encoding.lower().startswith("utf"), text_lines=text_lines)
        self._since = self.now()
        self._abandoned = False

    @staticmethod
    def now() -> float:
        """The time that the board is told (seconds, monotonic)."""
        return time.monotonic()

    def start(self) -> None:
        """Take over the end of the terminal."""
        self._since = self.now()
        self._painter.start()

    def draw(self, stats: Stats) -> None:
        """Draw what is so now."""
        width, height = self._console.size
        above = [line for state in self.board.take_ended() for line in self._screen.ended(state, width)]
        frame = []
        if self._painter.animated:
            frame = self._screen.frame(
                self.board, stats, width=width, height=height - 1, now=self.now(), since=self._since
            )
        self._painter.draw(frame, above)

    def suspend(self) -> None:
        """Give the terminal back for a while."""
        self._painter.suspend()

    def resume(self) -> None:
        """Draw again, below what stands there by now."""
        self._painter.resume()

    def source_ended(self) -> None:
        """Draw no more, and write nothing more."""
        self._abandoned = True
        self._painter.release()

    def stop(self, stats: Stats) -> None:
        """Leave what is to be kept: the runs that ended last, those that are still open, and the counts."""
        if self._abandoned:
            return
        width = self._console.width
        lines = [line for state in self.board.take_ended() for line in self._screen.ended(state, width)]
        rows = list(self.board.rows.values())
        for row in rows:
            lines += self._screen.open(row, width, self.now())[: 1 if len(rows) > _MANY else None]
        lines += self._screen.foot(self.board, stats, width=width, seconds=self.now() - self._since)
        self._painter.stop(lines)


def make_console() -> Console:
    """A console on standard output that leaves a closed pipe to whoever prints."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Plain(markup=False, highlight=False, emoji=False)


def _told_elsewhere(error: Exception) -> None:
    """The stream raises it from whatever is awaited."""
