"""Reading JSON builtins into wire objects without ever losing or refusing anything but the essential.

A mapping goes in; a Struct comes out, and a list of the values that had an unexpected type. What the dialects of
real servers do differently is read right here, without finding out which server it is: other spellings are the
`_aliases` of a class, other units and shapes are `_coerce` and `_read_list` (wire reference, "Dialect differences").
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar

import msgspec
from msgspec import Struct, inspect

from runstream.errors import DecodeError
from runstream.model.base import Unknown, Wire, WireStruct, decode_hook, decoder, wire_form
from runstream.model.frozen import FrozenMap, thaw

__all__ = ["MILLISECONDS", "Issue", "read", "read_strictly"]

S = TypeVar("S", bound=WireStruct)

# A Unix time above this is not in seconds: in seconds it would be the year 5138, in milliseconds it was 1973.
MILLISECONDS = 100_000_000_000


class Issue(Struct, frozen=True):
    """A value of an unexpected type: kept as it came, unread.

    Attributes:
        path: Its JSON path.
        reason: What was expected and what came.
        fatal: Whether the object can't be used without it (a Run without an id or status).
    """

    path: str
    reason: str
    fatal: bool = False


class _Bad(enum.Enum):
    """The one value that stands for "could not be read"."""

    BAD = "bad"


BAD = _Bad.BAD


def read(kind: type[S], data: Mapping[str, Any], issues: list[Issue], path: str = "$") -> S | None:
    """Read ``data`` as a ``kind``; ``None`` if an essential field is missing or mistyped.

    Args:
        kind: The wire object's class.
        data: JSON builtins.
        issues: Takes an entry for every value that was not readable.
        path: Where ``data`` stands, for the entries.
    """
    value = _read_struct(_type_info(kind), data, path, issues)
    return None if value is BAD else value  # type: ignore[no-any-return]


def read_strictly(kind: type[S], data: bytes | str | Mapping[str, Any]) -> S:
    """Read JSON text or builtins as a ``kind``; the first unreadable value raises :class:`DecodeError`."""
    builtins: Any = thaw(data) if isinstance(data, Mapping) else data
    try:
        if not isinstance(data, Mapping):
            return decoder(kind).decode(data)  # type: ignore[no-any-return]
        return msgspec.convert(builtins, kind, dec_hook=decode_hook)
    except msgspec.ValidationError:
        pass  # an unknown field, another dialect, or really wrong: the lenient reader tells them apart
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise DecodeError("$", f"Not JSON: {error or 'nested too deeply'}") from error
    try:
        if not isinstance(builtins, dict):
            builtins = msgspec.json.decode(builtins)
        if not isinstance(builtins, dict):
            raise DecodeError("$", f"Expected an object, got {_name(builtins)}")
        issues: list[Issue] = []
        value = read(kind, builtins, issues)
    except RecursionError as error:
        raise DecodeError("$", "Nested too deeply") from error
    if issues or value is None:
        raise DecodeError(issues[0].path, issues[0].reason)
    return value


def _name(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "bool", int: "int", float: "float", str: "str", list: "array", dict: "object"}
    return names.get(type(value), type(value).__name__)


@cache
def _type_info(kind: type[WireStruct]) -> inspect.StructType:
    info = inspect.type_info(kind)
    assert isinstance(info, inspect.StructType)
    return info


@cache
def _plan(kind: type[WireStruct]) -> tuple[dict[str, inspect.Field], frozenset[str]]:
    """The fields of a class by wire name, and all names that it knows on the wire."""
    info = _type_info(kind)
    fields = {item.encode_name: item for item in info.fields if not item.name.startswith("_")}
    known = {*fields, *kind._aliases}
    if info.tag_field is not None:
        known.add(info.tag_field)
    return fields, frozenset(known)


def _read_struct(info: inspect.StructType, data: Any, path: str, issues: list[Issue]) -> Any:
    kind: type[WireStruct] = info.cls
    if not isinstance(data, Mapping):
        issues.append(Issue(path, f"Expected `object`, got `{_name(data)}`"))
        return BAD
    fields, known = _plan(kind)
    renamed = {kind._aliases[name]: value for name, value in data.items() if name in kind._aliases}
    values: dict[str, Any] = {}
    complete = True  # whether the fields alone can write the object again
    for wire_name, item in fields.items():
        alias = wire_name not in data or data[wire_name] is None
        value = renamed.get(wire_name) if alias else data[wire_name]
        where = f"{path}.{wire_name}"
        if value is None:
            if item.required:
                reason = "is missing" if wire_name not in data else "is null"
                issues.append(Issue(where, f"Required field `{wire_name}` {reason}", fatal=True))
                return BAD
            continue
        result, faithful = _read_value(item.type, value, where, issues)
        complete = complete and faithful and not (alias and wire_name in renamed)
        if result is not BAD:
            values[item.name] = result
        elif item.required:
            issues[-1] = Issue(issues[-1].path, issues[-1].reason, fatal=True)
            return BAD
    if not complete or any(value is not None for name, value in data.items() if name not in known):
        by_wire_name = {fields_item.encode_name: fields_item.name for fields_item in fields.values()}
        values["_wire"] = Wire(
            {
                name: _as_it_came(value, values.get(by_wire_name.get(name, "")))
                for name, value in data.items()
                if value is not None
            }
        )
    return kind(**values)._completed()


def _as_it_came(value: Any, read_as: Any) -> Any:
    """``value``, with the nulls left out wherever it was read as an object of the model."""
    nested = isinstance(read_as, WireStruct) or (
        isinstance(read_as, tuple) and any(isinstance(item, WireStruct) for item in read_as)
    )
    return wire_form(read_as) if nested else value


def _read_value(info: inspect.Type, value: Any, path: str, issues: list[Issue]) -> tuple[Any, bool]:
    """The value read as ``info`` (or BAD), and whether it is written the way it came."""
    if isinstance(info, inspect.UnionType):
        return _read_union(info, value, path, issues)
    if isinstance(info, inspect.StructType):
        result = _read_struct(info, value, path, issues)
        return result, result is not BAD and result._wire is None
    if isinstance(info, inspect.VarTupleType):
        return _read_list(info, value, path, issues)
    coerced = _coerce(info, value)
    target = _python_type(info)
    try:
        return msgspec.convert(coerced, target, dec_hook=decode_hook), coerced is value
    except (msgspec.ValidationError, TypeError) as error:
        issues.append(Issue(path, str(error).split(" - at ")[0]))
        return BAD, False


def _read_list(info: inspect.VarTupleType, value: Any, path: str, issues: list[Issue]) -> tuple[Any, bool]:
    faithful = True
    if isinstance(value, Mapping) and isinstance(info.item_type, inspect.UnionType | inspect.StructType):
        value, faithful = [value], False  # one part where a list of parts belongs (Alibaba's delta.content)
    if not isinstance(value, list | tuple):
        issues.append(Issue(path, f"Expected `array`, got `{_name(value)}`"))
        return BAD, False
    out = []
    for index, item in enumerate(value):
        result, same = _read_value(info.item_type, item, f"{path}[{index}]", issues)
        if result is BAD:
            return BAD, False
        faithful = faithful and same
        out.append(result)
    return tuple(out), faithful


def _read_union(info: inspect.UnionType, value: Any, path: str, issues: list[Issue]) -> tuple[Any, bool]:
    members = [item for item in info.types if isinstance(item, inspect.StructType)]
    if isinstance(value, Mapping) and members:
        fallback: inspect.StructType | None = None
        for member in members:
            if issubclass(member.cls, Unknown):
                fallback = member
            elif member.tag_field is None or value.get(member.tag_field) == member.tag:
                result, same = _read_value(member, value, path, issues)
                if result is not BAD:
                    return result, same
                break
        if fallback is not None:
            return fallback.cls(raw=FrozenMap(thaw(value))), True
        issues.append(Issue(path, "Expected an object of a known type"))
        return BAD, False
    others = [item for item in info.types if not isinstance(item, inspect.NoneType | inspect.StructType)]
    found: list[Issue] = []
    for member in others:
        result, same = _read_value(member, value, path, found)
        if result is not BAD:
            return result, same
    issues.append(found[0] if found else Issue(path, f"Expected `object`, got `{_name(value)}`"))
    return BAD, False


def _python_type(info: inspect.Type) -> Any:
    if isinstance(info, inspect.IntType):
        return int
    if isinstance(info, inspect.CustomType | inspect.EnumType):
        return info.cls
    plain = {inspect.FloatType: float, inspect.StrType: str, inspect.BoolType: bool, inspect.NoneType: None}
    return plain.get(type(info), Any)


def _seconds(value: Any) -> Any:
    """Floats and milliseconds become whole Unix seconds (open-assistant-api; Alibaba and Astra)."""
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and value >= MILLISECONDS:
        return value // 1000
    return value


def _whole(value: Any) -> Any:
    """A float that is a whole number counts as an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _coerce(info: inspect.Type, value: Any) -> Any:
    if isinstance(info, inspect.IntType):
        return (_seconds if info.lt == MILLISECONDS else _whole)(value)
    return value
