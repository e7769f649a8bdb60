"""Ids that count."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.model.counted_ids import first_of_counted, split_id


@pytest.mark.parametrize(
    ("id", "parts"),
    [
        ("evt-17", ("evt-", 17)),
        ("17", ("", 17)),
        ("evt-017", ("evt-0", 17)),
        ("000", ("00", 0)),
        ("evt", ("evt", -1)),
        ("", ("", -1)),
        ("9" * 19, ("9" * 19, -1)),
        ("x١", ("x١", -1)),
        (17, (None, 17)),
    ],
)
def test_the_number_is_split_off(id: str | int, parts: tuple[str | None, int]) -> None:
    """Without the zeros in front of it, which are no part of a number."""
    assert split_id(id) == parts


@given(prefix=st.sampled_from(["", "evt-", "a1/"]), start=st.integers(0, 10**17), count=st.integers(1, 20))
def test_ids_that_count_have_a_first_one(prefix: str, start: int, count: int) -> None:
    """Its parts make all of them."""
    ids = [f"{prefix}{number}" for number in range(start, start + count)]
    found = first_of_counted(ids)
    assert found is not None
    assert "".join(map(str, found)) == ids[0]
    assert split_id(ids[0]) == found


@pytest.mark.parametrize(
    "ids", [["a"], ["a1", "a3"], ["a1", "a1"], ["a2", "a1"], ["a1", ""], ["", "a1"], ["a09", "a10"]]
)
def test_ids_that_do_not_count_have_none(ids: list[str]) -> None:
    """Here with a gap, a repetition, another order, a hole, and a number of fixed width."""
    assert first_of_counted(ids) is None
