"""Reads JSON builtins into wire objects; only a missing or mistyped essential field makes an object unreadable.

A mapping enters; a Struct leaves, with a list of the values that had an unexpected type. Differences between servers
are read without detecting the server: other names are the `_aliases` of a class, other places its `_derive`, other
units and shapes the readers below (wire reference, "Dialect differences").
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache, partial
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, inspect, structs

from runstream.errors import DecodeError
from runstream.model.base import Unknown, Wire, WireStruct, decode_hook, decoder, to_wire, wire_names
from runstream.model.frozen import FrozenList, FrozenMap, StringMap, freeze, thaw
from runstream.model.jsontext import Path, decode_json, dump_json, format_path, json_bytes, parse_index, to_builtins

__all__ = ["MILLISECONDS", "Issue", "Unknown", "WireStruct", "read", "read_strictly"]

S = TypeVar("S", bound=WireStruct)

# A Unix time above this is not in seconds: in seconds it would be in the year 5138, in milliseconds it is in 1973.
MILLISECONDS = 100_000_000_000


class Issue(Struct, frozen=True):
    """A value of an unexpected type: it is kept as received, and no field has it.

    Attributes:
        path: The JSON path of the value.
        reason: The expected and the received type.
        fatal: True if the object is unusable without the value (a Run without an id or status).
    """

    path: str
    reason: str
    fatal: bool = False


class _Absence(Issue, frozen=True):
    """A required field that is absent. Not an issue in a member of a union: an `Unknown` replaces that member."""


class _Mark(enum.Enum):
    """Results that are not values."""

    BAD = "the value can't be read"
    SAME = "the value is written as its typed form"


BAD = _Mark.BAD
SAME = _Mark.SAME

# A reader of values: (value, its place, issues) -> (typed value or BAD, JSON to write for it or SAME).
Reader = Callable[[Any, Path, list[Issue]], tuple[Any, Any]]


def read(kind: type[S], data: Mapping[str, Any], issues: list[Issue], path: str = "$") -> S | None:
    """Read ``data`` as a ``kind``.

    Args:
        kind: The class of the wire object.
        data: JSON builtins. They are not copied: the caller must not change them afterwards.
        issues: Receives an entry for every unreadable value. If the object is unreadable, the last entry is the cause.
        path: The place of ``data``, for the entries.

    Returns:
        The object, or ``None`` if an essential field is missing or mistyped.
    """
    if issubclass(kind, Unknown) and isinstance(data, Mapping):
        return kind(raw=Wire(data))
    value, _ = _read_struct(kind, thaw(data) if isinstance(data, FrozenMap) else data, path, issues)
    return None if value is BAD else value


def read_strictly(kind: type[S], data: bytes | str | Mapping[str, Any]) -> S:
    """Read JSON text or a mapping as a ``kind``.

    Raises:
        DecodeError: A value is unreadable; the error is about the first one.
    """
    # Strict decoding rejects unknown fields, other dialects, and errors; the lenient reader distinguishes them.
    # It reads objects with a tag at once: after a decoder it would be unknown whether the tag was sent.
    strict = kind.__struct_config__.tag_field is None
    found: Any
    if isinstance(data, Mapping):
        found = to_builtins(data)
        if strict:
            with suppress(msgspec.ValidationError):
                return msgspec.convert(found, kind, dec_hook=decode_hook)
    else:
        text = json_bytes(data)
        if strict:
            with suppress(msgspec.DecodeError, UnicodeError, RecursionError):
                return decoder(kind).decode(text)  # type: ignore[no-any-return]
        found = decode_json(text)
    issues: list[Issue] = []
    value = read(kind, found, issues)
    if issues or value is None:
        raise DecodeError(issues[0].path, issues[0].reason)
    return value


WireStruct._read = read_strictly  # the hook of `from_json`


def _type_name(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "bool", int: "int", float: "float", str: "str", list: "array", dict: "object"}
    return names.get(type(value), type(value).__name__)


def _mismatch(expected: str, value: Any, path: Path, issues: list[Issue]) -> tuple[Any, Any]:
    issues.append(Issue(format_path(path), f"Expected `{expected}`, got `{_type_name(value)}`"))
    return BAD, value


# -- objects -------------------------------------------------------------------------------------------


class _Plan(Struct, frozen=True):
    """How to read the fields of a class: (wire name, attribute, reader, whether required)."""

    fields: tuple[tuple[str, str, Reader, bool], ...]
    known: frozenset[str]
    tag_field: str | None
    tag: Any


@cache
def _plan(kind: type[WireStruct]) -> _Plan:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    fields = tuple(
        (item.encode_name, item.name, _reader(item.type), item.required)
        for item in info.fields
        if not item.name.startswith("_")
    )
    return _Plan(fields, wire_names(kind), info.tag_field, info.tag)


def _read_struct(kind: type[WireStruct], data: Any, path: Path, issues: list[Issue]) -> tuple[Any, Any]:
    """Read an object as a ``kind``. The tag may be absent; another tag is an issue."""
    if type(data) is str and (expanded := kind._of_text(data)) is not None:
        return _read_struct(kind, expanded, path, issues)[0], data
    if not isinstance(data, dict):
        return _mismatch("object", data, path, issues)
    plan = _plan(kind)
    tag = None if plan.tag_field is None else data.get(plan.tag_field)
    if tag != plan.tag and tag is not None:
        got = repr(tag) if isinstance(tag, str) else f"`{_type_name(tag)}`"
        issues.append(Issue(format_path((path, plan.tag_field)), f"Expected {plan.tag!r}, got {got}", fatal=True))
        return BAD, data
    spelled = {kind._aliases[key]: key for key, item in data.items() if key in kind._aliases and item is not None}
    typed = not spelled and tag == plan.tag  # whether the typed fields alone reproduce the object
    values: dict[str, Any] = {}
    parts: dict[str, tuple[Any, Any]] = {}
    for wire_name, name, reader, required in plan.fields:
        key = wire_name if data.get(wire_name) is not None else spelled.get(wire_name, wire_name)
        value = data.get(key)
        fallback = kind._fallbacks.get(name, BAD)
        if value is not None:
            count = len(issues)
            result, wire = reader(value, (path, key), issues)
            typed = typed and wire is SAME and not (kind._marks_parts and _is_odd(result))
            if wire is not SAME or isinstance(result, WireStruct | tuple):
                parts[key] = result, wire
            if result is not BAD:
                values[name] = result
            elif required and fallback is BAD:
                # Only the first issue of the field is kept, the others follow from it.
                issues[count:] = [structs.replace(issues[count], fatal=True)]
                return BAD, data
        elif required and fallback is BAD:
            reason = f"Required field `{wire_name}` is {'null' if wire_name in data else 'missing'}"
            issues.append(_Absence(format_path((path, wire_name)), reason, fatal=True))
            return BAD, data
        if required and name not in values:
            values[name], typed = fallback, False
    if kind._derive(values):
        typed = False
    if typed and all(key in plan.known or item is None for key, item in data.items()):
        return kind(**values), SAME
    form = {key: item if key not in parts else _to_json(*parts[key]) for key, item in data.items() if item is not None}
    return kind(_wire=Wire(form), **values), SAME


def _is_odd(value: Any) -> bool:
    """True if a nested value, at any depth, contains more than its typed fields."""
    if isinstance(value, tuple):
        return any(map(_is_odd, value))
    if not isinstance(value, WireStruct):
        return False
    return value._wire is not None or any(_is_odd(getattr(value, name)) for name in value.__struct_fields__)


def _to_json(result: Any, wire: Any) -> Any:
    return to_wire(result) if wire is SAME else wire


def _read_union(
    members: Mapping[Any, type[WireStruct]],
    unknown: type[Unknown],
    value: Any,
    path: Path,
    issues: list[Issue],
) -> tuple[Any, Any]:
    """Read an object by its ``type``; as unknown if the type is new, or if the object does not fit its type."""
    if type(value) is str:
        plain = next((member for member in members.values() if member._of_text(value) is not None), None)
        if plain is not None:
            return _read_struct(plain, value, path, issues)
    if not isinstance(value, dict):
        return _mismatch("object", value, path, issues)
    tag = value.get("type")
    kind = members.get(tag) if isinstance(tag, str) else None
    if tag is None:
        # Fragments may lack the type; the name of the body then identifies it.
        named = [member for name, member in members.items() if value.get(name) is not None]
        kind = named[0] if len(named) == 1 else None
    found: list[Issue] = []
    if kind is not None:
        result, wire = _read_struct(kind, value, path, found)
        if result is not BAD:
            issues += found
            return result, wire
    issues += [structs.replace(issue, fatal=False) for issue in found if not isinstance(issue, _Absence)]
    return unknown(raw=Wire(value)), SAME


def _read_list(reader: Reader, value: Any, path: Path, issues: list[Issue]) -> tuple[Any, Any]:
    """Read an array; unreadable items are missing from the value, but not from the JSON that is written."""
    if isinstance(value, dict) and any(item is not None for item in value.values()):
        # One object in place of a list of objects (Alibaba's delta.content).
        result, wire = reader(value, path, issues)
        return (BAD, value) if result is BAD else ((result,), _to_json(result, wire))
    if type(value) is str:
        result, _ = reader(value, path, [])
        if result is not BAD:
            return (result,), value  # a text in place of a list of parts
    if not isinstance(value, list):
        return _mismatch("array", value, path, issues)
    items: list[Any] = []
    wires: list[Any] = []
    typed = True
    for index, item in enumerate(value):
        result, wire = reader(item, (path, index), issues)
        if result is not BAD:
            items.append(result)
        typed = typed and wire is SAME
        wires.append((result, wire))
    return tuple(items), SAME if typed else [_to_json(*pair) for pair in wires]


# -- single values -------------------------------------------------------------------------------------


def _read_str(value: Any, path: Path, issues: list[Issue]) -> tuple[Any, Any]:
    return (value, SAME) if type(value) is str else _mismatch("str", value, path, issues)


def _read_bool(value: Any, path: Path, issues: list[Issue]) -> tuple[Any, Any]:
    return (value, SAME) if type(value) is bool else _mismatch("bool", value, path, issues)


def _read_int(value: Any, path: Path, issues: list[Issue]) -> tuple[Any, Any]:
    """Read an integer; a float that is a whole number is one too."""
    if type(value) is int:
        return value, SAME
    if type(value) is float and value.is_integer():
        return int(value), value
    return _mismatch("int", value, path, issues)


def _read_index(value: Any, path: Path, issues: list[Issue]) -> tuple[Any, Any]:
    """Read an index; a string of digits is one too."""
    number = parse_index(value)
    if number is None:
        return _mismatch("int", value, path, issues)
    return number, SAME if type(value) is int else value


def _read_json_text(value: Any, path: Path, issues: list[Issue]) -> tuple[Any, Any]:
    """Read JSON text; any other value but null is the value that the text would contain."""
    return (value, SAME) if type(value) is str else (dump_json(value), value)


def _read_seconds(value: Any, path: Path, issues: list[Issue]) -> tuple[Any, Any]:
    """Read a time; floats (open-assistant-api) and milliseconds (Alibaba, Astra) become whole Unix seconds."""
    if type(value) is not int and type(value) is not float:
        return _mismatch("int", value, path, issues)
    seconds = int(value)
    if seconds >= MILLISECONDS:
        seconds //= 1000
    if not -MILLISECONDS < seconds < MILLISECONDS:
        issues.append(Issue(format_path(path), f"{value} is not a Unix time, in seconds or milliseconds"))
        return BAD, value
    return seconds, SAME if seconds == value and type(value) is int else value


def _read_float(value: Any, path: Path, issues: list[Issue]) -> tuple[Any, Any]:
    if type(value) is float:
        return value, SAME
    try:
        number = float(value) if type(value) is int else None
    except OverflowError:
        number = None
    if number is None:
        return _mismatch("float", value, path, issues)
    return number, SAME if number == value else value


def _read_enum(kind: type[enum.Enum], value: Any, path: Path, issues: list[Issue]) -> tuple[Any, Any]:
    return (kind(value), SAME) if type(value) is str else _mismatch("str", value, path, issues)


def _read_map(value: Any, path: Path, issues: list[Issue]) -> tuple[Any, Any]:
    return (FrozenMap(value), SAME) if isinstance(value, dict) else _mismatch("object", value, path, issues)


def _read_array(value: Any, path: Path, issues: list[Issue]) -> tuple[Any, Any]:
    return (FrozenList(value), SAME) if isinstance(value, list) else _mismatch("array", value, path, issues)


def _read_any(value: Any, path: Path, issues: list[Issue]) -> tuple[Any, Any]:
    return freeze(value), SAME


def _read_strings(value: Any, path: Path, issues: list[Issue]) -> tuple[Any, Any]:
    """Read metadata; entries that are not strings are missing from the value, but not from the JSON that is written."""
    if not isinstance(value, dict):
        return _mismatch("object", value, path, issues)
    strings = {key: item for key, item in value.items() if type(item) is str}
    if len(strings) == len(value):
        return StringMap(value), SAME
    for key, item in value.items():
        if item is not None and type(item) is not str:
            _mismatch("str", item, (path, key), issues)
    return StringMap(strings), value


# -- the reader of a type ------------------------------------------------------------------------------


def _reader(info: inspect.Type) -> Reader:
    if isinstance(info, inspect.Metadata):
        return _MARKED[(info.extra or {})["form"]]
    if isinstance(info, inspect.UnionType):
        return _union_reader(info)
    if isinstance(info, inspect.StructType):
        return partial(_read_struct, _kind(info))
    if isinstance(info, inspect.VarTupleType):
        return partial(_read_list, _reader(info.item_type))
    if isinstance(info, inspect.EnumType):
        return partial(_read_enum, info.cls)
    if isinstance(info, inspect.CustomType):
        return _CONTAINERS[info.cls]
    if isinstance(info, inspect.IntType):
        return _read_seconds if info.lt == MILLISECONDS else _read_int
    return _SCALARS[type(info)]


_CONTAINERS: dict[type, Reader] = {StringMap: _read_strings, FrozenMap: _read_map, FrozenList: _read_array}
_MARKED: dict[str, Reader] = {"index": _read_index, "json": _read_json_text}
_SCALARS: dict[type, Reader] = {
    inspect.StrType: _read_str,
    inspect.BoolType: _read_bool,
    inspect.FloatType: _read_float,
    inspect.AnyType: _read_any,
}


def _kind(info: inspect.StructType) -> type[WireStruct]:
    assert issubclass(info.cls, WireStruct)
    return info.cls


def _union_reader(info: inspect.UnionType) -> Reader:
    types = [item for item in info.types if not isinstance(item, inspect.NoneType)]
    if len(types) == 1:
        return _reader(types[0])
    members = {item.tag: _kind(item) for item in types if isinstance(item, inspect.StructType)}
    unknown = next((kind for kind in members.values() if issubclass(kind, Unknown)), None)
    by_type: Reader
    if unknown is None:
        (kind,) = members.values()
        by_type = partial(_read_struct, kind)
    else:
        known = {tag: kind for tag, kind in members.items() if kind is not unknown}
        by_type = partial(_read_union, known, unknown)
    others = [item for item in types if not isinstance(item, inspect.StructType)]
    if not others:
        return by_type
    by_value = _reader(others[0])  # a string: no union of the model has objects and another type
    return lambda value, path, issues: (by_type if isinstance(value, dict) else by_value)(value, path, issues)
