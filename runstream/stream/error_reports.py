"""Failures of subscribers: logged without any of the content, and counted."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Final, Literal

from runstream.logs import LOG
from runstream.model.run import Run

__all__ = ["SLOW_SECONDS", "SUBSCRIBER_ERRORS", "ErrorReports", "caller_location", "location_of", "run_id_of"]


SUBSCRIBER_ERRORS: Final = (Exception, asyncio.CancelledError)
"""The exceptions of a subscriber that are caught. The result of a cancelled future must not cancel the source."""

SLOW_SECONDS: Final = 1.0
"""A subscriber that blocks the loop for longer than this is logged."""


class ErrorReports:
    """Receives the exceptions of subscribers.

    Args:
        mode: ``"log"``, or ``"raise"``: the exception goes to `notify`, or without it into `pending`.
        notify: Called with each exception in mode ``"raise"``.

    Attributes:
        count: The number of failures.
        collects: True if exceptions are stored in `pending`.
        pending: Exceptions that the caller of `push` has still to raise.
        first: The first exception, in mode ``"raise"``.
        seen: True if the first exception was raised to a caller.
    """

    def __init__(
        self, mode: Literal["log", "raise"] = "log", notify: Callable[[Exception], None] | None = None
    ) -> None:
        if mode not in {"log", "raise"}:
            raise ValueError(f"on_subscriber_error is 'log' or 'raise', not {mode!r}")
        self.mode = mode
        self.count = 0
        self.collects = mode == "raise" and notify is None
        self.pending: list[Exception] = []
        self.first: Exception | None = None
        self.seen = False
        self._notify = notify or self.pending.append

    def report(self, channel: str, subscriber: str, value: object, error: BaseException) -> None:
        """Report a subscriber that raised."""
        self.count += 1
        if self.mode == "raise":
            if not isinstance(error, Exception):  # CancelledError, which would cancel the awaiting task
                error = RuntimeError(f"{type(error).__name__} in {subscriber}").with_traceback(error.__traceback__)
            self._raise(error)
            return
        LOG.error(
            "subscriber_failed",
            run_id=run_id_of(value),
            channel=channel,
            subscriber=subscriber,
            error=type(error).__name__,
            where=location_of(error.__traceback__),
        )

    def report_ended(self, channel: str, subscriber: str, error: Exception, *, buffered: int) -> None:
        """Report a subscriber that was ended because it was too slow."""
        self.count += 1
        LOG.error("slow_consumer", channel=channel, subscriber=subscriber, reason=str(error), buffered=buffered)
        if self.mode == "raise":
            self._raise(error)

    def report_slow(self, channel: str, subscriber: str, value: object, seconds: float) -> None:
        """Report a subscriber that blocked the loop."""
        LOG.warning(
            "slow_subscriber",
            run_id=run_id_of(value),
            channel=channel,
            subscriber=subscriber,
            seconds=round(seconds, 3),
        )

    def note_raised(self, error: BaseException) -> None:
        """Note an exception that was raised to a caller of the stream."""
        self.seen = self.seen or error is self.first

    def _raise(self, error: Exception) -> None:
        self.first = self.first or error
        self._notify(error)


def run_id_of(value: object) -> str | None:
    """The run id of a signal, a state or an event, if it has one."""
    found = getattr(value, "run_id", None)
    if found is None:
        data = getattr(value, "data", None)
        found = data.id if isinstance(data, Run) else getattr(data, "run_id", None)
    return found if isinstance(found, str) else None


def location_of(traceback: TracebackType | None) -> str | None:
    """Module, function and line of the innermost frame. The exception's own message may quote the content."""
    if traceback is None:
        return None
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    frame = traceback.tb_frame
    return f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}:{traceback.tb_lineno}"


def caller_location() -> str:
    """Module, function and line of the code that called into the library."""
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("runstream."):
        frame = frame.f_back
    return f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}:{frame.f_lineno}"
