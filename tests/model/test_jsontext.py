"""JSON in: what is let through, and how deep it may nest."""

from __future__ import annotations

import json
from collections import OrderedDict
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.engine.fold import fold
from runstream.errors import DecodeError
from runstream.model import FrozenList, FrozenMap, RunStatus
from runstream.model.jsontext import (
    MAX_NESTING,
    STREAM_TEXT,
    decode_json,
    format_path,
    json_bytes,
    nesting_depth,
    not_json_reason,
    to_builtins,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=30,
)


def depth(value: Any) -> int:
    """How deeply a value nests, counted on the value."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max((depth(item) for item in inner), default=0)


@given(JSON, st.integers(0, 300))
def test_nesting_is_never_underestimated(value: Any, levels: int) -> None:
    """The count of levels in a text is right where it matters: beyond the limit."""
    for _ in range(levels):
        value = [value, "[{"]
    text = json.dumps(value).encode()
    counted, real = nesting_depth(text), depth(value)
    assert counted >= min(real, MAX_NESTING + 1)
    assert (counted > MAX_NESTING) == (real > MAX_NESTING) or counted == real


@given(st.binary(max_size=400) | st.text(alphabet='{}[]"\\a', max_size=400).map(str.encode))
def test_any_bytes_have_a_nesting(data: bytes) -> None:
    """Counting needs no valid JSON."""
    assert 0 <= nesting_depth(data) <= len(data)


@given(st.text(alphabet="{}[]", max_size=400), st.integers(1, 40))
def test_the_limit_is_exceeded_exactly_where_it_is(text: str, limit: int) -> None:
    """Blocks that are only counted give the verdict of a count bracket by bracket."""
    depth = deepest = 0
    for bracket in text:
        depth += 1 if bracket in "{[" else -1
        deepest = max(deepest, depth)
    found = nesting_depth(text.encode(), limit)
    assert (found > limit) == (deepest > limit)


@pytest.mark.parametrize(
    "data",
    [b"[" * 8_000_000, b'{"a":' * 2_000_000, b'["x",' * 2_000_000, b"[" * 129 + b"[]," * 2_000_000],
    ids=["lists", "objects", "strings", "behind the limit"],
)
def test_nesting_is_refused_at_the_limit(data: bytes) -> None:
    """The text behind the limit is not read bracket by bracket: with a quadratic reader this test would not end."""
    assert nesting_depth(data) == MAX_NESTING + 1


def test_a_wide_text_is_counted_in_blocks() -> None:
    """Many brackets of small depth are no deep nesting."""
    assert nesting_depth(b"[" + b"[],{}," * 2_000_000 + b"0]") <= MAX_NESTING


def test_counting_is_quick() -> None:
    """Text that is full of quotes and escapes takes no more than linear time."""
    for data in (b'"' + b'\\"' * 2_000_000, b'"[' * 1_000_000, b"[]" * 1_000_000, b'"\\' * 1_000_000):
        assert nesting_depth(data) >= 0


@given(JSON)
def test_builtins_pass_through(value: Any) -> None:
    """JSON builtins come out equal, as a copy."""
    found = to_builtins(value)
    assert found == value
    assert found is not value or not isinstance(value, dict | list)


def test_other_kinds_of_values_become_builtins() -> None:
    """Subclasses and other mappings are turned into what JSON has."""

    class Number(int):
        pass

    class Real(float):
        pass

    value = OrderedDict(
        a=MappingProxyType({"b": (Number(5), Real(1.5))}),
        c=FrozenMap({"d": [1]}),
        e=FrozenList([{}]),
        f=RunStatus.QUEUED,
        g=RunStatus("new"),
    )
    found = to_builtins(value)
    assert found == {"a": {"b": [5, 1.5]}, "c": {"d": [1]}, "e": [{}], "f": "queued", "g": "new"}
    assert {type(item) for item in found["a"]["b"]} == {int, float}
    assert {type(item) for item in found.values()} == {dict, list, str}
    assert to_builtins(True) is True


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": [0, {"b": float("nan")}]}, "$.a[1].b"),
        ({"a b": object()}, '$["a b"]'),
        ({"": b""}, '$[""]'),
        ({"a": {5: 1}}, "$.a"),
        ({"ok": 1 << 20_000}, "$.ok"),
        ({"ok": -(1 << 20_000)}, "$.ok"),
    ],
)
def test_what_json_does_not_have(value: Any, path: str) -> None:
    """The error names the place."""
    with pytest.raises(DecodeError) as caught:
        to_builtins(value)
    assert caught.value.path == path


def test_paths() -> None:
    """Names are joined by dots, anything else stands in brackets."""
    assert format_path("$") == "$"
    assert format_path((("$.data", "tools"), 0)) == "$.data.tools[0]"
    assert format_path(("$", 'a"b')) == r'$["a\"b"]'
    assert format_path(("$", "\ud800")) == '$["?"]'


def test_decoding() -> None:
    """Text in any form is decoded; everything that is none of it is one kind of error."""
    assert decode_json('{"a": 1}') == decode_json(b'{"a": 1}') == {"a": 1}
    assert json_bytes(memoryview(b"x")) == json_bytes(bytearray(b"x")) == b"x"  # type: ignore[arg-type]
    for text in ("", "{", "\ud800", b"\xff", b'"\xff', "1e999", "9" * 5000, "[" * 129 + "]" * 129):
        with pytest.raises(DecodeError):
            decode_json(text)
    assert decode_json("[" * 128 + "]" * 128)


@pytest.mark.parametrize(
    ("data", "is_text"),
    [
        (b"data: {}\n\n", True),
        (b"\n event: a", True),
        (b": alive", True),
        (b"{", False),
        (b"database", False),
        (b"", False),
    ],
)
def test_text_of_an_event_stream_is_named_as_such(data: bytes, is_text: bool) -> None:
    """The reason names the class that reads chunks of a response body."""
    assert (not_json_reason(data, "bad") == STREAM_TEXT) is is_text
    assert is_text or not_json_reason(data, "bad") == "Not JSON: bad"
    assert not_json_reason(b"{", "").endswith("nested too deeply")


@pytest.mark.parametrize("dialect", [None, "assistants", "responses", "ag-ui", "langgraph", "langgraph-thread"])
def test_each_dialect_names_text_of_an_event_stream(dialect: str | None) -> None:
    """Chunks that were passed as raw events have one reason in every dialect."""
    found = fold([b'data: {"type": "x"}\n\n'], dialect=dialect)
    assert [reject.reason for reject in found.rejects] == [STREAM_TEXT]
