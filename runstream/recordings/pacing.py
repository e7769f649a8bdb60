"""Times of arrival in, how long to wait out: what plays recordings shares this, whatever it plays them to."""

from __future__ import annotations

__all__ = ["Pace"]


class Pace:
    """Says how long to wait before each event of a recording.

    By the clock, so that delays do not add up: who is late is not held until it has caught up.

    Args:
        speed: How many times faster than recorded; ``None`` or 0: no waiting at all.
        gap: Seconds before an event of which, or of whose predecessor, no time of arrival is known; before ``speed``.
        max_gap: The longest wait between two events in seconds, after ``speed``; ``None`` for any.

    Raises:
        ValueError: A number is negative, or none.
    """

    def __init__(self, speed: float | None = 1.0, *, gap: float = 0.0, max_gap: float | None = None) -> None:
        if not (speed or 0) >= 0 or not gap >= 0 or not (max_gap or 0) >= 0:
            raise ValueError("speed, gap and max_gap must not be negative")
        self._speed = speed or 0.0
        self._gap = gap
        self._max_gap = max_gap
        self._due: float | None = None
        self._last: float | None = None

    def wait(self, at: float | None, now: float) -> float:
        """Seconds to wait, from now on, before an event.

        Args:
            at: When it arrived, in Unix seconds, where known.
            now: The time of a clock that never goes back, in seconds.
        """
        if not self._speed:
            return 0.0
        if self._due is None:
            self._due = now
        else:
            known = at is not None and self._last is not None
            step = max(0.0, at - self._last) if known else self._gap  # type: ignore[operator]
            step /= self._speed
            self._due += step if self._max_gap is None else min(step, self._max_gap)
        self._last = at
        return max(0.0, self._due - now)
