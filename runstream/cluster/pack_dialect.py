"""What replaces the decoder and the window of known ids in a worker: the ingest has done their work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runstream.core.sighting import Sighting
from runstream.dialects.base import BaseDialect
from runstream.model.events import TextAppend

__all__ = ["PackDialect", "Sightings"]


class Sightings:
    """In place of the window of known ids: the ingest has compared the ids, and its results are in the packs."""

    def __init__(self) -> None:
        self.next = Sighting.NEW
        self.identified = False

    def see(self, event: Any, sequence: Any = None) -> Sighting:
        self.identified = True
        found, self.next = self.next, Sighting.NEW
        return found

    see_all = see

    def add(self, event: TextAppend, sequence: Any) -> bool:
        sequence.advance()
        return True

    def has_open(self, object_id: str) -> bool:
        return False  # where a known `created` begins an object again, the ingest says that it is new

    def forget(self, object_id: str) -> int:
        return 2 if self.identified else 0  # its fragments may have had ids

    def ended(self, object_id: str) -> None: ...

    def clear(self) -> None: ...


class PackDialect(BaseDialect):
    """Returns the events of the items of a section, one after the other."""

    __slots__ = ("_next", "_sightings")

    def __init__(self, sightings: Sightings) -> None:
        super().__init__()
        self._sightings = sightings
        self._next: Callable[[], Any] = iter(()).__next__

    def begin(self, decoded: list[Any]) -> None:
        self._next = iter(decoded).__next__

    def decode(self, item: Any) -> Any:
        found = self._next()
        if type(found) is tuple:
            self._sightings.next = found[0]
            return found[1]
        return found
