"""One message of a wire, with the bounds of its dialect: a raw event in, its JSON value or a reject out."""

from __future__ import annotations

from typing import Any

import msgspec

from runstream.model.events import Reject
from runstream.model.jsontext import nesting_depth, not_json_reason
from runstream.model.raw import RawEvent
from runstream.model.surrogates import decode_odd, is_odd, replace_surrogates

__all__ = ["parse_json", "read_message"]


def read_message(raw: RawEvent, max_bytes: int, max_nesting: int) -> Any:
    """The JSON value of a message; a :class:`Reject` if it can't be read.

    Args:
        raw: The raw event.
        max_bytes: A larger message becomes a reject (bytes).
        max_nesting: A more deeply nested message becomes a reject (levels).
    """
    data = raw.data
    if len(data) > max_bytes:
        reason = f"Message of {len(data)} bytes; at most {max_bytes} are read (max_message_bytes)"
        return Reject(raw, reason, object_ids=None)  # what it concerns was not read
    if nesting_depth(data, max_nesting) > max_nesting:
        return Reject(raw, f"Nested more than {max_nesting} levels deep (max_nesting)", object_ids=None)
    try:
        return parse_json(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return Reject(raw, not_json_reason(data, error), object_ids=None)


def parse_json(data: bytes) -> Any:
    """Parse JSON; U+FFFD replaces lone surrogates, and bytes that are not UTF-8.

    Raises:
        ValueError, msgspec.MsgspecError: The text is not JSON.
        RecursionError: It is nested too deeply.
    """
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, UnicodeError):
        if not is_odd(data):
            raise
        return replace_surrogates(decode_odd(data))
