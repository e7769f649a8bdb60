"""The events of an AG-UI run between its boundaries: one event enters, canonical events leave.

A handler takes the run of the wire, the event, its frame, and a function that counts a violation. It returns ``None``
for an event that can't be read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from runstream.dialects.ag_ui_objects import (
    Frame,
    call_event,
    label_event,
    message_event,
    reasoning_event,
    result_event,
    subagent_event,
)
from runstream.dialects.ag_ui_state import Growing, Piece
from runstream.dialects.ag_ui_waiting import has_whole_json
from runstream.dialects.ag_ui_wire import Json, error_of, field_of, output_of, text_of
from runstream.dialects.redaction_rules import split_words
from runstream.model.events import (
    ActivityEvent,
    CustomEvent,
    DocumentPatch,
    DocumentSnapshot,
    Event,
    Target,
    TextAppend,
)

__all__ = ["CLOSES_LANE", "HANDLERS", "ON_INTERRUPT", "Note", "append_text", "close_lane", "owner_of", "path_of"]

Note: TypeAlias = Callable[[str, str], None]
"""Counts a violation: the name of the rule, and the id of the object that it concerns."""

Handler: TypeAlias = Callable[[Piece, Json, Frame, Note], list[Event] | None]

_IDS: Final[dict[Target, str]] = {"text": "messageId", "arguments": "toolCallId", "reasoning": "messageId"}
_OPENED_ONCE: Final[dict[Target, str]] = {
    "text": "message_opened_once",
    "arguments": "call_opened_once",
    "reasoning": "reasoning_opened_once",
}
_OPEN: Final[dict[Target, str]] = {"text": "message_open", "arguments": "call_open", "reasoning": "reasoning_open"}
_ROLES: Final = frozenset({"assistant", "user", "system", "developer"})

ON_INTERRUPT: Final = "on_interrupt"
"""The name of a custom event with which some servers ask the application."""

CLOSES_LANE: Final = split_words(
    """
    TEXT_MESSAGE_START TEXT_MESSAGE_CONTENT TEXT_MESSAGE_END TOOL_CALL_START TOOL_CALL_ARGS TOOL_CALL_END
    TOOL_CALL_RESULT REASONING_START REASONING_END REASONING_MESSAGE_START REASONING_MESSAGE_CONTENT
    REASONING_MESSAGE_END THINKING_START THINKING_END THINKING_TEXT_MESSAGE_START THINKING_TEXT_MESSAGE_CONTENT
    THINKING_TEXT_MESSAGE_END STATE_SNAPSHOT STATE_DELTA STEP_STARTED STEP_FINISHED CUSTOM
    """
)
"""The events that end what chunks of their owner have opened."""


def owner_of(value: Json) -> str | None:
    """The id of the subagent's run that an event belongs to."""
    return text_of(field_of(value, "subagentRunId"))


def path_of(piece: Piece, value: Json, note: Note) -> tuple[str, ...]:
    """The path of the subagent that an event belongs to."""
    owner = owner_of(value)
    if owner is None:
        return ()
    found = piece.subagents.get(owner)
    if found is None:
        note("subagent_known", owner)
        piece.closed_subagents.add(owner)  # no event has announced its step
        found = piece.subagents[owner] = (owner,)
    return found


def close_lane(piece: Piece, owner: str | None) -> None:
    """End what the chunks of an owner have opened. A chunk with its id may open it again."""
    lane = piece.lanes.pop(owner, None)
    if lane is not None:
        found = piece.table(lane[0]).get(lane[1])
        if found is not None:
            found.is_open = found.repeats = False


# texts


def append_text(piece: Piece, found: Growing, target: Target, fragment: str, frame: Frame) -> list[Event]:
    """The event of a fragment of a text."""
    if found.repeats or not fragment or found.is_closed:
        return []
    if target == "arguments":
        found.arguments.append(fragment)
    else:
        found.take(fragment)
    return [TextAppend(found.id, target, 0, fragment, frame.id, piece.run_id, frame.name)]


def _open(piece: Piece, target: Target, id: str, value: Json, frame: Frame, note: Note) -> tuple[Growing, list[Event]]:
    """Open a message, a call or a reasoning, which may be known."""
    table = piece.table(target)
    found = table.get(id)
    if target == "arguments" and found is not None and not found.answered:
        if found.piece != piece.id or found.is_closed or has_whole_json(found):
            note("call_announced_again", id)
            found.repeats = True
            found.piece = piece.id
        found.is_open = True
        return found, []
    if target == "arguments" and found is not None and found.piece != piece.id:
        note("call_announced_again", id)
        found.repeats = found.is_open = True
        return found, []
    if found is not None and not found.is_closed:
        found.is_open = True  # it goes on
        return found, []
    made = id if target == "text" else f"call/{id}" if target == "arguments" else f"reasoning/{id}"
    if found is not None:
        made += f"~{piece.count(f'{target}/{id}') + 1}"  # what has ended takes no further text
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


