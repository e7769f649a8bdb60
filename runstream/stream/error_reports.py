"""What subscribers did wrong: logged without a word of the content, and counted."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Final, Literal

from runstream.logs import LOG

__all__ = ["GUARDED", "SLOW_SECONDS", "ErrorReports", "caller", "run_id_of", "where"]


GUARDED: Final = (Exception, asyncio.CancelledError)
"""What is caught of a subscriber: also the result of a cancelled future, which must not cancel the source."""

SLOW_SECONDS: Final = 1.0
"""A subscriber that keeps the loop to itself for longer than this is logged."""


class ErrorReports:
    """Where exceptions of subscribers go.

    Args:
        mode: ``"log"``, or ``"raise"``: the exception is kept in `held` (or given to `notify`) instead.
        notify: Called with each exception in mode ``"raise"``; without it they are held.

    Attributes:
        count: How many there were.
        holds: Whether exceptions are held, for whoever pushes to raise.
        held: Exceptions that are still to be raised.
        first: The first exception, in mode ``"raise"``.
        seen: Whether somebody got it.
    """

    def __init__(
        self, mode: Literal["log", "raise"] = "log", notify: Callable[[Exception], None] | None = None
    ) -> None:
        if mode not in {"log", "raise"}:
            raise ValueError(f"on_subscriber_error is 'log' or 'raise', not {mode!r}")
        self.mode = mode
        self.count = 0
        self.holds = mode == "raise" and notify is None
        self.held: list[Exception] = []
        self.first: Exception | None = None
        self.seen = False
        self._notify = notify

    def report(self, channel: str, subscriber: str, value: object, error: BaseException) -> None:
        """A subscriber raised."""
        self.count += 1
        if self.mode == "raise":
            if not isinstance(error, Exception):  # CancelledError, which would cancel whoever awaits
                error = RuntimeError(f"{type(error).__name__} in {subscriber}").with_traceback(error.__traceback__)
            self._raise(error)
            return
        LOG.error(
            "subscriber_failed",
            run_id=run_id_of(value),
            channel=channel,
            subscriber=subscriber,
            error=type(error).__name__,
            where=where(error.__traceback__),
        )

    def ended(self, channel: str, subscriber: str, error: Exception, *, buffered: int) -> None:
        """A subscriber was ended because it was too slow."""
        self.count += 1
        LOG.error("slow_consumer", channel=channel, subscriber=subscriber, reason=str(error), buffered=buffered)
        if self.mode == "raise":
            self._raise(error)

    def slow(self, channel: str, subscriber: str, value: object, seconds: float) -> None:
        """A subscriber blocked the loop."""
        LOG.warning(
            "slow_subscriber",
            run_id=run_id_of(value),
            channel=channel,
            subscriber=subscriber,
            seconds=round(seconds, 3),
        )

    def raised(self, error: BaseException) -> None:
        """Somebody who awaited something got this exception."""
        self.seen = self.seen or error is self.first

    def _raise(self, error: Exception) -> None:
        self.first = self.first or error
        if self._notify is None:
            self.held.append(error)
        else:
            self._notify(error)


def run_id_of(value: object) -> str | None:
    """The run that a signal, a state or an event speaks of, where it says so."""
    found = getattr(value, "run_id", None)
    if found is None:
        data = getattr(value, "data", None)
        found = getattr(data, "run_id", None)
        if found is None and getattr(data, "object", None) == "thread.run":
            found = getattr(data, "id", None)
        if found is None:
            found = getattr(getattr(value, "origin", None), "run_id", None)
    return found if isinstance(found, str) else None


def where(traceback: TracebackType | None) -> str | None:
    """Module, function and line of the innermost frame; the exception's own words may quote the content."""
    if traceback is None:
        return None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    frame = traceback.tb_frame
    return f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}:{traceback.tb_lineno}"


def caller() -> str:
    """Module, function and line of whoever called into the library."""
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("runstream."):
        frame = frame.f_back
    return f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}:{frame.f_lineno}"
