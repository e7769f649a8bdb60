"""The bytes around a text in a message. While these repeat, reading the text alone costs a third of a full decode.

A dialect may keep the frames of the texts that grow in each of its sources: :class:`TextFrames`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

import msgspec

from runstream.model.raw_events import SEPARATOR

__all__ = ["UNREADABLE", "TextFrame", "TextFrames", "read_string", "split_frame"]

UNREADABLE: Final = (msgspec.DecodeError, UnicodeError, RecursionError)
"""The exceptions of a decoder that refuses its input."""

read_string: Callable[[bytes], str] = msgspec.json.Decoder(str).decode
_read_strings: Callable[[bytes], list[str]] = msgspec.json.Decoder(list[str]).decode
_COMMA: Final = b"," + SEPARATOR
_LEARN_AFTER: Final = 2  # fragments of one text
_MAX_TEXTS: Final = 32  # texts that grow in turns
_MAX_PLACES: Final = 4
_MAX_BYTES: Final = 4096  # a longer frame is not kept


class TextFrame:
    """The bytes around the text in the fragments of one text.

    Attributes:
        head: The bytes before the text.
        tail: The bytes after it.
        size: The length of both (bytes).
        name: The name of the event beside the data.
        object_id: The id of the message or step of the text.
        index: The index of the text in it.
    """

    __slots__ = ("head", "index", "name", "object_id", "size", "tail")

    def __init__(self, head: bytes, tail: bytes, name: str | None, object_id: str, index: int) -> None:
        self.head = head
        self.tail = tail
        self.size = len(head) + len(tail)
        self.name = name
        self.object_id = object_id
        self.index = index

    def read(self, name: str | None, data: bytes, size: int) -> str:
        """Read the text of a message.

        Args:
            name: The name of the event beside the data.
            data: The message.
            size: Its length (bytes).

        Returns:
            The text; "" if the message has other bytes around its text, or if its text is empty.
        """
        if name is self.name:
            string = data.removeprefix(self.head).removesuffix(self.tail)
            if len(string) == size - self.size:
                try:
                    return read_string(string)
                except UNREADABLE:
                    pass
        return ""

    def read_all(self, data: Sequence[bytes]) -> list[str] | None:
        """Read the texts of many messages at once.

        Args:
            data: The messages; at least one.

        Returns:
            ``None`` if a message has other bytes around its text, or if a text is empty.
        """
        begin, end = len(self.head), -len(self.tail)
        texts = [message[begin:end] for message in data]
        # The same bytes in between, and the same length of each message: each has these bytes around its text.
        between = self.tail + SEPARATOR + self.head
        if self.head + between.join(texts) + self.tail != SEPARATOR.join(data):
            return None
        # A JSON text contains no control character, so none spans two messages; and there are as many as messages.
        try:
            found = _read_strings(b"[" + _COMMA.join(texts) + b"]")
        except UNREADABLE:
            return None
        return found if len(found) == len(data) and all(found) else None


class TextFrames:
    """The frames of the texts that grow in one source.

    Args:
        key: The name of the field that contains the text.

    Attributes:
        last: The frame of the text that grew last; ``None`` while texts take turns, or while no frame is known.
        previous: The frame that was found last.
        by_id: The frames by the id of their object, the oldest first.
        places: The places of the ids in the messages.
    """

    __slots__ = ("_counts", "_field", "_key", "by_id", "last", "places", "previous")

    def __init__(self, key: str) -> None:
        self.last: TextFrame | None = None
        self.previous: TextFrame | None = None
        self._key = f'"{key}"'.encode()
        self._field = _field_pattern(self._key)
        self.by_id: dict[bytes, TextFrame] = {}
        self.places: tuple[slice, ...] = ()
        self._counts: dict[tuple[str, int], int] = {}  # decoded fragments of each text, the oldest text first

    def find(self, data: bytes) -> TextFrame | None:
        """The frame of a message, by the id of its object; ``None`` if there is none.

        The bytes around the text may be others nevertheless.
        """
        for place in self.places:
            frame = self.by_id.get(data[place])
            if frame is None:
                continue
            # While texts take turns no frame is tried before the search.
            self.last = frame if frame is self.previous else None
            self.previous = frame
            return frame
        return None

    def learn(self, name: str | None, data: bytes, object_id: str, index: int) -> None:
        """Count one more fragment of a text, and learn the bytes around it after some.

        Args:
            name: The name of the event beside the data.
            data: A message that was decoded as a fragment with one text.
            object_id: The id of the message or step of the text.
            index: The index of the text in it.
        """
        counts, text = self._counts, (object_id, index)
        counts[text] = count = counts.get(text, 0) + 1
        if count == 1 and len(counts) > _MAX_TEXTS:
            del counts[next(iter(counts))]
        if count < _LEARN_AFTER or count & (count - 1):
            return  # too few; or learning failed, and is tried again after twice as many
        found = split_frame(data, self._key, self._field)
        if found is None or len(found[0]) + len(found[1]) > _MAX_BYTES:
            return
        frame = self.last = self.previous = TextFrame(*found, name, object_id, index)
        id = object_id.encode()
        start = frame.head.find(id)
        if start >= 0:
            frames, places = self.by_id, self.places
            frames[id] = frame
            if len(frames) > _MAX_TEXTS:
                del frames[next(iter(frames))]
            place = slice(start, start + len(id))
            if place not in places:
                self.places = (place, *places)[:_MAX_PLACES]


@cache
def _field_pattern(key: bytes) -> re.Pattern[bytes]:
    # Possessive: backtracking would take a hundred bytes for each byte of the text.
    return re.compile(re.escape(key) + rb'[ \t\n\r]*:[ \t\n\r]*("(?:[^"\\]++|\\.)*+")')


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
