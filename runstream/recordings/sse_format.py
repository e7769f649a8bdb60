"""One item of a recording as a block of an event stream, and back.

What an event stream has no field for stands in comments, which every other reader of event streams skips
(WHATWG HTML, section 9.2.6): when a block arrived, and as a line of JSON what is no event.
"""

from __future__ import annotations

import math
import re
from typing import Final

from runstream.model.raw import RawEvent, RawItem
from runstream.recordings.jsonl import decode_marked, encode_line, is_json, one_line

__all__ = ["NOTE_STARTS", "BlockEncoder", "decode_note"]

NOTE_STARTS: Final = (b": at ", b": {")
"""How the comments start that say something here."""

_AT: Final = re.compile(rb"at (-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?)")


class BlockEncoder:
    """Writes items as blocks; one for each file, because the last event id stays in force from block to block."""

    def __init__(self) -> None:
        self._last_id: str | None = None

    def encode(self, item: RawItem, at: float | None = None) -> bytes:
        """The block of one item, with the blank line that ends it.

        Args:
            item: The item.
            at: When it arrived (Unix seconds), where the item does not say it itself.
        """
        if not isinstance(item, RawEvent) or (data := _block_data(item)) is None:
            return b": " + encode_line(item, at) + b"\n\n"
        at = at if item.at is None else item.at
        lines = []
        if at is not None and math.isfinite(at):
            lines.append(f": at {float(at)!r}".encode())
        if item.id is None and item.last_id != self._last_id:
            # An id without data is no event, but from here on it is the last event id.
            lines += [b"id: " + (item.last_id or "").encode(), b""]
        self._last_id = item.last_id if item.id is None else item.id
        if item.event is not None:
            lines.append(b"event: " + item.event.encode())
        if item.id is not None:
            lines.append(b"id: " + item.id.encode())
        lines += [b"data: " + line for line in data.split(b"\n")]
        return b"\n".join([*lines, b"", b""])


def _block_data(item: RawEvent) -> bytes | None:
    """The data as a block can hold it, ``None`` if a block can't hold this event."""
    if not all(_fits(text) for text in (item.event, item.id, item.last_id)):
        return None
    if b"\r" not in item.data:
        return item.data
    # A lone CR ends a line as LF does; between the tokens of JSON that makes no difference.
    return one_line(item.data) if is_json(one_line(item.data)) else None


def _fits(text: str | None) -> bool:
    if text is None:
        return True
    try:
        return bool(text.encode()) and not any(end in text for end in "\r\n\0")
    except UnicodeEncodeError:
        return False


def decode_note(number: int, note: bytes, at: float | None) -> tuple[float | None, RawItem | None]:
    """What a comment says: the time of arrival of the next block, and the item that it holds, if any.

    Args:
        number: Its line number.
        note: Its text, without colon and surrounding white space.
        at: The time of arrival of the next block, as far as known.
    """
    if (found := _AT.fullmatch(note)) is not None:
        time = float(found[1])
        return (time if math.isfinite(time) else at), None
    return at, decode_marked(note, number)  # anything else in braces is somebody else's comment
