"""The result of deduplication."""

from __future__ import annotations

import enum

__all__ = ["Sighting"]


class Sighting(enum.Enum):
    """The result of deduplication: an id is new, or known with the same content, or known with other content."""

    NEW = "new"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
