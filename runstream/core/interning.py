"""Runs of one assistant repeat its instructions and tools; equal ones are held once."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, TypeAlias

from msgspec import structs

from runstream.model.run import Run
from runstream.model.tools import Tool

__all__ = ["Interner"]

_Assistant: TypeAlias = tuple[str | None, str | None]  # its id, its instructions

_MAX_ASSISTANTS: Final = 128
_MAX_CHARACTERS: Final = 65_536  # characters of instructions that are looked up: what is held must be bounded


class Interner:
    """The latest instructions and tools of the assistants that were seen last, to be shared between their runs.

    Args:
        size: How many are remembered.
    """

    __slots__ = ("_known", "_size")

    def __init__(self, size: int = _MAX_ASSISTANTS) -> None:
        self._size = size
        self._known: OrderedDict[_Assistant, tuple[str | None, tuple[Tool, ...]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def intern(self, run: Run) -> None:
        """Let a run that was just decoded have the equal objects of an earlier one."""
        instructions = run.instructions
        if not instructions and not run.tools:
            return
        if instructions is not None and len(instructions) > _MAX_CHARACTERS:
            return
        key = (run.assistant_id, instructions)
        known = self._known.get(key)
        if known is not None:
            # Equal in value: whoever holds the frozen run already can't tell.
            structs.force_setattr(run, "instructions", known[0])
            if run.tools and known[1] == run.tools:
                structs.force_setattr(run, "tools", known[1])
                return
        elif len(self._known) >= self._size:
            self._known.popitem(last=False)
        self._known[key] = (run.instructions, run.tools)
