"""Splits a message into its text and the bytes around it (the frame).

While the frame repeats, decoding the text alone costs a fifth of a full decode.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

__all__ = ["read_text", "split_frame"]

read_text: Callable[[bytes], str] = msgspec.json.Decoder(str).decode
"""Reads one JSON string."""

_KEY: Final = b'"value"'
# Possessive: backtracking would take a hundred bytes for each byte of the text.
_FIELD: Final = re.compile(_KEY + rb'[ \t\n\r]*:[ \t\n\r]*("(?:[^"\\]++|\\.)*+")')


def split_frame(data: bytes) -> tuple[bytes, bytes] | None:
    """Locate the text of a message that was decoded as a text fragment.

    A message with the same bytes before and after its text differs in the text alone.

    Args:
        data: The message.

    Returns:
        The bytes before and after the text; ``None`` if the place of the text is uncertain.
    """
    # No text contains the key: its quotes would be escaped. If the key is repeated, or written with escapes, the last
    # one counts; it is this one if no escape follows.
    found = _FIELD.match(data, max(data.rfind(_KEY), 0))
    if found is None or b"\\" in (tail := data[found.end(1) :]):
        return None
    return data[: found.start(1)], tail
