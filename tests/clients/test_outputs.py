"""Outputs of tools as text, and the default words for failures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

import msgspec
import pytest

from runstream.clients.outputs import FailureKind, ToolError, ToolFailed, encode_output, failure_output, json_value
from runstream.clients.tools import ToolArgumentsError


@dataclass
class Level:
    """A result."""

    metres: float
    at: date


class Model:
    """An object with the method of Pydantic's models."""

    def model_dump(self, *, mode: str) -> dict[str, str]:
        return {"mode": mode}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a word", "a word"),
        ('{"a": 1}', '{"a": 1}'),
        (None, "null"),
        (True, "true"),
        ({"a": [1, 2.5]}, '{"a":[1,2.5]}'),
        (Level(1.5, date(2026, 3, 1)), '{"metres":1.5,"at":"2026-03-01"}'),
        ([Model()], '[{"mode":"json"}]'),
        ((), "[]"),
    ],
)
def test_results(value: Any, text: str) -> None:
    """Text is sent as it is, anything else as JSON."""
    assert encode_output(value) == text


def circle() -> list[Any]:
    """A list that contains itself."""
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize("value", [object(), {1j}, circle()], ids=["object", "complex", "circle"])
def test_results_without_json(value: Any) -> None:
    """What has no form in JSON is an error, and never an exception of another kind."""
    with pytest.raises((TypeError, ValueError)):
        encode_output(value)


@pytest.mark.parametrize(
    ("kind", "error", "text"),
    [
        ("arguments", ToolArgumentsError("$.city is no text"), "error: $.city is no text"),
        ("exception", ToolError("no such city"), "error: no such city"),
        ("exception", KeyError("password=1234"), "error: the tool failed (KeyError)"),
        ("timeout", TimeoutError(), "error: the tool did not return in time"),
        ("result", TypeError("x"), "error: the tool failed: its result can't be encoded"),
    ],
)
def test_the_default_words(kind: FailureKind, error: Exception, text: str) -> None:
    """The message of an exception goes to the model only if it was meant for it."""
    failure = ToolFailed("weather", "run_1/call/call_1", kind, error)
    assert failure_output(failure) == text
    assert "1234" not in str(failure)


@pytest.mark.parametrize("value", ["caf\udce9", {"name": "caf\udce9"}, ["a", {"b": "\ud83d"}]])
def test_text_that_is_no_unicode(value: Any) -> None:
    """Such as the name of a file: U+FFFD is in its place."""
    if isinstance(value, str):
        assert encode_output(value) == "caf\ufffd"
    assert "\ufffd" in str(json_value(value))
    msgspec.json.encode(json_value(value))


def test_answers_as_builtins() -> None:
    assert json_value([Level(1.5, date(2026, 3, 1)), Model(), "a"]) == [
        {"metres": 1.5, "at": "2026-03-01"},
        {"mode": "json"},
        "a",
    ]
    for value in (object(), {1j}, circle(), [1, object()]):
        with pytest.raises(TypeError):
            json_value(value)
