"""What keeps a run of the tests from hanging, and from depending on who started it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["TookTooLong", "bounded", "heeding_signals"]

_AGAIN = 10.0  # seconds after which a failure that somebody swallowed is raised again
_IGNORABLE = ("SIGINT", "SIGQUIT", "SIGHUP", "SIGTSTP", "SIGTTIN", "SIGTTOU")


class TookTooLong(BaseException):
    """A test takes too long. No `Exception`: code under test catches those."""


@contextmanager
def bounded(seconds: float) -> Iterator[None]:
    """Fail a test that takes longer, wherever it waits. Without an alarm clock (Windows) nothing is bounded.

    Args:
        seconds: How long it may take.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def fail(number: int, frame: FrameType | None) -> None:
        raise TookTooLong(f"more than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, fail)
    outer = signal.setitimer(signal.ITIMER_REAL, seconds, _AGAIN)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *outer)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def heeding_signals() -> Iterator[None]:
    """Programs started meanwhile take the signals that this process ignores.

    A background job of a script ignores SIGINT, one under ``nohup`` SIGHUP, and programs inherit that. What is
    handled is not inherited. The handler does nothing, so that this process goes on ignoring it.
    """
    if threading.current_thread() is not threading.main_thread():  # which alone may set handlers
        yield
        return
    ignored = [
        number
        for name in _IGNORABLE
        if (number := getattr(signal, name, None)) is not None and signal.getsignal(number) is signal.SIG_IGN
    ]
    for number in ignored:
        signal.signal(number, lambda *_: None)
    try:
        yield
    finally:
        for number in ignored:
            signal.signal(number, signal.SIG_IGN)
