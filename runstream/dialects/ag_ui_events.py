"""The events of an AG-UI run between its boundaries: one event enters, canonical events leave.

A handler takes the run of the wire, the event, its frame, and a function that counts a violation. It returns ``None``
for an event that can't be read.
"""

from __future__ import annotations

from typing import Any, Final

from runstream.dialects.ag_ui_objects import (
    Frame,
    call_event,
    label_event,
    result_event,
    subagent_event,
)
from runstream.dialects.ag_ui_owners import Handler, Note, owner_of, path_of
from runstream.dialects.ag_ui_repeats import decide_repeat
from runstream.dialects.ag_ui_state import Growing, Piece
from runstream.dialects.ag_ui_texts import add_chunk, add_content, begin_text, close_lane, end_text
from runstream.dialects.ag_ui_waiting import has_whole_json
from runstream.dialects.ag_ui_wire import Json, error_of, field_of, output_of, text_of
from runstream.model.events import (
    ActivityEvent,
    CustomEvent,
    DocumentPatch,
    DocumentSnapshot,
    Event,
)

__all__ = ["HANDLERS", "ON_INTERRUPT"]

ON_INTERRUPT: Final = "on_interrupt"
"""The name of a custom event with which some servers ask the application."""


def _span(piece: Piece, value: Json, frame: Frame, note: Note) -> list[Event]:
    """The beginning or the end of a reasoning, whose messages follow."""
    id = text_of(field_of(value, "messageId"))
    if frame.name.startswith("THINKING"):
        note("older_type", "")
    elif not id:
        note("field_value", "messageId")
    elif frame.name == "REASONING_START":
        if id in piece.spans:
            note("reasoning_opened_once", id)
        piece.spans.add(id)
    elif id in piece.spans:
        piece.spans.discard(id)
    else:
        note("reasoning_open", id)
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
    begun = decide_repeat(piece, id, frame, note)
    found = piece.calls.get(id)
    is_unknown = found is None
    if found is None:
        if piece.is_first:
            note("result_of_known_call", id)
        path = path_of(piece, value, note)
        found = piece.calls[id] = Growing(f"call/{id}", id, path, is_open=False, piece=piece.id)
        piece.has_lost_call = False
    if found.answered:
        note("result_once", id)
        return begun
    output = output_of(content) if content is not None else ""
    if (is_unknown and piece.is_first) or (found.is_open and found.needs_end and not has_whole_json(found)):
        found.answered = True  # its name or its arguments may follow, and what has ended takes none
        return [*begun, call_event(piece, found, "in_progress", frame, output=output, created=is_unknown)]
    return [*begun, result_event(piece, found, output, frame)]


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
    if id in piece.started:
        note("subagent_once", id)
    piece.started.add(id)
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
    if id not in piece.started or id in piece.closed_subagents:
        note("subagent_open", id)
    piece.subagents.setdefault(id, (id,))
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
    "TEXT_MESSAGE_START": begin_text("text"),
    "TEXT_MESSAGE_CONTENT": add_content("text"),
    "TEXT_MESSAGE_END": end_text("text"),
    "TEXT_MESSAGE_CHUNK": add_chunk("text"),
    "TOOL_CALL_START": begin_text("arguments"),
    "TOOL_CALL_ARGS": add_content("arguments"),
    "TOOL_CALL_END": end_text("arguments"),
    "TOOL_CALL_CHUNK": add_chunk("arguments"),
    "TOOL_CALL_RESULT": _result,
    "REASONING_START": _span,
    "REASONING_END": _span,
    "REASONING_MESSAGE_START": begin_text("reasoning"),
    "REASONING_MESSAGE_CONTENT": add_content("reasoning"),
    "REASONING_MESSAGE_END": end_text("reasoning"),
    "REASONING_MESSAGE_CHUNK": add_chunk("reasoning"),
    "REASONING_ENCRYPTED_VALUE": _encrypted,
    "THINKING_START": _span,
    "THINKING_END": _span,
    "THINKING_TEXT_MESSAGE_START": begin_text("reasoning"),
    "THINKING_TEXT_MESSAGE_CONTENT": add_content("reasoning"),
    "THINKING_TEXT_MESSAGE_END": end_text("reasoning"),
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
