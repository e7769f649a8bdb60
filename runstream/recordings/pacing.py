"""The pace of a replay: times of arrival in, delays out; shared by the source, the server and the command line."""

from __future__ import annotations

__all__ = ["Pace"]


class Pace:
    """Computes the delay before each event of a recording.

    Delays are computed from the clock, so lateness does not add up: a late replay does not wait until it has caught up.

    Args:
        speed: Factor by which it is faster than recorded; ``None`` or 0: no waiting at all.
        gap: Seconds before an event if its time of arrival, or that of the event before, is not known; before
            ``speed``.
        max_gap: The longest wait between two events in seconds, after ``speed``; ``None`` for any.

    Raises:
        ValueError: A number is negative or NaN.
    """

    def __init__(self, speed: float | None = 1.0, *, gap: float = 0.0, max_gap: float | None = None) -> None:
        if not (speed or 0) >= 0 or not gap >= 0 or not (max_gap or 0) >= 0:
            raise ValueError("speed, gap and max_gap must not be negative")
        self._speed = speed or 0.0
        self._gap = gap
        self._max_gap = max_gap
        self._due: float | None = None
        self._last: float | None = None

    def delay(self, at: float | None, now: float) -> float:
        """Return the seconds to wait, from now on, before an event.

        Args:
            at: Its time of arrival in Unix seconds, if known.
            now: The time of a monotonic clock, in seconds.
        """
        if not self._speed:
            return 0.0
        if self._due is None:
            self._due = now
        else:
            both_known = at is not None and self._last is not None
            step = max(0.0, at - self._last) if both_known else self._gap  # type: ignore[operator]
            step /= self._speed
            self._due += step if self._max_gap is None else min(step, self._max_gap)
        self._last = at
        return max(0.0, self._due - now)
