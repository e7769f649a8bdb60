"""The view that fits: JSON for programs, lines for pipes, and for people at a terminal the runs as they are."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from importlib.util import find_spec
from types import FrameType
from typing import Any, Final

from runstream.cli.lines import JsonView, PlainView, View
from runstream.cli.output import Output, complain
from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.model.signals import Signal
from runstream.sinks.terminal.live_view import Display, LiveView
from runstream.stream.run_stream import RunStream

__all__ = ["ScreenView", "make_view"]

_STOP: Final[Any] = getattr(signal, "SIGTSTP", None)
"""What Ctrl-Z sends; Windows has none."""

_PERIOD: Final = 0.1
"""Seconds between two drawings."""


def make_view(*, json: bool, plain: bool) -> View:
    """The view that fits: what was asked for, and what standard output is."""
    output = Output(json=json)
    if json:
        return JsonView(output)
    if plain or not sys.stdout.isatty() or os.environ.get("TERM") in {"dumb", "unknown"}:
        return PlainView(output)
    if find_spec("rich") is None:
        complain("for a live view: pip install 'runstream[cli]' (--plain asks for these lines)")
        return PlainView(output)
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)
    return ScreenView()


def _end(number: int, frame: FrameType | None) -> None:
    """End with the code that a shell shows anyway, but not without giving the terminal back."""
    sys.exit(128 + number)


class ScreenView:
    """Draws the runs as they are, instead of writing down what is told of them."""

    def __init__(self) -> None:
        self.times = True
        self.counts = True
        self._display: Display | None = None

    def show(self, signal: Signal) -> None:
        """Take a signal that says of a run or a source what no state does."""
        if self._display is not None:
            self._display.board.signal(signal)

    def close(self) -> None:
        """Nothing is left to do: what was entered has been left."""

    def watching(self, stream: RunStream) -> AbstractAsyncContextManager[object]:
        """Draw while a stream is read, from its own loop."""
        return _watching(LiveView(stream))

    @contextmanager
    def reading(self, engine: Engine) -> Iterator[threading.Lock]:
        """Draw while an engine is fed, from a thread: reading a pipe blocks.

        The thread draws only between two events, so that nothing changes under its hands.
        """
        self._display = display = Display()
        turn, ended = threading.Lock(), threading.Event()

        def state(state: RunState) -> None:
            display.board.state(state, display.now())

        def redraw() -> None:
            try:
                while not ended.wait(_PERIOD):
                    with turn:
                        display.draw(engine.stats())
            except Exception as error:  # the terminal is gone, for instance; the exit code is told all the same
                display.source_ended()
                complain(f"the live view has ended: {type(error).__name__}")

        engine.on_state = state
        thread = threading.Thread(target=redraw, name="runstream live view", daemon=True)
        display.start()
        stopping = _stopping(display)
        try:
            thread.start()
            yield turn
        finally:
            stopping()
            ended.set()
            thread.join()
            display.stop(engine.stats())


@asynccontextmanager
async def _watching(view: LiveView) -> AsyncIterator[None]:
    """The view, which gives the terminal back while Ctrl-Z has stopped the process."""
    loop = asyncio.get_running_loop()

    def stop() -> None:  # by the loop, and so never in the middle of a drawing
        view.suspend()
        loop.remove_signal_handler(_STOP)
        os.kill(os.getpid(), _STOP)
        loop.add_signal_handler(_STOP, stop)
        view.resume()

    async with view:
        if not _may_stop():
            yield
            return
        loop.add_signal_handler(_STOP, stop)
        try:
            yield
        finally:
            loop.remove_signal_handler(_STOP)


def _stopping(display: Display) -> Callable[[], object]:
    """The same where there is no loop; gives what ends it."""
    if not _may_stop():
        return lambda: None

    def stop(number: int, frame: FrameType | None) -> None:
        display.suspend()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, stop)
        display.resume()

    signal.signal(_STOP, stop)
    return lambda: signal.signal(_STOP, signal.SIG_DFL)


def _may_stop() -> bool:
    """Whether Ctrl-Z would stop the process here: not if whoever started it does not want that."""
    if _STOP is None or threading.current_thread() is not threading.main_thread():
        return False
    return signal.getsignal(_STOP) is signal.SIG_DFL
