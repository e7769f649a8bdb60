"""What comes in goes out: for every class, whatever stands under its names, and for every recording."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import fields

from runstream.errors import DecodeError
from runstream.model import (
    ErrorObject,
    Message,
    MessageDelta,
    Run,
    RunStep,
    RunStepDelta,
    Thread,
    Unknown,
    WireStruct,
)
from runstream.model.base import decoder
from runstream.model.lenient import Issue, read
from tests.conformance.recorded import POLLED, STREAMS, exchanges, raws_of, said, without_nulls
from tests.model.kinds import KINDS, UNKNOWNS, encoded, minimal
from tests.model.strategies import any_json, objects

pytestmark = pytest.mark.slow

ROOTS = [Run, RunStep, Message, Thread, MessageDelta, RunStepDelta, ErrorObject]
EVERY = [*KINDS, *UNKNOWNS]

# What is generated is large, and how long that takes is no matter.
_slowly = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
_roots = settings(_slowly, max_examples=150)


def check(value: WireStruct, data: dict[str, Any]) -> None:
    """What must hold for every object that was read, whatever it was read from."""
    kind = type(value)
    written = value.to_dict()
    assert without_nulls(written) == without_nulls(data)
    assert json.loads(value.to_json()) == written
    for other in (
        read(kind, copy.deepcopy(written), []),
        copy.copy(value),
        copy.deepcopy(value),
        pickle.loads(pickle.dumps(value)),
        value.replace(),
    ):
        assert other == value
        assert hash(other) == hash(value)
        assert other.to_dict() == written
    value.extra()
    repr(value)


def check_both_doors(kind: type[WireStruct], data: dict[str, Any]) -> None:
    """Reading strictly and leniently, from text and from a mapping, agree in everything."""
    issues: list[Issue] = []
    lenient = read(kind, copy.deepcopy(data), issues)
    if lenient is not None:
        check(lenient, data)
        assert not any(issue.fatal for issue in issues)
    else:
        assert issues[-1].fatal
    for form in (encoded(data), encoded(data).decode(), data):
        if issues:
            with pytest.raises(DecodeError) as caught:
                kind.from_json(form)
            assert (caught.value.path, caught.value.reason) == (issues[0].path, issues[0].reason)
        else:
            value = kind.from_json(form)
            assert value == lenient
            assert hash(value) == hash(lenient)
            assert value.to_dict() == lenient.to_dict()
            assert kind.from_json(value.to_json()) == value


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
@_slowly
@given(data=st.data())
def test_anything_under_any_name(kind: type[WireStruct], data: st.DataObject) -> None:
    """Whatever stands under known and unknown names of a class, it is read and written as it came, or refused."""
    check_both_doors(kind, data.draw(objects(kind)))


@pytest.mark.parametrize("kind", ROOTS, ids=lambda kind: kind.__name__)
@_roots
@given(data=st.data())
def test_anything_under_any_name_of_a_whole_object(kind: type[WireStruct], data: st.DataObject) -> None:
    """The same, with more examples, for what events carry."""
    check_both_doors(kind, data.draw(objects(kind)))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@_slowly
@given(data=st.data())
def test_right_values_are_never_refused(kind: type[WireStruct], data: st.DataObject) -> None:
    """Where every value has its right type, whatever is absent or null, nothing is refused."""
    drawn = data.draw(objects(kind, wild=False))
    assert kind.from_json(drawn) == kind.from_json(encoded(drawn))
    check_both_doors(kind, drawn)


@pytest.mark.parametrize("kind", ROOTS, ids=lambda kind: kind.__name__)
@_slowly
@given(data=st.data())
def test_unknown_fields_are_kept_beside_everything(kind: type[WireStruct], data: st.DataObject) -> None:
    """Unknown fields are in `extra()` and written with the rest, and survive a replacement of any other field."""
    drawn = data.draw(objects(kind, wild=False))
    drawn |= {"x_one": data.draw(any_json().filter(lambda item: item is not None)), "x_two": [None, {"a": None}]}
    value = kind.from_json(drawn)
    assert value.extra() == {"x_one": drawn["x_one"], "x_two": drawn["x_two"]}
    check(value, drawn)
    if kind is not ErrorObject:
        changed = value.replace(id="other")
        assert changed.to_dict() == {**value.to_dict(), "id": "other"}


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: kind.__name__)
@_slowly
@given(data=st.binary(max_size=60) | st.text(max_size=60) | any_json().map(json.dumps))
def test_any_text(kind: type[WireStruct], data: bytes | str) -> None:
    """Whatever the text, the object is read or there is a DecodeError."""
    try:
        value = kind.from_json(data)
    except DecodeError:
        return
    found = json.loads(data)
    if isinstance(found, str):  # a content part that is a text, or the text of one
        text = {"value": found}
        assert value.to_dict() == ({"type": "text", "text": text} if hasattr(value, "text") else text)
        return
    check(value, found)


@pytest.mark.parametrize("kind", ROOTS, ids=lambda kind: kind.__name__)
@settings(_slowly, max_examples=150)
@given(data=st.data())
def test_damaged_text(kind: type[WireStruct], data: st.DataObject) -> None:
    """A text with bytes cut out, put in or changed is read or there is a DecodeError."""
    text = bytearray(encoded(data.draw(objects(kind, wild=False))))
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(text)))
        until = data.draw(st.integers(at, min(len(text), at + 5)))
        text[at:until] = data.draw(
            st.binary(max_size=4) | st.sampled_from([b"[", b'"', b"\\u", b"\\ud800", b"1e", b"{}"])
        )
    try:
        value = kind.from_json(bytes(text))
    except DecodeError:
        return
    assert kind.from_json(value.to_json()) == value
    assert hash(kind.from_json(value.to_json())) == hash(value)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_least_of_every_class(kind: type[WireStruct]) -> None:
    """The least object of a class decodes strictly, in one call."""
    data = minimal(kind)
    value = decoder(kind).decode(encoded(data))
    assert value._wire is None
    assert value.to_dict() == data
    check_both_doors(kind, data)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_field_alone(kind: type[WireStruct]) -> None:
    """Each field can be cleared unless it is required."""
    value = kind.from_json(minimal(kind))
    for item in fields(kind):
        if item.name.startswith("_"):
            continue
        if item.required:
            with pytest.raises(TypeError, match="can't be cleared"):
                value.replace(**{item.name: None})
        else:
            assert value.replace(**{item.name: None}) == value
    with pytest.raises(TypeError, match="no field"):
        value.replace(no_such_field=1)


@pytest.mark.parametrize("kind", [*KINDS, *UNKNOWNS], ids=lambda kind: kind.__name__)
def test_every_class_is_frozen_and_keyword_only(kind: type[WireStruct]) -> None:
    """No class of the wire can be written to or built by position."""
    assert kind.__struct_config__.frozen
    assert kind.__struct_config__.forbid_unknown_fields
    value = kind.from_json({"type": "x"} if issubclass(kind, Unknown) else minimal(kind))
    with pytest.raises(AttributeError):
        value.no_such_field = 1  # type: ignore[attr-defined]
    for name in kind.__struct_fields__:
        with pytest.raises(AttributeError):
            setattr(value, name, None)
    with pytest.raises(TypeError):
        kind("x")  # type: ignore[call-arg, arg-type]


# -- recordings ------------------------------------------------------------------------------------

_KINDS: dict[str, type[WireStruct]] = {
    "thread": Thread,
    "thread.run": Run,
    "thread.run.step": RunStep,
    "thread.run.step.delta": RunStepDelta,
    "thread.message": Message,
    "thread.message.delta": MessageDelta,
}


def wire_objects(value: Any) -> Iterator[dict[str, Any]]:
    """The objects in a body, however deep."""
    if isinstance(value, dict):
        if value.get("object") in _KINDS and "id" in value:
            yield value
            return
        for item in value.values():
            yield from wire_objects(item)
    elif isinstance(value, list):
        for item in value:
            yield from wire_objects(item)


def check_recorded(data: dict[str, Any]) -> None:
    """A real object is read, without a complaint, and written as it came."""
    kind = _KINDS[data["object"]]
    check_both_doors(kind, data)
    kind.from_json(data)


@pytest.mark.parametrize("name", STREAMS)
def test_recorded_streams(name: str) -> None:
    """Every object of every recorded stream makes the round trip."""
    found = [data for _, body in said(raws_of(name)) for data in wire_objects(body)]
    assert found
    for data in found:
        check_recorded(data)


@pytest.mark.parametrize("name", POLLED)
def test_recorded_bodies(name: str) -> None:
    """Every object of every recorded body makes the round trip."""
    found = [data for body in exchanges(name) for data in wire_objects(body)]
    if not found:
        assert name == "ruby_submit_tool_outputs_400.json"  # errors alone
    for data in found:
        check_recorded(data)
