"""The beginning of a JSON value as text."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runstream.model.frozen import freeze
from runstream.sinks.excerpt import excerpt
from runstream.testing import json_values


@given(json_values(), st.integers(0, 40))
def test_it_is_the_beginning_of_the_json(value: Any, size: int) -> None:
    """Whole where it fits, else cut with an ellipsis; never longer."""
    whole = excerpt(freeze(value), 10_000)
    assert json.loads(whole) == value
    cut = excerpt(value, size)
    assert len(cut) <= max(size, 1)
    assert cut == whole or (cut[-1] == "…" and whole.startswith(cut[:-1]))


def test_a_long_text_and_a_lone_surrogate() -> None:
    """A text that is longer than the room, and one that can't be encoded."""
    assert excerpt({"a": "x" * 10**6}, 20) == '{"a": "xxxxxxxxxxxx…'
    assert excerpt("\ud800", 20) == '"?"'
