"""The owner of an AG-UI event: the run itself or one of its subagents; and the form of a handler of events."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from runstream.dialects.ag_ui_objects import Frame
from runstream.dialects.ag_ui_state import Piece
from runstream.dialects.ag_ui_wire import Json, field_of, text_of
from runstream.model.events import Event

__all__ = ["Handler", "Note", "owner_of", "path_of"]

Note: TypeAlias = Callable[[str, str], None]
"""Counts a violation: the name of the rule, and the id of the object that it concerns."""

Handler: TypeAlias = Callable[[Piece, Json, Frame, Note], list[Event] | None]


def owner_of(value: Json) -> str | None:
    """The id of the subagent's run that an event belongs to."""
    return text_of(field_of(value, "subagentRunId"))


def path_of(piece: Piece, value: Json, note: Note) -> tuple[str, ...]:
    """The path of the subagent that an event belongs to."""
    owner = owner_of(value)
    if owner is None:
        return ()
    found = piece.subagents.get(owner)
    if found is None:
        note("subagent_known", owner)
        piece.closed_subagents.add(owner)  # no event has announced its step
        found = piece.subagents[owner] = (owner,)
    return found
