"""Full objects that leave out or empty what was streamed: the streamed texts stay; and outputs that arrive late."""

from __future__ import annotations

from typing import Any, Final, TypeVar

from runstream.core.merge import is_indexed, make_node, normalize_field, to_builtins
from runstream.core.text import Text
from runstream.model.lenient import read
from runstream.model.message import Message, RefusalPart, TextPart
from runstream.model.step import RunStep, ToolCallsDetails
from runstream.model.tool_calls import (
    ConnectedAgentToolCall,
    FunctionToolCall,
    GenericToolCall,
    McpToolCall,
    ToolCall,
)

__all__ = ["add_outputs", "has_all_texts", "keep_texts"]

W = TypeVar("W", Message, RunStep)


# The keys of the texts that no snapshot of any protocol erases by leaving them out.
_KEPT: Final = frozenset({"refusal", "output", "text"})


def keep_texts(full: W, parts: dict[Any, Any], name: str, *, every: bool) -> W:
    """Add the streamed texts to a full object that leaves them out or has them empty.

    An absent or empty list or text replaces nothing. A list with items replaces the streamed list; an item of it
    without a text keeps the streamed text of the item at its index, if both are of one type.

    Args:
        full: The object.
        parts: The nodes of the object that deltas built.
        name: The field with the texts: ``content`` or ``step_details``.
        every: True for texts of each kind. False for a wire whose empty content of a message, and empty arguments and
            code of a call, are meant: only refusals, outputs and reasoning are kept then.

    Returns:
        The object with the texts; ``full`` itself if it has them all.
    """
    built = parts.get(name)
    if not built or _is_whole(full, built):
        return full
    data = full.to_dict()
    found = normalize_field(name, data.get(name))
    node = make_node(found, name) if found else None
    kept = _keep(built, node, every)
    if kept is node:
        return full
    data[name] = to_builtins(kept, name)
    return read(type(full), data, []) or full


def has_all_texts(full: Message | RunStep) -> bool:
    """True if a full object is a message with content and without an empty text: it needs no streamed text."""
    if type(full) is not Message or not full.content:
        return False
    return all(bool(_text_of(part)) for part in full.content)


def _text_of(part: Any) -> Any:
    return part.text.value if type(part) is TextPart else part.refusal if type(part) is RefusalPart else part


def _is_whole(full: Any, built: Any) -> bool:
    """True for the usual message: one part, with a text."""
    content = full.content if type(full) is Message else ()
    return len(content) == 1 and type(content[0]) is TextPart and bool(content[0].text.value) and len(built) == 1


def _keep(built: Any, node: Any, every: bool, key: Any = "") -> Any:
    """A node of a full object with the streamed texts that it lacks; the node itself if it lacks none."""
    if isinstance(built, Text):
        lacks = node is None or (isinstance(node, Text) and not node.length)
        return built if lacks and _is_kept(built, every, key) else node
    if not isinstance(built, dict):
        return node
    if not node:
        if is_indexed(built):
            items = {index: item for index, item in built.items() if _is_kept(item, every)}
            return items or node
        return built if _is_kept(built, every) else node
    if not isinstance(node, dict) or is_indexed(built) is not is_indexed(node) or not _is_same(built, node):
        return node
    changes = {}
    for name, value in built.items():
        known = node.get(name)
        if known is None and is_indexed(node):
            continue  # the list of the full object is the whole list
        kept = _keep(value, known, every, name)
        if kept is not known:
            changes[name] = kept
    return {**node, **changes} if changes else node


def _is_kept(node: Any, every: bool, key: Any = "") -> bool:
    """True if a node is, or contains, a text that is kept."""
    if isinstance(node, Text):
        return node.length > 0 and (every or key in _KEPT)
    return isinstance(node, dict) and any(_is_kept(value, every, name) for name, value in node.items())


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
