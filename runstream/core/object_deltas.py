"""Deltas of messages and steps: a fragment is appended to its text.

:func:`append_fragment` and :func:`append` are the hot path for a plain fragment of the text that grows. All other
deltas go to :func:`apply_delta`.
"""

from __future__ import annotations

from typing import Any, Final

from msgspec import structs

from runstream.core.calls import StepCall, name_step_calls, step_call
from runstream.core.merge import (
    IndexOutOfBounds,
    UnreadableIndex,
    index_of,
    is_indexed,
    make_node,
    merge,
    normalize_field,
)
from runstream.core.object_list import ObjectState
from runstream.core.placement import Placed, place_calls, place_parts
from runstream.core.run_snapshots import Outcome
from runstream.core.state import GrowingText, RunHead, RunState, update_head
from runstream.core.text import Text, append_text
from runstream.core.text_changes import count_replaced, get_path
from runstream.model.deltas import (
    CodeInterpreterToolCallDelta,
    FunctionToolCallDelta,
    MessageDelta,
    RunStepDelta,
    TextPartDelta,
    ToolCallsDelta,
)
from runstream.model.events import MessageDeltaEvent, StepDeltaEvent, Target
from runstream.model.keys import call_key

__all__ = ["append", "append_fragment", "apply_delta", "parts_of", "plain_text"]

_CHANGED: Final = Outcome.CHANGED
_TARGETS: Final[dict[str, Target]] = {"value": "text", "arguments": "arguments", "input": "code"}


def append_fragment(state: RunState, id: str, is_message: bool, index: int, fragment: str) -> RunState | None:
    """Append a plain fragment to the text that grows now.

    Args:
        state: The state before.
        id: The id of the message or step.
        is_message: True for the text of a message, False for the arguments of a function.
        index: The index of the content part or the tool call.
        fragment: The text to append.

    Returns:
        The state after it; ``None`` if the fragment is of another text.
    """
    growing = state._growing
    if growing is None or growing.object_id != id or growing.index != index or not fragment:
        return None
    if growing.is_message is not is_message or (not is_message and growing.path[-1] != "arguments"):
        return None
    buffer = growing.buffer
    length = state._length
    if buffer.length != length:
        return None  # not the newest state of this text: `apply_delta` forks it
    buffer.tail.write(fragment)
    buffer.last = fragment
    buffer.length = length = length + len(fragment)
    return RunState(state._head, state._objects, growing, length)


def plain_text(delta: MessageDelta, index: int) -> str | None:
    """The text that a delta appends to the text part at ``index``; ``None`` if the delta does anything else."""
    content = delta.delta.content
    if delta._wire is not None or len(content) != 1:
        return None
    part = content[0]
    if type(part) is not TextPartDelta or part.index != index:
        return None
    text = part.text
    return None if text is None or text.annotations else text.value


def append(state: RunState, delta: MessageDelta | RunStepDelta) -> RunState | None:
    """The hot path: append a plain fragment to the text that grows now. ``None`` if the delta is anything else."""
    growing = state._growing
    if growing is None or growing.object_id != delta.id or delta._wire is not None:
        return None
    if growing.is_message:
        try:
            fragment = plain_text(delta, growing.index)  # type: ignore[arg-type]
        except AttributeError:
            return None  # a step with the id of a message
    else:
        try:
            details = delta.delta.step_details  # type: ignore[union-attr]
        except AttributeError:
            return None  # a message with the id of a step
        if type(details) is not ToolCallsDelta or details.tool_calls is None or len(details.tool_calls) != 1:
            return None
        call = details.tool_calls[0]
        kind = type(call)
        if kind is FunctionToolCallDelta:
            inner = call.function  # type: ignore[union-attr]
            if inner is None or inner.name is not None or inner.output is not None or growing.path[-1] != "arguments":
                return None
            fragment = inner.arguments
        elif kind is CodeInterpreterToolCallDelta:
            code = call.code_interpreter  # type: ignore[union-attr]
            if code is None or code.outputs or growing.path[-1] != "input":
                return None
            fragment = code.input
        else:
            return None
        if call.index != growing.index or call.id is not None:  # type: ignore[union-attr]
            return None
    return append_fragment(state, delta.id, growing.is_message, growing.index, fragment) if fragment else None


