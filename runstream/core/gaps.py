"""What is known to be missing: text that nobody heard while it was told."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from runstream.core.object_list import ObjectState
from runstream.core.state import RunState, build_objects
from runstream.core.text import Text

__all__ = ["mark_partial"]


def mark_partial(state: RunState) -> RunState:
    """``state`` after a time in which nobody listened: what had not ended may miss pieces, until a full object or
    a new beginning heals it. The same object where nothing can have been missed: the run has ended, or waits with
    no message open. The calls that it waits for are whole, whether their steps have ended or not; unless they are
    being told again, and that has not come to their end.
    """
    if state.is_terminal:
        return state
    waits = state.run.requires_action
    objects = whole = build_objects(state)
    for position, item in enumerate(whole):
        is_whole = waits and not item.is_message and not _is_behind(item.parts)
        if not (item.partial or item.is_terminal or is_whole):
            objects = objects.set(position, ObjectState(item.id, item.is_message, item.full, item.parts, True))
    if objects is whole:
        return state
    return structs.replace(
        state, _objects=objects, _growing=None, _length=0, _touched=-1, _event=state.changed_by, _cached_objects=None
    )


def _is_behind(parts: Any) -> bool:
    """Whether any text is told again and has not come as far as it was."""
    if isinstance(parts, Text):
        return parts.prior is not None and parts.length < parts.prior.length
    return isinstance(parts, dict) and any(_is_behind(part) for part in parts.values())
