"""Deduplication by identity, in bounded memory."""

from __future__ import annotations

from typing import Any

import pytest

from runstream.core.dedupe import Deduper, Sighting
from runstream.model.events import Event
from tests.core.support import RUN, decoded, ev
from tests.support.wire import message_delta, thread_object


def fragment(id: str | None, text: str = "ha", message: str = "msg_1") -> Event:
    """A message delta with this event id."""
    return decoded(ev("message.delta", message_delta(message, text), id))


def test_an_id_is_new_once() -> None:
    """The same event with the same id is a duplicate, at any later moment."""
    dedupe = Deduper()
    assert dedupe.see(fragment("1")) is Sighting.NEW
    assert dedupe.see(fragment("2")) is Sighting.NEW
    assert dedupe.see(fragment("1")) is Sighting.DUPLICATE


def test_without_an_id_nothing_is_a_duplicate() -> None:
    """Two equal deltas without ids are legitimate text, and leave nothing behind."""
    dedupe = Deduper()
    assert [dedupe.see(fragment(None)) for _ in range(3)] == [Sighting.NEW] * 3
    assert len(dedupe) == 0


def test_the_same_id_with_other_content_passes() -> None:
    """The same id with other content is a conflict; from then on the id names no event, and proves no repetition."""
    dedupe = Deduper()
    dedupe.see(fragment("1", "a"))
    assert dedupe.see(fragment("1", "b")) is Sighting.CONFLICT
    assert dedupe.see(fragment("1", "b")) is Sighting.CONFLICT
    assert dedupe.see(fragment("1", "a")) is Sighting.CONFLICT
    assert dedupe.see(fragment("2", "a")) is Sighting.NEW
    assert dedupe.see(fragment("2", "a")) is Sighting.DUPLICATE


def test_the_name_is_part_of_the_content() -> None:
    """`created` and `queued` carry identical payloads: with one id they are two events."""
    dedupe = Deduper()
    assert dedupe.see(decoded(ev("run.created", RUN, "1"))) is Sighting.NEW
    assert dedupe.see(decoded(ev("run.queued", RUN, "1"))) is Sighting.CONFLICT


def test_white_space_is_no_content() -> None:
    """A relay that writes the same JSON otherwise sends the same event."""
    dedupe = Deduper()
    raw = ev("message.delta", message_delta("msg_1", "ha"), "1")
    assert dedupe.see(decoded(raw)) is Sighting.NEW
    assert dedupe.see(decoded(type(raw)(raw.event, b" " + raw.data.replace(b":", b" : "), "1"))) is Sighting.DUPLICATE


def test_the_window_is_bounded() -> None:
    """Beyond the window the oldest id is forgotten, and seen anew if it comes again."""
    dedupe = Deduper(window=3)
    for number in range(10):
        dedupe.see(fragment(str(number)))
    assert len(dedupe) == 3
    assert [dedupe.see(fragment(str(number))) for number in (9, 8, 7)] == [Sighting.DUPLICATE] * 3
    assert dedupe.see(fragment("6")) is Sighting.NEW


def test_the_ids_of_what_has_ended_go_first() -> None:
    """An ended object absorbs repetitions itself, so its ids give way before those of open ones."""
    dedupe = Deduper(window=4)
    for id, message in [("a1", "a"), ("b1", "b"), ("a2", "a"), ("b2", "b")]:
        dedupe.see(fragment(id, message=message))
    dedupe.ended("b")
    dedupe.see(fragment("c1", message="c"))
    dedupe.see(fragment("c2", message="c"))
    assert [dedupe.see(fragment(id, message="a")) for id in ("a1", "a2")] == [Sighting.DUPLICATE] * 2
    assert len(dedupe) == 4
    assert dedupe.see(fragment("b1", message="b")) is Sighting.NEW


def test_events_of_no_object_go_before_those_of_open_ones() -> None:
    """`done` and the like belong to nothing that could be told again."""
    dedupe = Deduper(window=2)
    dedupe.see(fragment("a1", message="a"))
    dedupe.see(decoded(ev("done", "[DONE]", "d1")))
    dedupe.see(fragment("a2", message="a"))
    assert dedupe.see(fragment("a1", message="a")) is Sighting.DUPLICATE


def test_objects_that_never_end_leave_nothing_behind() -> None:
    """Memory is bounded by the window even for objects that no event ever ends, such as threads."""
    dedupe = Deduper(window=8)
    for number in range(100):
        dedupe.see(decoded(ev("created", thread_object(f"thread_{number}"), str(number))))
    assert len(dedupe) == 8
    assert len(dedupe._by_object) <= 8


def test_ending_an_object_twice_or_unknown_is_harmless() -> None:
    """What has no ids can end too."""
    dedupe = Deduper(window=2)
    dedupe.see(fragment("1"))
    for _ in range(2):
        dedupe.ended("msg_1")
        dedupe.ended("msg_2")
    for number in range(5):
        dedupe.see(fragment(f"x{number}"))
    assert len(dedupe) == 2


def test_what_is_told_again_from_its_start_counts_anew() -> None:
    """Only the ids of that object are forgotten, and nothing is left of them."""
    dedupe = Deduper(window=8)
    for number in range(3):
        dedupe.see(fragment(f"a{number}", message="a"))
        dedupe.see(fragment(f"b{number}", message="b"))
    assert dedupe.forget("a") == 3
    assert dedupe.forget("unknown") == 0
    assert len(dedupe) == 3
    assert dedupe.see(fragment("a1", message="a")) is Sighting.NEW
    assert dedupe.see(fragment("b1", message="b")) is Sighting.DUPLICATE
    dedupe.ended("a")
    assert dedupe.see(fragment("a1", message="a")) is Sighting.DUPLICATE


@pytest.mark.parametrize(
    ("one", "other", "sighting"),
    [
        ({"metadata": {"a": "1", "b": "2"}}, {"metadata": {"b": "2", "a": "1"}}, Sighting.DUPLICATE),
        ({"metadata": {"a": "1"}}, {"metadata": {"a": "2"}}, Sighting.CONFLICT),
        ({"new": [1, {"x": 10**30}]}, {"new": [1, {"x": 10**30}]}, Sighting.DUPLICATE),
        ({"new": [1, {"x": 10**30}]}, {"new": [1, {"x": 10**30 + 1}]}, Sighting.CONFLICT),
        ({"temperature": 0.5}, {"temperature": 0.25}, Sighting.CONFLICT),
    ],
)
def test_each_field_of_a_snapshot_is_content(one: dict[str, Any], other: dict[str, Any], sighting: Sighting) -> None:
    """Fields without a type too, and numbers of any length; the order of keys is none."""
    dedupe = Deduper()
    first, second = (decoded(ev("run.queued", {**RUN, **fields}, "1")) for fields in (one, other))
    assert dedupe.see(first) is Sighting.NEW
    assert dedupe.see(second) is sighting
