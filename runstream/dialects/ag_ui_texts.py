"""The texts of an AG-UI run: events of messages, arguments of calls and reasoning enter, events that append leave.

A chunk opens and closes what the other events open and close by themselves: each owner has one lane.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from runstream.dialects.ag_ui_objects import (
    Frame,
    call_event,
    message_event,
    reasoning_event,
    rest_of,
)
from runstream.dialects.ag_ui_owners import Handler, Note, owner_of, path_of
from runstream.dialects.ag_ui_repeats import decide_repeat
from runstream.dialects.ag_ui_state import Growing, Piece, next_call
from runstream.dialects.ag_ui_waiting import has_whole_json
from runstream.dialects.ag_ui_wire import Json, field_of, json_text, text_of
from runstream.dialects.redaction_rules import split_words
from runstream.model.events import (
    Event,
    Target,
    TextAppend,
)

__all__ = ["CLOSES_LANE", "add_chunk", "add_content", "begin_text", "close_lane", "delta_name", "end_text"]

_IDS: Final[dict[Target, str]] = {"text": "messageId", "arguments": "toolCallId", "reasoning": "messageId"}
_OPENED_ONCE: Final[dict[Target, str]] = {
    "text": "message_opened_once",
    "arguments": "call_opened_once",
    "reasoning": "reasoning_opened_once",
}
_OPEN: Final[dict[Target, str]] = {"text": "message_open", "arguments": "call_open", "reasoning": "reasoning_open"}
# The names under which hand-written servers send a fragment.
_DELTA_NAMES: Final[dict[Target, tuple[str, ...]]] = {
    "text": ("content", "text"),
    "arguments": ("args", "arguments", "content", "text"),
    "reasoning": ("content", "text"),
}
_ROLES: Final = frozenset({"assistant", "user", "system", "developer"})

CLOSES_LANE: Final = split_words(
    """
    TEXT_MESSAGE_START TEXT_MESSAGE_CONTENT TEXT_MESSAGE_END TOOL_CALL_START TOOL_CALL_ARGS TOOL_CALL_END
    TOOL_CALL_RESULT REASONING_START REASONING_END REASONING_MESSAGE_START REASONING_MESSAGE_CONTENT
    REASONING_MESSAGE_END THINKING_START THINKING_END THINKING_TEXT_MESSAGE_START THINKING_TEXT_MESSAGE_CONTENT
    THINKING_TEXT_MESSAGE_END STATE_SNAPSHOT STATE_DELTA STEP_STARTED STEP_FINISHED CUSTOM
    """
)
"""The events that end what chunks of their owner have opened."""


def close_lane(piece: Piece, owner: str | None) -> Callable[[], None]:
    """End what the chunks of an owner have opened. A chunk with its id may open it again.

    Returns:
        A function that undoes it, for an event that turns out to be none.
    """
    lane = piece.lanes.pop(owner, None)
    found = piece.table(lane[0]).get(lane[1]) if lane is not None else None
    if lane is None or found is None:
        return lambda: None
    before = (found.is_open, found.repeats)
    found.is_open = found.repeats = False

    def undo() -> None:
        piece.lanes[owner] = lane
        found.is_open, found.repeats = before

    return undo


def _append(piece: Piece, found: Growing, target: Target, fragment: str, frame: Frame) -> list[Event]:
    """The event of a fragment of a text."""
    fragment = found.join(fragment)
    if found.repeats or not fragment or found.is_closed:
        if target == "arguments" and found.wire_id in piece.earlier:
            found.take_arguments(fragment, frame.id)
        return []
    if target == "arguments":
        found.take_arguments(fragment, frame.id)
    else:
        found.take(fragment)
    return [TextAppend(found.id, target, 0, fragment, frame.id, piece.run_id, frame.name)]


def _open(piece: Piece, target: Target, id: str, value: Json, frame: Frame, note: Note) -> tuple[Growing, list[Event]]:
    """Open a message, a call or a reasoning, which may be known."""
    table = piece.table(target)
    found = table.get(id)
    if target == "arguments" and id in piece.earlier and found is not None:
        found.is_open = found.repeats = True
        return found, []
    if target == "arguments" and found is not None and not found.answered:
        if found.piece != piece.id or found.is_closed or has_whole_json(found):
            note("call_announced_again", id)
            found.repeats = True
            found.piece = piece.id
        found.is_open = True
        return found, []
    if target == "arguments" and found is not None and found.piece != piece.id:
        piece.earlier[id] = found  # the call that was answered, or another one: its arguments show which
        name = text_of(field_of(value, "toolCallName"))
        path, owner = path_of(piece, value, note), owner_of(value)
        again = Growing(next_call(found.id, id), id, path, owner, name=name, repeats=True, piece=piece.id)
        piece.calls[id] = again
        return again, []
    if found is not None and not found.is_closed:
        found.is_open = True  # it goes on
        if target == "arguments" and found.name is None:  # its result came before it
            found.name = text_of(field_of(value, "toolCallName"))
            return found, [call_event(piece, found, "in_progress", frame)]
        return found, []
    made = id if target == "text" else f"call/{id}" if target == "arguments" else f"reasoning/{id}"
    if found is not None and target == "arguments":
        made = next_call(found.id, id)
    elif found is not None:
        made += f"~{piece.count(f'{target}/{id}') + 1}"  # what has ended takes no further text
    if target != "arguments":
        made = piece.name_object(made)
    role = text_of(value.get("role"))
    if role is not None and role not in _ROLES and target == "text":
        note("field_value", id)
    found = table[id] = Growing(
        made,
        id,
        path_of(piece, value, note),
        owner_of(value),
        role=role if role in _ROLES else "assistant",
        name=text_of(field_of(value, "toolCallName")) if target == "arguments" else None,
        is_damaged=piece.has_lost_beginning and not frame.name.endswith("START"),
        piece=piece.id,
    )
    if found.is_damaged:
        piece.has_lost_beginning = False
        if target == "arguments":
            piece.has_lost_call = False
    if target == "text":
        return found, [message_event(piece, found, "in_progress", frame, created=True)]
    if target == "arguments":
        return found, [call_event(piece, found, "in_progress", frame, created=True)]
    return found, [reasoning_event(piece, found, "in_progress", frame, created=True)]


def begin_text(target: Target) -> Handler:
    """The handler of the events that begin a text of a kind."""

    def start(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event] | None:
        id = _id_of(piece, target, value, frame, note)
        if id is None:
            return None
        known = piece.table(target).get(id)
        if known is not None and known.is_open and not known.is_closed:
            note(_OPENED_ONCE[target], id)
            return []
        found, events = _open(piece, target, id, value, frame, note)
        found.needs_end = True
        return events

    return start


def delta_name(value: Json, target: Target) -> str:
    """The name of the field with the fragment of an event."""
    if "delta" in value:
        return "delta"
    return next((name for name in _DELTA_NAMES[target] if value.get(name) is not None), "delta")


def _read_delta(value: Json, target: Target, found: Growing | None, id: str, note: Note) -> str | None:
    """The fragment of an event: a text; the JSON text of a number, and of the whole arguments of a call; "" for a null.

    ``None`` if there is none that can be read: see :func:`~runstream.dialects.ag_ui_damage.note_unusable`.
    """
    name = delta_name(value, target)
    if name != "delta":
        note("delta_name", id)
    delta = value.get(name)
    if isinstance(delta, str):
        return delta
    is_whole = isinstance(delta, dict | list) and target == "arguments" and (found is None or not found.arguments)
    is_number = isinstance(delta, int | float) and found is not None and found.is_open  # else it is of no text
    if is_whole or is_number or (delta is None and name in value):
        note("field_value", id)
        return "" if delta is None else json_text(delta)
    return None


def add_content(target: Target) -> Handler:
    """The handler of the events with a fragment of a text of a kind."""

    def content(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event] | None:
        id = _id_of(piece, target, value, frame, note)
        if id is None:
            return None
        found = piece.table(target).get(id)
        fragment = _read_delta(value, target, found, id, note)
        if fragment is None:
            return None
        if "delta" in value and value["delta"] is None:
            return []
        events: list[Event] = []
        if found is None or not found.is_open:
            note(_OPEN[target], id)
            if found is None or (found.is_closed and target != "arguments"):
                found, events = _open(piece, target, id, value, frame, note)
        elif (owner := owner_of(value)) is not None and owner != found.owner:
            note("subagent_of_opener", id)
        return events + _append(piece, found, target, fragment, frame)

    return content


def end_text(target: Target) -> Handler:
    """The handler of the events that end a text of a kind."""

    def end(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event] | None:
        id = _id_of(piece, target, value, frame, note)
        if id is None:
            return None
        found = piece.table(target).get(id)
        if found is None or not (found.is_open or found.needs_end):
            note(_OPEN[target], id)
            if found is not None or not (target == "arguments" and piece.has_lost_call):
                return []
            found, events = _open(piece, target, id, value, frame, note)  # its start could not be read
            found.is_open = False
            return events
        if (owner := owner_of(value)) is not None and owner != found.owner:
            note("subagent_of_opener", id)
        if target == "arguments" and id in piece.earlier:
            found.is_open = found.needs_end = False
            return decide_repeat(piece, id, frame, note)
        rest = rest_of(piece, found, target, frame)
        found.is_open = found.repeats = found.needs_end = False
        if target == "arguments" and found.answered and not found.is_closed:
            found.is_closed = True
            return [*rest, call_event(piece, found, "completed", frame)]
        if target == "arguments" or found.is_closed:
            return rest  # further arguments may follow, and the step has its end with its result
        found.is_closed = True
        if target == "text":
            return [*rest, message_event(piece, found, "completed", frame, found.final_text())]
        return [*rest, reasoning_event(piece, found, "completed", frame)]

    return end


def _id_of(piece: Piece, target: Target, value: Json, frame: Frame, note: Note) -> str | None:
    """The id on the wire of the object of an event; that of THINKING events is counted, since they have none."""
    if frame.name.startswith("THINKING"):
        note("older_type", "")
        if frame.name.endswith("START"):
            piece.count("thinking")
        return f"{piece.id}/thinking/{piece.counts.get('thinking') or piece.count('thinking')}"
    return text_of(field_of(value, _IDS[target])) or None


def add_chunk(target: Target) -> Handler:
    """The handler of the chunks of a text of a kind, which begin and end it by themselves."""

    def chunk(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event] | None:
        owner = owner_of(value)
        lane = piece.lanes.get(owner)
        id = text_of(field_of(value, _IDS[target])) or None
        if id is None:
            if lane is not None and lane[0] == target:
                id = lane[1]
            else:
                note("chunk_has_id", "")
                id = _latest(piece, target, owner) or f"{piece.id}/chunk/{piece.count('chunk')}"
        if lane != (target, id):
            close_lane(piece, owner)
            piece.lanes[owner] = (target, id)
        found = piece.table(target).get(id)
        fragment: str | None = ""
        if value.get(delta_name(value, target)) is not None:
            fragment = _read_delta(value, target, found, id, note)
        if fragment is None:
            return None
        events: list[Event] = []
        if found is None or not found.is_open or (found.is_closed and target != "arguments"):
            if target == "arguments" and found is None and field_of(value, "toolCallName") is None:
                note("chunk_has_id", id)
            found, events = _open(piece, target, id, value, frame, note)
        else:
            role, name = text_of(value.get("role")), text_of(field_of(value, "toolCallName"))
            if (role is not None and target == "text" and role != found.role) or (
                name is not None and name != found.name
            ):
                note("chunk_agrees", id)
        return events + _append(piece, found, target, fragment, frame)

    return chunk


def _latest(piece: Piece, target: Target, owner: str | None) -> str | None:
    """The id on the wire of the latest object of an owner that takes text."""
    for id, found in reversed(piece.table(target).items()):
        if found.owner == owner and not found.is_closed:
            return id
    return None
