"""The immutable sequence of a run's messages and steps."""

from __future__ import annotations

import random

import pytest

from runstream.core.merge import merge
from runstream.core.object_list import NO_OBJECTS, Objects, ObjectState
from runstream.model.message import Message, MessageStatus


def item(number: int, id: str | None = None) -> ObjectState:
    """A message's state."""
    return ObjectState(id or f"msg_{number}", True, Message(id=id or f"msg_{number}"))


def sequence(count: int) -> Objects:
    """A sequence of so many."""
    objects = NO_OBJECTS
    for number in range(count):
        objects = objects.append(item(number))
    return objects


def ids(objects: Objects) -> list[str]:
    """The ids in order."""
    return [found.id for found in objects]


@pytest.mark.parametrize("count", [0, 1, 8, 9, 10, 31, 32, 33, 1024, 1025, 1056, 1057, 5000])
def test_length_order_and_index(count: int) -> None:
    """At every size the objects come in order, are found by position and by id, and nothing else is found."""
    objects = sequence(count)
    expected = [f"msg_{number}" for number in range(count)]
    assert len(objects) == count
    assert ids(objects) == expected
    assert [objects[position].id for position in range(count)] == expected
    assert [objects.find(id) for id in expected] == list(range(count))
    assert objects.find("msg_none") == -1
    assert objects.find(f"msg_{count}") == -1


def test_every_earlier_version_stays() -> None:
    """Appending changes no earlier version: neither what it holds nor what it finds."""
    versions = [NO_OBJECTS]
    for number in range(100):
        versions.append(versions[-1].append(item(number)))
    for count, objects in enumerate(versions):
        assert len(ids(objects)) == count
        assert objects.find(f"msg_{count}") == -1
        assert count == 0 or objects.find(f"msg_{count - 1}") == count - 1


@pytest.mark.parametrize("count", [1, 7, 8, 9, 32, 33, 1500])
def test_set_replaces_one(count: int) -> None:
    """A copy has the new object at its place, the sequence that it was made from has the old one."""
    objects = sequence(count)
    for position in {0, count // 2, count - 1}:
        new = ObjectState(f"msg_{position}", True, Message(id=f"msg_{position}", status=MessageStatus.COMPLETED))
        changed = objects.set(position, new)
        assert changed[position] is new
        assert objects[position] is not new
        assert ids(changed) == ids(objects)
        assert changed.find(f"msg_{position}") == position


@pytest.mark.parametrize("count", [3, 8, 9, 32, 40])
def test_two_versions_of_one_sequence(count: int) -> None:
    """Two that go on from one know each its own objects, and not the other's."""
    base = sequence(count)
    left = base.append(item(0, "left")).append(item(0, "both"))
    right = base.append(item(0, "right")).append(item(0, "more")).append(item(0, "both"))
    assert (left.find("left"), left.find("right"), left.find("both")) == (count, -1, count + 1)
    assert (right.find("right"), right.find("left"), right.find("both")) == (count, -1, count + 2)
    assert base.find("left") == base.find("both") == -1
    again = left.set(0, item(0)).append(item(0, "late"))
    assert (again.find("late"), left.find("late")) == (count + 2, -1)


def test_random_walk() -> None:
    """Thousands of appends, sets and forks agree with plain lists."""
    chance = random.Random(5)
    versions: list[tuple[Objects, list[str]]] = [(NO_OBJECTS, [])]
    for number in range(2000):
        objects, to_builtins = versions[chance.randrange(max(0, len(versions) - 4), len(versions))]
        if to_builtins and chance.random() < 0.3:
            position = chance.randrange(len(to_builtins))
            versions.append((objects.set(position, item(0, to_builtins[position])), to_builtins))
        else:
            versions.append((objects.append(item(number)), [*to_builtins, f"msg_{number}"]))
    for objects, to_builtins in versions[-20:]:
        assert ids(objects) == to_builtins
        assert [objects.find(id) for id in to_builtins] == list(range(len(to_builtins)))
        assert all(
            objects.find(f"msg_{number}") == -1 for number in range(2000) if f"msg_{number}" not in set(to_builtins)
        )


def test_text_of_an_object() -> None:
    """The text of all text parts in order of their indices; of a full message its own; of steps none."""
    parts = merge(None, {"content": [{"index": 2, "text": {"value": "c"}}, {"index": 0, "text": {"value": "a"}}]}, 9)
    assert ObjectState("msg_1", True, None, parts).text() == "ac"
    full = Message.from_json({"id": "msg_1", "content": [{"type": "text", "text": {"value": "x"}}]})
    assert ObjectState("msg_1", True, full).text() == "x"
    assert ObjectState("step_1", False, None, parts).text() == ""
    assert ObjectState("msg_1", True).text() == ""


def test_terminal_by_the_full_object() -> None:
    """An object has ended when its full object says so."""
    assert not ObjectState("msg_1", True).is_terminal
    assert not item(1).is_terminal
    assert ObjectState("msg_1", True, Message(id="msg_1", status=MessageStatus.INCOMPLETE)).is_terminal