def _start(target: Target) -> Handler:
    def start(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event] | None:
        id = _id_of(piece, target, value, frame, note)
        if id is None:
            return None
        known = piece.table(target).get(id)
        if known is not None and known.is_open and not known.is_closed:
            note(_OPENED_ONCE[target], id)
            return []
        return _open(piece, target, id, value, frame, note)[1]

    return start


def _content(target: Target) -> Handler:
    def content(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event] | None:
        id, fragment = _id_of(piece, target, value, frame, note), value.get("delta")
        if id is None or not isinstance(fragment, str):
            return None
        found = piece.table(target).get(id)
        events: list[Event] = []
        if found is None or not found.is_open:
            note(_OPEN[target], id)
            if found is None or (found.is_closed and target != "arguments"):
                found, events = _open(piece, target, id, value, frame, note)
        elif (owner := owner_of(value)) is not None and owner != found.owner:
            note("subagent_of_opener", id)
        return events + append_text(piece, found, target, fragment, frame)

    return content


def _end(target: Target) -> Handler:
    def end(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event] | None:
        id = _id_of(piece, target, value, frame, note)
        if id is None:
            return None
        found = piece.table(target).get(id)
        if found is None or not found.is_open:
            note(_OPEN[target], id)
            if found is not None or not (target == "arguments" and piece.has_lost_call):
                return []
            found, events = _open(piece, target, id, value, frame, note)  # its start could not be read
            found.is_open = False
            return events
        found.is_open = found.repeats = False
        if target == "arguments" or found.is_closed:
            return []  # further arguments may follow, and the step has its end with its result
        found.is_closed = True
        if target == "text":
            return [message_event(piece, found, "completed", frame, found.whole if not found.size else "")]
        return [reasoning_event(piece, found, "completed", frame)]

    return end


def _id_of(piece: Piece, target: Target, value: Json, frame: Frame, note: Note) -> str | None:
    """The id on the wire of the object of an event; that of THINKING events is counted, since they have none."""
    if frame.name.startswith("THINKING"):
        note("older_type", "")
        if frame.name.endswith("START"):
            piece.count("thinking")
        return f"{piece.id}/thinking/{piece.counts.get('thinking') or piece.count('thinking')}"
    return text_of(field_of(value, _IDS[target])) or None


def _chunk(target: Target) -> Handler:
    def chunk(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event] | None:
        owner = owner_of(value)
        lane = piece.lanes.get(owner)
        id = text_of(field_of(value, _IDS[target])) or None
        fragment = value.get("delta")
        if fragment is not None and not isinstance(fragment, str):
            return None
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
        return events + append_text(piece, found, target, fragment or "", frame)

    return chunk


def _latest(piece: Piece, target: Target, owner: str | None) -> str | None:
    """The id on the wire of the latest object of an owner that takes text."""
    for id, found in reversed(piece.table(target).items()):
        if found.owner == owner and not found.is_closed:
            return id
    return None


def _span(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event]:
    """The beginning or the end of a reasoning, whose messages follow."""
    if frame.name.startswith("THINKING"):
        note("older_type", "")
    return []


def _result(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event] | None:
    id = text_of(field_of(value, "toolCallId"))
    content = value.get("content")
    if content is None:
        content = value.get("result")
        note("field_name" if content is not None else "field_value", id or "")
    if not id:
        return None
    if not text_of(field_of(value, "messageId")):
        note("result_message", id)
    found = piece.calls.get(id)
    if found is None:
        if piece.is_first:
            note("result_of_known_call", id)
        found = piece.calls[id] = Growing(f"call/{id}", id, path_of(piece, value, note), piece=piece.id)
        piece.has_lost_call = False
    if found.answered:
        note("result_once", id)
        return []
    return [result_event(piece, found, output_of(content) if content is not None else "", frame)]


# labels and subagents


def _step_started(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event] | None:
    name = text_of(field_of(value, "stepName"))
    if name is None:
        return None
    path = path_of(piece, value, note)
    key = f"{owner_of(value) or ''}\n{name}"
    if piece.labels.get(key):
        note("step_opened_once", name)
    number = piece.count(f"step/{key}")
    id = "/".join([piece.id, "step", *path, name, str(number)])
    piece.labels.setdefault(key, []).append(id)
    return [label_event(piece, id, name, path, "in_progress", frame, created=True)]


def _step_finished(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event] | None:
    name = text_of(field_of(value, "stepName"))
    if name is None:
        return None
    key = f"{owner_of(value) or ''}\n{name}"
    opened = piece.labels.get(key)
    if not opened:
        note("step_open", name)
        return []
    id = opened.pop()
    if not opened:
        del piece.labels[key]
    return [label_event(piece, id, name, path_of(piece, value, note), "completed", frame)]


