"""Checks of options: a value out of range raises at once; in use it would mean endless requests, a hang or no bound."""

from __future__ import annotations

__all__ = ["check_counts", "check_durations", "check_seconds"]


def check_seconds(**options: float | None) -> None:
    """Check that times are positive.

    Args:
        options: Times (seconds) by option name, ``None`` for no limit.

    Raises:
        ValueError: A time is not above 0.
    """
    for name, value in options.items():
        if value is not None and not value > 0:  # so that NaN raises too
            raise ValueError(f"{name} must be a positive number of seconds, or None")


def check_durations(**options: float) -> None:
    """Check that times are 0 or more.

    Args:
        options: Times (seconds) by option name, infinity for no limit.

    Raises:
        ValueError: A time is less than 0.
    """
    for name, value in options.items():
        if not value >= 0:
            raise ValueError(f"{name} must be a number of seconds, 0 or more")


def check_counts(least: int = 1, /, **options: int) -> None:
    """Check that counts are whole numbers and large enough.

    Args:
        least: The smallest valid count.
        options: Counts by option name.

    Raises:
        ValueError: A count is less, or is not a whole number.
    """
    for name, value in options.items():
        if not isinstance(value, int) or value < least:
            raise ValueError(f"{name} must be a whole number, {least} or more")
