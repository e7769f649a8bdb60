"""Dialects by name: who is found, how factories are called, and what is refused with which words."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

import pytest

import runstream
from runstream.dialects import registry
from runstream.dialects.assistants import AssistantsDialect
from runstream.dialects.auto import AutoDialect
from runstream.dialects.base import Dialect
from runstream.dialects.registry import (
    DialectFactory,
    FindRun,
    ResolvedFactory,
    dialect_names,
    find_dialect,
    make_dialect,
    register_dialect,
)
from runstream.model.events import Reject
from runstream.model.limits import Limits
from runstream.model.raw import RawEvent
from tests.support.dialects import WordsDialect

ANSWER = WordsDialect()


class Seen:
    """Notes the keyword arguments of each call of the factories that it makes."""

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []

    def note(self, **given: Any) -> Dialect:
        self.calls.append(given)
        return ANSWER

    def whole(
        self, *, continues: str | None = None, memory: bytes | None = None, find_run: FindRun | None = None
    ) -> Dialect:
        return self.note(continues=continues, memory=memory, find_run=find_run)

    def plain(self) -> Dialect:
        return self.note()

    def positional(self, continues: str | None, memory: bytes | None = None) -> Dialect:
        return self.note(continues=continues, memory=memory)

    def half(self, *, memory: bytes | None = None, retries: int = 3) -> Dialect:
        return self.note(memory=memory)

    def bounded(self, *, limits: Limits | None = None, continues: str | None = None) -> Dialect:
        return self.note(limits=limits, continues=continues)


def find_none(id: str) -> str | None:
    return None


def test_the_assistants_wire_has_a_name() -> None:
    assert dialect_names() == ("ag-ui", "assistants", "auto", "langgraph", "langgraph-thread", "responses")
    assert type(find_dialect("assistants")()) is AssistantsDialect
    assert type(make_dialect(None)) is AutoDialect


def test_each_source_has_a_decoder_of_its_own() -> None:
    factory = find_dialect("assistants")
    assert factory(continues="run_1", memory=b"x") is not factory()


@pytest.mark.parametrize("name", ["assistants", None])
@pytest.mark.parametrize(
    ("limits", "data"),
    [
        (Limits(max_message_bytes=64), b'{"event":"x","data":"' + b"x" * 64 + b'"}'),
        (Limits(max_nesting=3), b"[[[[]]]]"),
    ],
    ids=["bytes", "nesting"],
)
def test_the_limits_reach_the_dialect_of_a_name(name: str | None, limits: Limits, data: bytes) -> None:
    """As they reach the default; an instance or a factory of one's own has its own."""
    found = make_dialect(name, limits=limits).decode(RawEvent(data=data))
    assert isinstance(found, Reject)
    assert "max_" in found.reason
    for own in (AssistantsDialect(), AssistantsDialect, partial(AssistantsDialect, max_nesting=99)):
        found = make_dialect(own, limits=limits).decode(RawEvent(data=data))
        assert not (isinstance(found, Reject) and "max_" in found.reason)


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ("whole", {"continues": "run_1", "memory": b"m", "find_run": find_none}),
        ("plain", {}),
        ("positional", {"continues": "run_1", "memory": b"m"}),
        ("half", {"memory": b"m"}),
        ("bounded", {"continues": "run_1", "limits": Limits()}),
        ("note", {"continues": "run_1", "memory": b"m", "find_run": find_none}),
    ],
)
def test_a_factory_is_called_with_what_it_takes(form: str, expected: dict[str, Any], words_dialect: str) -> None:
    """The contract's keywords, or those of them that it has, or none; by itself and by its name."""
    seen = Seen()
    register_dialect("seen", getattr(seen, form))
    for given in (getattr(seen, form), "seen", find_dialect("seen")):
        made = make_dialect(given, continues="run_1", memory=b"m", find_run=find_none, limits=Limits())
        assert made is ANSWER
        assert seen.calls.pop() == expected


