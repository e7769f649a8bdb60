"""Text with lone surrogates, and bytes that are not UTF-8: the JSON around them is read, U+FFFD replaces them.

RFC 8259 permits the escape of a lone surrogate (section 8.2). Programs that cut a string between the halves of a pair,
as of an emoji, write one.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from typing import Any, Final, NoReturn

import msgspec

__all__ = ["decode_odd", "escape_surrogates", "has_surrogates", "is_odd", "join_pairs", "replace_surrogates"]

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_ESCAPED: Final = re.compile(rb"\\u[dD][89a-fA-F]")
_ENCODED: Final = re.compile(rb"\xed[\xa0-\xbf][\x80-\xbf]")
_BOM: Final = "\ufeff"


def _read_byte(error: UnicodeError) -> tuple[str, int]:
    """Decode a surrogate that was encoded as three bytes; U+FFFD replaces any other bytes that are not UTF-8."""
    assert isinstance(error, UnicodeDecodeError)
    start = error.start
    encoded = error.object[start : start + 3]
    if _ENCODED.fullmatch(encoded):
        return encoded.decode("utf-8", "surrogatepass"), start + 3
    return "\ufffd", error.end


codecs.register_error("runstream.odd", _read_byte)


def is_odd(data: bytes) -> bool:
    """True if text has escapes of surrogates, bytes that are not UTF-8, or a byte order mark."""
    if _ESCAPED.search(data) is not None or data.startswith(codecs.BOM_UTF8):
        return True
    try:
        data.decode()
    except UnicodeError:
        return True
    return False


def decode_odd(data: bytes) -> Any:
    """Decode JSON text that :func:`is_odd`. Lone surrogates are in the result; U+FFFD replaces what is not UTF-8.

    Raises:
        ValueError: The text is not JSON.
        RecursionError: It is nested too deeply.
    """
    text = data.decode("utf-8", "runstream.odd").removeprefix(_BOM)
    return json.loads(text, parse_float=_read_float, parse_constant=_refuse)


def _read_float(text: str) -> float:
    number = float(text)
    return number if math.isfinite(number) else _refuse(text)


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def has_surrogates(text: str) -> bool:
    """True if a text has surrogates."""
    return not text.isascii() and _SURROGATE.search(text) is not None


def join_pairs(text: str) -> str:
    """The text with each pair of surrogates as one character; lone surrogates remain."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


def replace_surrogates(value: Any) -> Any:
    """A copy of JSON builtins in which U+FFFD replaces lone surrogates, in texts and in keys."""
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", join_pairs(value)) if has_surrogates(value) else value
    if isinstance(value, dict):
        return {replace_surrogates(key): replace_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [replace_surrogates(item) for item in value]
    return value


def escape_surrogates(value: Any) -> Any:
    """A copy of JSON builtins that can be encoded as JSON: each text with lone surrogates as JSON text with escapes."""
    if isinstance(value, str):
        return msgspec.Raw(json.dumps(value).encode()) if has_surrogates(value) else value
    if isinstance(value, dict):
        return {replace_surrogates(key): escape_surrogates(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [escape_surrogates(item) for item in value]
    return value
