"""The items of a response: events of items and of their parts in, canonical events out."""

from __future__ import annotations

from typing import Final

import msgspec

from runstream.dialects.responses_state import Item, Response
from runstream.dialects.responses_wire import ANSWERED, TARGETS, Json, message_of, step_of, text_of
from runstream.model.events import Event, MessageEvent, StepEvent, TextAppend

__all__ = ["close_item", "decode_item", "decode_part", "show_item"]

_STATES: Final = frozenset(
    {"in_progress", "searching", "interpreting", "generating", "completed", "failed", "compacting"}
)
_PARTS: Final = frozenset({"content_part", "reasoning_summary_part", "reasoning_part", "output_text.annotation"})
# The key of the whole text in an event that ends with `.done`.
_WHOLE: Final = {
    "refusal": "refusal",
    "function_call_arguments": "arguments",
    "custom_tool_call_input": "input",
    "mcp_call_arguments": "arguments",
    "code_interpreter_call_code": "code",
}
_INDEXED: Final = frozenset({"text", "refusal", "reasoning", "summary"})
# The type of an item that was never announced, by the events of its parts.
_ITEM_TYPES: Final = {
    "reasoning": "reasoning",
    "reasoning_text": "reasoning",
    "reasoning_summary_text": "reasoning",
    "function_call_arguments": "function_call",
    "custom_tool_call_input": "custom_tool_call",
    "mcp_call_arguments": "mcp_call",
    "code_interpreter_call_code": "code_interpreter_call",
}


def decode_item(
    response: Response, value: Json, index: int | None, kind: str, name: str, id: str | None
) -> list[Event]:
    """Decode the beginning or the end of an item.

    Args:
        response: The response of the item.
        value: The item.
        index: Its index; ``None`` if it is unknown.
        kind: The name of the event, without its prefix.
        name: The name of the event.
        id: The identity of the event.
    """
    item_id = text_of(value.get("id")) or None
    if kind.endswith("added"):
        item = response.by_id.get(item_id) if item_id is not None else None
        if item is None:
            item = response.add(item_id, index, value)
        item.announced = item_id is not None
        return show_item(response, item, value, name, id, created=True)
    item = response.find(item_id, index)
    if item is None or (item.closed and item.value.get("call_id") != value.get("call_id")):
        item = response.add(item_id, index, value)
    return close_item(response, item, value, name, id)


def close_item(response: Response, item: Item, value: Json, name: str, id: str | None) -> list[Event]:
    """Close an item that was sent whole."""
    item.closed = True
    item.value = value
    events: list[Event] = []
    if item.type.endswith("_output"):
        for call in response.items:
            if call.closed and call is not item and call.value.get("call_id") == value.get("call_id"):
                call.output = text_of(value.get("output")) or msgspec.json.encode(value.get("output")).decode()
                events += show_item(response, call, call.value, name, id)
        return events
    return show_item(response, item, value, name, id)


def show_item(
    response: Response, item: Item, value: Json, name: str, id: str | None, *, created: bool = False
) -> list[Event]:
    """The event with an item as far as it is known."""
    run_id = response.run_id
    if item.type == "message":
        status = "incomplete" if value.get("status") == "incomplete" else "completed"
        message = message_of(value, item.id, run_id, status if item.closed else "in_progress")
        return [MessageEvent(message, id, run_id=run_id, created=created, name=name)]
    if item.type.endswith("_output"):
        return []
    failed = value.get("status") in ("failed", "incomplete")
    # A call that another item of the response may answer, and that is not asked for if the response fails.
    is_open = not item.closed or (response.is_open and item.output is None and item.type in ANSWERED)
    status = "in_progress" if is_open else "failed" if failed else "completed"
    step = step_of(value, item.id, run_id, status, item.output)
    return [StepEvent(step, id, run_id=run_id, created=created, name=name)]


def decode_part(response: Response, value: Json, kind: str, name: str, id: str | None) -> list[Event] | None:
    """Decode an event of a part of an item; ``None`` if it is unknown."""
    middle, _, last = kind.rpartition(".")
    target = TARGETS.get(middle)
    if target is None:
        return [] if last in _STATES or middle in _PARTS or kind == "keepalive" else None
    text = value.get("delta") if last == "delta" else value.get(_WHOLE.get(middle, "text"))
    if not isinstance(text, str):
        return None
    found = value.get("output_index")
    item_id = text_of(value.get("item_id")) or text_of(value.get("id")) or None
    item = response.find(item_id, found if type(found) is int else None)
    events: list[Event] = []
    if item is None:
        shown = {"id": item_id, "type": _ITEM_TYPES.get(middle, "message"), "call_id": value.get("call_id")}
        item = response.add(item_id, found if type(found) is int else None, shown)
        events = show_item(response, item, shown, name, id, created=True)
    found = value.get("summary_index" if target == "summary" else "content_index")
    index = found if type(found) is int and target in _INDEXED else 0
    is_new = (target, index) not in item.seen
    item.seen.add((target, index))
    # The whole text repeats its fragments; where there were none, it is the only one.
    if text and (last == "delta" or (is_new and not item.closed)):
        events.append(TextAppend(item.id, target, index, text, id, response.run_id, name))
    return events