def apply_delta(
    state: RunState, event: MessageDeltaEvent | StepDeltaEvent, at: float, max_index: int
) -> tuple[RunState, Outcome]:
    """Apply any delta: a first fragment, annotations, another part, several parts, an unknown kind.

    Args:
        state: The state before.
        event: The event.
        at: The time of its arrival (Unix seconds).
        max_index: Deltas with a larger index change nothing.

    Returns:
        The state, which is the same object if nothing changed, and the outcome of the event.
    """
    is_message = isinstance(event, MessageDeltaEvent)
    if is_message and (started := _append_first(state, event, at, max_index)) is not None:  # type: ignore[arg-type]
        return started, _CHANGED
    objects = state._all_objects()
    position = objects.find(event.data.id)
    current = objects[position] if position >= 0 else ObjectState(event.data.id, is_message, None, None, True)
    if current.is_message is not is_message:
        return state, Outcome.KIND_CONFLICT
    if current.is_terminal:
        return state, Outcome.LATE
    name = "content" if is_message else "step_details"
    delta = event.data.delta.to_dict()
    if name in delta:
        delta[name] = normalize_field(name, delta[name])
    for part in (delta.get(name) or ()) if is_message else ():
        # A text part has a list of annotations, whether its fragments contain one or not.
        if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), dict):
            part["text"].setdefault("annotations", [])
    parts = current.parts
    if parts is None:
        parts = parts_of(current, name)
    try:
        placed = _place(delta, parts, current, state._growing)
        merged = merge(parts, delta, max_index)
    except IndexOutOfBounds:
        return state, Outcome.REFUSED
    except UnreadableIndex:
        return state, Outcome.UNPLACED
    if merged is parts:
        return state, Outcome.SAME
    item = current.change(current.full, merged, partial=current.partial)
    if placed is not None and placed.places is not item.places:
        item = structs.replace(item, places=placed.places)
    head = state._head
    if is_message:
        indices = _repeated_parts(delta, merged)
        if indices and (replaced := count_replaced(current, item, indices)):
            item = structs.replace(item, replaced=item.replaced + replaced)
    elif _has_ids(delta):
        calls, item = name_step_calls(head.calls, item)
        if calls is not head.calls:
            head = structs.replace(head, calls=calls)
    objects = objects.append(item) if position < 0 else objects.set(position, item)
    position = len(objects) - 1 if position < 0 else position
    head = update_head(head, item, at)
    growing, length = _find_growing(item, position, event, head, placed)
    if growing is not None and (head.run.requires_action or head.run.status.is_terminal):
        # No text grows while the run waits, or after its end: it is unknown if the fragment is repeated or late.
        objects = objects.set(position, item.change(item.full, merged, partial=True))
        growing, length = None, 0
    return RunState(head, objects, growing, length, position, event.event), _CHANGED


def _place(
    delta: dict[str, Any], parts: dict[Any, Any], item: ObjectState, growing: GrowingText | None
) -> Placed | None:
    """Set the indices of the items of a delta to the keys of their places.

    Args:
        delta: The delta; it is changed.
        parts: The parts of the object so far.
        item: The object.
        growing: The text that grows now.

    Returns:
        The places of the items; ``None`` if the delta has none.
    """
    if item.is_message:
        content = delta.get("content")
        if not content:
            return None
        placed = place_parts(_items(parts, "content"), content, item.places)
        delta["content"] = placed.items
        return placed
    details = delta.get("step_details")
    calls = details.get("tool_calls") if details is not None else None
    if details is None or not (isinstance(calls, list) and calls):
        return None
    grown = growing.path[2] if growing is not None and growing.object_id == item.id and len(growing.path) > 2 else None
    placed = place_calls(_items(parts, "step_details", "tool_calls"), calls, item.places, grown)
    delta["step_details"] = {**details, "tool_calls": placed.items}
    return placed


def _items(parts: dict[Any, Any], *path: str) -> dict[int, Any]:
    node = get_path(parts, *path)
    return node if is_indexed(node) else {}


