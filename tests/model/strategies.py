"""JSON for wire objects: right values, wrong ones, null ones and unknown ones under every known name."""

from __future__ import annotations

from functools import cache
from typing import Any

from hypothesis import strategies as st
from msgspec import inspect

from runstream.model import StringMap, Unknown, WireStruct
from runstream.model.base import wire_names

__all__ = ["any_json", "objects"]

_texts = st.text(max_size=6) | st.sampled_from(["queued", "completed", "function", "text", "$unknown", '{"a": 1}'])
_numbers = (
    st.integers(-3, 3)
    | st.integers(0, 2_000_000_000_000)
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([1.0, 1e11, 1_790_000_000.5, 1_790_000_000_123, 2**53, 2**53 + 1, 10**14])
)
_ODD_NAMES = [
    "$runstream.wire",
    "$runstream.raw",
    "_wire",
    "raw",
    "type",
    "object",
    "usage",
    "x",
    "",
    "id",
    "index",
]


@cache
def any_json() -> st.SearchStrategy[Any]:
    """Any JSON value, with a liking for what means something on this wire."""
    return st.recursive(
        st.none() | st.booleans() | _numbers | _texts,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(_ODD_NAMES) | st.text(max_size=4), inner, max_size=3)
        ),
        max_leaves=6,
    )


def objects(kind: type[WireStruct], *, wild: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    """JSON objects that are, more or less, a ``kind``.

    Args:
        wild: Whether any value may stand anywhere; else each has its right type, though it may be absent or null.
    """
    return _builder(wild).of_kind(kind)


@cache
def _builder(wild: bool) -> _Builder:
    return _Builder(wild)


class _Builder:
    def __init__(self, wild: bool) -> None:
        self._wild = wild
        self._kinds: dict[type, st.SearchStrategy[Any]] = {}

    def of_kind(self, kind: type[WireStruct]) -> st.SearchStrategy[dict[str, Any]]:
        if kind not in self._kinds:
            self._kinds[kind] = st.deferred(lambda: self._object(kind))
        return self._kinds[kind]

    def _object(self, kind: type[WireStruct]) -> st.SearchStrategy[dict[str, Any]]:
        info = inspect.type_info(kind)
        assert isinstance(info, inspect.StructType)
        if issubclass(kind, Unknown):
            return st.dictionaries(st.sampled_from(_ODD_NAMES) | st.text(max_size=4), any_json(), max_size=3)
        required = {item.encode_name: self._value(item.type) for item in info.fields if item.required}
        optional = {
            item.encode_name: st.none() | self._value(item.type)
            for item in info.fields
            if not item.required and not item.name.startswith("_")
        }
        if info.tag_field is not None:
            required[info.tag_field] = st.just(info.tag)
        if self._wild:
            by_wire_name = {item.encode_name: self._value(item.type) for item in info.fields}
            optional |= {alias: by_wire_name[name] for alias, name in kind._aliases.items()}
            names = {**optional, **required}
            known = st.fixed_dictionaries(
                {}, optional={name: value | any_json() for name, value in names.items() if name not in required}
            )
            essential = st.fixed_dictionaries({}, optional=required) | st.fixed_dictionaries(required)
            odd = st.dictionaries(st.sampled_from([*_ODD_NAMES, *sorted(wire_names(kind))]), any_json(), max_size=2)
            return st.builds(lambda *parts: {k: v for part in parts for k, v in part.items()}, known, essential, odd)
        return st.fixed_dictionaries(required, optional=optional)

    def _value(self, info: inspect.Type) -> st.SearchStrategy[Any]:
        if isinstance(info, inspect.Metadata):
            return self._value(info.type)
        if isinstance(info, inspect.UnionType):
            return st.one_of([self._value(item) for item in info.types if not isinstance(item, inspect.NoneType)])
        if isinstance(info, inspect.StructType):
            assert issubclass(info.cls, WireStruct)
            return self.of_kind(info.cls)
        if isinstance(info, inspect.VarTupleType):
            return st.lists(self._value(info.item_type), max_size=3)
        if isinstance(info, inspect.EnumType):
            return st.sampled_from([member.value for member in info.cls]) | st.text(max_size=5)
        if isinstance(info, inspect.CustomType):
            if info.cls is StringMap:
                return st.dictionaries(st.text(max_size=4), st.text(max_size=4), max_size=3)
            inner = any_json()
            name = info.cls.__name__
            return st.lists(inner, max_size=3) if name == "FrozenList" else st.dictionaries(_texts, inner, max_size=3)
        if isinstance(info, inspect.IntType):
            return st.integers(0, 2_000_000_000)
        if isinstance(info, inspect.FloatType):
            return st.floats(0, 2) | st.integers(0, 2)
        return st.booleans() if isinstance(info, inspect.BoolType) else _texts
