"""Deltas of messages and steps: a fragment is appended to its text.

:func:`append_fragment` and :func:`append` are the hot path for a plain fragment of the text that grows. All other
deltas go to :func:`apply_delta`.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any, Final

from msgspec import structs

from runstream.core.growing_texts import CALL_TARGETS, SIGNALS, fit_calls, is_text_of, last_target, path_of
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
from runstream.core.step_calls import StepCall, name_step_calls, step_call
from runstream.core.text import Text, append_text
from runstream.core.text_changes import count_replaced, get_path
from runstream.model.deltas import MessageDelta, RunStepDelta, TextPartDelta
from runstream.model.events import MessageDeltaEvent, StepDeltaEvent
from runstream.model.fragments import Target, read_fragment
from runstream.model.keys import call_key

__all__ = ["append", "append_fragment", "apply_delta", "parts_of", "start_text"]

_CHANGED: Final = Outcome.CHANGED


def append_fragment(state: RunState, id: str, target: Target, index: int, fragment: str) -> RunState | None:
    """Append a plain fragment to the text that grows now.

    Args:
        state: The state before.
        id: The id of the message or step.
        target: The kind of the text.
        index: The index of its part or its tool call.
        fragment: The text to append.

    Returns:
        The state after it; ``None`` if the fragment is of another text.
    """
    growing = state._growing
    if growing is None or growing.object_id != id or growing.index != index or growing.target != target:
        return None
    buffer = growing.buffer
    length = state._length
    if buffer.length != length or not fragment:
        return None  # not the newest state of this text: `apply_delta` forks it
    buffer.tail.write(fragment)
    buffer.last = fragment
    buffer.length = length = length + len(fragment)
    return RunState(state._head, state._objects, growing, length)


def append(state: RunState, delta: MessageDelta | RunStepDelta) -> RunState | None:
    """The hot path: append a plain fragment to the text that grows now. ``None`` if the delta is anything else."""
    growing = state._growing
    if growing is None or growing.object_id != delta.id:
        return None
    fragment = read_fragment(delta)
    return None if fragment is None else append_fragment(state, delta.id, *fragment)


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
    if position >= 0:
        current = objects[position]
    else:
        current = ObjectState(event.data.id, is_message, None, None, True, path=event.path)
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
        if not is_message:
            delta = fit_calls(delta, parts)
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
    elif ids := _new_ids(delta, parts):
        calls, item = name_step_calls(head.calls, item, ids)
        if calls is not head.calls:
            head = structs.replace(head, calls=calls)
    objects = objects.append(item) if position < 0 else objects.set(position, item)
    position = len(objects) - 1 if position < 0 else position
    changed = _changed_indices(delta, name)
    head = update_head(head, item, at, changed)
    growing, length = _find_growing(item, position, event, head, placed)
    if growing is not None and (head.run.requires_action or head.run.status.is_terminal):
        # No text grows while the run waits, or after its end: it is unknown if the fragment is repeated or late.
        objects = objects.set(position, item.change(item.full, merged, partial=True))
        growing, length = None, 0
    return RunState(head, objects, growing, length, position, event.event, None, changed), _CHANGED


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
    return start_text(state, delta.id, part.index, part.text.value, event.event, at, max_index)


def start_text(
    state: RunState, id: str, index: int, fragment: str, name: str, at: float, max_index: int
) -> RunState | None:
    """Begin the text of a known and empty message with its first fragment.

    Args:
        state: The state before.
        id: The id of the message.
        index: The index of the part.
        fragment: The fragment; not empty.
        name: The name of its event.
        at: The time of its arrival (Unix seconds).
        max_index: Fragments with a larger index begin nothing.

    Returns:
        The state after it; ``None`` if there is no such message.
    """
    objects = state._all_objects()
    position = objects.find(id)
    run = state._head.run
    if position < 0 or not 0 <= index <= max_index or run.requires_action or run.status.is_terminal:
        return None
    current = objects[position]
    full: Any = current.full
    if not current.is_message or current.parts is not None or full is None or full.is_terminal or full.content:
        return None
    if full._wire is not None and full._wire.get("content") is not None:
        return None  # it arrived in another shape
    text = append_text(None, fragment)
    parts = {"content": {index: {"type": "text", "text": {"value": text, "annotations": {}}}}}
    item = current.change(full, parts, partial=current.partial)
    head = state._head
    if head.first_text is None:
        head = head.with_first_text(at)
    path = ("content", index, "text", "value")
    growing = _start_growing(item, position, "text", index, path, None, name, text, head)
    return RunState(head, objects.set(position, item), growing, text.length, position, name)


def parts_of(item: ObjectState, name: str) -> dict[Any, Any]:
    """The field ``name`` of the full object, as parts that deltas can extend."""
    known = normalize_field(name, item.full.to_dict().get(name)) if item.full is not None else None
    return {name: make_node(known, name)} if known else {}


def _find_growing(
    item: ObjectState, position: int, event: MessageDeltaEvent | StepDeltaEvent, head: RunHead, placed: Placed | None
) -> tuple[GrowingText | None, int]:
    """The text that a delta appended to last, which is kept apart from now on, and its length (characters)."""
    found = last_target(event.data.delta)
    if found is None:
        return None, 0
    target, index = found
    key = index
    if placed is not None:
        index, key = placed.index, placed.key
    if not is_text_of(item.parts, target, key):
        return None, 0
    named: StepCall | None = None
    if target == "text":
        if head.first_text is None:
            return None, 0  # the time of the first text must be stored before
    elif target in CALL_TARGETS:
        node: Any = get_path(item.parts, "step_details", "tool_calls")
        id = node[key].get("id") if isinstance(node, dict) and isinstance(node.get(key), dict) else None
        named = step_call(item, key, id if isinstance(id, str) else "")
    path = path_of(item.parts, target, key)
    text: Any = item.parts
    for name in path:
        text = text.get(name) if isinstance(text, dict) else None
    if not isinstance(text, Text):
        return None, 0
    if text.prior is not None and text.length <= text.prior.length:
        return None, 0  # a repetition: not longer than the emitted text, and not compared with it yet
    return _start_growing(item, position, target, index, path, named, event.event, text, head), text.length


def _start_growing(
    item: ObjectState,
    position: int,
    target: Target,
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
        index if call is None else -1,
        path,
        call.id if call is not None else "",
        call_key(head.scope, run.id, call.name) if call is not None else "",
        event,
        text.buffer,
        text.prior,
        run.id,
        run.thread_id,
        head.scope,
        target,
        SIGNALS[target] if not item.path else partial(SIGNALS[target], path=item.path),
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


def _new_ids(delta: dict[str, Any], parts: dict[Any, Any]) -> dict[int, str]:
    """The ids in a delta of a step of calls whose ids were unknown, by their indices.

    Args:
        delta: The delta.
        parts: The nodes of the step before it.
    """
    calls = get_path(delta, "step_details", "tool_calls")
    known = get_path(parts, "step_details", "tool_calls")
    found: dict[int, str] = {}
    for position, call in enumerate(calls if isinstance(calls, list) else ()):
        id = call.get("id") if isinstance(call, dict) else None
        if id and isinstance(id, str):
            index = index_of(call, position)
            before = known.get(index) if isinstance(known, dict) else None
            if not (isinstance(before, dict) and before.get("id")):
                found.setdefault(index, id)
    return found


def _changed_indices(delta: dict[str, Any], name: str) -> tuple[int, ...]:
    """The indices of the content parts or calls that a delta changes. A list that is neither may have any indices."""
    value = delta.get(name)
    lists = [value] if isinstance(value, list) else value.values() if isinstance(value, dict) else ()
    found: dict[int, None] = {}
    for parts in lists:
        for position, part in enumerate(parts if isinstance(parts, list) else ()):
            with suppress(UnreadableIndex):
                found[index_of(part, position)] = None
    return tuple(found)