def test_classes_and_partials_are_factories() -> None:
    assert make_dialect(WordsDialect, continues="run_1").continues == "run_1"  # type: ignore[attr-defined]
    assert make_dialect(partial(WordsDialect, memory=b"mine"), continues="run_1").continues == "run_1"  # type: ignore[attr-defined]
    assert type(make_dialect(AssistantsDialect, continues="run_1")) is AssistantsDialect


def test_a_builtin_without_a_signature_is_called_without_arguments() -> None:
    assert make_dialect(type("Bare", (dict,), {"connection": 0}), continues="x") == {}  # type: ignore[comparison-overlap]


def test_a_decoder_is_used_as_it_is() -> None:
    assert make_dialect(ANSWER, continues="run_1") is ANSWER


def test_what_is_found_is_found_again() -> None:
    """Who looks a factory up once has no further cost."""
    found = find_dialect(WordsDialect)
    assert isinstance(found, ResolvedFactory)
    assert find_dialect(found) is found
    factory: DialectFactory = found
    assert type(factory()) is WordsDialect


def test_registered_names_are_listed_and_found(words_dialect: str) -> None:
    assert runstream.dialect_names() == (
        "ag-ui",
        "assistants",
        "auto",
        "langgraph",
        "langgraph-thread",
        "responses",
        "words",
    )
    assert type(make_dialect("words")) is WordsDialect


def test_a_later_registration_replaces_an_earlier_one(words_dialect: str) -> None:
    """As in a notebook, whose cell runs again; what was made before goes on as it is."""
    before = find_dialect("words")
    runstream.register_dialect("words", AssistantsDialect)
    assert type(make_dialect("words")) is AssistantsDialect
    assert type(before()) is WordsDialect


def test_an_unknown_name_is_answered_with_those_that_are_known(words_dialect: str) -> None:
    expected = (
        "'assistant' is not a registered dialect. Registered: "
        "'ag-ui', 'assistants', 'auto', 'langgraph', 'langgraph-thread', 'responses', 'words'. "
        "runstream.register_dialect(name, factory) adds another one"
    )
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        find_dialect("assistant")


@pytest.mark.parametrize("name", ["assistants", "auto", ""])
def test_names_that_are_refused(name: str, words_dialect: str) -> None:
    """The library's own are the library's."""
    with pytest.raises(ValueError, match=r"of the library|not empty"):
        register_dialect(name, WordsDialect)
    assert dialect_names() == ("ag-ui", "assistants", "auto", "langgraph", "langgraph-thread", "responses", "words")


@pytest.mark.parametrize(
    ("name", "factory", "words"),
    [
        (b"mine", WordsDialect, "a string, not bytes"),
        ("mine", "words", "a factory, not the name of another dialect"),
        ("mine", ANSWER, "not WordsDialect"),
        ("mine", None, "not NoneType"),
        ("mine", lambda url: ANSWER, "missing a required argument: 'url'"),
        ("mine", lambda *, continues, wire: ANSWER, "missing a required"),
        ("mine", lambda continues, /: ANSWER, "missing a required"),
    ],
    ids=["name", "alias", "decoder", "nothing", "argument", "keyword", "positional"],
)
def test_what_is_no_factory_is_refused_at_once(name: Any, factory: Any, words: str, words_dialect: str) -> None:
    """And not when the first source comes."""
    with pytest.raises(TypeError, match=words):
        register_dialect(name, factory)
    assert dialect_names() == ("ag-ui", "assistants", "auto", "langgraph", "langgraph-thread", "responses", "words")
    if name == "mine" and not isinstance(factory, str):
        with pytest.raises(TypeError, match=words):
            find_dialect(factory)


def test_the_tests_leave_nothing_registered() -> None:
    assert set(registry._registered) == {"ag-ui", "assistants", "auto", "langgraph", "langgraph-thread", "responses"}
