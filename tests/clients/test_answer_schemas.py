"""Answers against the schemas of their interrupts."""

from __future__ import annotations

import dataclasses
import pickle
import sys
from typing import Any

import pytest
from structlog.testing import capture_logs

from runstream.clients.answer_schemas import AnswerNotValid, check_answer
from runstream.model.actions import ActionCall
from runstream.model.signal_base import AwaitedCall

NAMED = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def asked(schema: Any) -> AwaitedCall:
    """An interrupt with a schema."""
    call = ActionCall(id="ask-1", kind="interrupt", response_schema=schema).tool_call
    return AwaitedCall("ask-1", None, None, None, None, call, "run_1/call/ask-1", "interrupt")


@dataclasses.dataclass
class Person:
    """A value of an application."""

    name: str


@pytest.mark.parametrize(
    ("schema", "value"),
    [(NAMED, {"name": "Ada"}), (NAMED, Person("Ada")), ({"type": "string"}, "x"), (None, object()), ({}, 1)],
)
def test_answers_that_fit(schema: Any, value: Any) -> None:
    """Nothing is raised; without a schema nothing is checked."""
    check_answer(asked(schema), value)


@pytest.mark.parametrize(
    ("schema", "value", "place"),
    [
        (NAMED, {"name": 7}, "$.name"),
        (NAMED, {}, "$"),
        ({"type": "array", "items": {"enum": ["a"]}}, ["a", "b"], "$[1]"),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 3, "exclusiveMinimum": True}, 3, "$"),
    ],
)
def test_answers_that_do_not_fit(schema: Any, value: Any, place: str) -> None:
    """The exception has the place; it is a ValueError, and can be pickled."""
    with pytest.raises(AnswerNotValid, match="ask-1") as caught:
        check_answer(asked(schema), value)
    assert isinstance(caught.value, ValueError)
    assert (caught.value.place, caught.value.call_id) == (place, "ask-1")
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)


def test_an_answer_that_can_not_be_encoded() -> None:
    """It has no form in JSON."""
    with pytest.raises(TypeError):
        check_answer(asked(NAMED), object())


@pytest.mark.parametrize(
    "schema",
    [
        {"type": 5},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "#"},
        {"pattern": "("},
        {"$schema": "http://json-schema.org/draft-04/schema#", "pattern": "("},
    ],
    ids=["not a schema", "another document", "endless", "no pattern", "no pattern of draft 4"],
)
def test_schemas_that_can_not_be_used(schema: Any) -> None:
    """The answer is not checked, and the log says so. Nothing is fetched."""
    with capture_logs() as lines:
        check_answer(asked(schema), "x")
    (line,) = lines
    assert line["event"] == "answer_not_checked"
    assert "can't be used" in line["reason"]


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answer is not checked, and the log says so."""
    monkeypatch.setitem(sys.modules, "jsonschema", None)
    with capture_logs() as lines:
        check_answer(asked(NAMED), 7)
    assert [line["reason"] for line in lines] == ["the extra 'schema' is not installed"]
