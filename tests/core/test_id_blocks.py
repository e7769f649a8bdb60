"""Ids in blocks: each result is that of a window that stores every id alone."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstream.core.dedupe import Deduper
from runstream.core.id_blocks import IdBlock
from runstream.core.sequence import SequenceTracker
from runstream.core.sighting import Sighting
from runstream.model.counted_ids import split_id
from runstream.model.events import TextAppend
from runstream.model.limits import Stats

FORMS: dict[str, Callable[[int], str | int]] = {
    "int": int,
    "digits": str,
    "prefix": lambda n: f"evt-{n}",
    "width": lambda n: f"evt-{n:04}",
}


class PlainWindow:
    """The window as its rules have it: one entry an id."""

    def __init__(self, window: int) -> None:
        self.window = window
        self.forgotten = 0
        self.seen: OrderedDict[str | int, tuple[TextAppend, str]] = OrderedDict()
        self.by_object: dict[str, dict[str | int, None]] = {}
        self.expendable: deque[str | int] = deque()

    def see(self, event: TextAppend) -> Sighting:
        id = event.id
        assert id is not None
        content = TextAppend(event.object_id, event.target, event.index, event.text)
        known = self.seen.get(id)
        if known is not None:
            if known[0] == content:
                return Sighting.DUPLICATE
            self.seen[id] = (None, known[1])
            return Sighting.CONFLICT
        self.seen[id] = (content, event.object_id)
        self.by_object.setdefault(event.object_id, {})[id] = None
        if len(self.seen) > self.window:
            self.forgotten += 1
            if self.expendable:
                del self.seen[self.expendable.popleft()]
            else:
                oldest, (_, object_id) = self.seen.popitem(last=False)
                del self.by_object[object_id][oldest]
        return Sighting.NEW

    def ended(self, object_id: str) -> None:
        self.expendable.extend(self.by_object.pop(object_id, {}))

    def forget(self, object_id: str) -> int:
        ids = self.by_object.pop(object_id, {})
        for id in ids:
            del self.seen[id]
        return len(ids)


class Source:
    """The way of an id through a source: the hot path if it continues the sequence."""

    def __init__(self, window: int) -> None:
        self.counts = Stats()
        self.dedupe = Deduper(window, self.counts)
        self.sequence = SequenceTracker()

    def see(self, event: TextAppend) -> Sighting:
        assert event.id is not None
        if event.id == self.sequence.next and self.dedupe.add(event, self.sequence):
            return Sighting.NEW
        expected = self.sequence if event.id == self.sequence.next else None
        sighting = self.dedupe.see(event, expected)
        self.sequence.see(event.id, sighting)
        return sighting


def fragment(id: str | int, text: str = "ha", object_id: str = "m0", index: int = 0) -> TextAppend:
    return TextAppend(object_id, "text", index, text, id)


steps = st.one_of(
    st.tuples(st.just("run"), st.integers(0, 90), st.integers(1, 40), st.sampled_from(["m0", "m1"]), st.booleans()),
    st.tuples(st.just("ended"), st.sampled_from(["m0", "m1"])),
    st.tuples(st.just("forget"), st.sampled_from(["m0", "m1"])),
)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(steps, max_size=14),
    st.sampled_from([0, 1, 3, 20, 70, 500]),
    st.lists(st.sampled_from(sorted(FORMS)), min_size=1, max_size=2),
)
def test_blocks_change_no_result(plan: list[tuple[object, ...]], window: int, forms: list[str]) -> None:
    """New, known or in conflict; evicted in the same order; whatever ends or begins again in between."""
    source, plain = Source(window), PlainWindow(window)
    for number, step in enumerate(plan):
        make = FORMS[forms[number % len(forms)]]
        if step[0] == "run":
            _, first, count, object_id, changed = step
            for n in range(first, first + count):  # type: ignore[operator]
                event = fragment(make(n), "other" if changed and n % 3 == 0 else "ha", object_id, n // 50)  # type: ignore[arg-type]
                assert source.see(event) is plain.see(event)
        elif step[0] == "ended":
            source.dedupe.ended(step[1])  # type: ignore[arg-type]
            plain.ended(step[1])  # type: ignore[arg-type]
        else:
            assert source.dedupe.forget(step[1]) == plain.forget(step[1])  # type: ignore[arg-type]
        assert len(source.dedupe) == len(plain.seen)
        assert source.counts.forgotten_ids == plain.forgotten
    for id, (event, object_id) in list(plain.seen.items()):
        again = fragment(id, event.text, event.object_id, event.index) if event is not None else fragment(id)
        expected = Sighting.DUPLICATE if event is not None else Sighting.CONFLICT
        assert source.dedupe.see(again) is expected, object_id


@pytest.mark.parametrize("form", FORMS)
def test_consecutive_fragments_are_stored_as_blocks(form: str) -> None:
    """A thousand ids are few entries, whatever their form."""
    source = Source(65_536)
    for n in range(1000, 2000):
        assert source.see(fragment(FORMS[form](n))) is Sighting.NEW
    assert len(source.dedupe) == 1000
    assert len(source.dedupe._seen) < 25
    assert sum(len(key) for key in source.dedupe._seen if isinstance(key, IdBlock)) > 990


def test_nothing_is_left_of_what_is_forgotten() -> None:
    """Neither pages nor blocks nor ids."""
    source = Source(65_536)
    for n in range(300):
        source.see(fragment(f"e{n}"))
    assert source.dedupe.forget("m0") == 300
    assert len(source.dedupe) == 0
    assert not source.dedupe._seen
    assert not source.dedupe._blocks.pages
    source.see(fragment("e300"))
    source.dedupe.clear()
    assert len(source.dedupe) == 0


def test_a_number_that_is_too_large_is_in_no_block() -> None:
    """Its successor might be longer than a counter."""
    source = Source(100)
    for n in range(10**18 - 20, 10**18):
        assert source.see(fragment(f"e{n}")) is Sighting.NEW
    assert not source.dedupe._blocks.pages
    assert source.see(fragment(f"e{10**18 - 1}")) is Sighting.DUPLICATE


@pytest.mark.parametrize(
    ("id", "split"),
    [
        (7, (None, 7)), (-7, (None, -7)), ("7", ("", 7)), ("007", ("00", 7)), ("run_1:70", ("run_1:", 70)),
        ("1-0", ("1-", 0)), ("1-00", ("1-0", 0)), ("", ("", -1)), ("abc", ("abc", -1)), ("٣", ("٣", -1)),
        ("9" * 18, ("", int("9" * 18))), ("9" * 19, ("9" * 19, -1)),
    ],
)  # fmt: skip
def test_an_id_is_split_before_its_number(id: str | int, split: tuple[str | None, int]) -> None:
    """The two parts together are the id, so no two ids have the same parts."""
    assert split_id(id) == split
