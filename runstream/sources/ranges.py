"""Options out of range, refused where they are given: in use they would be a storm of requests, or a hang."""

from __future__ import annotations

__all__ = ["require_counts", "require_seconds"]


def require_seconds(**given: float | None) -> None:
    """Refuse a time that is none.

    Args:
        given: Seconds by the names of the options, ``None`` for no limit.

    Raises:
        ValueError: One is not above 0.
    """
    for name, value in given.items():
        if value is not None and not value > 0:  # so that NaN is refused too
            raise ValueError(f"{name} must be a positive number of seconds, or None")


def require_counts(**given: int) -> None:
    """Refuse a number of things that leaves room for none.

    Args:
        given: Counts by the names of the options.

    Raises:
        ValueError: One is less than 1.
    """
    for name, value in given.items():
        if not value >= 1:
            raise ValueError(f"{name} must be 1 or more")
