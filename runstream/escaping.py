"""Foreign text on one line: nothing in it can forge a line of a log or steer a terminal."""

from __future__ import annotations

__all__ = ["escaped"]


def escaped(text: str) -> str:
    """``text`` with every character that is not printable (line ends, control characters, lone surrogates, ...)
    written as Python would write it in a string. A backslash stays as it is.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
