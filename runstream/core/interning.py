"""Shares equal instructions and tools between runs, since all runs of one assistant repeat these."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, TypeAlias

from msgspec import structs

from runstream.model.run import Run
from runstream.model.tools import Tool

__all__ = ["Interner"]

_Assistant: TypeAlias = tuple[str | None, str | None]  # its id, its instructions

_MAX_ASSISTANTS: Final = 128
_MAX_CHARACTERS: Final = 65_536  # longer instructions are not shared, so that the memory is bounded


class Interner:
    """The latest instructions and tools of the latest assistants.

    Args:
        size: The number of assistants that are kept.
    """

    __slots__ = ("_known", "_size")

    def __init__(self, size: int = _MAX_ASSISTANTS) -> None:
        self._size = size
        self._known: OrderedDict[_Assistant, tuple[str | None, tuple[Tool, ...]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def intern(self, run: Run) -> None:
        """Replace the instructions and tools of a new run by equal objects of an earlier run."""
        instructions = run.instructions
        if not instructions and not run.tools:
            return
        if instructions is not None and len(instructions) > _MAX_CHARACTERS:
            return
        key = (run.assistant_id, instructions)
        known = self._known.get(key)
        if known is not None:
            # The value stays the same: code that has the frozen run already sees no difference.
            structs.force_setattr(run, "instructions", known[0])
            if run.tools and known[1] == run.tools:
                structs.force_setattr(run, "tools", known[1])
                return
        elif len(self._known) >= self._size:
            self._known.popitem(last=False)
        self._known[key] = (run.instructions, run.tools)
