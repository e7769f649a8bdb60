"""One item of a recording as one line of JSON, and back: the format that docs/recordings.md describes.

The lines are self-describing, so files can be cut, joined and mixed with those of other origin.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, Struct, UnsetType

from runstream.model.jsontext import MAX_NESTING, nesting_depth
from runstream.model.raw import ConnectionEvent, Malformed, Oversized, RawEvent, RawItem

__all__ = ["decode_line", "decode_marked", "encode_line", "is_json", "one_line"]

_BROKEN: Final = (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError)
# What the writer puts before everything else. A message has its own bytes behind it.
_AT: Final = re.compile(rb'\{"at":(-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?),')
_RESERVED: Final = frozenset({"at", "as"})
_TO_SPACES: Final = bytes.maketrans(b"\r\n", b"  ")

_Kind = Literal["event", "message", "malformed", "oversized", "connected", "disconnected"]


class _Line(Struct, gc=False):
    """A line that says what it is. Unknown keys are skipped, so that later versions may add some."""

    kind: _Kind = msgspec.field(name="as")
    at: float | None = None
    event: str | None = None
    id: str | None = None
    last_id: str | UnsetType | None = UNSET
    data: msgspec.Raw | UnsetType = UNSET
    text: str | None = None
    base64: str | None = None
    reason: str = ""
    size: int = 0
    limit: int = 0
    attempt: int = 0


class _Arrival(Struct, gc=False):
    """The only part that is read of a line of any other origin."""

    at: float | None = None


_decode: Final = msgspec.json.Decoder(_Line).decode
_decode_arrival: Final = msgspec.json.Decoder(_Arrival).decode
_decode_keys: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_raw: Final = msgspec.json.Decoder(msgspec.Raw).decode
_encode: Final = msgspec.json.encode


def encode_line(item: RawItem, at: float | None = None) -> bytes:
    """The line of one item, without its end.

    Args:
        item: The item; its place in a file (``line``) is not kept.
        at: When it arrived (Unix seconds), where the item does not say it itself.
    """
    own = getattr(item, "at", None)
    at = at if own is None else own
    start: dict[str, Any] = {} if at is None or not math.isfinite(at) else {"at": float(at)}
    match item:
        case RawEvent():
            return _event_line(item, start)
        case ConnectionEvent(connected=True):
            return _encode({**start, "as": "connected", "attempt": item.attempt})
        case ConnectionEvent():
            return _encode({**start, "as": "disconnected", "attempt": item.attempt, "reason": _sound(item.reason)})
        case Oversized():
            named = {"event": _sound(item.event)} if item.event is not None else {}
            return _encode({**start, "as": "oversized", **named, "size": item.size, "limit": item.limit})
        case Malformed():
            named = {"event": _sound(item.event)} if item.event is not None else {}
            return _encode({**start, "as": "malformed", **named, "reason": _sound(item.reason), **_text(item.data)})


def _event_line(item: RawEvent, start: dict[str, Any]) -> bytes:
    plain = item.event is None and item.id is None and item.last_id is None
    data = one_line(item.data)
    if plain and data.startswith(b"{") and is_json(data):
        keys = _keys(data)
        if keys and not keys & _RESERVED:
            # A message goes in as it came: every reader of JSON lines finds `event` and `data` where they belong.
            return b'{"at":' + _encode(start["at"]) + b"," + data[1:] if start else data
    line = {**start, "as": "message" if item.event is None else "event"}
    if item.event is not None:
        line["event"] = _sound(item.event)
    if item.id is not None:
        line["id"] = _sound(item.id)
    if item.last_id != item.id:
        line["last_id"] = None if item.last_id is None else _sound(item.last_id)
    return _encode({**line, "data": msgspec.Raw(data)} if is_json(data) else {**line, **_text(item.data)})


def _keys(data: bytes) -> frozenset[str]:
    try:
        return frozenset(_decode_keys(data))
    except _BROKEN:
        return frozenset()


def one_line(data: bytes) -> bytes:
    """JSON text of equal meaning without line ends, and without white space around it: in JSON, a raw line end is
    nothing but white space between tokens (RFC 8259, section 2). Of what is not JSON nothing should be made of this.
    """
    return data.strip(b" \t\r\n").translate(_TO_SPACES)


def is_json(data: bytes) -> bool:
    """Whether a line can hold it as a value: JSON in UTF-8, not nested beyond what readers of JSON put up with."""
    if nesting_depth(data, MAX_NESTING) > MAX_NESTING:
        return False
    try:
        data.decode()
        _decode_raw(data)
    except _BROKEN:
        return False
    return True


def _text(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def _sound(text: str) -> str:
    """Names and ids were decoded from the wire; lone surrogates come from programs alone, and no JSON holds them."""
    return text.encode(errors="replace").decode()


def decode_line(line: bytes, number: int = 0) -> RawItem:
    """The item of one line; a line of other origin is a raw event whose data is the line.

    Args:
        line: The line, without its end and without white space around it.
        number: Its number in the file, from 1.
    """
    if (item := decode_marked(line, number)) is not None:
        return item
    if (found := _AT.match(line)) is not None and math.isfinite(at := float(found[1])):
        return RawEvent(None, b"{" + line[found.end() :], None, None, at, number)
    return RawEvent(None, line, None, None, _arrival(line), number)


def decode_marked(line: bytes, number: int = 0) -> RawItem | None:
    """The item of a line that says what it is; ``None`` of any other, or of one that is not whole."""
    if b'"as"' not in line:
        return None
    try:
        return _item(_decode(line), number)
    except _BROKEN:
        return None


def _item(line: _Line, number: int) -> RawItem:
    match line.kind:
        case "event" | "message":
            event = line.event if line.kind == "event" else None
            last_id = line.id if isinstance(line.last_id, UnsetType) else line.last_id
            return RawEvent(event, _data(line), line.id, last_id, line.at, number)
        case "malformed":
            return Malformed(line=number, reason=line.reason, data=_data(line), event=line.event)
        case "oversized":
            return Oversized(line=number, size=line.size, limit=line.limit, event=line.event)
        case _:
            up = line.kind == "connected"
            return ConnectionEvent(connected=up, attempt=line.attempt, reason=line.reason, at=line.at, line=number)


def _data(line: _Line) -> bytes:
    if not isinstance(line.data, UnsetType):
        return bytes(line.data)
    if line.text is not None:
        return line.text.encode()
    if line.base64 is not None:
        try:
            return base64.b64decode(line.base64, validate=True)
        except binascii.Error as error:
            raise ValueError("not base64") from error
    raise ValueError("neither data nor text nor base64")


def _arrival(line: bytes) -> float | None:
    """The time of arrival (Unix seconds) that a line of any origin gives under ``at``."""
    if b'"at"' not in line:
        return None
    try:
        return _decode_arrival(line).at
    except _BROKEN:
        return None  # a mistyped `at` or bad JSON; whether the event is rejected is the dialect's business
