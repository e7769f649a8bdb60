"""Options out of range, refused where they are given: in use they would be a storm of requests, a hang, or no bound."""

from __future__ import annotations

__all__ = ["check_counts", "check_durations", "check_seconds"]


def check_seconds(**given: float | None) -> None:
    """Refuse a time that is none.

    Args:
        given: Seconds by the names of the options, ``None`` for no limit.

    Raises:
        ValueError: One is not above 0.
    """
    for name, value in given.items():
        if value is not None and not value > 0:  # so that NaN is refused too
            raise ValueError(f"{name} must be a positive number of seconds, or None")


def check_durations(**given: float) -> None:
    """Refuse a time that may be none at all, but not less.

    Args:
        given: Seconds by the names of the options, infinity for no limit.

    Raises:
        ValueError: One is less than 0.
    """
    for name, value in given.items():
        if not value >= 0:
            raise ValueError(f"{name} must be a number of seconds, 0 or more")


def check_counts(least: int = 1, /, **given: int) -> None:
    """Refuse a number of things that is none, or leaves no room.

    Args:
        least: The smallest that makes sense.
        given: Counts by the names of the options.

    Raises:
        ValueError: One is less, or no whole number.
    """
    for name, value in given.items():
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number, {least} or more")
