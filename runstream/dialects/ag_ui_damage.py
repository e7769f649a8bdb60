"""An AG-UI event that can't be read: its bytes enter, and what they still show of it leaves."""

from __future__ import annotations

import re
from typing import Final

from runstream.dialects.ag_ui_events import ON_INTERRUPT
from runstream.dialects.ag_ui_owners import owner_of
from runstream.dialects.ag_ui_state import Piece
from runstream.dialects.ag_ui_wire import EVENT_TYPES, FRAGMENTS, Json, field_of, text_of

__all__ = ["may_ask", "may_grow_call", "note_unusable", "visible_type"]

_HEAD: Final = 4096
_TYPE: Final = re.compile(rb'"type"\s*:\s*"([A-Z_]+)"')
_TYPE_SO_FAR: Final = re.compile(rb'"type"\s*:\s*"([A-Za-z_]*)')
_GROWS: Final = re.compile(rb'"TOOL_CALL_(?:ARGS|CHUNK)')
_NAME: Final = re.compile(rb'"name"\s*:\s*"[^"]*"')
_FRAGMENTS: Final = {**FRAGMENTS, "THINKING_TEXT_MESSAGE_CONTENT": FRAGMENTS["REASONING_MESSAGE_CONTENT"]}
_ON_INTERRUPT: Final = ON_INTERRUPT.encode()


def visible_type(data: bytes) -> str | None:
    """The type that the bytes of an event show; ``None`` if they show none, so that it may be no event at all."""
    for match in _TYPE.finditer(data[:_HEAD]):
        if (name := match[1].decode()) in EVENT_TYPES:
            return name
    return None


def may_grow_call(data: bytes) -> bool:
    """True if an event may have been a fragment of the arguments of a call: an object that shows no other type."""
    if _GROWS.search(data) is not None:
        return True  # also behind another event, where the end of a block was lost
    shown = _TYPE_SO_FAR.search(data[:_HEAD])
    if shown is not None and shown[1]:
        return any(name.startswith(shown[1]) for name in (b"TOOL_CALL_ARGS", b"TOOL_CALL_CHUNK"))
    return data.lstrip().startswith(b"{")


def may_ask(data: bytes) -> bool:
    """True if an event may be a question to the application: a custom event with the name of one, or with no name."""
    if visible_type(data) != "CUSTOM":
        return False
    return _ON_INTERRUPT in data or _NAME.search(data) is None


def note_unusable(piece: Piece, value: Json, name: str) -> tuple[str, ...]:
    """Note an event that lacks something: what it would have continued may miss a part.

    Args:
        piece: The run of the wire.
        value: The event.
        name: Its type.

    Returns:
        The ids of the messages and steps that it concerns.
    """
    if name not in _FRAGMENTS:
        named = [text_of(field_of(value, field)) or "" for field in ("messageId", "toolCallId")]
        tables = (piece.messages, piece.calls, piece.reasoning)
        known = [each for table in tables for id in named if (each := table.get(id)) is not None]
        return tuple(dict.fromkeys([each.id for each in known if not each.is_closed]))
    target, key = _FRAGMENTS[name]
    id = text_of(field_of(value, key))
    lane = piece.lanes.get(owner_of(value)) if name.endswith("CHUNK") else None
    if not id and lane is not None and lane[0] == target:
        id = lane[1]
    table = piece.table(target)
    if id and id not in table:
        piece.has_lost_beginning = True
        return ()
    found = [table[id]] if id else [each for each in table.values() if each.is_open]
    found = [each for each in found if not (each.is_closed or each.repeats)]
    for each in found:
        each.note_damage()
    return tuple([each.id for each in found])
