"""Ids that count: a part that stays, and a number at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

__all__ = ["DIGITS", "MAX_DIGITS", "first_of_counted", "split_id"]

DIGITS: Final = "0123456789"
MAX_DIGITS: Final = 18
"""A longer number is no counter."""


def split_id(id: str | int) -> tuple[str | None, int]:
    """Split an id into the part before its number and the number at its end.

    The number has no zeros in front: these belong to the first part. This is ``None`` for an integer. A text without a
    number at its end has the number -1.
    """
    if isinstance(id, int):
        return None, id
    if id[-1:] not in DIGITS:
        return id, -1  # without a number, as most ids that are no counters
    digits = id[len(id.rstrip(DIGITS)) :]
    if not 0 < len(digits) <= MAX_DIGITS:
        return id, -1
    number = int(digits)
    return id[: len(id) - len(str(number))], number


def first_of_counted(ids: Sequence[str]) -> tuple[str, int] | None:
    """The :func:`split_id` of the first one of ids that count up by 1; ``None`` if they do not.

    Args:
        ids: The ids; at least one.
    """
    prefix, number = split_id(ids[0])
    if prefix is None or number < 0:
        return None
    return (prefix, number) if ids == [f"{prefix}{each}" for each in range(number, number + len(ids))] else None
