"""Checks of options: a value of another type, or out of range, raises at once and names its option.

In use it would mean endless requests, a hang, no bound, or an error without the name of the option.
"""

from __future__ import annotations

from numbers import Real
from typing import Any, Final

__all__ = ["check_counts", "check_durations", "check_instances", "check_numbers", "check_seconds"]

_SECONDS: Final = "a number of seconds"


def check_numbers(right: str = "a number", /, **options: object) -> None:
    """Check that options are numbers.

    Args:
        right: The right value, in words.
        options: Values by option name; ``None`` is not checked.

    Raises:
        TypeError: A value is no number.
    """
    for name, value in options.items():
        if value is not None and not isinstance(value, Real):
            raise _type_error(name, right, value)


def check_instances(kind: Any, right: str, /, **options: object) -> None:
    """Check that options are objects of a class.

    Args:
        kind: The class, or a tuple of classes.
        right: The right value, in words.
        options: Values by option name; ``None`` is not checked.

    Raises:
        TypeError: A value is of another class.
    """
    for name, value in options.items():
        if value is not None and not isinstance(value, kind):
            raise _type_error(name, right, value)


def _type_error(name: str, right: str, value: object) -> TypeError:
    return TypeError(f"{name} must be {right}, not a {type(value).__name__}")


def check_seconds(**options: float | None) -> None:
    """Check that times are positive.

    Args:
        options: Times (seconds) by option name, ``None`` for no limit.

    Raises:
        ValueError: A time is not above 0.
        TypeError: A time is no number.
    """
    check_numbers(f"{_SECONDS}, or None", **options)
    for name, value in options.items():
        if value is not None and not value > 0:  # so that NaN raises too
            raise ValueError(f"{name} must be a positive number of seconds, or None")


def check_durations(**options: float) -> None:
    """Check that times are 0 or more.

    Args:
        options: Times (seconds) by option name, infinity for no limit.

    Raises:
        ValueError: A time is less than 0.
        TypeError: A time is no number.
    """
    for name, value in options.items():
        if not isinstance(value, Real):
            raise _type_error(name, f"{_SECONDS}, 0 or more", value)
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