def _append_first(state: RunState, event: MessageDeltaEvent, at: float, max_index: int) -> RunState | None:
    """Apply the first fragment of a known and empty message, as nearly each message begins.

    The result equals the result of :func:`merge`. ``None`` if the delta is anything else.
    """
    delta = event.data
    body = delta.delta
    content = body.content
    if delta._wire is not None or body.role is not None or len(content) != 1:
        return None
    part = content[0]
    if type(part) is not TextPartDelta or part.text is None or part.text.annotations or not part.text.value:
        return None
    objects = state._all_objects()
    position = objects.find(delta.id)
    run = state._head.run
    if position < 0 or not 0 <= part.index <= max_index or run.requires_action or run.status.is_terminal:
        return None
    current = objects[position]
    full: Any = current.full
    if not current.is_message or current.parts is not None or full is None or full.is_terminal or full.content:
        return None
    if full._wire is not None and full._wire.get("content") is not None:
        return None  # it arrived in another shape
    text = append_text(None, part.text.value)
    parts = {"content": {part.index: {"type": "text", "text": {"value": text, "annotations": {}}}}}
    item = current.change(full, parts, partial=current.partial)
    head = state._head
    if head.first_text is None:
        head = head.with_first_text(at)
    growing = _start_growing(
        item, position, part.index, ("content", part.index, "text", "value"), None, event.event, text, head
    )
    return RunState(head, objects.set(position, item), growing, text.length, position, event.event)


def parts_of(item: ObjectState, name: str) -> dict[Any, Any]:
    """The field ``name`` of the full object, as parts that deltas can extend."""
    known = normalize_field(name, item.full.to_dict().get(name)) if item.full is not None else None
    return {name: make_node(known, name)} if known else {}


def _find_growing(
    item: ObjectState, position: int, event: MessageDeltaEvent | StepDeltaEvent, head: RunHead, placed: Placed | None
) -> tuple[GrowingText | None, int]:
    """The text that a delta appended to last, which is kept apart from now on, and its length (characters)."""
    if placed is None:
        return None, 0
    index, key = placed.index, placed.key
    path: tuple[Any, ...]
    named: StepCall | None = None
    body: Any = event.data.delta
    if isinstance(event, MessageDeltaEvent):
        if head.first_text is None:
            return None, 0  # the time of the first text must be stored before
        if not body.content or type(body.content[-1]) is not TextPartDelta:
            return None, 0
        path = ("content", key, "text", "value")
    else:
        calls = getattr(body.step_details, "tool_calls", None)
        if not calls:
            return None, 0
        call = calls[-1]
        if type(call) is FunctionToolCallDelta:
            path = ("step_details", "tool_calls", key, "function", "arguments")
        elif type(call) is CodeInterpreterToolCallDelta:
            path = ("step_details", "tool_calls", key, "code_interpreter", "input")
        else:
            return None, 0
        node: Any = get_path(item.parts, "step_details", "tool_calls")
        id = node[key].get("id") if isinstance(node, dict) and isinstance(node.get(key), dict) else None
        named = step_call(item, key, id if isinstance(id, str) else "")
    text: Any = item.parts
    for name in path:
        text = text.get(name) if isinstance(text, dict) else None
    if not isinstance(text, Text):
        return None, 0
    if text.prior is not None and text.length <= text.prior.length:
        return None, 0  # a repetition: not longer than the emitted text, and not compared with it yet
    return _start_growing(item, position, index, path, named, event.event, text, head), text.length


def _start_growing(
    item: ObjectState,
    position: int,
    index: int,
    path: tuple[Any, ...],
    call: StepCall | None,
    event: str,
    text: Text,
    head: RunHead,
) -> GrowingText:
    run = head.run
    return GrowingText(
        position,
        item.id,
        item.is_message,
        index,
        index if item.is_message else -1,
        path,
        call.id if call is not None else "",
        call_key(head.scope, run.id, call.name) if call is not None else "",
        event,
        text.buffer,
        text.prior,
        run.id,
        run.thread_id,
        head.scope,
        _TARGETS[path[-1]],
    )


def _repeated_parts(delta: dict[str, Any], parts: dict[Any, Any]) -> list[int]:
    """The indices of the parts in a delta of a message whose text is repeated since a reset."""
    found = []
    for position, part in enumerate(delta.get("content") or ()):
        index = index_of(part, position)
        text = get_path(parts["content"].get(index), "text", "value")
        if isinstance(text, Text) and text.prior is not None:
            found.append(index)
    return found


def _has_ids(delta: dict[str, Any]) -> bool:
    """True if a delta of a step names a call."""
    calls = get_path(delta, "step_details", "tool_calls")
    return isinstance(calls, list) and any(isinstance(call, dict) and call.get("id") for call in calls)
