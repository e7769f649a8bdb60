"""Foreign text on one line: nothing in it can forge a line of a log or steer a terminal."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["escape_control", "escape_unprintable"]

# What a terminal obeys instead of showing (C0, DEL, C1: all control sequences of ECMA-48 start with one of them),
# what makes text read otherwise than it is (bidirectional overrides and isolates), line separators, and
# surrogates, which no encoding can write.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def escape_unprintable(text: str) -> str:
    """``text`` with every character that is not printable (line ends, control characters, lone surrogates, ...)
    written as Python would write it in a string. A backslash stays as it is.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def escape_control(text: str) -> str:
    """``text`` with everything made visible that would steer a terminal, line ends and tabs included; what joins
    letters or emoji is left as it is.
    """
    return _CONTROL.sub(_written, text)


def _written(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
