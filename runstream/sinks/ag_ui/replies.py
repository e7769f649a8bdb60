"""Answers of a front end to a run that waits: the input of its next run enters, answers by call leave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from runstream.clients.answers import Approve, CallAnswer, Decline, Output
from runstream.model.signal_base import AwaitedCall
from runstream.model.signals import ActionRequired
from runstream.sinks.ag_ui.run_input import AgUiInput, AgUiInputError, text_of
from runstream.sinks.ag_ui.waiting import interrupt_id, tool_call_id

__all__ = ["read_replies"]

_TEXT_KINDS: Final = frozenset({"function", "custom"})


def read_replies(input: AgUiInput, signal: ActionRequired | None) -> dict[str, CallAnswer]:
    """The answers in an input, by the keys of the calls.

    A call is answered by a message of the role ``tool``, or by an entry of ``resume``. A front end before 1.0 answers
    by the field ``resume`` of ``command`` in its forwarded properties: with one value for all questions, or one for
    each by the ids of interrupts.

    Args:
        input: The input.
        signal: What the run of this thread waits for; ``None`` if none waits.

    Raises:
        AgUiInputError: An entry of ``resume`` names no question of the run, or an approval is neither given nor denied.
    """
    if signal is None:
        if input.resume:
            raise AgUiInputError(
                "no run of this thread waits for an answer: it was answered before, or by another server",
                status=409,
                code="not_waiting",
            )
        return {}
    results = _results(input)
    found: dict[str, CallAnswer] = {}
    questions = {interrupt_id(call, signal): call for call in signal.calls} | {call.key: call for call in signal.calls}
    for call in signal.calls:
        message = results.get(tool_call_id(call.id, call.key))
        if message is not None:
            found[call.key] = _answer(call, _content(call, message))
    for entry in input.resume or ():
        asked = questions.get(entry.interrupt_id)
        if asked is None:
            if entry.interrupt_id == signal.request:
                continue  # the question of a run that names no call
            raise AgUiInputError(
                f"the run does not wait for the interrupt {entry.interrupt_id!r}", status=409, code="unknown_interrupt"
            )
        found[asked.key] = Decline("cancelled") if entry.status == "cancelled" else _answer(asked, entry.payload)
    props = input.forwarded_props
    command = props.get("command") if isinstance(props, dict) else None
    if isinstance(command, dict) and "resume" in command:
        value = command["resume"]
        known = isinstance(value, dict) and bool(value) and value.keys() <= questions.keys()
        for id, call in questions.items():
            if call.key not in found and (not known or id in value):
                found[call.key] = _answer(call, value[id] if known else value)
    return found


def _results(input: AgUiInput) -> dict[str, Mapping[str, Any]]:
    """The messages with results, by the ids of their calls."""
    return {
        message["toolCallId"]: message
        for message in input.messages
        if message.get("role") == "tool" and isinstance(message.get("toolCallId"), str)
    }


def _content(call: AwaitedCall, message: Mapping[str, Any]) -> Any:
    """The content of a message with a result; for a question the JSON value in it."""
    text = text_of(message.get("content"))
    if not text and isinstance(error := message.get("error"), str):
        return error
    if call.kind in _TEXT_KINDS:
        return text
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return text


def _answer(call: AwaitedCall, payload: Any) -> CallAnswer:
    if call.kind == "approval":
        return _decision(call, payload)
    if call.kind == "interrupt" and payload is None:
        return Approve()
    if call.kind in _TEXT_KINDS and not isinstance(payload, str):
        payload = msgspec.json.encode(payload).decode()
    return Output(payload)


def _decision(call: AwaitedCall, payload: Any) -> CallAnswer:
    """The decision about an approval: nothing but an explicit yes is one."""
    reason = ""
    if isinstance(payload, dict):
        reason = payload["reason"] if isinstance(payload.get("reason"), str) else ""
        payload = payload.get("approved")
    if payload is True:
        return Approve()
    if payload is False:
        return Decline(reason)
    raise AgUiInputError(
        f"the answer to the approval {call.id!r} needs `approved`: true or false", code="approval_undecided"
    )
