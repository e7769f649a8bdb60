"""What an AG-UI run waits for at its end: its calls, interrupts and RUN_FINISHED enter, the required action leaves.

Servers ask in several shapes: interrupts in the outcome, ``on_interrupt`` events beside a plain end, calls of the
application's tools without a result, and calls of tools of their own that ask for a confirmation.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

import msgspec

from runstream.dialects.ag_ui_state import Growing, Piece, is_whole_json
from runstream.dialects.ag_ui_wire import Json, field_of, objects_of, text_of
from runstream.model.actions import ActionCall, CallsAction
from runstream.model.frozen import freeze

__all__ = ["arguments_of", "find_action", "has_whole_json", "is_known_outcome", "is_whole", "outcome_of", "pending_ids"]

# Tools of servers that ask the application, with the place of the call in question in their arguments.
_CONFIRMATIONS: Final = {
    "adk_request_confirmation": "originalFunctionCall",
    "confirm_changes": "",
    "request_info": "",
}


def outcome_of(finish: Json) -> str:
    """The type of the outcome: ``success``, ``interrupt`` or ``cancelled``; any other one is a success."""
    outcome = finish.get("outcome")
    kind = text_of(outcome.get("type")) if isinstance(outcome, dict) else text_of(outcome)
    return kind if kind in ("interrupt", "cancelled") else "success"


def find_action(piece: Piece, finish: Json) -> CallsAction | None:
    """The action that a run requires after RUN_FINISHED; ``None`` if the run is over.

    A call whose arguments may miss something is not requested, but the run waits for it. The same is true of a question
    or a call that could not be read, unless the server says that the run is a success.

    Args:
        piece: The run of the wire.
        finish: The RUN_FINISHED.
    """
    kind = outcome_of(finish)
    if kind == "cancelled":
        return None
    unanswered = piece.unanswered()
    outcome, pending = finish.get("outcome"), pending_ids(finish)
    interrupts = _interrupts_of(finish) if kind == "interrupt" else []
    offered = set(piece.request.tools) if piece.request is not None else None
    asks = (offered or set()) - set(_CONFIRMATIONS)  # beside an interrupt, these only repeat it
    if kind == "interrupt" and (interrupts or not piece.interrupts):
        calls = [_interrupt(value, piece) for value in interrupts]
        bound = {text_of(field_of(value, "toolCallId")) for value in interrupts}
        own = [call for call in unanswered if call.wire_id not in bound and call.name in asks]
        return _action(calls, own)
    if piece.interrupts:
        calls = [_custom_interrupt(value, piece) for value in piece.interrupts]
        return _action(calls, [call for call in unanswered if call.name in asks])
    if pending:
        known = [piece.calls.get(id) or Growing(id, id, is_open=False, piece=piece.id) for id in pending]
        return _action([], known)
    asking = [call for call in unanswered if call.name in _CONFIRMATIONS]
    questioned = {_question(call)[0] for call in asking}
    own = [
        call
        for call in unanswered
        if call.name not in _CONFIRMATIONS
        and call.wire_id not in questioned
        and (offered is None or call.name in offered or (call.is_damaged and call.name is None))
    ]
    if not asking and not own and (outcome is not None or not _has_lost_request(piece, offered)):
        return None
    return _action([_confirmation(call) for call in asking if is_whole(call)], own)


def pending_ids(finish: Json) -> list[str]:
    """The ids of the calls that a RUN_FINISHED names as pending."""
    outcome = finish.get("outcome")
    named = field_of(outcome, "pendingToolCallIds") if isinstance(outcome, dict) else None
    return [id for id in named if isinstance(id, str)] if isinstance(named, list) else []


def _interrupts_of(finish: Json) -> list[Json]:
    """The interrupts of a RUN_FINISHED: in its outcome, or beside it, as the draft of 0.1 had them."""
    outcome = finish.get("outcome")
    found = objects_of(outcome.get("interrupts")) if isinstance(outcome, dict) else []
    return found or objects_of(finish.get("interrupts")) or objects_of([finish.get("interrupt")])


def _has_lost_request(piece: Piece, offered: set[str] | None) -> bool:
    """True if an event that could not be read may have asked the application for something."""
    return piece.has_lost_question or (piece.has_lost_call and offered != set())


def _action(calls: list[ActionCall], own: list[Growing]) -> CallsAction:
    """The action that requests these calls, and those of the application's tools."""
    found = [
        ActionCall(id=call.wire_id, kind="function", name=call.name, arguments=arguments_of(call))
        for call in own
        if is_whole(call)
    ]
    return CallsAction(calls=(*calls, *found))


