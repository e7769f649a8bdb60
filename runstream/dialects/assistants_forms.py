"""Other forms of messages on the Assistants wire, and the usual form of each.

Relays encode data twice, or put an envelope into another one or into a block with a default name. Programs in
JavaScript cut text between the halves of a surrogate pair. A message in the usual form is decoded as any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from runstream.dialects.assistants_wire import EVENT_TYPES
from runstream.model.base import Wire
from runstream.model.common import ErrorObject
from runstream.model.events import Target, TextAppend
from runstream.model.jsontext import MAX_NESTING, nesting_depth
from runstream.model.lenient import Issue, read
from runstream.model.run import RunStatus
from runstream.model.surrogates import decode_odd, is_odd, join_pairs

__all__ = ["SplitPairs", "is_error", "is_error_body", "names_event", "payload_of", "read_error", "unwrap"]

_DEFAULT_NAMES: Final = ("message", "")  # the name of an event without one (WHATWG)
_MAX_WRAPS: Final = 4
_MAX_OPEN: Final = 64
_STATUSES: Final = frozenset(RunStatus)
_GROWING: Final = frozenset({"value", "arguments", "input", "logs", "refusal", "text", "content"})


def unwrap(name: str | None, found: Any, max_nesting: int) -> tuple[str | None, Any]:
    """The usual form of a message.

    Args:
        name: The name of the event beside the message; ``None`` if there is none.
        found: The message, as JSON builtins; they are not changed.
        max_nesting: JSON text in the message that is nested more deeply stays text (levels).

    Returns:
        The name beside it and the message; the same objects if the message has the usual form.
    """
    for _ in range(_MAX_WRAPS):
        before = name, found
        if name in _DEFAULT_NAMES:
            name = None
        if name is not None and name not in EVENT_TYPES:
            break
        if isinstance(found, str) and name != "error":
            found = _parse(found, max_nesting)
        elif isinstance(found, dict):
            name, found = _unwrap_envelope(name, found, max_nesting)
        if found is before[1] and name == before[0]:
            break
    return name, found


def _unwrap_envelope(name: str | None, found: dict[str, Any], max_nesting: int) -> tuple[str | None, Any]:
    event, data = found.get("event"), found.get("data")
    if not isinstance(event, str) or "object" in found or data is None:
        return name, found
    if name is not None:
        return None, found  # an envelope in a block that has a name
    if event in _DEFAULT_NAMES:
        if isinstance(data, str):
            data = _parse(data, max_nesting)
        if not isinstance(data, dict):
            return name, found
        id = found.get("id")
        return name, {"id": id, **data} if id is not None and "event" in data else data
    if event in EVENT_TYPES and event != "error":
        if isinstance(data, str) and (inner := _parse(data, max_nesting)) is not data:
            return name, {**found, "data": inner}
        if isinstance(data, dict) and isinstance(data.get("event"), str) and "data" in data and "object" not in data:
            return name, {**({"id": found["id"]} if "id" in found else {}), **data}
    return name, found


def _parse(text: str, max_nesting: int) -> Any:
    """The value of JSON text that contains an object or further JSON text; the text itself if it is anything else."""
    if text.lstrip()[:1] not in ("{", '"'):
        return text
    data = text.encode(errors="backslashreplace")
    if nesting_depth(data, max_nesting) > max_nesting:
        return text
    try:
        return decode_odd(data) if is_odd(data) else msgspec.json.decode(data)
    except (ValueError, msgspec.DecodeError, RecursionError):
        return text


def names_event(name: str | None, data: bytes) -> bool:
    """True if a message is one of this wire: by the name beside it, by the name in its envelope, or as a bare object.

    A run that is polled may have no kind: then its id and its status name it.

    Args:
        name: The name of the event beside the message; ``None`` if there is none.
        data: The message (bytes of JSON).
    """
    if name not in (None, *_DEFAULT_NAMES):
        return _is_name(name)
    if nesting_depth(data, MAX_NESTING) > MAX_NESTING:
        return False
    try:
        found = decode_odd(data) if is_odd(data) else msgspec.json.decode(data)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return False
    name, found = unwrap(name, found, MAX_NESTING)
    if not isinstance(found, dict):
        return name is not None and _is_name(name)
    if isinstance(named := found.get("event", name), str):
        return _is_name(named)
    kind = found.get("object")
    if isinstance(kind, str):
        return kind in EVENT_TYPES and "id" in found
    if isinstance(found.get("type"), str):
        return False
    status = found.get("status")
    return isinstance(found.get("id"), str) and isinstance(status, str) and status in _STATUSES


def is_error_body(data: bytes) -> bool:
    """True if a message is an error without the name of an event, as servers of all protocols send it.

    Args:
        data: The message (bytes of JSON).
    """
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    if not isinstance(found, dict) or isinstance(found.get("event"), str):
        return False
    return is_error(found) and (found.get("object") == "error" or not isinstance(found.get("type"), str))


def _is_name(name: object) -> bool:
    return isinstance(name, str) and (name in EVENT_TYPES or name.startswith("thread."))


# -- errors --------------------------------------------------------------------------------------------

_MESSAGES: Final = ("message", "error_description", "detail", "msg", "error", "title", "reason", "errors")
_BESIDE_ERRORS: Final = frozenset(
    {
        *("error", "errors", "error_description", "detail", "message", "code", "type", "param", "status", "title"),
        *("instance", "request_id", "timestamp", "path", "object", "event", "id", "success"),
    }
)


def is_error(found: Mapping[str, Any]) -> bool:
    """True if a message without a name is an error: a body as servers send it in place of a stream."""
    if found.get("object") == "error":
        return True
    named = any(found.get(name) for name in ("error", "errors", "detail"))
    return named and _BESIDE_ERRORS.issuperset(found)


def read_error(found: Any, issues: list[Issue]) -> ErrorObject:
    """Read an error: an object, flat or nested, under any of the names that servers use, or a text.

    Args:
        found: The data of the error, as JSON builtins.
        issues: Receives an entry for every unreadable value.
    """
    body = found
    for _ in range(_MAX_WRAPS):
        if isinstance(body, str):
            body = _parse(body, 128)
        if isinstance(body, list) and body:
            body = body[0]
        inner = body.get("error") if isinstance(body, dict) else None
        if isinstance(inner, str) and (parsed := _parse(inner, 128)) is not inner:
            inner = parsed
        if not (isinstance(inner, dict) and inner):
            break
        body = inner
    if not isinstance(body, dict):
        text = _message(body)
        return ErrorObject(message=text) if text else ErrorObject()
    fields = {name: value for name, value in body.items() if name in ("code", "message", "param", "type")}
    if not (isinstance(fields.get("message"), str) and fields["message"]):
        text = next((text for name in _MESSAGES if (text := _message(body.get(name)))), None)
        if text is not None:
            fields["message"] = text
    code = fields.get("code")
    error = body.get("error")
    if type(code) is int:
        fields["code"] = str(code)
    elif code is None and isinstance(error, str) and error and fields.get("message") not in (None, error):
        fields["code"] = error  # {"error": "invalid_token", "error_description": "..."}
    value = read(ErrorObject, fields, issues) or ErrorObject()
    if fields == body and value._wire is None:
        return value
    return ErrorObject(code=value.code, message=value.message, param=value.param, type=value.type, _wire=Wire(body))


def _message(value: Any) -> str | None:
    """The text of an error under one of its names: a text, an object with a text, or the texts of a list."""
    if isinstance(value, str):
        return value or None
    if isinstance(value, dict):
        return next((text for name in _MESSAGES if (text := _message(value.get(name)))), None)
    if isinstance(value, list):
        return "; ".join([text for item in value if (text := _message(item))]) or None
    return None


# -- surrogate pairs -----------------------------------------------------------------------------------


class SplitPairs:
    """Joins the surrogate pairs that a sender has split over two fragments of one text.

    The first half is kept until the next fragment of its text, at most :data:`_MAX_OPEN` of them; a half without the
    other one becomes U+FFFD.
    """

    __slots__ = ("_joined", "_open")

    def __init__(self) -> None:
        self._open: dict[tuple[Any, ...], str] = {}
        self._joined: tuple[Any, ...] = ()  # identity, place and first half of the last pair

    @property
    def open(self) -> bool:
        """True if a first half is kept."""
        return bool(self._open)

    def join(self, found: Any, identity: str | int | None) -> None:
        """Join halves in the texts of a message, and keep a first half at the end of a text.

        Args:
            found: The message without its envelope; its texts are changed.
            identity: The identity of the message, if it has one.
        """
        id = found.get("id") if isinstance(found, dict) else None
        delta = found.get("delta") if isinstance(found, dict) else None
        if not isinstance(id, str):
            return
        if delta is None:
            if found.get("status") not in (None, "in_progress"):
                self._open = {place: half for place, half in self._open.items() if place[0] != id}
            return
        for owner, key, place in list(_texts(delta, (id,))):
            text = owner[key]
            half = self._open.pop(place, "")
            if not half and text[:1] and "\udc00" <= text[0] <= "\udfff" and identity is not None:
                if self._joined[:2] == (identity, place):
                    half = self._joined[2]  # the same fragment again
            elif half:
                self._joined = (identity, place, half)
            text = join_pairs(half + text) if half else text
            if text and "\ud800" <= text[-1] <= "\udbff" and len(self._open) < _MAX_OPEN:
                self._open[place] = text[-1]
                text = text[:-1]
            owner[key] = text

    def flush(self) -> tuple[TextAppend, ...]:
        """The fragments with U+FFFD for the halves that are kept: the other halves did not arrive."""
        found = []
        for place in self._open:
            id, *path = place
            index = next((key for key in path if isinstance(key, int)), 0)
            target = _target(path)
            if target is not None:
                name = "thread.message.delta" if target in ("text", "refusal") else "thread.run.step.delta"
                found.append(TextAppend(id, target, index, "\ufffd", name=name))
        self._open = {}
        return tuple(found)


def _target(path: list[Any]) -> Target | None:
    last = path[-1]
    if path[0] == "content":
        return "refusal" if last == "refusal" else "text"
    targets: dict[Any, Target] = {"arguments": "arguments", "input": "code"}
    return targets.get(last)


def _texts(node: Any, place: tuple[Any, ...]) -> Iterator[tuple[Any, Any, tuple[Any, ...]]]:
    """The texts of a delta that grow: container, key, and place by the indices on the wire."""
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, str):
                if key in _GROWING:
                    yield node, key, (*place, key)
            else:
                yield from _texts(value, (*place, key))
    elif isinstance(node, list):
        for position, value in enumerate(node):
            if isinstance(value, str):
                yield node, position, (*place, position)
            else:
                index = value.get("index") if isinstance(value, dict) else None
                yield from _texts(value, (*place, index if isinstance(index, int) else position))


def payload_of(name: str | None, found: Any) -> Any:
    """The object of a message in the usual form, without its envelope."""
    return found.get("data") if name is None and isinstance(found, dict) and "event" in found else found
