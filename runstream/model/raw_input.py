"""Converts bytes, text, mappings and objects of client libraries to raw items; unusable input becomes an item too."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final, TypeAlias

import msgspec

from runstream.model.raw import (
    Answer,
    ConnectionEvent,
    Idle,
    Malformed,
    Oversized,
    RawEvent,
    RawItem,
    Request,
    ResponseHead,
)
from runstream.model.surrogates import escape_surrogates

__all__ = ["RawInput", "check_items", "dump_fields", "raw_item"]

# Accepted as a raw event: a raw item, or a JSON envelope as bytes, text or a mapping.
RawInput: TypeAlias = RawItem | bytes | str | Mapping[str, Any]

# A union would be created again for each item.
_JSON: Final = (str, int, float, bool, dict)
_ITEMS: Final = (RawEvent, Oversized, Malformed, ConnectionEvent, Request, ResponseHead, Answer, Idle)
_SINGLE: Final = (str, bytes, bytearray, memoryview, Mapping, *_ITEMS)


def raw_item(item: object) -> RawItem:
    """Convert one item to a raw item; unusable input becomes :class:`Malformed`, which the engine rejects.

    A mapping is an envelope (``event``, ``data``, optionally ``id``), a bare object as a poll returns it, or a block of
    an event stream as its clients return it: ``data`` is then bytes or JSON text. A number under ``at`` is the time of
    arrival (Unix seconds). An event object of a client library (see :func:`dump_fields`), an object with the attributes
    ``event`` and ``data``, a dataclass, and a tuple that begins with the name and the data of an event (maybe after a
    path) are converted to a mapping.
    """
    if isinstance(item, _ITEMS):
        return item
    if isinstance(item, bytes):
        return RawEvent(data=item)
    if isinstance(item, str):
        return RawEvent(data=_utf8(item))
    if isinstance(item, bytearray | memoryview):
        return RawEvent(data=bytes(item))
    if isinstance(item, Mapping):
        return _from_mapping(item)
    try:
        fields = dump_fields(item)
    except Exception as error:  # raised by the object's own code
        return Malformed(
            line=0, reason=f"a {type(item).__name__} that gives no fields ({type(error).__name__})", data=b""
        )
    if isinstance(fields, Mapping):
        return _from_mapping(fields)
    if hasattr(item, "event") and hasattr(item, "data"):  # an event of a client of event streams
        return _from_mapping({"event": item.event, "data": item.data, "id": getattr(item, "id", None)})
    if dataclasses.is_dataclass(item) and not isinstance(item, type):
        return _from_mapping(_dataclass_fields(item))
    if isinstance(item, tuple) and len(item) >= 2 and isinstance(item[0], str):
        return _from_mapping({"event": item[0], "data": item[1]})
    if isinstance(item, tuple) and len(item) == 3 and isinstance(item[0], tuple) and isinstance(item[1], str):
        # The path of a subgraph, the name and the data, as graphs in this process yield them.
        return _from_mapping({"event": "|".join((item[1], *map(str, item[0]))), "data": item[2]})
    return Malformed(line=0, reason=f"a {type(item).__name__} is no raw event", data=b"")


def check_items(items: object, noun: str, reason: str = "it can't be iterated") -> None:
    """Check that raw events may be read from an object.

    Args:
        items: The object.
        noun: What it should be: "source", "stream".
        reason: Why an object that is no iterable is none.

    Raises:
        TypeError: It is a single item, or can't be iterated.
    """
    kind, advice = type(items).__name__, "read_recording(path) reads a file, connect(url) a live stream"
    if isinstance(items, _SINGLE):
        raise TypeError(f"a single {kind} is no {noun}: give an iterable of raw events; {advice}")
    if not isinstance(items, Iterable):
        raise TypeError(f"{kind} is no {noun}: {reason}; {advice}")


def dump_fields(value: Any) -> Any:
    """The fields of an object of a client library, from its ``model_dump``, ``to_dict`` or ``as_dict``.

    Any other value is returned as it is.
    """
    if callable(dump := getattr(value, "model_dump", None)):
        try:
            # Pydantic: fields that were not sent are omitted, and an unknown status causes no warning. A constant that
            # is the default of its field, as the name of an event may be, was not set, but is sent.
            kind: Any = type(value)
            unset = not _has_constants(kind)
            return dump(mode="json", by_alias=True, exclude_unset=unset, warnings=False)
        except TypeError:
            return dump()
    for name in ("to_dict", "as_dict"):
        if callable(method := getattr(value, name, None)):
            return method()
    return value


@cache
def _has_constants(kind: type) -> bool:
    """True if a class of Pydantic has fields whose default is a text."""
    fields = getattr(kind, "model_fields", None)
    return isinstance(fields, dict) and any(isinstance(getattr(each, "default", None), str) for each in fields.values())


def _dataclass_fields(value: Any, depth: int = 1) -> dict[str, Any]:
    """The fields of a dataclass that have a JSON form. Of one in another one these are its own fields, and no more: it
    may lead to the whole application (its agents, tools and functions).
    """
    found: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        inner = getattr(value, field.name, None)
        if isinstance(inner, _JSON) or hasattr(inner, "model_dump"):
            found[field.name] = inner
        elif depth and dataclasses.is_dataclass(inner) and not isinstance(inner, type):
            found[field.name] = _dataclass_fields(inner, depth - 1)
    return found


def _utf8(text: str) -> bytes:
    # Lone surrogates become escapes, as they are on the wire: within a JSON string both mean the same.
    return text.encode(errors="backslashreplace")


def _from_mapping(item: Mapping[Any, Any]) -> RawItem:
    try:
        at = _timestamp(item.get("at"))
        block = _from_block(item, at)
        return block or RawEvent(data=_encode(dict(item)), at=at)
    except Exception as error:  # raised by the mapping's own code, or by a value without a JSON form
        return Malformed(line=0, reason=f"a mapping that has no JSON form ({type(error).__name__})", data=b"")


def _from_block(item: Mapping[Any, Any], at: float | None) -> RawEvent | None:
    """A block that a client of event streams has parsed: its data are JSON that is not decoded yet."""
    name, data, id = item.get("event"), item.get("data"), item.get("id")
    if isinstance(name, enum.Enum):
        name = name.value
    if isinstance(data, str) and data.lstrip().startswith("{"):
        data = _utf8(data)
    if not isinstance(data, bytes | bytearray | memoryview):
        return None
    id = id if isinstance(id, str) and id else None
    # Without a name, or with the default one, the data are an envelope with the name (as a relay sends it).
    named = name if isinstance(name, str) and name not in ("", "message") else None
    return RawEvent(named, bytes(data), id, id, at)


def _timestamp(at: object) -> float | None:
    return float(at) if isinstance(at, int | float) and not isinstance(at, bool) and math.isfinite(at) else None


def _encode(fields: dict[Any, Any]) -> bytes:
    try:
        return msgspec.json.encode(fields, enc_hook=_dump_nested)
    except UnicodeEncodeError:  # lone surrogates
        return msgspec.json.encode(escape_surrogates(msgspec.to_builtins(fields, enc_hook=_dump_nested)))


def _dump_nested(value: Any) -> Any:
    fields = dump_fields(value)
    if isinstance(fields, Mapping):
        return dict(fields)
    if isinstance(fields, str):
        return str.__str__(fields)
    raise NotImplementedError(type(value).__name__)