def is_whole(call: Growing) -> bool:
    """True if a call is complete: it was ended, and nothing is lost; or it has a name and arguments whose form shows
    that they miss nothing: see :meth:`Growing.note_damage`.
    """
    if call.is_damaged:
        text = "".join(call.arguments)
        has_form = text.lstrip().startswith(("{", "[")) and is_whole_json(text)
        return call.name is not None and not call.is_cut and has_form
    return not call.is_open or not call.arguments or has_whole_json(call)


def has_whole_json(call: Growing) -> bool:
    """True if the arguments of a call so far are an object, an array or a text of JSON, which nothing continues."""
    return is_whole_json("".join(call.arguments))


def arguments_of(call: Growing) -> str | None:
    """The arguments of a call so far; ``None`` if there are none."""
    if len(call.arguments) > 1:
        call.arguments[:] = ["".join(call.arguments)]
    return call.arguments[0] if call.arguments else None


def _arguments_in_question(call: Growing | None) -> str | None:
    """The arguments of a call that an interrupt concerns; ``None`` if they may miss something."""
    return arguments_of(call) if call is not None and is_whole(call) else None


def _interrupt(value: Json, piece: Piece) -> ActionCall:
    """An interrupt of an outcome. It has the name of the call that it concerns, and is not that call."""
    id = text_of(value.get("id")) or ""
    call = piece.calls.get(text_of(field_of(value, "toolCallId")) or id)
    schema = field_of(value, "responseSchema")
    return ActionCall(
        id=id,
        kind="interrupt",
        name=call.name if call is not None else None,
        arguments=_arguments_in_question(call),
        data=freeze({name: field for name, field in value.items() if name != "id"}),
        response_schema=schema if isinstance(schema, dict) else None,
    )


def _custom_interrupt(value: Any, piece: Piece) -> ActionCall:
    """An interrupt that was sent as a custom event; its value may be JSON text."""
    if isinstance(value, str):
        with suppress(msgspec.MsgspecError, UnicodeError, RecursionError):
            value = msgspec.json.decode(value)
    call_id = text_of(field_of(value, "toolCallId")) if isinstance(value, dict) else None
    call = piece.calls.get(call_id) if call_id is not None else None
    return ActionCall(
        id="",
        kind="interrupt",
        name=call.name if call is not None else None,
        arguments=_arguments_in_question(call),
        data=freeze({"value": value}),
    )


def _confirmation(call: Growing) -> ActionCall:
    """A call of a server's tool that asks for a confirmation; the data has the call in question."""
    id, name = _question(call)
    return ActionCall(
        id=call.wire_id,
        kind="approval" if id is not None else "interrupt",
        name=call.name,
        arguments=arguments_of(call),
        data=freeze({"toolCallId": id, "toolCallName": name}),
    )


def _question(call: Growing) -> tuple[str | None, str | None]:
    """The id and the name of the call that a confirmation asks about."""
    text = arguments_of(call)
    try:
        value = msgspec.json.decode(text) if text else None
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None, None
    if not isinstance(value, dict):
        return None, None
    place = _CONFIRMATIONS.get(call.name or "")
    if place:
        inner = value.get(place)
        return (text_of(inner.get("id")), text_of(inner.get("name"))) if isinstance(inner, dict) else (None, None)
    return text_of(value.get("function_call_id")), text_of(value.get("function_name"))


def is_known_outcome(outcome: Any) -> bool:
    """True for an outcome of the protocol."""
    kind = outcome.get("type") if isinstance(outcome, dict) else None
    return kind in ("success", "cancelled") or (kind == "interrupt" and bool(objects_of(outcome.get("interrupts"))))
