"""A JSON value in, its first characters as text out. The cost depends on the length of the text, not on the value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

__all__ = ["excerpt"]


def excerpt(value: Any, size: int) -> str:
    """The beginning of a value as JSON text.

    Args:
        value: The value, read-only or not.
        size: The highest number of characters; a longer text ends with an ellipsis.
    """
    parts: list[str] = []
    room = size
    for part in _parts(value, size):
        parts.append(part)
        room -= len(part)
        if room < 0:
            return "".join(parts)[: max(size - 1, 0)] + "…"
    return "".join(parts)


def _parts(value: Any, size: int) -> Iterator[str]:
    if isinstance(value, str):
        yield _text(value, size)
    elif isinstance(value, Mapping):
        yield "{"
        for place, name in enumerate(value):
            yield f"{', ' if place else ''}{_text(name, size)}: "
            yield from _parts(value[name], size)
        yield "}"
    elif isinstance(value, Sequence):
        yield "["
        for place, item in enumerate(value):
            if place:
                yield ", "
            yield from _parts(item, size)
        yield "]"
    else:
        yield msgspec.json.encode(value).decode()


def _text(value: str, size: int) -> str:
    # With one character more than fits, so that the end is seen to be cut.
    return msgspec.json.encode(value[: size + 1].encode(errors="replace").decode()).decode()
