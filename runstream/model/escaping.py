"""Escapes foreign text for one line of output: it can neither forge a line of a log nor control a terminal."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["escape_control", "escape_unprintable"]

# Control characters of a terminal (C0, DEL, C1: every control sequence of ECMA-48 starts with one of them),
# characters that change the reading order of text (bidirectional overrides and isolates), line separators, and
# surrogates, which no encoding can represent.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escape_unprintable(text: str) -> str:
    """Escape every character that is not printable: line ends, control characters, lone surrogates and so on.

    Each is written as in a Python string. A backslash stays as it is.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def escape_control(text: str) -> str:
    """Escape the characters that control a terminal, line ends and tabs included.

    Characters that join letters or emoji stay as they are.
    """
    return _CONTROL.sub(_escape_sequence, text)


def _escape_sequence(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
