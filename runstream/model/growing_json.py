"""The value of a JSON text that is not complete yet, such as the arguments of a call that is being streamed."""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from runstream.model.jsontext import MAX_NESTING, nesting_depth

__all__ = ["parse_growing"]

_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*(?:(?P<whole>")|\\?\Z)|[{}\[\],:]|[^\s{}\[\],:"]+', re.DOTALL)
_CONTAINERS: Final = ("{", "[")
_LITERALS: Final = frozenset({"true", "false", "null"})
_LONGEST_ESCAPE: Final = 13  # characters of a surrogate pair as two escapes, and one more


def parse_growing(text: str | None) -> Any:
    """The value of a JSON text as far as it goes.

    Strings that are cut have their beginning as value. A key without a value, and a literal or number that may
    continue, are left out. The work is linear in the length of the text.

    Args:
        text: The beginning of a JSON object or array; ``None`` or empty text has no value yet.

    Returns:
        JSON builtins; ``None`` if there is no value yet, or the text is not the beginning of JSON.
    """
    if not text or text.lstrip()[:1] not in _CONTAINERS or nesting_depth(text.encode("utf-8", "replace")) > MAX_NESTING:
        return None
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        pass
    try:
        return msgspec.json.decode(_complete(text))
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None


def _complete(text: str) -> str:
    """The text up to the last whole value, with the open brackets closed."""
    brackets: list[str] = []
    kept = ""  # what follows the last place where the text can be closed
    end = 0  # that place
    is_key = False  # True if a string at this place is a key
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in "{[":
            brackets.append("}" if token == "{" else "]")
        elif token in "}]":
            if not brackets or brackets.pop() != token:
                break
        elif token in ",:":
            is_key = token == "," and brackets[-1:] == ["}"]
            continue
        elif is_key:
            continue
        elif token[0] == '"' and not match["whole"]:
            kept = text[end : match.start()] + _close_string(token)
            return text[:end] + kept + "".join(reversed(brackets))
        elif token[0] != '"' and match.end() == len(text) and token not in _LITERALS:
            break  # a number or literal that may continue
        is_key = token == "{"
        end = match.end()
    return text[:end] + "".join(reversed(brackets))


def _close_string(token: str) -> str:
    """A string that is cut, without a cut escape at its end, closed."""
    for size in range(len(token), max(0, len(token) - _LONGEST_ESCAPE), -1):
        closed = token[:size] + '"'
        try:
            msgspec.json.decode(closed)
        except (msgspec.DecodeError, UnicodeError):
            continue
        return closed
    return '""'
