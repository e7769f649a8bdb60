"""A tally counts strings, and each of its versions stays as it was."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from runstream.core.tally import NO_TALLY, Tally


@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc")), max_size=30))
def test_every_version_counts_its_own_strings(steps: list[tuple[int, str]]) -> None:
    """Strings are added to any earlier version: no version sees the strings of another."""
    versions: list[tuple[Tally, list[str]]] = [(NO_TALLY, [])]
    for place, key in steps:
        tally, keys = versions[place % len(versions)]
        versions.append((tally.add(key), [*keys, key]))
    for tally, keys in versions:
        assert (tally.keys(), len(tally)) == (keys, len(keys))
        assert {key: tally.count(key) for key in "abcd"} == {key: Counter(keys)[key] for key in "abcd"}
        assert [key in tally for key in "abcd"] == [key in keys for key in "abcd"]
        assert tally == Tally(keys)
        assert repr(tally) == f"Tally({keys!r})"
    assert len({tally for tally, _ in versions}) <= len(versions)
    assert NO_TALLY.keys() == []


def test_versions_in_order_share_one_log() -> None:
    """Adding to the latest version copies nothing."""
    first = Tally(["a"])
    second = first.add("b")
    assert second._log is first._log
    assert first.add("c")._log is not first._log
