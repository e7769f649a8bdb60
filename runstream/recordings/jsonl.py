"""The JSON lines format: one item of a recording to one line and back; docs/recordings.md describes it.

The lines are self-describing, so files can be cut, joined and mixed with lines of other origin.
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

__all__ = ["NUMBER", "decode_line", "decode_tagged_line", "encode_line", "is_json", "replace_surrogates", "to_one_line"]

NUMBER: Final = rb"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
"""The pattern of a number in JSON, as the writers put the time of arrival."""

_DECODE_ERRORS: Final = (msgspec.MsgspecError, UnicodeError, ValueError, RecursionError)
# The writer puts it first in the line; the bytes of the message follow.
_AT: Final = re.compile(rb'\{"at":(' + NUMBER + rb"),")
_RESERVED: Final = frozenset({"at", "as"})
_TO_SPACES: Final = bytes.maketrans(b"\r\n", b"  ")

_Kind = Literal[
    "event",
    "message",
    "malformed",
    "oversized",
    "connected",
    "disconnected",
    "request",
    "response",
    "answer",
    "idle",
]


class _Line(Struct, gc=False):
    """A line with a kind (``as``). Unknown keys are skipped, so that later versions may add some."""

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
    server_message: str = ""
    continues: str | None = None
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0


class _ArrivalTime(Struct, gc=False):
    """The only field that is read of a line of any other origin."""

    at: float | None = None


_decode: Final = msgspec.json.Decoder(_Line).decode
_decode_arrival_time: Final = msgspec.json.Decoder(_ArrivalTime).decode
_decode_keys: Final = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_raw: Final = msgspec.json.Decoder(msgspec.Raw).decode
_encode: Final = msgspec.json.encode


def encode_line(item: RawItem, at: float | None = None) -> bytes:
    """Return the line of one item, without its end.

    Args:
        item: The item; its place in a file (``line``) is not kept.
        at: Time of arrival (Unix seconds), for an item without its own.
    """
    own_at = getattr(item, "at", None)
    at = at if own_at is None else own_at
    start: dict[str, Any] = {} if at is None or not math.isfinite(at) else {"at": float(at)}
    match item:
        case RawEvent():
            return _encode_event(item, start)
        case ConnectionEvent(connected=True):
            return _encode({**start, "as": "connected", "attempt": item.attempt})
        case ConnectionEvent():
            reason = replace_surrogates(item.reason)
            said = {"server_message": replace_surrogates(item.server_message)} if item.server_message else {}
            return _encode({**start, "as": "disconnected", "attempt": item.attempt, "reason": reason, **said})
        case Oversized():
            named = {"event": replace_surrogates(item.event)} if item.event is not None else {}
            return _encode({**start, "as": "oversized", **named, "size": item.size, "limit": item.limit})
        case Malformed():
            named = {"event": replace_surrogates(item.event)} if item.event is not None else {}
            reason = replace_surrogates(item.reason)
            return _encode({**start, "as": "malformed", **named, "reason": reason, **_text_field(item.data)})
        case Request():
            run_id = {"continues": replace_surrogates(item.continues)} if item.continues is not None else {}
            return _encode({**start, "as": "request", **run_id, **_data_field(item.body)})
        case ResponseHead():
            headers = [[replace_surrogates(name), replace_surrogates(value)] for name, value in item.headers]
            return _encode({**start, "as": "response", "status": item.status, "headers": headers})
        case Answer():
            return _encode({**start, "as": "answer", "status": item.status, **_data_field(item.data)})
        case Idle():
            return _encode({**start, "as": "idle", "seconds": item.seconds if math.isfinite(item.seconds) else 0.0})


def _encode_event(item: RawEvent, start: dict[str, Any]) -> bytes:
    is_plain = item.event is None and item.id is None and item.last_id is None
    data = to_one_line(item.data)
    if is_plain and data.startswith(b"{") and is_json(data):
        keys = _top_level_keys(data)
        if keys and not keys & _RESERVED:
            # A message is written as it arrived: every reader of JSON lines finds its `event` and `data`.
            return b'{"at":' + _encode(start["at"]) + b"," + data[1:] if start else data
    line = {**start, "as": "message" if item.event is None else "event"}
    if item.event is not None:
        line["event"] = replace_surrogates(item.event)
    if item.id is not None:
        line["id"] = replace_surrogates(item.id)
    if item.last_id != item.id:
        line["last_id"] = None if item.last_id is None else replace_surrogates(item.last_id)
    return _encode({**line, **_data_field(item.data, data)})


def _data_field(data: bytes, one_line: bytes | None = None) -> dict[str, Any]:
    """The data as a value if they are JSON, else as a text."""
    one_line = to_one_line(data) if one_line is None else one_line
    return {"data": msgspec.Raw(one_line)} if is_json(one_line) else _text_field(data)


def _top_level_keys(data: bytes) -> frozenset[str]:
    try:
        return frozenset(_decode_keys(data))
    except _DECODE_ERRORS:
        return frozenset()


def to_one_line(data: bytes) -> bytes:
    """Return JSON text of equal meaning on one line, without white space around it; for JSON only.

    In JSON, a raw line end is nothing but white space between tokens (RFC 8259, section 2).
    """
    return data.strip(b" \t\r\n").translate(_TO_SPACES)


def is_json(data: bytes) -> bool:
    """Return whether a line can contain the data as a value: JSON in UTF-8, within the nesting that readers of JSON
    accept.
    """
    if nesting_depth(data, MAX_NESTING) > MAX_NESTING:
        return False
    try:
        data.decode()
        _decode_raw(data)
    except _DECODE_ERRORS:
        return False
    return True


def _text_field(data: bytes) -> dict[str, str]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(data).decode()}


def replace_surrogates(text: str) -> str:
    """Return a name or id without lone surrogates, which JSON can't contain. They come from programs alone, never
    from decoded bytes.
    """
    return text.encode(errors="replace").decode()


def decode_line(line: bytes, number: int = 0) -> RawItem:
    """Return the item of one line; a line of other origin is a raw event whose data is the line.

    Args:
        line: The line, without its end and without white space around it.
        number: Its number in the file, from 1.
    """
    if (item := decode_tagged_line(line, number)) is not None:
        return item
    if (found := _AT.match(line)) is not None and math.isfinite(at := float(found[1])):
        return RawEvent(None, b"{" + line[found.end() :], None, None, at, number)
    return RawEvent(None, line, None, None, _arrival_time(line), number)


def decode_tagged_line(line: bytes, number: int = 0) -> RawItem | None:
    """Return the item of a line with a kind (``as``); ``None`` for any other line, or for an incomplete one."""
    if b'"as"' not in line:
        return None
    try:
        return _to_item(_decode(line), number)
    except _DECODE_ERRORS:
        return None


def _to_item(line: _Line, number: int) -> RawItem:
    match line.kind:
        case "event" | "message":
            event = line.event if line.kind == "event" else None
            last_id = line.id if isinstance(line.last_id, UnsetType) else line.last_id
            return RawEvent(event, _line_data(line), line.id, last_id, line.at, number)
        case "malformed":
            return Malformed(line=number, reason=line.reason, data=_line_data(line), event=line.event)
        case "oversized":
            return Oversized(line=number, size=line.size, limit=line.limit, event=line.event)
        case "request":
            return Request(body=_line_data(line), continues=line.continues, at=line.at, line=number)
        case "response":
            return ResponseHead(status=line.status, headers=line.headers, at=line.at, line=number)
        case "answer":
            return Answer(data=_line_data(line), status=line.status, at=line.at, line=number)
        case "idle":
            return Idle(seconds=line.seconds, at=line.at, line=number)
        case _:
            up = line.kind == "connected"
            return ConnectionEvent(
                connected=up,
                attempt=line.attempt,
                reason=line.reason,
                at=line.at,
                line=number,
                server_message=line.server_message,
            )


def _line_data(line: _Line) -> bytes:
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


def _arrival_time(line: bytes) -> float | None:
    """Return the time of arrival (Unix seconds) under ``at`` in a line of any origin, ``None`` for none."""
    if b'"at"' not in line:
        return None
    try:
        return _decode_arrival_time(line).at
    except _DECODE_ERRORS:
        return None  # a mistyped `at` or bad JSON; the dialect decides whether the event is rejected
