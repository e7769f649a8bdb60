"""Converts JSON text, or a mapping of any type, to JSON builtins, or raises :class:`~runstream.errors.DecodeError`.

The result can be written, compared and hashed without further checks.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from runstream.errors import DecodeError
from runstream.model.frozen import FrozenList
from runstream.model.surrogates import decode_odd, has_surrogates, is_odd, replace_surrogates

__all__ = [
    "MAX_NESTING",
    "STREAM_TEXT",
    "Path",
    "decode_json",
    "dump_json",
    "format_path",
    "is_stream_text",
    "json_bytes",
    "nesting_depth",
    "not_json_reason",
    "parse_index",
    "to_builtins",
]

STREAM_TEXT: Final = "Not JSON, but text of an event stream: SseChunks reads chunks of one"
"""The reason why a message that is text of an event stream can't be used."""

# Comparing, hashing and writing are recursive; deeper values could reach the recursion limit of the interpreter.
MAX_NESTING = 128

# A place in a JSON document: (place of the parent, key or index). It is converted to text only for errors.
Path = tuple[Any, Any] | str

# An integer with more bits has about as many digits as Python refuses to convert.
_MAX_BITS = 14_000
_MAX_DIGITS = 18  # of an index
# The closing quote is optional: an unfinished string then ends the search instead of restarting it.
_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NO_BRACKETS = bytes(set(range(256)) - set(b"{}[]"))
_SAME_BRACKETS = bytes.maketrans(b"{}", b"[]")
_FIRST_PART = 4096  # bytes
_LONG = 65_536  # bytes
_STREAM_LINES: Final = (b"data:", b"event:", b"id:", b"retry:", b":")
_BLOCK = 64  # brackets; a block that can't reach the limit is counted and not read bracket by bracket
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def format_path(path: Path) -> str:
    """Write a place as a JSON path: ``$.tools[0].function``."""
    keys: list[str] = []
    while not isinstance(path, str):
        path, key = path
        if isinstance(key, int):
            keys.append(f"[{key}]")
        elif _NAME.fullmatch(key):
            keys.append(f".{key}")
        else:
            keys.append(f"[{msgspec.json.encode(key.encode(errors='replace').decode()).decode()}]")
    return path + "".join(reversed(keys))


def nesting_depth(data: bytes, limit: int = MAX_NESTING) -> int:
    """The nesting depth (levels) of brackets outside strings.

    A result above ``limit`` says only that the limit is exceeded: the text behind that bracket is not read. Another
    result may be too large.
    """
    # A long text that is too deep at its beginning is not even counted.
    if len(data) > _LONG and (depth := _depth_of_brackets(data[:_FIRST_PART], limit)) > limit:
        return depth
    # Deleting a byte is twice as fast as counting it.
    opened = 2 * len(data) - len(data.replace(b"{", b"")) - len(data.replace(b"[", b""))
    if opened <= limit:
        return opened
    # The beginning first: a text that is too deep there is not read to its end.
    size = _FIRST_PART
    while size < len(data):
        if (depth := _depth_of_brackets(data[:size], limit)) > limit:
            return depth
        size *= 8
    return _depth_of_brackets(data, limit)


def _depth_of_brackets(data: bytes, limit: int) -> int:
    brackets = _STRINGS.sub(b"", data).translate(_SAME_BRACKETS, _NO_BRACKETS)
    depth = deepest = 0
    for start in range(0, len(brackets), _BLOCK):
        block = brackets[start : start + _BLOCK]
        opened = block.count(b"[")
        if depth + opened <= limit:
            deepest = max(deepest, depth + opened)
            depth += 2 * opened - len(block)
            continue
        for bracket in block:
            if bracket == 0x5B:
                depth += 1
                if depth > deepest:
                    deepest = depth
                    if depth > limit:
                        return depth
            else:
                depth -= 1
    return deepest


def json_bytes(data: bytes | str) -> bytes:
    """Check JSON text and encode it, so that it is safe to decode. Lone surrogates become escapes.

    Raises:
        DecodeError: The text is nested more than ``MAX_NESTING`` levels deep.
        TypeError: ``data`` is neither text nor bytes.
    """
    if isinstance(data, str):
        data = data.encode(errors="backslashreplace")
    elif not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"Expected bytes, str or a mapping, got {type(data).__name__}")
    data = bytes(data)
    if nesting_depth(data) > MAX_NESTING:
        raise DecodeError("$", f"Nested more than {MAX_NESTING} levels deep")
    return data


def decode_json(data: bytes | str) -> Any:
    """Decode JSON text to builtins. U+FFFD replaces lone surrogates and bytes that are not UTF-8.

    Raises:
        DecodeError: The text is not JSON, is nested too deeply, or contains a number out of range.
    """
    text = json_bytes(data)
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        if is_odd(text):
            with suppress(ValueError, RecursionError):
                return replace_surrogates(decode_odd(text))
        raise DecodeError("$", f"Not JSON: {error or 'nested too deeply'}") from error


def not_json_reason(data: bytes, error: object) -> str:
    """The reason why a message that is not JSON can't be used.

    Args:
        data: The message.
        error: The exception of the parser.
    """
    return STREAM_TEXT if is_stream_text(data) else f"Not JSON: {error or 'nested too deeply'}"


def is_stream_text(data: bytes) -> bool:
    """True for text with the beginning of a line of an event stream, where a whole message was expected."""
    return data.lstrip().startswith(_STREAM_LINES)


def dump_json(value: Any) -> str:
    """Encode JSON builtins as JSON text."""
    return msgspec.json.encode(value).decode()


def parse_index(value: Any) -> int | None:
    """Read an index: a whole number, or a string of its digits; ``None`` if it is neither."""
    if type(value) is int:
        return value
    if type(value) is float and value.is_integer():
        return int(value)
    if type(value) is str and len(value) <= _MAX_DIGITS and value.isascii() and value.isdigit():
        return int(value)
    return None


def to_builtins(value: Any, path: Path = "$", depth: int = 0) -> Any:
    """Copy a JSON value to builtins; it may consist of any types of mapping and list.

    U+FFFD replaces lone surrogates.

    Raises:
        DecodeError: A value or a key has no JSON form.
    """
    kind = type(value)
    if kind is str or isinstance(value, str):
        return _text(value)
    if value is None or kind is bool:
        return value
    if isinstance(value, int):
        if value.bit_length() > _MAX_BITS:
            raise DecodeError(format_path(path), "Integer out of range")
        return int.__int__(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DecodeError(format_path(path), f"{value} is not a JSON number")
        return float.__float__(value)
    if depth >= MAX_NESTING:
        raise DecodeError("$", f"Nested more than {MAX_NESTING} levels deep")
    if isinstance(value, Mapping):
        found: dict[str, Any] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                raise DecodeError(format_path(path), f"Expected a `str` as key, got `{type(key).__name__}`")
            found[_text(key)] = to_builtins(item, (path, key), depth + 1)
        return found
    if isinstance(value, list | tuple | FrozenList):
        return [to_builtins(item, (path, index), depth + 1) for index, item in enumerate(value)]
    raise DecodeError(format_path(path), f"`{kind.__name__}` is not a JSON value")


def _text(value: str) -> str:
    text = str.__str__(value)
    return replace_surrogates(text) if has_surrogates(text) else text