def _subagent_started(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event] | None:
    id = text_of(field_of(value, "subagentRunId"))
    if not id:
        return None
    if id in piece.subagents:
        note("subagent_once", id)
    parent = text_of(field_of(value, "parentSubagentRunId"))
    if parent is not None and parent not in piece.subagents:
        note("subagent_known", parent)
    piece.subagents[id] = (*(piece.subagents.get(parent, (parent,)) if parent is not None else ()), id)
    piece.closed_subagents.discard(id)
    name, description = text_of(value.get("name")), text_of(value.get("description"))
    return [subagent_event(piece, id, name, "in_progress", frame, description=description, created=True)]


def _subagent_ended(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event] | None:
    id = text_of(field_of(value, "subagentRunId"))
    if not id:
        return None
    if id not in piece.subagents:
        note("subagent_known", id)
        piece.subagents[id] = (id,)
    close_lane(piece, id)
    piece.closed_subagents.add(id)
    if frame.name == "SUBAGENT_ERROR":
        return [subagent_event(piece, id, None, "failed", frame, error=error_of(value))]
    outcome = value.get("outcome")
    if isinstance(outcome, dict) and outcome.get("type") == "suspended":
        return []  # it goes on after the answer
    return [subagent_event(piece, id, None, "completed", frame)]


# documents, activities, values


def _state_snapshot(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event] | None:
    if "snapshot" not in value:
        return None
    return [DocumentSnapshot(value["snapshot"], frame.id, run_id=piece.run_id, name=frame.name)]


def _state_delta(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event] | None:
    operations = value.get("delta")
    if not isinstance(operations, list):
        note("patch_form", "")
    return [DocumentPatch(operations, frame.id, run_id=piece.run_id, name=frame.name)]


def _activity(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event] | None:
    id = text_of(field_of(value, "messageId"))
    if not id:
        return None
    operations: Any = None
    if frame.name == "ACTIVITY_DELTA":
        operations = value.get("patch")
        if not isinstance(operations, list):
            note("patch_form", id)
            operations = [operations]
    return [
        ActivityEvent(
            value.get("content"),
            frame.id,
            run_id=piece.run_id,
            name=frame.name,
            path=path_of(piece, value, note),
            activity_id=id,
            kind=text_of(field_of(value, "activityType")) or "",
            operations=operations,
            replace=value.get("replace") is not False,
        )
    ]


def _raw(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event]:
    found = {name: value[name] for name in ("event", "source") if name in value}
    return [CustomEvent(found, frame.id, run_id=piece.run_id, name="RAW", path=path_of(piece, value, note))]


def _custom(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event]:
    name = text_of(value.get("name"))
    if name is None:
        note("field_value", "")
    if name == ON_INTERRUPT:
        piece.interrupts.append(value.get("value"))
    path = path_of(piece, value, note)
    return [CustomEvent(value.get("value"), frame.id, run_id=piece.run_id, name=name or "", path=path)]


def _encrypted(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event]:
    found = {name: field_of(value, name) for name in ("subtype", "entityId", "encryptedValue")}
    path = path_of(piece, value, note)
    return [CustomEvent(found, frame.id, run_id=piece.run_id, name=frame.name, path=path)]


HANDLERS: Final[dict[str, Handler]] = {
    "TEXT_MESSAGE_START": _start("text"),
    "TEXT_MESSAGE_CONTENT": _content("text"),
    "TEXT_MESSAGE_END": _end("text"),
    "TEXT_MESSAGE_CHUNK": _chunk("text"),
    "TOOL_CALL_START": _start("arguments"),
    "TOOL_CALL_ARGS": _content("arguments"),
    "TOOL_CALL_END": _end("arguments"),
    "TOOL_CALL_CHUNK": _chunk("arguments"),
    "TOOL_CALL_RESULT": _result,
    "REASONING_START": _span,
    "REASONING_END": _span,
    "REASONING_MESSAGE_START": _start("reasoning"),
    "REASONING_MESSAGE_CONTENT": _content("reasoning"),
    "REASONING_MESSAGE_END": _end("reasoning"),
    "REASONING_MESSAGE_CHUNK": _chunk("reasoning"),
    "REASONING_ENCRYPTED_VALUE": _encrypted,
    "THINKING_START": _span,
    "THINKING_END": _span,
    "THINKING_TEXT_MESSAGE_START": _start("reasoning"),
    "THINKING_TEXT_MESSAGE_CONTENT": _content("reasoning"),
    "THINKING_TEXT_MESSAGE_END": _end("reasoning"),
    "STEP_STARTED": _step_started,
    "STEP_FINISHED": _step_finished,
    "STATE_SNAPSHOT": _state_snapshot,
    "STATE_DELTA": _state_delta,
    "ACTIVITY_SNAPSHOT": _activity,
    "ACTIVITY_DELTA": _activity,
    "SUBAGENT_STARTED": _subagent_started,
    "SUBAGENT_FINISHED": _subagent_ended,
    "SUBAGENT_ERROR": _subagent_ended,
    "RAW": _raw,
    "CUSTOM": _custom,
}
"""The handlers by the type of the event."""
