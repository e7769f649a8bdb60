"""Values and bytes of chunks."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runstream.model.frozen import freeze
from runstream.sinks.ui_message_stream.chunks import chunk_bytes, json_value, readable


def test_a_chunk_is_one_event() -> None:
    block = chunk_bytes({"type": "text-delta", "id": "a", "delta": "one\ntwo\u2028"})
    assert block.startswith(b"data: ")
    assert block.endswith(b"\n\n")
    assert block.count(b"\n") == 2
    assert json.loads(block[6:])["delta"] == "one\ntwo\u2028"


@pytest.mark.parametrize(
    "value",
    [
        {"__proto__": 1},
        [{"a": {"__proto__": {}}}],
        {"constructor": {"prototype": {}}},
        [[{"constructor": {"prototype": 1}}]],
    ],
)
def test_what_the_reader_rejects_is_text(value: Any) -> None:
    found = readable(freeze(value))
    assert isinstance(found, str)
    assert json.loads(found) == value


@pytest.mark.parametrize("value", [{"constructor": 1}, {"prototype": {}}, "__proto__", [{"a": [1, None]}], 1.5, None])
def test_all_else_stays(value: Any) -> None:
    found = readable(freeze(value))
    assert found == value
    json.dumps(found)  # builtins


@pytest.mark.parametrize(
    ("text", "scalars", "value"),
    [
        ('{"a": 1}', False, {"a": 1}),
        (" [1]", False, [1]),
        ("21", False, "21"),
        ("21", True, 21),
        ("{broken", False, "{broken"),
        ("broken", True, "broken"),
        ("", True, ""),
    ],
)
def test_values_of_texts(text: str, scalars: bool, value: Any) -> None:
    assert json_value(text, scalars=scalars) == value
