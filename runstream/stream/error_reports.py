"""Failures of subscribers: logged without any of the content, and counted."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from types import TracebackType
from typing import Final, Literal

from runstream.errors import SubscriberFailed
from runstream.logs import LOG
from runstream.model.run import Run
from runstream.stream.failures import Failures

__all__ = [
    "SLOW_SECONDS",
    "SUBSCRIBER_ERRORS",
    "BatchClock",
    "ErrorReports",
    "caller_location",
    "location_of",
    "run_id_of",
]


SUBSCRIBER_ERRORS: Final = (Exception, asyncio.CancelledError, GeneratorExit)
"""The exceptions of a subscriber that are caught. The result of a cancelled future must not cancel the source, and the
exit of a generator that a subscriber closes must not end it. ``KeyboardInterrupt`` and ``SystemExit`` pass through."""

SLOW_SECONDS: Final = 1.0
"""A subscriber that blocks the loop for longer than this is logged."""


class BatchClock:
    """The time at which the last delivery to a subscriber has ended: the next one begins then.

    The engine takes microseconds between two deliveries of a batch, so a reading of the clock is saved for each.

    Attributes:
        last: Seconds of the monotonic clock; 0.0 outside of a batch.
    """

    __slots__ = ("last",)

    def __init__(self) -> None:
        self.last = 0.0


class ErrorReports:
    """Receives the exceptions of subscribers.

    Args:
        mode: ``"log"``, or ``"raise"``: the exception goes to `notify`, or without it into `pending`.
        notify: Called with each exception in mode ``"raise"``.
        failures: Keeps the failures.
        hook: Called with each failure, also with those that an ``on_failed`` of a handler has processed.

    Attributes:
        clock: The clock of the batches of the stream, by which slow subscribers are found.
        count: The number of failures.
        collects: True if exceptions are stored in `pending`.
        pending: Exceptions that the caller of `push` has still to raise.
        first: The first exception, in mode ``"raise"``.
        seen: True if the first exception was raised to a caller.
    """

    def __init__(
        self,
        mode: Literal["log", "raise"] = "log",
        notify: Callable[[Exception], None] | None = None,
        failures: Failures | None = None,
        hook: Callable[[SubscriberFailed], object] | None = None,
    ) -> None:
        if mode not in {"log", "raise"}:
            raise ValueError(f"on_subscriber_error is 'log' or 'raise', not {mode!r}")
        self.mode = mode
        self.clock = BatchClock()
        self.count = 0
        self.collects = mode == "raise" and notify is None
        self.pending: list[Exception] = []
        self.first: Exception | None = None
        self.seen = False
        self._notify = notify or self.pending.append
        self._failures = failures or Failures()
        self._hook = hook

    def report(self, channel: str, subscriber: str, value: object, error: BaseException, *, attempts: int = 1) -> None:
        """Report a subscriber that raised."""
        self.report_failure(self.failure(channel, subscriber, value, error, attempts=attempts))

    def failure(
        self, channel: str, subscriber: str, value: object, error: BaseException, *, attempts: int = 1
    ) -> SubscriberFailed:
        """The failure of a subscriber that raised, not yet reported."""
        where = location_of(error.__traceback__) or ""
        return SubscriberFailed(subscriber, channel, value, error, attempts=attempts, where=where)

    def report_failure(self, failure: SubscriberFailed, *, handled: bool = False) -> None:
        """Report a failure.

        Args:
            failure: The failure.
            handled: True if the ``on_failed`` of a handler has processed it.
        """
        self._add(failure, handled=handled)
        error = failure.error
        if self.mode == "raise" and not handled:
            if not isinstance(error, Exception):  # CancelledError or GeneratorExit, which would end the task
                name = f"{type(error).__name__} in {failure.subscriber}"
                error = RuntimeError(name).with_traceback(error.__traceback__)
            self._raise(error)
            return
        LOG.error(
            "subscriber_failed",
            run_id=run_id_of(failure.value),
            channel=failure.channel,
            subscriber=failure.subscriber,
            error=type(error).__name__,
            where=location_of(error.__traceback__),
        )

    def report_ended(self, failure: SubscriberFailed, *, buffered: int, handled: bool = False) -> None:
        """Report a subscriber that was ended because it was too slow."""
        self._add(failure, handled=handled)
        error = failure.error
        LOG.error(
            "slow_consumer",
            channel=failure.channel,
            subscriber=failure.subscriber,
            reason=str(error),
            buffered=buffered,
        )
        if self.mode == "raise" and not handled and isinstance(error, Exception):
            self._raise(error)

    def _add(self, failure: SubscriberFailed, *, handled: bool) -> None:
        self.count += 1
        self._failures.add(failure, handled=handled)
        if self._hook is None:
            return
        try:
            self._hook(failure)
        except SUBSCRIBER_ERRORS as error:
            self.count += 1
            LOG.error(
                "subscriber_failed",
                run_id=run_id_of(failure.value),
                channel="failures",
                subscriber="on_subscriber_error",
                error=type(error).__name__,
                where=location_of(error.__traceback__),
            )

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
        self._failures.remove(error)

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
