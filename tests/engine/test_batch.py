"""A batch: items that are fed one by one or some of them ahead, and that ends where it is interrupted."""

from __future__ import annotations

import pytest

from runstream.engine.batch import Batch


def test_items_are_taken_one_by_one_or_ahead() -> None:
    """What is processed ahead is not taken again."""
    batch = Batch(list(range(10)))
    assert next(batch.rest) == 0
    assert batch.ahead(4, lambda: None) == [1, 2, 3, 4]
    batch.advance(3)
    assert next(batch.rest) == 4
    assert batch.ahead(100, lambda: None) == [5, 6, 7, 8, 9]
    batch.advance(0)
    assert list(batch) == [5, 6, 7, 8, 9]
    assert len(batch) == 10


@pytest.mark.parametrize("taken", [0, 1, 3, 4])
def test_an_interruption_ends_it_after_the_present_item(taken: int) -> None:
    """The list has no more than what was processed, ahead or not."""
    items = list(range(10))
    batch = Batch(items)
    next(batch.rest)
    calls: list[int] = []
    batch.ahead(4, lambda: calls.append(1))
    batch.interrupt()
    assert calls == [1]
    batch.advance(taken)
    assert items == list(range(1 + taken))
    assert list(batch.rest) == []
    assert len(batch) == 1 + taken
    assert batch.interrupted
