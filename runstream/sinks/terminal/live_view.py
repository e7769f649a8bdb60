"""The live view: the runs of a stream in, their present state on the terminal out."""

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
from runstream.sinks.run_table import NOTICES
from runstream.sinks.terminal.controls import Controls, split_keys
from runstream.sinks.terminal.open_runs import OpenRuns

if TYPE_CHECKING:
    from rich.console import Console

    from runstream.sinks.terminal.renderer import Renderer

__all__ = ["Display", "LiveView", "make_console"]


_MAX_FULL_RUNS: Final = 20
"""If more runs than this are open at the end, one line of each is left."""


class StreamLike(Protocol):
    """The parts of a :class:`~runstream.RunStream` that are shown. A view does not depend on the class itself."""

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

    Each run has its status, its step, the time it takes, its tool calls and the end of its text. Below them are the
    counts: runs, tokens, rejected and repeated events. The screen is drawn ``rate`` times a second from the latest
    states, never for each token. If there are more runs than lines, those with the latest changes are shown. A run
    that has ended stays as lines above; output of the program appears above too.

    Needs Rich (``pip install 'runstream[cli]'``). If the output is no terminal, or a dumb one, only the lines of
    ended runs are written; ``NO_COLOR`` is honoured. No text controls the terminal, and no markup is read.

    ::

        async with runstream.connect(url) as stream, LiveView(stream):
            await stream.results()

    Args:
        stream: A :class:`~runstream.RunStream`.
        console: A ``rich.console.Console``; one on standard output by default.
        rate: The highest number of drawings a second.
        text_lines: How many lines of text are left of a run that has ended.

    Raises:
        ImportError: Rich is not installed; the message says how to install it.
        ValueError: ``rate`` is not above 0.
    """

    def __init__(
        self, stream: StreamLike, console: Console | None = None, *, rate: float = 10.0, text_lines: int = 8
    ) -> None:
        if not rate > 0:
            raise ValueError(f"rate is {rate}; give how often to draw in a second, such as 10")
        self._stream = stream
        self._period = 1 / rate
        self._display = Display(console, text_lines=text_lines)
        self._subscriptions: list[rx_abc.DisposableBase] = []
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> LiveView:
        runs, display = self._display.runs, self._display
        replaying = True

        def update(state: RunState) -> None:
            if replaying:
                runs.add_earlier(state, display.now(), max(0.0, time.time() - state.first_seen))
            else:
                runs.update(state, display.now())

        self._subscriptions.append(self._stream.runs.subscribe(update, on_error=_ignore_error))
        replaying = False
        self._subscriptions.append(self._stream.on((*NOTICES, SourceSignal), runs.add_signal))
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

    def accept_keys(self) -> None:
        """Show the keys below the counts; the caller reads them, and passes them to :meth:`press`."""
        self._display.controls = Controls()

    def press(self, text: str) -> bool:
        """Take the keys that a terminal has sent: quit, pause, filter, select, one run in full, scroll.

        Args:
            text: What was read from the terminal.

        Returns:
            True if the person asked to end the view.
        """
        ends = self._display.press(text)
        self._display.draw(self._stream.stats, forced=True)
        return ends

    def suspend(self) -> None:
        """Release the terminal for an editor or the shell; nothing is drawn until :meth:`resume`.

        For Ctrl-Z, as in the commands: suspend, stop the process (``SIGTSTP``), and resume when it continues.
        """
        self._display.suspend()

    def resume(self) -> None:
        """Draw again, below the present content of the terminal."""
        self._display.resume()

    async def _redraw(self) -> None:
        try:
            while True:
                self._display.draw(self._stream.stats)
                await asyncio.sleep(self._period)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        """Stop drawing, because the terminal is gone for instance; the stream and its other subscribers continue."""
        for subscription in self._subscriptions:
            subscription.dispose()
        self._display.release()
        with suppress(OSError):  # the log may be written to the same terminal
            LOG.error("live_view_failed", error=type(error).__name__)


class Display:
    """Draws runs on a console: a live view without a stream and a timer, which the caller provides.

    Args:
        console: Where to draw; standard output by default.
        text_lines: How many lines of text are left of a run that has ended.

    Attributes:
        runs: The runs that are shown; the caller updates them.
        controls: What was chosen with keys; ``None`` where no keys are read.
    """

    def __init__(self, console: Console | None = None, *, text_lines: int = 8) -> None:
        try:
            from runstream.sinks.terminal.layout import Screen
            from runstream.sinks.terminal.renderer import Renderer
        except ImportError as error:
            raise ImportError("the live view needs Rich: pip install 'runstream[cli]'") from error
        animated = console is not None or (sys.stdout is not None and sys.stdout.isatty())
        console = console if console is not None else make_console()
        self.runs = OpenRuns()
        self._console = console
        self._renderer: Renderer = Renderer(
            console, animated=animated and console.is_interactive and not console.legacy_windows
        )
        self._screen = Screen(unicode=console.encoding.lower().startswith("utf"), text_lines=text_lines)
        self._since = self.now()
        self._released = False
        self.controls: Controls | None = None

    @staticmethod
    def now() -> float:
        """The time for the updates of `runs` (seconds, monotonic)."""
        return time.monotonic()

    def start(self) -> None:
        """Begin to draw at the end of the terminal."""
        self._since = self.now()
        self._renderer.start()

    def draw(self, stats: Stats, *, forced: bool = False) -> None:
        """Draw the present runs and counts.

        Args:
            stats: The counts.
            forced: True to draw although the drawing is paused, because a key was pressed.
        """
        if self.controls is not None and self.controls.paused and not forced:
            return
        width, height = self._console.size
        above = [line for state in self.runs.take_ended() for line in self._screen.ended_run(state, width)]
        frame = []
        if self._renderer.animated:
            frame = self._screen.frame(
                self.runs,
                stats,
                width=width,
                height=height - 1,
                now=self.now(),
                since=self._since,
                controls=self.controls,
            )
        self._renderer.draw(frame, above)

    def press(self, text: str) -> bool:
        """Take the keys that a terminal has sent.

        Returns:
            True if the view was asked to end.
        """
        if self.controls is None:
            return False
        for key in split_keys(text):
            self.controls.press(key, self.runs)
        return self.controls.quit

    def suspend(self) -> None:
        """Release the terminal until `resume`."""
        self._renderer.suspend()

    def resume(self) -> None:
        """Draw again, below the present content of the terminal."""
        self._renderer.resume()

    def release(self) -> None:
        """Release the terminal for good; nothing is drawn or written afterwards."""
        self._released = True
        self._renderer.release()

    def stop(self, stats: Stats) -> None:
        """End with lines that stay: the runs that ended last, those that are still open, and the counts."""
        if self._released:
            return
        width = self._console.width
        lines = [line for state in self.runs.take_ended() for line in self._screen.ended_run(state, width)]
        rows = list(self.runs.rows.values())
        for row in rows:
            lines += self._screen.open_run(row, width, self.now())[: 1 if len(rows) > _MAX_FULL_RUNS else None]
        lines += self._screen.footer(self.runs, stats, width=width, seconds=self.now() - self._since)
        self._renderer.stop(lines)


def make_console() -> Console:
    """A console on standard output that raises an error to the caller when the pipe is closed."""
    from rich.console import Console

    class Plain(Console):
        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return Plain(markup=False, highlight=False, emoji=False)


def _ignore_error(error: Exception) -> None:
    """Do nothing: the stream raises the error from its own methods."""
