"""The names of the calls of a step: each version as it was, and each call found by its index and its id."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.core.call_names import NO_NAMES, CallNames, base_of

NAMES = st.sampled_from(["a", "a~2", "a~3", "b", "b~7", "c"])


@given(st.lists(st.tuples(st.integers(0, 30), NAMES), max_size=30))
def test_every_version_has_its_own_names(steps: list[tuple[int, str]]) -> None:
    """Names are added to any earlier version: no version sees the names of another."""
    versions: list[tuple[CallNames, list[str]]] = [(NO_NAMES, [])]
    for place, name in steps:
        names, known = versions[place % len(versions)]
        versions.append((names.add(name, 100 - len(known)), [*known, name]))
    for names, known in versions:
        assert (list(names), len(names), bool(names)) == (known, len(known), bool(known))
        assert [name in names for name in ("a", "a~2", "z")] == [name in known for name in ("a", "a~2", "z")]
        for base in "abz":
            of_base = [name for name in known if base_of(name) == base]
            assert names.count(base) == len(of_base)
            assert names.of_id(base) == of_base[::-1], "in the order of their indices"
        for place, name in enumerate(known):
            assert names.at(100 - place, base_of(name)) == name
            assert names.at(100 - place, "z") is None
        assert names.at(100 - len(known), "a") is None
        assert names.indices == tuple(100 - place for place in range(len(known)))
        assert CallNames(known, names.indices).indices == names.indices
        assert CallNames(known).of_id("a") == [name for name in known if base_of(name) == "a"]
        assert names == CallNames(known)
        assert hash(names) == hash(CallNames(known))
        assert repr(names) == f"CallNames({known!r})"
    assert None not in NO_NAMES
    assert NO_NAMES != ()
    with pytest.raises(IndexError):
        NO_NAMES._names[0]
