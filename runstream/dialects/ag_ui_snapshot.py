"""A snapshot of the messages of an AG-UI thread: the messages enter, the events of what no other event had leave.

A snapshot has the whole thread, and servers give other ids in it than in the stream. What was streamed stays: only
messages, calls and results of this run that were not streamed are new.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec import structs

from runstream.dialects.ag_ui_objects import Frame, call_event, message_event, reasoning_event, result_event
from runstream.dialects.ag_ui_owners import Note
from runstream.dialects.ag_ui_state import Growing, Piece, is_whole_json
from runstream.dialects.ag_ui_wire import Json, field_of, json_text, objects_of, output_of, text_of
from runstream.errors import DecodeError
from runstream.model.events import ActivityEvent, Event
from runstream.model.jsontext import decode_json

__all__ = ["decode_messages", "is_equal_json"]


def decode_messages(
    piece: Piece, messages: list[Json], earlier: Collection[str], frame: Frame, note: Note
) -> list[Event]:
    """The events of a snapshot of the messages.

    Args:
        piece: The run of the wire.
        messages: The messages of the thread.
        earlier: The ids of messages of earlier runs.
        frame: The event.
        note: Counts a violation.
    """
    request = piece.request
    start = 0
    for position, message in enumerate(messages):
        answers = field_of(message, "toolCallId") if message.get("role") == "tool" else None
        if message.get("role") == "user" or (request is not None and answers in request.answers):
            start = position + 1
    history = request.history if request is not None else ()
    events: list[Event] = []
    matched: set[str] = set()
    answered = {field_of(message, "toolCallId") for message in messages if message.get("role") == "tool"}
    last = max((n for n, message in enumerate(messages) if message.get("role") == "assistant"), default=-1)
    for position, message in enumerate(messages[start:], start):
        id = text_of(message.get("id")) or ""
        if id in history or (id in earlier and id not in piece.messages):
            continue
        match message.get("role"):
            case "assistant":
                known = None if position == last else answered
                events += _decode_assistant(piece, message, id, matched, frame, known, note)
            case "tool":
                events += _decode_result(piece, message, frame)
            case "reasoning":
                events += _decode_reasoning(piece, message, id, matched, frame, note)
            case "activity":
                kind = text_of(field_of(message, "activityType")) or ""
                events.append(
                    ActivityEvent(
                        message.get("content"),
                        frame.id,
                        run_id=piece.run_id,
                        name=frame.name,
                        path=_path_of(piece, message),
                        activity_id=id,
                        kind=kind,
                    )
                )
    return events


def _path_of(piece: Piece, message: Json) -> tuple[str, ...]:
    owner = text_of(field_of(message, "subagentRunId"))
    return () if owner is None else piece.subagents.get(owner, (owner,))


def _text_of(message: Json) -> str:
    """The text of a message: its content, or the texts of its parts."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join([text_of(part.get("text")) or "" for part in objects_of(content)])


def _find(known: dict[str, Growing], id: str, text: str, matched: set[str]) -> Growing | None:
    """The streamed message that a message of the snapshot repeats: the one with its id, else one with its text."""
    found = known.get(id)
    if found is None and text:
        found = next((each for each in known.values() if each.id not in matched and each.has_text(text)), None)
    if found is not None:
        matched.add(found.id)
    return found


def _is_other(found: Growing, text: str, note: Note) -> bool:
    """True if a text with the id of a streamed one replaces it. One that is a beginning of it takes nothing back.

    Each other one replaces a text that may miss a part: an equal one shows that it misses none.
    """
    known, agrees = found.text, found.agrees(text)
    if found.is_damaged:
        return agrees is not True or (known is not None and known.strip() == text.strip())
    if agrees is not False:
        return False
    if found.is_closed or known is None or not text.strip().startswith(known.strip()):
        note("snapshot_text", found.wire_id)  # else the snapshot is ahead of a message that is open
    return True


def _add(piece: Piece, known: dict[str, Growing], id: str, made: str, text: str, message: Json) -> Growing:
    """Note a message that only the snapshot has."""
    added = known[id] = Growing(made, id, _path_of(piece, message), is_open=False, is_closed=True)
    added.take(text)
    return added


