"""The value of a JSON text that grows."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.model.growing_json import parse_growing

ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)
VALUES = st.lists(ANY, max_size=3) | st.dictionaries(st.text(max_size=4), ANY, max_size=3)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (None, None),
        ("", None),
        ("{", {}),
        ('{"ci', {}),
        ('{"city"', {}),
        ('{"city":', {}),
        ('{"city": "', {"city": ""}),
        ('{"city": "Os', {"city": "Os"}),
        ('{"city": "a\\', {"city": "a"}),
        ('{"city": "a\\u00e', {"city": "a"}),
        ('{"city": "a\\ud83d\\ude', {"city": "a"}),
        ('{"city": "a\\\\', {"city": "a\\"}),
        ('{"city": "Oslo", "da', {"city": "Oslo"}),
        ('{"city": "Oslo", "days": 1', {"city": "Oslo"}),
        ('{"city": "Oslo", "days": 12,', {"city": "Oslo", "days": 12}),
        ('{"a": tru', {}),
        ('{"a": true', {"a": True}),
        ('{"a": [1, 2', {"a": [1]}),
        ('{"a": [1, {"b": "c', {"a": [1, {"b": "c"}]}),
        ('["a", ', ["a"]),
        ("[", []),
        ("}", None),
        ("not json", None),
        ('{"a": 1]', None),
    ],
)
def test_beginnings(text: str | None, value: Any) -> None:
    """What is whole is there, a string as far as it goes."""
    assert parse_growing(text) == value


@given(VALUES, st.booleans(), st.data())
def test_a_beginning_says_nothing_that_the_whole_does_not(value: Any, ascii_only: bool, data: st.DataObject) -> None:
    """Each value of a beginning is in the whole at the same place; only strings may be shorter."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    cut = data.draw(st.integers(0, len(text)))
    found = parse_growing(text[:cut])
    assert found is None or is_beginning(found, value)
    if cut == len(text):
        assert found == value


def is_beginning(found: Any, whole: Any) -> bool:
    """True if a value may be the beginning of another."""
    if isinstance(whole, dict):
        return isinstance(found, dict) and all(key in whole and is_beginning(found[key], whole[key]) for key in found)
    if isinstance(whole, list):
        if not isinstance(found, list) or len(found) > len(whole):
            return False
        return all(is_beginning(item, other) for item, other in zip(found, whole, strict=False))
    if isinstance(whole, str):
        return isinstance(found, str) and whole.startswith(found)
    return type(found) is type(whole) and found == whole


@given(st.text())
def test_any_text(text: str) -> None:
    """No text raises."""
    parse_growing(text)


def test_deep_nesting_has_no_value() -> None:
    """Text beyond the limit of nesting is not read."""
    assert parse_growing('{"a":' * 100_000) is None
