"""What programs have at hand for raw events in, raw events out; what can be none comes out as a value too."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final, TypeAlias

import msgspec

from runstream.model.raw import ConnectionEvent, Malformed, Oversized, RawEvent, RawItem

__all__ = ["RawInput", "dump_fields", "raw_item"]

# What is taken for a raw event: one itself, or a JSON envelope as bytes, text or a mapping.
RawInput: TypeAlias = RawItem | bytes | str | Mapping[str, Any]

_ITEMS: Final = (RawEvent, Oversized, Malformed, ConnectionEvent)  # a union would be made anew for each item


def raw_item(item: object) -> RawItem:
    """A raw event from one item; what can't be one becomes :class:`Malformed`, which the engine rejects.

    A mapping is an envelope (``event``, ``data``, maybe ``id``), a bare object as a poll returns it, or a block of an
    event stream as its clients give it: ``data`` is then bytes or JSON text. A number under ``at`` is its time of
    arrival in Unix seconds. An event object of a client library (see :func:`dump_fields`) is the mapping that it gives.
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
        return _of_mapping(item)
    try:
        fields = dump_fields(item)
    except Exception as error:  # the object's own code
        return Malformed(
            line=0, reason=f"a {type(item).__name__} that gives no fields ({type(error).__name__})", data=b""
        )
    if isinstance(fields, Mapping):
        return _of_mapping(fields)
    return Malformed(line=0, reason=f"a {type(item).__name__} is no raw event", data=b"")


def dump_fields(given: Any) -> Any:
    """The fields of an object of a client library, told by its ``model_dump``, ``to_dict`` or ``as_dict``; anything
    else as it is.
    """
    if callable(dump := getattr(given, "model_dump", None)):
        try:
            # Pydantic: what was not sent stays out, and an unknown status is no cause for a warning.
            return dump(mode="json", by_alias=True, exclude_unset=True, warnings=False)
        except TypeError:
            return dump()
    for name in ("to_dict", "as_dict"):
        if callable(method := getattr(given, name, None)):
            return method()
    return given


def _utf8(text: str) -> bytes:
    # Lone surrogates become bytes that are no UTF-8: the dialect rejects them as it does on the wire.
    return text.encode("utf-8", "surrogatepass")


def _of_mapping(item: Mapping[Any, Any]) -> RawItem:
    try:
        at = _time(item.get("at"))
        block = _block(item, at)
        return block or RawEvent(data=msgspec.json.encode(dict(item), enc_hook=_plain), at=at)
    except Exception as error:  # the mapping's own code runs here
        return Malformed(line=0, reason=f"a mapping that JSON can not hold ({type(error).__name__})", data=b"")


def _block(item: Mapping[Any, Any], at: float | None) -> RawEvent | None:
    """The block that a client of event streams has taken apart: its data are JSON that nobody has read yet."""
    name, data, id = item.get("event"), item.get("data"), item.get("id")
    if isinstance(data, str) and data.lstrip().startswith("{"):
        data = _utf8(data)
    if not isinstance(data, bytes | bytearray | memoryview):
        return None
    id = id if isinstance(id, str) and id else None
    # A name that is none stands in the data (an envelope, as a relay sends it).
    named = name if isinstance(name, str) and name not in ("", "message") else None
    return RawEvent(named, bytes(data), id, id, at)


def _time(at: object) -> float | None:
    return float(at) if isinstance(at, int | float) and not isinstance(at, bool) and math.isfinite(at) else None


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(type(value).__name__)
