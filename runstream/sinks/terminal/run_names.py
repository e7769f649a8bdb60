"""Run ids in, short names out that fit a column and tell the runs apart."""

from __future__ import annotations

from typing import Final

from runstream.model.escaping import visible

__all__ = ["HUES", "NAME_WIDTH", "Names", "short_id"]

NAME_WIDTH: Final = 16
"""Characters that a short name has at most."""
HUES: Final = 6
"""How many colours the names take in turn."""
_MAX_NAMES: Final = 1000  # remembered, so that a watch of many days does not grow


def short_id(run_id: str, width: int = NAME_WIDTH) -> str:
    """The end of a run's id (it tells runs apart better than its beginning), cut at a word where there is one."""
    name = run_id.removeprefix("run_") or run_id
    if len(name) > width:
        name = name[-width:]
        head, cut, tail = name.partition("_")
        name = tail if cut and len(tail) >= width // 2 and head != tail else name
    return visible(name)[:width]


class Names:
    """Gives each run a short name and a colour, both its own: names that come out alike are numbered.

    Args:
        width: Characters that a name may have.
    """

    def __init__(self, width: int = NAME_WIDTH) -> None:
        self._width = width
        self._known: dict[str, tuple[str, int]] = {}
        self._hue = 0

    def __call__(self, run_id: str) -> tuple[str, int]:
        """The run's name, and the number of its colour (below `HUES`)."""
        known = self._known.get(run_id)
        if known is None:
            name = short_id(run_id, self._width)
            taken = {name for name, _ in self._known.values()}
            number = 2
            while name in taken:
                suffix = f"~{number}"
                name, number = short_id(run_id, self._width)[: self._width - len(suffix)] + suffix, number + 1
            known = self._known[run_id] = (name, self._hue)
            self._hue = (self._hue + 1) % HUES
            if len(self._known) > _MAX_NAMES:
                del self._known[next(iter(self._known))]
        return known
