"""Marks the objects of a run that may miss text, because events were not received."""

from __future__ import annotations

from typing import Any

from msgspec import structs

from runstream.core.state import RunState, build_objects
from runstream.core.text import Text

__all__ = ["mark_partial"]


def mark_partial(state: RunState) -> RunState:
    """Mark the open messages and steps of a run as partial, until a full object or a new ``created`` repairs them.

    The calls that the run waits for are complete, even if their steps are open. A call that is being repeated is
    complete only when the repetition has reached the known length.

    Returns:
        The marked state. The same object if nothing can be missing: the run has ended, or it waits and no message is
        open.
    """
    if state.is_terminal:
        return state
    waits = state.run.requires_action
    objects = whole = build_objects(state)
    for position, item in enumerate(whole):
        is_whole = waits and not item.is_message and not _is_behind(item.parts)
        if not (item.partial or item.is_terminal or is_whole):
            objects = objects.set(position, item.change(item.full, item.parts, partial=True))
    if objects is whole:
        return state
    return structs.replace(
        state, _objects=objects, _growing=None, _length=0, _touched=-1, _event=state.changed_by, _cached_objects=None
    )


def _is_behind(parts: Any) -> bool:
    """True if a text is being repeated and is shorter than before."""
    if isinstance(parts, Text):
        return parts.prior is not None and parts.length < parts.prior.length
    return isinstance(parts, dict) and any(_is_behind(part) for part in parts.values())
