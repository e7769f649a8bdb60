"""The parts of an ended message or step that its full object leaves out or empties: they remain as streamed."""

from __future__ import annotations

from typing import Any, TypeVar

from runstream.core.merge import is_indexed, make_node, normalize_field, to_builtins
from runstream.core.object_list import ObjectState
from runstream.core.text import Text
from runstream.model.lenient import read
from runstream.model.message import Message, RefusalPart, TextPart
from runstream.model.step import ActivitiesDetails, MessageCreationDetails, RunStep, ToolCallsDetails
from runstream.model.tool_calls import CodeInterpreterToolCall, FunctionToolCall, McpToolCall

W = TypeVar("W", Message, RunStep)

__all__ = ["has_content", "is_whole", "restore"]


def has_content(item: Message | RunStep) -> bool:
    """True if a full object has content or details."""
    return bool(item.content) if isinstance(item, Message) else item.step_details is not None


def is_whole(item: ObjectState, new: Message | RunStep) -> bool:
    """True if a full object certainly leaves out nothing of what is known of its object.

    Args:
        item: The object so far.
        new: The full object.
    """
    if item.parts is None and (item.full is None or not has_content(item.full)):
        return True
    if isinstance(new, Message):
        return bool(new.content) and all(_is_whole_part(item, index, part) for index, part in enumerate(new.content))
    details = new.step_details
    if isinstance(details, ToolCallsDetails):
        return bool(details.tool_calls) and all(map(_is_whole_call, details.tool_calls))
    return isinstance(details, MessageCreationDetails | ActivitiesDetails)


def _is_whole_part(item: ObjectState, index: int, part: Any) -> bool:
    if isinstance(part, TextPart):
        if not part.text.value or part.text.annotations:
            return bool(part.text.value)
        if item.parts is None:
            return not (isinstance(item.full, Message) and item.full.annotations)
        node = (item.parts.get("content") or {}).get(index)
        text = node.get("text") if isinstance(node, dict) else None
        return not (isinstance(text, dict) and text.get("annotations"))
    return not isinstance(part, RefusalPart) or bool(part.refusal)


def _is_whole_call(call: Any) -> bool:
    if isinstance(call, FunctionToolCall):
        return bool(call.function.arguments) and call.function.output is not None
    if isinstance(call, CodeInterpreterToolCall):
        return bool(call.code_interpreter.input and call.code_interpreter.outputs)
    return not isinstance(call, McpToolCall) or (bool(call.arguments) and call.output is not None)


def restore(built: dict[Any, Any], full: W, name: str) -> W:
    """Add to a full object the parts that it leaves out or empties.

    Args:
        built: The parts of the object so far.
        full: The full object.
        name: The field with the parts.

    Returns:
        The full object; the same one if it leaves out nothing.
    """
    data = full.to_dict()
    snapshot = normalize_field(name, data.get(name))
    new = {name: make_node(snapshot, name)} if snapshot else {}
    filled = _fill(built, new)
    if filled is new:
        return full
    return read(type(full), {**data, name: to_builtins(filled[name], name)}, []) or full


def _streamed(built: Any) -> Any:
    """A node with each text as far as it was streamed: a text before a reset was streamed too."""
    if isinstance(built, Text):
        prior = built.prior
        return prior if prior is not None and prior.length >= built.length else built
    if isinstance(built, dict):
        return {key: _streamed(value) for key, value in built.items()}
    return built


def _fill(built: Any, new: Any) -> Any:
    """A node with the texts, lists and fields of ``built`` that it lacks; the same object if it lacks none."""
    if isinstance(built, Text):
        if new is None or new == "" or (isinstance(new, Text) and not new.length):
            kept = _streamed(built)
            return kept if kept.length else new
        return new
    if not isinstance(built, dict):
        return built if new is None else new  # a value that is no text
    if new is None or new == {} or new == []:
        return _streamed(built) if built else new
    if not isinstance(new, dict):
        return _streamed(built)  # an unreadable value
    if is_indexed(new) is not is_indexed(built):
        return new
    is_list = is_indexed(new)
    if not is_list and new.get("type") not in (None, built.get("type")):
        return new
    changes: dict[Any, Any] = {}
    for key, value in built.items():
        if is_list and key not in new:
            continue  # one item less: the server's list counts
        found = new.get(key)
        filled = _fill(value, found)
        if filled is not found:
            changes[key] = filled
    return {**new, **changes} if changes else new
