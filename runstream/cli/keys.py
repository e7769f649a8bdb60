"""Reads the keys of a person at the terminal, for the live view of a command."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from typing import Any

from runstream.sinks.terminal.live_view import LiveView

__all__ = ["Keys"]


class Keys:
    """The keys of a terminal, read one by one while a view is shown.

    Nothing is read where standard input is no terminal, or where another program has it: then the view has no keys.

    Args:
        view: The view that receives the keys. Its key to quit interrupts the command, as Ctrl-C does.
    """

    def __init__(self, view: LiveView) -> None:
        self._view = view
        self._loop = asyncio.get_running_loop()
        self._saved: list[Any] | None = None
        if _has_terminal():
            view.accept_keys()
            self.start()

    def start(self) -> None:
        """Read keys, without waiting for the end of a line and without showing them."""
        if not _has_terminal():
            return
        import termios
        import tty

        descriptor = sys.stdin.fileno()
        self._saved = termios.tcgetattr(descriptor)
        tty.setcbreak(descriptor, termios.TCSADRAIN)
        self._loop.add_reader(descriptor, self._read)

    def stop(self) -> None:
        """Read nothing more, and restore the terminal."""
        if self._saved is not None:
            import termios

            self._loop.remove_reader(sys.stdin.fileno())
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._saved)
            self._saved = None

    def _read(self) -> None:
        try:
            data = os.read(sys.stdin.fileno(), 1024)
        except OSError:
            data = b""
        if not data:  # the terminal is gone
            self._loop.remove_reader(sys.stdin.fileno())
            self._saved = None
        elif self._view.press(data.decode(errors="ignore")):
            os.kill(os.getpid(), signal.SIGINT)


def _has_terminal() -> bool:
    """True if the keys of this terminal are for this process."""
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        return False
    try:
        descriptor = sys.stdin.fileno()
        return os.isatty(descriptor) and os.tcgetpgrp(descriptor) == os.getpgrp()
    except (AttributeError, OSError, ValueError):  # no standard input, or one that was replaced
        return False
