"""Chunks of a UI message stream: their type, their values as the reader accepts them, and their bytes. Pure.

The reader is that of the npm package `ai`: its `uiMessageChunkSchema` has the fields of each chunk, and its
`processUIMessageStream` the order that it needs.
"""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

from runstream.errors import DecodeError
from runstream.model.frozen import thaw
from runstream.model.jsontext import decode_json

__all__ = ["DONE", "HEADERS", "NAMESPACE", "UiMessageChunk", "chunk_bytes", "json_size", "json_value", "readable"]

UiMessageChunk: TypeAlias = dict[str, Any]
"""A chunk: JSON builtins, with its ``type``."""

DONE: Final = b"data: [DONE]\n\n"
"""The end of a stream."""

HEADERS: Final = (
    ("content-type", "text/event-stream"),
    ("cache-control", "no-cache"),
    ("x-vercel-ai-ui-message-stream", "v1"),
    ("x-accel-buffering", "no"),
)
"""The headers of a response with a stream."""

NAMESPACE: Final = "runstream"
"""The name under which ``providerMetadata`` has the place of a part: ids of the run, of the message or step, …"""


def chunk_bytes(chunk: UiMessageChunk) -> bytes:
    """The event of a chunk in an event stream."""
    return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def readable(value: Any) -> Any:
    """A JSON value as builtins that the reader accepts.

    The reader rejects a stream in which any object has the key ``__proto__``, or ``constructor`` with an object that
    has the key ``prototype``: such a value is replaced by its JSON text.
    """
    plain = thaw(value)
    return msgspec.json.encode(plain).decode() if _is_rejected(plain) else plain


def json_size(value: Any) -> int:
    """The size of a JSON value (bytes of JSON)."""
    return len(msgspec.json.encode(value))


def json_value(text: str, *, scalars: bool) -> Any:
    """The JSON value of a text; the text itself if it is no JSON.

    Args:
        text: The text.
        scalars: False to leave a text as it is that is no object and no array, as outputs of tools are: plain text.
    """
    if not scalars and text.lstrip()[:1] not in ("{", "["):
        return text
    try:
        return decode_json(text)
    except DecodeError:
        return text


def _is_rejected(value: Any) -> bool:
    if isinstance(value, dict):
        inner = value.get("constructor")
        if "__proto__" in value or (isinstance(inner, dict) and "prototype" in inner):
            return True
        return any(map(_is_rejected, value.values()))
    return isinstance(value, list) and any(map(_is_rejected, value))
