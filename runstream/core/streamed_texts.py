"""Full objects that leave out or empty what was streamed: the streamed texts stay; and outputs that arrive late."""

from __future__ import annotations

from typing import Any, TypeVar

from runstream.core.merge import is_indexed, make_node, normalize_field, to_builtins
from runstream.core.object_list import ObjectState
from runstream.core.text import Text
from runstream.model.lenient import read
from runstream.model.message import Message, RefusalPart, TextPart
from runstream.model.step import ActivitiesDetails, MessageCreationDetails, RunStep, ToolCallsDetails
from runstream.model.tool_calls import (
    CodeInterpreterToolCall,
    ConnectedAgentToolCall,
    FunctionCall,
    FunctionToolCall,
    GenericToolCall,
    McpToolCall,
    ToolCall,
)

__all__ = ["add_arguments", "add_outputs", "has_content", "is_whole", "keep_texts", "streamed"]

W = TypeVar("W", Message, RunStep)


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
    if isinstance(call, McpToolCall | GenericToolCall | ConnectedAgentToolCall):
        return bool(call.arguments) and call.output is not None
    return True


def keep_texts(full: W, parts: dict[Any, Any], name: str) -> W:
    """Add the streamed texts to a full object that leaves them out or has them empty.

    An absent, empty or unreadable list or text replaces nothing. A list with items replaces the streamed list; an item
    of it without a text keeps the streamed text of the item at its index, if both are of one type.

    Args:
        full: The object.
        parts: The nodes of the object so far.
        name: The field with the texts: ``content`` or ``step_details``.

    Returns:
        The object with the texts; ``full`` itself if it has them all.
    """
    built = parts.get(name)
    if not built:
        return full
    data = full.to_dict()
    found = normalize_field(name, data.get(name))
    node = make_node(found, name) if found else None
    kept = _keep(built, node)
    if kept is node:
        return full
    data[name] = to_builtins(kept, name)
    return read(type(full), data, []) or full


def _keep(built: Any, node: Any) -> Any:
    """A node of a full object with the streamed texts that it lacks; the node itself if it lacks none."""
    if isinstance(built, Text):
        if node is None or node == "" or (isinstance(node, Text) and not node.length):
            kept = streamed(built)
            return kept if kept.length else node
        return node
    if not isinstance(built, dict):
        return built if node is None else node
    if not node or not isinstance(node, dict):  # empty or unreadable
        if is_indexed(built):
            return {index: streamed(item) for index, item in built.items() if _has_value(item)} or node
        return streamed(built) if _has_value(built) else node
    if is_indexed(built) is not is_indexed(node) or not _is_same(built, node):
        return node
    changes = {}
    for key, value in built.items():
        known = node.get(key)
        if known is None and is_indexed(node):
            continue  # the list of the full object is the whole list
        kept = _keep(value, known)
        if kept is not known:
            changes[key] = kept
    return {**node, **changes} if changes else node


def streamed(built: Any) -> Any:
    """A node with each text as far as it was streamed: a text before a reset was streamed too."""
    if isinstance(built, Text):
        prior = built.prior
        return prior if prior is not None and prior.length >= built.length else built
    if isinstance(built, dict):
        return {key: streamed(value) for key, value in built.items()}
    return built


def _has_value(node: Any) -> bool:
    """True if a node is, or contains, a text that is not empty, or another value than its type."""
    if isinstance(node, Text):
        return bool(streamed(node).length)
    if isinstance(node, dict):
        return any(_has_value(value) for name, value in node.items() if name != "type")
    return node not in (None, "")


def _is_same(built: dict[Any, Any], node: dict[Any, Any]) -> bool:
    """True if two nodes may stand for one item: their types and ids do not differ."""
    return all(built.get(key) in (None, node.get(key)) or node.get(key) is None for key in ("type", "id"))


def add_outputs(full: RunStep, new: RunStep) -> RunStep:
    """Add the outputs of a later snapshot to the calls of a step that has ended: an output may follow the call.

    Args:
        full: The step.
        new: The snapshot, with the same status.

    Returns:
        The step with the outputs; ``full`` itself if there are no new ones.
    """
    details, later = full.step_details, {call.id: call.output for call in new.tool_calls if call.id and call.output}
    if not later or not isinstance(details, ToolCallsDetails):
        return full
    calls = [_with_output(call, later.get(call.id)) for call in details.tool_calls]
    if all(call is known for call, known in zip(calls, details.tool_calls, strict=True)):
        return full
    return full.replace(step_details=details.replace(tool_calls=tuple(calls)))


def add_arguments(full: RunStep, new: RunStep, *, replace: bool = False) -> RunStep:
    """Add names and arguments to the function calls of a step that has ended and lacks them: its beginning was missed.

    Args:
        full: The step.
        new: The later snapshot.
        replace: True if a part of the arguments may be missing: then those of the snapshot replace them.

    Returns:
        The step; ``full`` itself if there is nothing new.
    """
    details = full.step_details
    later = {call.id: call.function for call in new.tool_calls if isinstance(call, FunctionToolCall)}
    if not isinstance(details, ToolCallsDetails):
        return full
    calls = [_with_arguments(call, later.get(call.id), replace=replace) for call in details.tool_calls]
    if all(call is known for call, known in zip(calls, details.tool_calls, strict=True)):
        return full
    return full.replace(step_details=details.replace(tool_calls=tuple(calls)))


def _with_arguments(call: ToolCall, function: FunctionCall | None, *, replace: bool) -> ToolCall:
    if function is None or not isinstance(call, FunctionToolCall):
        return call
    known = call.function
    missing = {
        name: value
        for name in ("name", "arguments")
        if (getattr(known, name) is None or replace) and (value := getattr(function, name)) is not None
    }
    return call.replace(function=known.replace(**missing)) if missing else call


def _with_output(call: ToolCall, output: str | None) -> ToolCall:
    if output is None or call.output:
        return call
    match call:
        case FunctionToolCall():
            return call.replace(function=call.function.replace(output=output))
        case ConnectedAgentToolCall():
            return call.replace(connected_agent=call.connected_agent.replace(output=output))
        case McpToolCall() | GenericToolCall():
            return call.replace(output=output)
    return call
