"""Selects the view: JSON for programs, lines for pipes, and for people at a terminal a live view of the runs."""

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

from runstream.cli.keys import Keys
from runstream.cli.lines import JsonView, PlainView, View
from runstream.cli.stdio import Output, complain
from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.model.signals import Signal
from runstream.sinks.terminal.live_view import Display, LiveView
from runstream.stream.run_stream import RunStream

__all__ = ["ScreenView", "make_view"]

_STOP: Final[Any] = getattr(signal, "SIGTSTP", None)
"""The signal of Ctrl-Z; Windows has none."""

_PERIOD: Final = 0.1
"""Seconds between two drawings."""


def make_view(*, json: bool, plain: bool) -> View:
    """The view that fits the options of the command and standard output."""
    output = Output(json=json)
    if json:
        return JsonView(output)
    if plain or not sys.stdout.isatty() or os.environ.get("TERM") in {"dumb", "unknown"}:
        return PlainView(output)
    if find_spec("rich") is None:
        complain("for a live view: pip install 'runstream[cli]' (--plain asks for these lines)")
        return PlainView(output)
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _exit)
    return ScreenView()


def _exit(number: int, frame: FrameType | None) -> None:
    """Exit with the code that a shell would show, and restore the terminal."""
    sys.exit(128 + number)


class ScreenView:
    """Draws the present state of the runs, instead of writing a line for each signal."""

    def __init__(self) -> None:
        self.times = self.reasons = True
        self.counts = True
        self._display: Display | None = None

    def show(self, signal: Signal) -> None:
        """Store the facts of a signal that no state contains."""
        if self._display is not None:
            self._display.runs.add_signal(signal)

    def close(self) -> None:
        """Do nothing: the contexts of `watching` and `reading` have restored the terminal."""

    def watching(self, stream: RunStream) -> AbstractAsyncContextManager[object]:
        """Draw while a stream is read, on its own event loop."""
        return _watching(LiveView(stream))

    @contextmanager
    def reading(self, engine: Engine) -> Iterator[threading.Lock]:
        """Draw while an engine is fed, in a thread, because reading a pipe blocks.

        The thread draws only between two events, so that nothing changes while it reads: it takes the lock that this
        context returns, and the feeding code takes it for each event.
        """
        self._display = display = Display()
        lock, ended = threading.Lock(), threading.Event()

        def update(state: RunState) -> None:
            display.runs.update(state, display.now())

        def redraw() -> None:
            try:
                while not ended.wait(_PERIOD):
                    with lock:
                        display.draw(engine.stats())
            except Exception as error:  # the terminal is gone, for instance; the command continues for its exit code
                display.release()
                complain(f"the live view has ended: {type(error).__name__}")

        engine.on_state = update
        thread = threading.Thread(target=redraw, name="runstream live view", daemon=True)
        display.start()
        restore = _suspend_on_stop(display)
        try:
            thread.start()
            yield lock
        finally:
            restore()
            ended.set()
            thread.join()
            display.stop(engine.stats())


@asynccontextmanager
async def _watching(view: LiveView) -> AsyncIterator[None]:
    """Enter the view, and release the terminal while Ctrl-Z has stopped the process."""
    loop = asyncio.get_running_loop()

    def stop() -> None:  # called by the loop, and so never during a drawing
        keys.stop()
        view.suspend()
        loop.remove_signal_handler(_STOP)
        os.kill(os.getpid(), _STOP)
        loop.add_signal_handler(_STOP, stop)
        view.resume()
        keys.start()

    async with view:
        keys = Keys(view)
        stops = _can_stop()
        if stops:
            loop.add_signal_handler(_STOP, stop)
        try:
            yield
        finally:
            keys.stop()
            if stops:
                loop.remove_signal_handler(_STOP)


def _suspend_on_stop(display: Display) -> Callable[[], object]:
    """Release the terminal while Ctrl-Z has stopped the process, without an event loop.

    Returns:
        A function that restores the default behaviour of Ctrl-Z.
    """
    if not _can_stop():
        return lambda: None

    def stop(number: int, frame: FrameType | None) -> None:
        display.suspend()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, stop)
        display.resume()

    signal.signal(_STOP, stop)
    return lambda: signal.signal(_STOP, signal.SIG_DFL)


def _can_stop() -> bool:
    """True if Ctrl-Z stops the process here; the parent process can disable that."""
    if _STOP is None or threading.current_thread() is not threading.main_thread():
        return False
    return signal.getsignal(_STOP) is signal.SIG_DFL
