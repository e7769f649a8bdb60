"""How the comparisons are measured: two calls in turn, many times, the ratio of their CPU times."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

__all__ = ["Ratio", "Row", "paired", "ratio_of", "seconds", "table"]


class Ratio(NamedTuple):
    """The median of the rounds, and their smallest and largest."""

    median: float
    low: float
    high: float


class Row(NamedTuple):
    """One line of the table.

    Attributes:
        what: What is compared with what.
        aim: The aim, "" where there is none; ``≥`` first where more is better.
        ratio: What was measured.
        note: Absolute figures, for a feeling of size.
    """

    what: str
    aim: str
    ratio: Ratio
    note: str = ""

    @property
    def reached(self) -> str:
        """Whether the median reaches the aim; "" where there is none."""
        if not self.aim:
            return ""
        sign, number = self.aim.split()[:2]
        limit = float(number.replace(",", ""))
        return "yes" if (self.ratio.median >= limit if sign == "≥" else self.ratio.median <= limit) else "no"


def seconds(call: Callable[[], Any], times: int = 1) -> float:
    """CPU time of this process for one call (seconds): the mean of some in a row, and the better of two such rows,
    since the first finds the caches full of the other contender.
    """
    found = []
    for _ in range(2):
        start = time.process_time()
        for _ in range(times):
            call()
        found.append((time.process_time() - start) / times)
    return min(found)


def paired(one: Callable[[], Any], other: Callable[[], Any], rounds: int, *, others: int = 1) -> Ratio:
    """How many times the CPU time of ``other`` one takes: measured in turn, so that a slow moment hits both.

    Args:
        one: What is measured.
        other: What it is measured by.
        rounds: How often.
        others: How many calls of ``other`` are timed together in each round, where one alone is too short.
    """
    one()
    other()
    ratios = []
    for number in range(rounds):
        gc.collect()
        # Who comes second finds warmer caches: each comes first as often.
        first, second = (one, other) if number % 2 else (other, one)
        times = {call: seconds(call, others if call is other else 1) for call in (first, second)}
        ratios.append(times[one] / times[other])
    return ratio_of(ratios)


def ratio_of(ratios: Iterable[float]) -> Ratio:
    """The median and the range of the ratios of several rounds."""
    found = sorted(ratios)
    return Ratio(statistics.median(found), found[0], found[-1])


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | aim | measured (median) | spread | reached | |", "|---|---|---|---|---|---|"]
    for row in rows:
        median, low, high = (f"{value:,.{0 if row.ratio.median >= 20 else 2}f}" for value in row.ratio)
        lines.append(f"| {row.what} | {row.aim} | {median} | {low}-{high} | {row.reached} | {row.note} |")
    return "\n".join(lines)
