"""Applies a full message or step to the state of its run. It replaces the parts that deltas built, and repairs gaps."""

from __future__ import annotations

from typing import Any, Final

from msgspec import structs

from runstream.core.merge import is_indexed, make_node, normalize_field
from runstream.core.object_deltas import parts_of
from runstream.core.object_list import ObjectState
from runstream.core.run_snapshots import Outcome, merge_snapshot
from runstream.core.state import RunHead, RunState, update_head
from runstream.core.step_calls import end_step, name_step_calls
from runstream.core.streamed_texts import add_arguments, add_outputs, has_content, is_whole, keep_texts
from runstream.core.text import Text, TextBuffer
from runstream.core.text_changes import count_replaced, ends_unchanged
from runstream.model.events import MessageEvent, StepEvent
from runstream.model.message import Message
from runstream.model.step import RunStep, ToolCallsDetails

__all__ = ["apply_object"]

_CHANGED: Final = Outcome.CHANGED
_SAME: Final = Outcome.SAME


def apply_object(
    state: RunState, event: MessageEvent | StepEvent, at: float, restart: bool
) -> tuple[RunState, Outcome]:
    """Apply a full message or step.

    Args:
        state: The state before.
        event: The event with the object.
        at: The time of its arrival (Unix seconds).
        restart: True if a ``created`` starts the accumulation of its object again.

    Returns:
        The state, which is the same object if nothing changed, and the outcome of the event.
    """
    new = event.data
    is_message = type(new) is Message
    objects = state._objects
    position = objects.find(new.id)
    current = objects[position] if position >= 0 else None
    growing = state._growing
    ended = new.is_terminal
    whole = ended and current is not None and is_whole(current, new)
    if growing is not None and not (growing.position == position and whole):
        objects = state._all_objects()  # else the growing text is replaced anyway
    head = state._head
    indices: tuple[int, ...] | None = None
    if current is None:
        item = ObjectState(new.id, is_message, new, partial=event.partial, path=event.path)
        if not is_message:
            head, item = _name_calls(head, item, ended=ended)
        objects, position = objects.append(item), objects.count
    else:
        if objects is not state._objects:
            current = objects[position]
        if current.is_message is not is_message:
            return state, Outcome.KIND_CONFLICT
        # Of a run that has ended nothing shows that the rest follows: a loss of the connection marks open runs alone.
        partial = event.partial or head.run.is_terminal
        item = _replace(current, event, restart, whole, ended=ended, partial=partial)
        if event.path and current.full is None:
            item = structs.replace(item, path=event.path)  # it was known by fragments alone, which name no path
        if item is current:
            late = current.is_terminal and current.full is not None and new.status != current.full.status
            return state, Outcome.LATE if late else _SAME
        if not is_message:
            head, item = _name_calls(head, item, ended=item.is_terminal)
        elif _has_text(current):
            if ends_unchanged(state, position, item):
                indices = ()
            elif replaced := count_replaced(state._all_objects()[position], item):
                item = structs.replace(item, replaced=item.replaced + replaced)
        objects = objects.set(position, item)
    head = update_head(head, item, at)
    return RunState(head, objects, None, 0, position, event.event, None, indices), _CHANGED


def _name_calls(head: RunHead, item: ObjectState, *, ended: bool) -> tuple[RunHead, ObjectState]:
    """Name the calls of a step that have no name yet; note the end of a step."""
    calls, item = name_step_calls(head.calls, item)
    if ended:
        calls = end_step(calls, item)
    return (head if calls is head.calls else structs.replace(head, calls=calls)), item


def _has_text(item: ObjectState) -> bool:
    """True if a message may have text that was emitted."""
    return item.parts is not None or (isinstance(item.full, Message) and bool(item.full.content))


