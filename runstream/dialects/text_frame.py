"""The bytes around a text in a message. While these repeat, reading the text alone costs a fifth of a full decode.

A dialect may keep one :class:`TextFrame` for each of its sources. The frame belongs to the text that grew last.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

import msgspec

__all__ = ["UNREADABLE", "TextFrame", "split_frame"]

UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
"""The exceptions of a decoder that refuses its input."""

_read_string: Callable[[bytes], str] = msgspec.json.Decoder(str).decode
_STREAK: Final = 4  # consecutive fragments of one text after which its frame is worth learning


class TextFrame:
    """The bytes around the text of consecutive fragments of one text. The dialect knows which text that is.

    Args:
        key: The name of the field that contains the text.

    Attributes:
        known: True if the bytes around the text are known.
        streak: The number of consecutive fragments of the text.
    """

    __slots__ = ("_field", "_head", "_key", "_name", "_size", "_tail", "known", "streak")

    def __init__(self, key: str) -> None:
        self.known = False
        self._key = f'"{key}"'.encode()
        # Possessive: backtracking would take a hundred bytes for each byte of the text.
        self._field = re.compile(re.escape(self._key) + rb'[ \t\n\r]*:[ \t\n\r]*("(?:[^"\\]++|\\.)*+")')
        self._head = b""
        self._tail = b""
        self._size = 0
        self._name: str | None = None
        self.streak = 0

    def read(self, name: str | None, data: bytes, size: int) -> str:
        """Read the text of a message that equals the last one but for its text.

        Args:
            name: The name of the event beside the data.
            data: The message.
            size: Its length (bytes).

        Returns:
            The text; "" if the message differs in more than its text, or if its text is empty.
        """
        if name is self._name:
            string = data.removeprefix(self._head).removesuffix(self._tail)
            if len(string) == size - self._size:
                try:
                    return _read_string(string)
                except UNREADABLE:
                    pass
        self.known = False
        self.streak = 0
        return ""

    def reset(self) -> None:
        """Begin with the first fragment of another text."""
        self.known = False
        self.streak = 1

    def learn(self, name: str | None, data: bytes) -> None:
        """Count one more fragment of the same text, and learn the bytes around its text after some.

        Args:
            name: The name of the event beside the data.
            data: A message that was decoded as a fragment with one text.
        """
        self.streak = streak = self.streak + 1
        if streak < _STREAK or streak & (streak - 1):
            return  # too few; or learning failed, and is tried again after twice as many
        frame = split_frame(data, self._key, self._field)
        if frame is not None:
            self._head, self._tail = frame
            self._size = len(self._head) + len(self._tail)
            self._name = name
            self.known = True


def split_frame(data: bytes, key: bytes, field: re.Pattern[bytes]) -> tuple[bytes, bytes] | None:
    """The bytes before and after the text of a message that was decoded as a fragment with one text.

    A message with the same bytes before and after its text means the same but for that text.

    Args:
        data: The message.
        key: The quoted name of the field that contains the text.
        field: Matches the field; its only group is the text, in quotes.

    Returns:
        ``None`` if the text can't be located for certain.
    """
    # No text contains the key: its quotes would be escaped. Of a key that is written with escapes, or comes twice, the
    # last one counts; it is this one if no escape follows.
    found = field.match(data, max(data.rfind(key), 0))
    if found is None or b"\\" in (tail := data[found.end(1) :]):
        return None
    return data[: found.start(1)], tail
