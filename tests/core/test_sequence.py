"""What the ids of a source's events prove, and what they do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.core.dedupe import Sighting
from runstream.core.sequence import GAP_STREAK, RESUME_STREAK, SequenceStatus, SequenceTracker, split_number

NEW, DUPLICATE, CONFLICT = Sighting.NEW, Sighting.DUPLICATE, Sighting.CONFLICT
FORMS: dict[str, Callable[[int], str | int]] = {"int": int, "digits": str, "prefix": lambda n: f"evt-{n:06}"}


def seen(*numbers: int, form: Callable[[int], str | int] = int) -> SequenceTracker:
    """After these ids, each new."""
    tracker = SequenceTracker()
    for number in numbers:
        assert tracker.see(form(number), NEW) is SequenceStatus.NOTHING
    return tracker


@pytest.mark.parametrize("form", FORMS)
def test_a_skip_in_a_sequence_is_a_gap_once(form: str) -> None:
    """What follows the gap is a sequence anew, in time."""
    make = FORMS[form]
    tracker = seen(*range(90, 90 + GAP_STREAK + 1), form=make)
    assert tracker.see(make(200), NEW) is SequenceStatus.GAP
    assert tracker.see(make(201), NEW) is SequenceStatus.NOTHING
    assert tracker.see(make(300), NEW) is SequenceStatus.NOTHING
    for number in range(301, 301 + GAP_STREAK):
        tracker.see(make(number), NEW)
    assert tracker.see(make(302 + GAP_STREAK), NEW) is SequenceStatus.GAP


@pytest.mark.parametrize("form", FORMS)
def test_the_next_id_proves_a_resume(form: str) -> None:
    """And only the first one after the reconnect is asked."""
    make = FORMS[form]
    tracker = seen(*range(RESUME_STREAK + 1), form=make)
    tracker.reconnected()
    assert tracker.see(make(RESUME_STREAK + 1), NEW) is SequenceStatus.RESUMED
    assert not tracker.after_reconnect
    assert tracker.see(make(RESUME_STREAK + 2), NEW) is SequenceStatus.NOTHING


def after_restart(last: str) -> SequenceTracker:
    """Of a process that asks for what comes after this id."""
    tracker = SequenceTracker()
    tracker.restored(last)
    assert tracker.after_reconnect
    return tracker


@pytest.mark.parametrize("form", ["digits", "prefix"])
def test_the_next_id_proves_a_resume_after_a_restart(form: str) -> None:
    """One that skips, comes again, counts nothing, or may be the first of a new numbering does not."""
    make = FORMS[form]
    assert after_restart(str(make(40))).see(make(41), NEW) is SequenceStatus.RESUMED
    for id in (make(42), make(40), make(1), "other-41", "x"):
        assert after_restart(str(make(40))).see(id, NEW) is SequenceStatus.NOTHING
    assert after_restart(str(make(0))).see(make(1), NEW) is SequenceStatus.NOTHING
    assert after_restart("b").see("c", NEW) is SequenceStatus.NOTHING


def test_an_event_that_came_before_proves_it_too_whatever_its_id() -> None:
    """The server tells again from a place that is known."""
    for ids in (["a", "b"], [7, 8], ["x1", "y"]):
        tracker = SequenceTracker()
        for id in ids:
            tracker.see(id, NEW)
        tracker.reconnected()
        assert tracker.see(ids[0], DUPLICATE) is SequenceStatus.RESUMED


def test_what_is_told_again_need_not_come_as_far_as_before() -> None:
    """A replay that is cut takes nothing back: the next id is still the one after the furthest."""
    tracker = seen(*range(1, 20))
    tracker.reconnected()
    assert tracker.see(5, DUPLICATE) is SequenceStatus.RESUMED
    tracker.reconnected()
    assert tracker.see(20, NEW) is SequenceStatus.RESUMED
    assert tracker.see(6, DUPLICATE) is SequenceStatus.NOTHING
    assert tracker.see(21, NEW) is SequenceStatus.NOTHING
    assert tracker.see(23, NEW) is SequenceStatus.GAP


def test_a_gap_in_what_is_told_again_is_a_gap() -> None:
    """A replay counts on from where it begins."""
    tracker = seen(*range(1, 20))
    tracker.reconnected()
    assert tracker.see(5, DUPLICATE) is SequenceStatus.RESUMED
    assert tracker.see(6, DUPLICATE) is SequenceStatus.NOTHING
    assert tracker.see(25, NEW) is SequenceStatus.GAP


@pytest.mark.parametrize(
    ("id", "sighting"),
    [(50, NEW), (1, CONFLICT), (RESUME_STREAK + 3, NEW), ("other-5", NEW), ("opaque", NEW), (2, NEW)],
)
def test_anything_else_proves_nothing(id: str | int, sighting: Sighting) -> None:
    """Another numbering, an id beyond the next, one that counts nothing; and then the doubt stays one."""
    tracker = seen(*range(RESUME_STREAK + 1))
    tracker.reconnected()
    assert tracker.see(id, sighting) is SequenceStatus.NOTHING
    assert not tracker.after_reconnect


def test_a_few_that_follow_one_another_are_no_proof() -> None:
    """Ids that leave things out do so by chance."""
    tracker = seen(*range(RESUME_STREAK))
    tracker.reconnected()
    assert tracker.see(RESUME_STREAK, NEW) is SequenceStatus.NOTHING


@given(st.lists(st.integers(2, 50), min_size=1), st.integers(-5, 10**9))
def test_ids_that_always_skip_are_no_sequence(steps: list[int], start: int) -> None:
    """Those of one run among many, say."""
    tracker = SequenceTracker()
    number = start
    for step in steps:
        assert tracker.see(number, NEW) is SequenceStatus.NOTHING
        number += step


@given(st.lists(st.sampled_from(["event", "reconnect", "replay"]), max_size=60), st.sampled_from(sorted(FORMS)))
def test_a_source_that_resumes_rightly_never_has_a_gap(steps: list[str], form: str) -> None:
    """However it is cut, and however far back it goes each time; once it counts, each first id proves the resume."""
    make, tracker = FORMS[form], SequenceTracker()
    told, next_id, after_reconnect = 0, 1, False
    for step in steps:
        if step == "event":
            sighting = NEW if next_id > told else DUPLICATE
            verdict = tracker.see(make(next_id), sighting)
            assert verdict is not SequenceStatus.GAP
            if after_reconnect and (sighting is DUPLICATE or told > RESUME_STREAK):
                assert verdict is SequenceStatus.RESUMED
            after_reconnect = False
            told, next_id = max(told, next_id), next_id + 1
        else:
            tracker.reconnected()
            after_reconnect = True
            if step == "replay":
                next_id = max(1, next_id - 3)
    assert tracker.after_reconnect is after_reconnect


@given(st.integers(GAP_STREAK + 1, 60), st.integers(2, 10**6), st.booleans(), st.sampled_from(sorted(FORMS)))
def test_what_is_lost_from_a_sequence_is_always_noticed(count: int, skip: int, cut: bool, form: str) -> None:
    """Within a connection and over a reconnect alike."""
    tracker = seen(*range(count), form=FORMS[form])
    if cut:
        tracker.reconnected()
    assert tracker.see(FORMS[form](count - 1 + skip), NEW) is SequenceStatus.GAP


@given(
    st.lists(
        st.tuples(st.one_of(st.integers(), st.text()), st.sampled_from(Sighting), st.booleans()),
        max_size=40,
    )
)
def test_any_ids_in_any_order_give_a_verdict(steps: list[tuple[str | int, Sighting, bool]]) -> None:
    """It is total; and a resume is told only where there was a doubt."""
    tracker = SequenceTracker()
    for id, sighting, cut in steps:
        if cut:
            tracker.reconnected()
        after_reconnect = tracker.after_reconnect
        verdict = tracker.see(id, sighting)
        assert verdict is not SequenceStatus.RESUMED or after_reconnect


@pytest.mark.parametrize(
    ("id", "split"),
    [
        (7, ("", 7)), ("7", ("", 7)), ("007", ("", 7)), ("run_1:7", ("run_1:", 7)), ("1-0", ("1-", 0)),
        ("", ("", None)), ("abc", ("abc", None)), ("7a", ("7a", None)), ("٣", ("٣", None)),
        ("9" * 18, ("", int("9" * 18))), ("9" * 19, ("9" * 19, None)), ("x" + "9" * 400, ("x" + "9" * 400, None)),
    ],
)  # fmt: skip
def test_what_an_id_counts(id: str | int, split: tuple[str, int | None]) -> None:
    """ASCII digits at its end, up to eighteen."""
    assert split_number(id) == split
