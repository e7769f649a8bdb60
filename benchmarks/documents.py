"""What a change of a document costs: one operation on documents of about 1 MB, whatever stands beside its path.

Run: python benchmarks/documents.py [rounds]. Prints a Markdown table. The peer is `jsonpatch`, which copies the whole
document; its result is compared first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import jsonpatch
from pairing import Row, ratio_of, table

from runstream import DocumentPatch, DocumentSnapshot, Engine, RawEvent, Run, RunEvent, RunStatus
from runstream.dialects.base import BaseDialect
from runstream.model.frozen import thaw
from runstream.model.raw import RawItem

__all__ = ["document_rows"]

SHAPES: dict[str, Any] = {
    "objects in a list": {"items": [{"id": n, "name": "x" * 20, "tags": ["a", "b"]} for n in range(15_000)]},
    "an object of 10,000 members": {"items": {f"key{n}": {"id": n, "t": "x" * 70} for n in range(10_000)}},
    "a list of 100,000 items": {"items": [f"{n:07}" for n in range(100_000)]},
    "one long text": {"items": "x" * 1_000_000},
}
AIM = 100.0  # microseconds


class Values(BaseDialect):
    """Passes on events: the raw events are their positions."""

    __slots__ = ("events",)

    def __init__(self, events: list[Any]) -> None:
        super().__init__()
        self.events = events

    def decode(self, item: RawItem) -> Any:
        return self.events[int(item.data)] if isinstance(item, RawEvent) else ()


def operations(number: int, value: Any) -> list[dict[str, Any]]:
    """One operation beside the large part, and for containers one within it, in turn."""
    items = value["items"]
    if number % 2 or isinstance(items, str):
        return [{"op": "replace", "path": "/count", "value": number + 1}]
    place = number * 7919 % len(items)
    path = f"/items/key{place}/id" if isinstance(items, dict) else f"/items/{place}"
    return [{"op": "replace", "path": path, "value": f"new {number}"}]


def microseconds(value: Any, count: int) -> tuple[float, float]:
    """The median and the largest time for one patch through the whole pipeline, all signals taken."""
    value = {**value, "count": 0}
    run = RunEvent(Run(id="run_1", status=RunStatus.IN_PROGRESS), run_id="run_1")
    patches = [DocumentPatch(operations(number, value), run_id="run_1") for number in range(count)]
    dialect = Values([run, DocumentSnapshot(value, run_id="run_1"), *patches])
    engine = Engine(clock=lambda: 1.0)
    signals: list[Any] = []
    engine.on_signal = signals.append
    feed = engine.intake("bench", dialect=dialect).feed
    raws = [RawEvent(data=str(number).encode(), at=1.0) for number in range(count + 2)]
    feed(raws[0])
    feed(raws[1])
    found = []
    for raw in raws[2:]:
        start = time.perf_counter()
        feed(raw)
        found.append((time.perf_counter() - start) * 1e6)
    assert engine.stats().rejected == 0
    assert signals[-1].version == count + 1
    expected = value
    for patch in patches[:3]:
        expected = jsonpatch.apply_patch(expected, thaw(patch.operations))
    assert signals[-count + 2].value == expected
    found.sort()
    return found[len(found) // 2], found[int(len(found) * 0.99)]


def peer(value: Any) -> float:
    """Microseconds for one operation with the library."""
    value = {**value, "count": 0}
    start = time.perf_counter()
    jsonpatch.apply_patch(value, operations(1, value))
    return (time.perf_counter() - start) * 1e6


def document_rows(rounds: int) -> list[Row]:
    """One row a shape."""
    rows = []
    for name, value in SHAPES.items():
        measured = [microseconds(value, 1000) for _ in range(rounds)]
        beside = min(peer(value) for _ in range(2))
        median = ratio_of([each / AIM for each, _ in measured])
        worst = min(worst for _, worst in measured)
        note = f"{median.median * AIM:.0f} µs, 99 of 100 within {worst:.0f} µs; jsonpatch {beside:,.0f} µs"
        rows.append(Row(f"one operation, {name}, in units of 0.1 ms", "≤ 1", median, note))
    return rows


def main(show: Callable[[str], None] = print) -> None:
    """Print the table."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    show(f"Python {sys.version.split()[0]}, {rounds} rounds of 1,000 patches\n")
    show(table(document_rows(rounds)))


if __name__ == "__main__":
    main()
