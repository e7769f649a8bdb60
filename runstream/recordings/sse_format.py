"""The event-stream format: one item of a recording to one block and back.

Facts without a field in an event stream are comments, which every other reader of event streams skips (WHATWG HTML,
section 9.2.6): the time of arrival of a block, and items that are no events, as a line of JSON.
"""

from __future__ import annotations

import math
import re
from typing import Final

from runstream.model.raw import RawEvent, RawItem
from runstream.recordings.jsonl import NUMBER, decode_tagged_line, encode_line, is_json, to_one_line

__all__ = ["COMMENT_PREFIXES", "BlockEncoder", "decode_comment"]

COMMENT_PREFIXES: Final = (b": at ", b": {")
"""The beginnings of the comments that belong to this format."""

_AT: Final = re.compile(rb"at (" + NUMBER + rb")")


class BlockEncoder:
    """Encodes items as blocks; one for each file, because the last event id stays in force from block to block."""

    def __init__(self) -> None:
        self._last_id: str | None = None

    def encode(self, item: RawItem, at: float | None = None) -> bytes:
        """Return the block of one item, with the blank line that ends it.

        Args:
            item: The item.
            at: Time of arrival (Unix seconds), for an item without its own.
        """
        if not isinstance(item, RawEvent) or (data := _block_data(item)) is None:
            return b": " + encode_line(item, at) + b"\n\n"
        at = at if item.at is None else item.at
        lines = []
        if at is not None and math.isfinite(at):
            lines.append(f": at {float(at)!r}".encode())
        if item.id is None and item.last_id != self._last_id:
            # An id without data is no event, but becomes the last event id.
            lines += [b"id: " + (item.last_id or "").encode(), b""]
        self._last_id = item.last_id if item.id is None else item.id
        if item.event is not None:
            lines.append(b"event: " + item.event.encode())
        if item.id is not None:
            lines.append(b"id: " + item.id.encode())
        lines += [b"data: " + line for line in data.split(b"\n")]
        return b"\n".join([*lines, b"", b""])


def _block_data(item: RawEvent) -> bytes | None:
    """Return the data as a block can contain it, ``None`` if a block can't contain this event."""
    if not all(_fits_field(text) for text in (item.event, item.id, item.last_id)):
        return None
    if b"\r" not in item.data:
        return item.data
    # A lone CR ends a line as LF does; between the tokens of JSON there is no difference.
    return to_one_line(item.data) if is_json(to_one_line(item.data)) else None


def _fits_field(text: str | None) -> bool:
    if text is None:
        return True
    try:
        return bool(text.encode()) and not any(end in text for end in "\r\n\0")
    except UnicodeEncodeError:
        return False


def decode_comment(number: int, comment: bytes, at: float | None) -> tuple[float | None, RawItem | None]:
    """Decode a comment.

    Args:
        number: Its line number.
        comment: Its text, without colon and surrounding white space.
        at: The time of arrival of the next block (Unix seconds), as far as known.

    Returns:
        The time of arrival of the next block, and the item in the comment, if any.
    """
    if (found := _AT.fullmatch(comment)) is not None:
        time = float(found[1])
        return (time if math.isfinite(time) else at), None
    return at, decode_tagged_line(comment, number)  # any other text in braces is a foreign comment
