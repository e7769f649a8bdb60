"""Raw events that are read together: to everybody else, the same raw events one after another."""

from __future__ import annotations

from typing import Any

import pytest

from runstream import RawEvent
from runstream.model.raw import Idle
from runstream.model.raw_events import RawEvents, RawItems


def test_raw_events_are_a_sequence() -> None:
    """Each is what a parser would have made of its block."""
    events = RawEvents("a", [b"0", b"1", b"2"], "9", 1.5, line=4)
    listed = [RawEvent("a", b"%d" % at, None, "9", 1.5, 4 + 3 * at) for at in range(3)]
    assert list(events) == [events[0], events[1], events[-1]] == listed
    assert events[1:] == listed[1:]
    assert len(events) == 3
    with pytest.raises(IndexError):
        events[3]


def test_items_are_like_a_list() -> None:
    """Of equal length, with equal items, and as a part of another one."""
    other = RawEvent("b", b"{}")
    items: RawItems[Any] = RawItems([other, RawEvents("a", [b"0", b"1"]), other])
    listed = [other, *RawEvents("a", [b"0", b"1"]), other]
    assert items == listed
    assert listed == items
    assert items != listed[:-1]
    assert items != 3
    assert len(items) == 4
    assert items
    assert not RawItems([])
    assert items[-1] == other
    assert items[1:3] == listed[1:3]
    assert items + [other] == [*listed, other]  # noqa: RUF005 - the operator is tried
    assert [other] + items == [other, *listed]  # noqa: RUF005
    assert repr(items) == repr(listed)


def test_objects_are_read_together_if_they_are_raw_events_of_one_name() -> None:
    """Any other item among them, or another name, is none of them."""
    items = [RawEvent("a", b"%d" % at, f"{at}" if at else None, f"l{at}", float(at)) for at in range(3)]
    events = RawEvents.of(items)
    assert events is not None
    assert (list(events), events[1], events[1:]) == (items, items[1], items[1:])
    assert (events.data, events.last_id) == ([b"0", b"1", b"2"], "l2")
    assert events.ids(0) == ["", "1", "2"]
    assert events.ids(1) == ["1", "2"]
    assert events.times(1, 2) == [1.0, 2.0]
    assert RawEvents.of([*items, RawEvent("b", b"")]) is None
    assert RawEvents.of([*items, Idle()]) is None


def test_events_without_ids_have_none() -> None:
    """Those of a transport have one time of arrival; those that are objects have their own."""
    assert RawEvents("a", [b"0", b"1"], at=1.5).ids(0) is None
    assert RawEvents("a", [b"0", b"1"], at=1.5).times(1, 1) == [1.5]
    events = RawEvents.of([RawEvent(data=b"0"), RawEvent(data=b"1", at=2.0)])
    assert events is not None
    assert events.ids(0) is None
    assert events.times(0, 2) == [None, 2.0]
