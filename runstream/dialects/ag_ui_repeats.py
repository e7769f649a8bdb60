"""Calls of an AG-UI run under the id of a call that was answered: the fragments enter, the events of a new call leave.

Some servers announce an answered call again in the run that continues, and others use its id for another call. Only the
arguments show which it is, so nothing is sent until they have come.
"""

from __future__ import annotations

from collections.abc import Collection

from runstream.dialects.ag_ui_objects import Frame, call_event, result_event
from runstream.dialects.ag_ui_owners import Note
from runstream.dialects.ag_ui_snapshot import is_equal_json
from runstream.dialects.ag_ui_state import Growing, Input, Piece
from runstream.model.events import Event, TextAppend

__all__ = ["decide_repeat", "decide_repeats", "take_results"]


def take_results(piece: Piece, request: Input, frame: Frame) -> list[Event]:
    """The events of the results in a request.

    Args:
        piece: The run of the wire that begins.
        request: The request.
        frame: The event that begins it.
    """
    events: list[Event] = []
    for call_id, output in request.results:
        call = piece.calls.get(call_id)
        if call is None:
            call = piece.calls[call_id] = Growing(piece.latest_call(call_id), call_id)
        if not call.answered:
            events.append(result_event(piece, call, output, frame))
        if call.name is None and not call.arguments and (found := request.calls.get(call_id)) is not None:
            call.name, arguments = found  # to compare them with those of a call under its id
            call.arguments = [arguments] if arguments else []
    return events


def decide_repeat(piece: Piece, id: str, frame: Frame, note: Note, *, waits: bool = False) -> list[Event]:
    """Decide about a call under the id of one that was answered: equal ones are one call.

    Args:
        piece: The run of the wire.
        id: The id on the wire.
        frame: The event that shows that its arguments have come.
        note: Counts a violation.
        waits: True if the server waits for it, so that it is another one.

    Returns:
        The events of another call; none if it is the answered one, or if there is nothing to decide.
    """
    earlier = piece.earlier.pop(id, None)
    if earlier is None:
        return []
    call = piece.calls[id]
    if call.half:
        call.arguments.append("\ufffd")
        call.half = 0
    text = "".join(call.arguments)
    is_known = earlier.name is not None or bool(earlier.arguments)
    is_same = call.name in (None, earlier.name) and is_equal_json("".join(earlier.arguments) or "{}", text or "{}")
    if not waits and (is_same or not is_known):
        note("call_announced_again", id)
        piece.calls[id] = earlier
        return []
    call.repeats = False
    piece.has_lost_call = False
    events: list[Event] = [call_event(piece, call, "in_progress", frame, created=True)]
    if text:
        events.append(TextAppend(call.id, "arguments", 0, text, frame.id, piece.run_id, frame.name))
    return events


def decide_repeats(piece: Piece, pending: Collection[str], frame: Frame, note: Note) -> list[Event]:
    """Decide about all calls that are left, at the end of the run.

    Args:
        piece: The run of the wire.
        pending: The ids of the calls that the server waits for.
        frame: The event that ends the run.
        note: Counts a violation.
    """
    return [event for id in list(piece.earlier) for event in decide_repeat(piece, id, frame, note, waits=id in pending)]
