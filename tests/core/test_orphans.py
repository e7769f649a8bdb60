"""Orphans and tombstones, both in bounded memory."""

from __future__ import annotations

from runstream.core.orphans import Orphans, PendingEvent, PendingOrder, Tombstones
from runstream.model.events import Event
from tests.core.support import RUN, decoded, ev
from tests.support.wire import message_creation, message_delta, message_object, step_object


def fragment(message: str, text: str = "x") -> Event:
    """A delta of a message."""
    return decoded(ev("message.delta", message_delta(message, text)))


def events_of(items: list[PendingEvent]) -> list[Event]:
    """The events alone."""
    return [event for event, _, _ in items]


def test_tombstones_remember() -> None:
    """An added key is known, another is not."""
    tombstones = Tombstones(100)
    tombstones.add("run_1")
    assert "run_1" in tombstones
    assert "run_2" not in tombstones


def test_tombstones_are_bounded() -> None:
    """Never more than the limit are kept, and at least the latest half of it."""
    tombstones = Tombstones(10)
    for number in range(1000):
        tombstones.add(f"run_{number}")
        assert len(tombstones._new) + len(tombstones._old) <= 10
    assert all(f"run_{number}" in tombstones for number in range(995, 1000))
    assert "run_0" not in tombstones
    assert tombstones.forgotten + len(tombstones._new) + len(tombstones._old) == 1000


def test_orphans_wait_by_id_in_order() -> None:
    """Events are returned in the order in which they arrived, each once."""
    orphans = Orphans(PendingOrder(10))
    events = [fragment("msg_1", "a"), fragment("msg_2", "b"), fragment("msg_1", "c")]
    for number, event in enumerate(events):
        assert orphans.buffer(event.data.id, event, None, float(number)) == []  # type: ignore[union-attr]
    assert orphans.count == 3
    assert events_of(orphans.pop("msg_1")) == [events[0], events[2]]
    assert orphans.pop("msg_1") == []
    assert orphans.count == 1
    assert orphans.events() == {"msg_2": (events[1],)}


def test_a_fragment_waits_with_its_message() -> None:
    """Once a buffered object names its run, its fragments wait for the same run, so that all keep their order."""
    orphans = Orphans(PendingOrder(10))
    step = decoded(ev("run.step.created", step_object("step_1", RUN, message_creation("msg_1"))))
    message = decoded(ev("message.created", message_object("msg_1", RUN)))
    late = decoded(ev("message.completed", message_object("msg_1", RUN, status="completed")))
    first = fragment("msg_1")
    orphans.buffer("run_1", step, None, 0.0)
    orphans.buffer("msg_1", first, None, 0.0)
    orphans.buffer("run_1", message, None, 0.0)
    orphans.buffer("msg_1", first, None, 0.0)
    orphans.buffer("run_1", late, None, 0.0)
    assert events_of(orphans.pop("run_1")) == [step, first, message, first, late]
    assert not orphans
    assert not orphans._owners


def test_the_oldest_orphan_is_removed() -> None:
    """Over the limit the oldest of all events is removed, whatever it waits for."""
    orphans = Orphans(PendingOrder(3))
    events = [fragment("msg_1", "0"), fragment("msg_2", "1"), fragment("msg_1", "2"), fragment("msg_3", "3")]
    dropped = [orphans.buffer(event.data.id, event, None, 0.0) for event in events]  # type: ignore[union-attr]
    assert [[each for each, _, _ in items] for items in dropped] == [[], [], [], [events[0]]]
    for event in events[:2]:
        gone = orphans.buffer(event.data.id, event, None, 0.0)  # type: ignore[union-attr]
        events += [each for each, _, _ in gone]
    assert events[4:] == [events[1], events[2]]
    assert orphans.count == 3


def test_orphans_leave_nothing_behind() -> None:
    """However many come and go, their number stays within the limit."""
    orphans = Orphans(PendingOrder(5))
    for number in range(200):
        message = decoded(ev("message.created", message_object(f"msg_{number}", {**RUN, "id": f"run_{number % 7}"})))
        orphans.buffer(f"run_{number % 7}", message, None, 0.0)
        if number % 11 == 0:
            orphans.pop(f"run_{number % 5}")
    assert orphans.count <= 5
    assert len(orphans._events) <= 5
    assert len(orphans._owners) <= 5


def test_the_oldest_orphan_of_all_scopes_is_removed() -> None:
    """One limit counts for all scopes together: the oldest event of all is removed."""
    waiting = PendingOrder(2)
    one, other = Orphans(waiting), Orphans(waiting)
    first, second, third = fragment("msg_1"), fragment("msg_1"), fragment("msg_2")
    assert one.buffer("msg_1", first, None, 0.0) == []
    assert other.buffer("msg_1", second, None, 0.0) == []
    ((gone, _, _),) = other.buffer("msg_2", third, None, 0.0)
    assert gone is first
    assert not one
    assert (one.count, other.count) == (0, 2)
    other.pop("msg_1")
    assert one.buffer("msg_1", first, None, 0.0) == []
