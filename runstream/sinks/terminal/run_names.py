"""Run ids in, short names out that fit a column and differ from each other. Needs no Rich: plain lines use it too."""

from __future__ import annotations

from typing import Final

from runstream.model.escaping import escape_control

__all__ = ["HUES", "NAME_WIDTH", "RunNames", "short_id"]

NAME_WIDTH: Final = 16
"""The highest number of characters of a short name."""
HUES: Final = 6
"""The number of colours that names have in rotation."""
_MAX_NAMES: Final = 1000  # that are remembered, so that memory stays bounded over many days


def short_id(run_id: str, width: int = NAME_WIDTH) -> str:
    """The run's id, if it fits; else ``…`` and its end, which differs more between runs than the beginning. The end
    begins at a word, if there is one.
    """
    name = escape_control(run_id)
    if len(name) <= width:
        return name
    end = name[len(name) - width + 1 :]
    head, cut, tail = end.partition("_")
    return f"…{tail if cut and len(tail) >= width // 2 and head != tail else end}"


class RunNames:
    """Assigns each run a short name and a colour; equal short names get numbers.

    Args:
        width: The highest number of characters of a name.
    """

    def __init__(self, width: int = NAME_WIDTH) -> None:
        self._width = width
        self._known: dict[str, tuple[str, int]] = {}
        self._hue = 0

    def __call__(self, run_id: str) -> tuple[str, int]:
        """The name of the run, and the number of its colour (below `HUES`)."""
        known = self._known.get(run_id)
        if known is None:
            name = short_id(run_id, self._width)
            used = {name for name, _ in self._known.values()}
            number = 2
            while name in used:
                suffix = f"~{number}"
                name, number = short_id(run_id, self._width - len(suffix)) + suffix, number + 1
            known = self._known[run_id] = (name, self._hue)
            self._hue = (self._hue + 1) % HUES
            if len(self._known) > _MAX_NAMES:
                del self._known[next(iter(self._known))]
        return known
