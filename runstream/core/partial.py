"""Marks the objects of a run that may miss text, because events were not received."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from runstream.core.object_list import ObjectState
from runstream.core.state import RunHead, RunState, build_objects, get_view
from runstream.core.text import Text
from runstream.model.tool_calls import parse_arguments

__all__ = ["mark_partial"]


def mark_partial(state: RunState, *, waits: bool = False) -> RunState:
    """Mark the open messages and steps of a run as partial, until a full object or a new ``created`` repairs them.

    The calls that the run waits for are complete, even if their steps are open. A call that is being repeated is
    complete only when the repetition has reached the known length; one whose request was fetched, or sent by another
    source, only when its step does not lack a part of the requested arguments.

    Args:
        state: The state.
        waits: True if the run waits, as an event says that is not applied yet.

    Returns:
        The marked state. The same object if nothing can be missing: the run has ended, or it waits and no message is
        open.
    """
    if state.is_terminal:
        return state
    waits = waits or state.run.requires_action
    requested = {call.id: call.arguments for call in state.run.pending_tool_calls if call.id} if waits else {}
    objects = whole = build_objects(state)
    for position, item in enumerate(whole):
        is_whole = waits and not item.is_message and not (_is_behind(item.parts) or _lacks_arguments(item, requested))
        if not (item.partial or item.is_terminal or is_whole):
            objects = objects.set(position, item.change(item.full, item.parts, partial=True))
    head = state._head if waits else _mark_values(state._head)
    if objects is whole and head is state._head:
        return state
    return structs.replace(
        state,
        _head=head,
        _objects=objects,
        _growing=None,
        _length=0,
        _touched=-1,
        _event=state.changed_by,
        _cached_objects=None,
    )


def _mark_values(head: RunHead) -> RunHead:
    """Mark the documents and activities: a change of each may be missing."""
    documents, activities = head.documents, head.activities
    if not documents.partial.issuperset(documents.values):
        documents = structs.replace(documents, partial=documents.partial.union(documents.values))
    for activity in activities if activities.count else ():
        if not activity.partial:
            activities = activities.with_activity(structs.replace(activity, partial=True))
    if documents is head.documents and activities is head.activities:
        return head
    return structs.replace(head, documents=documents, activities=activities)


def _lacks_arguments(item: ObjectState, requested: dict[str, str | None]) -> bool:
    """True if a call of a step has only a part of the arguments with which it was requested.

    Args:
        item: The step.
        requested: The arguments of the requested calls, by their ids.
    """
    if item.parts is None:
        return False
    for call in get_view(item).tool_calls:
        wanted = requested.get(call.id)
        if wanted is None or call.arguments == wanted:
            continue
        text = call.arguments or ""
        if wanted.startswith(text) or parse_arguments(text)[1] is not None:  # a gateway may format them anew
            return True
    return False


def _is_behind(parts: Any) -> bool:
    """True if a text is being repeated and is shorter than before."""
    if isinstance(parts, Text):
        return parts.prior is not None and parts.length < parts.prior.length
    return isinstance(parts, dict) and any(_is_behind(part) for part in parts.values())
