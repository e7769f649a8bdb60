"""What a run waits for, in the words of AG-UI: a request for action enters, interrupts and pending calls leave.

A call of a tool that the front end offers is left unanswered, and the front end executes it. Everything else is an
interrupt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from runstream.model.frozen import FrozenMap, thaw
from runstream.model.signal_base import AwaitedCall
from runstream.model.signals import ActionRequired
from runstream.sinks.ag_ui.events import AgUiEvent

__all__ = ["HIDDEN_KINDS", "AgUiWaiting", "interrupt_id", "interrupt_value", "tool_call_id"]

HIDDEN_KINDS: Final = frozenset({"approval", "interrupt"})
"""Kinds of calls that are questions to the user: interrupts on the wire, and no tool calls."""

_FRONT_END_KINDS: Final = frozenset({"function", "custom"})
_FIELDS: Final = ("reason", "message", "responseSchema", "expiresAt")  # of an interrupt of another AG-UI server
_DECISION: Final[Mapping[str, Any]] = {
    "type": "object",
    "properties": {"approved": {"type": "boolean"}, "reason": {"type": "string"}},
    "required": ["approved"],
}
_MAX_SHOWN: Final = 200  # characters of arguments in a message


class AgUiWaiting(Struct, frozen=True):
    """What a front end has to answer.

    Attributes:
        calls: The calls that it executes.
        questions: The calls that it asks its user about, by the ids of their interrupts.
        request: The name of the request, for one without calls.
    """

    calls: tuple[AwaitedCall, ...]
    questions: dict[str, AwaitedCall]
    request: str

    @classmethod
    def of(cls, signal: ActionRequired, tools: Collection[str], answered: Collection[str] = ()) -> AgUiWaiting:
        """What a request waits for.

        Args:
            signal: The request.
            tools: The names of the tools that the front end offers.
            answered: The keys of the calls that are answered.
        """
        open_calls = [call for call in signal.calls if call.key not in answered]
        offered = [call for call in open_calls if call.kind in _FRONT_END_KINDS and call.name in tools]
        questions = {interrupt_id(call, signal): call for call in open_calls if call not in offered}
        return cls(tuple(offered), questions, signal.request)

    def interrupts(self, sent: Mapping[str, str]) -> list[dict[str, Any]]:
        """The interrupts; one without a question if the run waits for something that no call names.

        Args:
            sent: The ids of the calls that the front end knows, by their keys.
        """
        if not self.questions and not self.calls:
            return [
                {
                    "id": self.request,
                    "reason": "runstream:action_required",
                    "message": "The run waits for an action that it does not name.",
                }
            ]
        return [_interrupt(id, call, sent.get(call.key)) for id, call in self.questions.items()]


def tool_call_id(call_id: str, key: str) -> str:
    """The id of a call on the wire: its own, with ``~k`` for the k-th call of that id in its run.

    Args:
        call_id: Its id; "" if it has none.
        key: Its key.
    """
    name = key.rpartition("/call/")[2]
    _, again, number = name.partition("~")
    return f"{call_id}{again}{number}" if call_id else name


def interrupt_id(call: AwaitedCall, signal: ActionRequired) -> str:
    """The id of the interrupt for a call: that of the call if no other call of the request has it, else its key."""
    if call.id and sum(each.id == call.id for each in signal.calls) == 1:
        return call.id
    return call.key


def _interrupt(id: str, call: AwaitedCall, known: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {"id": id}
    data = thaw(getattr(call.call, "data", None))
    more = data if isinstance(data, dict) else {}
    metadata: dict[str, Any] = {"kind": call.kind}
    if call.name is not None:
        metadata["toolName"] = call.name
    if call.arguments is not None:
        metadata["arguments"] = call.arguments if call.error is not None else thaw(call.parsed)
    if call.kind == "interrupt":
        found["reason"] = "input_required"
        found |= {name: more[name] for name in _FIELDS if isinstance(more.get(name), dict | str)}
        if isinstance(more.get("metadata"), dict):
            metadata |= more["metadata"]
        if isinstance(more.get("toolCallId"), str):
            found["toolCallId"] = more["toolCallId"]
        if "value" in more:
            metadata["value"] = more["value"]
            if isinstance(more["value"], str):
                found.setdefault("message", more["value"])
    elif call.kind == "approval":
        shown = (call.arguments or "")[:_MAX_SHOWN]
        found |= {"reason": "confirmation", "message": f"Approve {call.name or 'the call'}({shown})?"}
        found["responseSchema"] = dict(_DECISION)
    else:
        found |= {"reason": "runstream:output", "message": f"The output of {call.name or call.kind} is needed."}
    if known is not None:
        found.setdefault("toolCallId", known)
        if call.kind == "approval":
            found["reason"] = "tool_call"
    return {**found, "metadata": metadata}


def interrupt_value(interrupt: AgUiEvent) -> str:
    """The value of the custom event ``on_interrupt``, for peers before interrupts: JSON text.

    It is the value of the interrupt of a graph where there is one, as those peers expect it; else the interrupt.
    """
    metadata = interrupt.get("metadata")
    value = metadata["value"] if isinstance(metadata, dict | FrozenMap) and "value" in metadata else interrupt
    return msgspec.json.encode(value).decode()