def _decode_assistant(
    piece: Piece, message: Json, id: str, matched: set[str], frame: Frame, answered: set[str] | None, note: Note
) -> list[Event]:
    text = _text_of(message)
    events: list[Event] = []
    found = _find(piece.messages, id, text, matched)
    if found is None:
        if text:
            id = id or f"{piece.id}/message/{piece.count('message')}"
            added = _add(piece, piece.messages, id, id, text, message)
            matched.add(added.id)
            events.append(message_event(piece, added, "completed", frame, text, created=True))
    elif text and (not found.size or (found.is_damaged and not found.is_closed and len(text) > found.size)):
        if found.is_open:
            found.whole, found.whole_at = text, found.size  # its text may follow
        else:
            found.replace(text)
            found.is_closed = True
            events.append(message_event(piece, found, "completed", frame, text))
    elif text and (found.wire_id == id or found.is_damaged) and _is_other(found, text, note):
        if found.is_closed:
            found.replace(text)
            events.append(message_event(piece, found, "completed", frame, text, corrects=True))
        else:
            found.whole, found.whole_at = text, found.size
    for value in objects_of(field_of(message, "toolCalls")):
        call_id = text_of(value.get("id"))
        function = value.get("function")
        if call_id is None or not isinstance(function, dict):
            continue
        given = function.get("arguments")
        arguments = given if isinstance(given, str) else json_text(given) if given is not None else ""
        if call_id in piece.earlier:
            continue  # not decided: one of two calls under this id
        if (streamed := piece.calls.get(call_id)) is not None:
            events += _compare_call(piece, streamed, arguments, frame, note)
            continue
        if answered is not None and call_id not in answered:
            continue  # the thread went on without a result: a question of an earlier run
        call = Growing(
            f"call/{call_id}",
            call_id,
            _path_of(piece, message),
            is_open=False,
            name=text_of(function.get("name")),
            arguments=[arguments] if arguments else [],
            piece=piece.id,
        )
        piece.calls[call_id] = call
        piece.has_lost_call = False
        events.append(call_event(piece, call, "in_progress", frame, arguments=arguments or None, created=True))
    return events


def _compare_call(piece: Piece, call: Growing, arguments: str, frame: Frame, note: Note) -> list[Event]:
    """Add the arguments of a call that were not streamed. Others than were streamed replace nothing: a call is executed
    once, with the arguments that it was announced with.
    """
    known = "".join(call.arguments)
    if call.answered and call.name is None and not known:
        return []  # a call of an earlier run: this one has its result alone
    if not arguments.strip() or call.piece != piece.id:
        return []
    if call.is_damaged and not call.is_closed:
        if not is_whole_json(arguments):
            return []
        if is_equal_json(known, arguments):
            arguments = known  # in the form that was streamed
        call.arguments, call.whole, call.is_damaged, call.is_cut = [arguments], arguments, False, False
        call.repeats = call.is_open  # fragments that follow are a part of it
        return []  # they replace those that were streamed when the step ends
    if call.is_open and known:
        return []
    if is_equal_json(known, arguments):
        return []
    if known.strip() or call.is_closed:
        note("snapshot_text", call.wire_id)
        return []
    call.arguments = [arguments]
    return [call_event(piece, call, "in_progress", frame, arguments=arguments)]


def is_equal_json(one: str, other: str) -> bool:
    """True if two texts are equal, or are equal JSON: servers write it in other forms."""
    if one.strip() == other.strip():
        return True
    try:
        return bool(decode_json(one) == decode_json(other))
    except DecodeError:
        return False


def _decode_result(piece: Piece, message: Json, frame: Frame) -> list[Event]:
    call_id = text_of(field_of(message, "toolCallId"))
    if call_id is None:
        return []
    call = piece.calls.get(call_id)
    if call is None:
        call = piece.calls[call_id] = Growing(f"call/{call_id}", call_id, _path_of(piece, message), is_open=False)
    if call.answered:
        return []
    return [result_event(piece, call, output_of(message.get("content")), frame)]


def _decode_reasoning(piece: Piece, message: Json, id: str, matched: set[str], frame: Frame, note: Note) -> list[Event]:
    text = _text_of(message)
    found = _find(piece.reasoning, id, text, matched)
    is_same = found is not None and (found.wire_id == id or found.is_damaged)
    if found is not None and text and is_same and found.is_closed and _is_other(found, text, note):
        found.replace(text)
        return [structs.replace(reasoning_event(piece, found, "completed", frame, text), corrects=True)]
    if not text or found is not None:
        return []
    id = id or f"{piece.id}/reasoning/{piece.count('reasoning')}"
    added = _add(piece, piece.reasoning, id, f"reasoning/{id}", text, message)
    matched.add(added.id)
    return [reasoning_event(piece, added, "completed", frame, text, created=True)]