def _replace(
    current: ObjectState, event: MessageEvent | StepEvent, restart: bool, whole: bool, *, ended: bool, partial: bool
) -> ObjectState:
    """Compute an object after a full object; ``current`` itself if there is no news.

    Args:
        current: The object before.
        event: The event with the full object.
        restart: True if a ``created`` starts the accumulation of its object again.
        whole: True if the full object has ended and leaves out nothing.
        ended: True if the full object has ended.
        partial: True if an object that starts again stays marked until it is whole.
    """
    new: Any = event.data
    known: Any = current.full
    if event.corrects and current.is_terminal and known is not None:
        return _correct(current, known, new)
    full = merge_snapshot(known, new, event.origin) if known is not None else new
    was_ended = current.is_terminal
    if was_ended and not current.is_message and full.status == new.status and full is not new:
        full = add_outputs(full, new)
    if full is known and not restart:
        return current
    if was_ended:
        return current if full is known else current.change(full, current.parts, partial=current.partial)
    parts, marked = current.parts, current.partial
    if ended:
        name = "content" if current.is_message else "step_details"
        kept = full if whole else keep_texts(full, parts if parts is not None else parts_of(current, name), name)
        parts, marked = None, marked and kept is not full
        full = kept
    elif restart and event.created:
        marked = partial  # the server sends all of it again
        name = "content" if current.is_message else "step_details"
        built = parts if parts is not None else parts_of(current, name)
        again = _reset_texts(built)
        if parts is not None or again is not built:
            parts = _extend_parts(again, new.to_dict().get(name), name)
    elif parts is not None and (full.content if current.is_message else full.step_details is not None):
        name = "content" if current.is_message else "step_details"
        parts = _extend_parts(parts, full.to_dict().get(name), name)
    elif parts is None and known is not None and has_content(known):
        parts = _keep_longer(current, full, "content" if current.is_message else "step_details")
    if parts is current.parts and full == known and marked is current.partial:
        return current
    return current.change(full, parts, partial=marked)


def _correct(current: ObjectState, known: Any, new: Any) -> ObjectState:
    """Compute an ended object after a correction."""
    name = "content" if current.is_message else "step_details"
    value = getattr(new, name)
    if isinstance(value, ToolCallsDetails):
        full = add_arguments(known, new)
        if full is known:
            return current
    else:
        full = known if value == getattr(known, name) else known.replace(**{name: value})
    if full is known and not current.partial:
        return current
    return current.change(full, None, partial=False)


def _reset_texts(parts: Any) -> Any:
    """Empty the texts of a node. Each new text knows the old one, whose signals were emitted."""
    if isinstance(parts, Text):
        if not parts.length:
            return parts
        prior = parts.prior if parts.prior is not None and parts.prior.length >= parts.length else parts
        return Text(TextBuffer(), 0, max(parts.emitted, parts.length), prior)
    if isinstance(parts, dict):
        again = {key: _reset_texts(value) for key, value in parts.items()}
        return again if any(again[key] is not value for key, value in parts.items()) else parts
    return parts


def _extend_parts(parts: dict[Any, Any], snapshot: Any, name: str) -> dict[Any, Any]:
    """Extend parts by a snapshot of an object that has not ended: its longer texts and its new nodes count."""
    snapshot = normalize_field(name, snapshot)
    if not snapshot:
        return parts
    return _merge_longer(parts, {name: make_node(snapshot, name)})  # type: ignore[no-any-return]


def _keep_longer(current: ObjectState, full: Message | RunStep, name: str) -> dict[Any, Any] | None:
    """Detect a snapshot of an open object that is older than the one before, as when another replica answers a poll.

    Returns:
        The parts known so far with the additions of the snapshot; ``None`` if the snapshot is nowhere shorter.
    """
    built = parts_of(current, name)
    if not built:
        return None
    snapshot = normalize_field(name, full.to_dict().get(name))
    new = {name: make_node(snapshot, name)} if snapshot else {}
    return _merge_longer(built, new) if _merge_longer(new, built) is not new else None


def _merge_longer(built: Any, snapshot: Any) -> Any:
    """Merge a snapshot into ``built``: texts that continue known ones, and nodes that ``built`` lacks."""
    if isinstance(built, Text):
        if isinstance(snapshot, Text) and snapshot.length > built.length and str(snapshot).startswith(str(built)):
            return Text(snapshot.buffer, snapshot.length, max(built.emitted, snapshot.length), built.prior)
        return built
    if isinstance(built, dict) and isinstance(snapshot, dict):
        if built and snapshot and is_indexed(built) is not is_indexed(snapshot):
            return built  # one is a list, the other an object
        out = dict(built)
        changed = False
        for key, value in snapshot.items():
            if key not in out:
                out[key] = value
                changed = True
            else:
                better = _merge_longer(out[key], value)
                changed = changed or better is not out[key]
                out[key] = better
        return out if changed else built
    return built
