"""The progress of a source's runs: whether a connection brought anything that was not there before."""

from __future__ import annotations

from collections.abc import Iterable
from operator import gt
from typing import Any, Final

from runstream.core.state import RunState
from runstream.core.text import Text
from runstream.engine.source_state import SourceState
from runstream.model.raw import RawItem

__all__ = ["RunProgress", "SeenMessages", "extent_of"]

_STATUSES: Final = 64  # more than a round has
_MAX_SEEN: Final = 8192  # messages of one generation

Extent = tuple[int, ...]


class RunProgress:
    """Counts the connections of one source by which its runs have advanced.

    A server that sends the same part of a run again and again, cut at whatever places, changes the state without
    advancing it: a message is begun again and grows to a length that it had before. Therefore the extent of each run is
    compared with the largest one so far, and that of a run that begins with the largest of the runs before it. A text
    to which the same fragments without identity are appended again does grow; so a connection must have brought a
    message, too, that no connection before it has. A server may make a run anew, with other messages: a connection that
    begins a known run again must be longer than those before it that did so.

    Args:
        source: The source's state in the engine.
    """

    def __init__(self, source: SourceState) -> None:
        self.seen: SeenMessages | None = None
        self._source = source
        self._ended = 0
        self._extents: dict[str, Extent] = {}
        self._furthest: Extent = ()
        self._longest = 0  # bytes of the longest connection that began a known run again
        self._count = 0

    def begin(self) -> SeenMessages | None:
        """Note that a connection begins, and return what is to receive its messages; the first one needs nothing."""
        if self._count or self.seen is not None:
            self.seen = self.seen or SeenMessages()
            self.seen.begin()
        return self.seen

    def count(self) -> int:
        """Return a number that has grown if a run has begun, advanced or ended since the last call.

        The time is linear in the texts of the source's open runs. It is called once for each connection.
        """
        source = self._source
        advanced = source.ended_runs > self._ended
        self._ended = source.ended_runs
        extents: dict[str, Extent] = {}
        furthest, connection = self._furthest, (source.name, source.connection)
        size = self.seen.size if self.seen is not None else 0
        is_longer = size > self._longest
        for record in source.open_records():
            run_id, extent = record.state.run_id, extent_of(record.state)
            known = self._extents.get(run_id, furthest)
            begins_again = self.seen is not None and record.replayed_by == connection
            advanced = advanced or (_exceeds(extent, known) and (is_longer or not begins_again))
            if begins_again:
                self._longest = max(self._longest, size)
            extents[run_id] = _larger(extent, self._extents.get(run_id, ()))
            self._furthest = _larger(self._furthest, extent)
        self._extents = extents
        self._count += advanced and (self.seen is None or self.seen.has_new)
        return self._count


class SeenMessages:
    """The messages of the latest connections of a source, by hash: two generations of at most 8,192.

    Attributes:
        has_new: True if the present connection has brought a message that no connection before it has.
        size: The size of the messages of the present connection (bytes).
    """

    __slots__ = ("_before", "_now", "_older", "has_new", "size")

    def __init__(self) -> None:
        self.has_new = False
        self.size = 0
        self._older: set[int] = set()
        self._before: set[int] = set()
        self._now: set[int] = set()

    def begin(self) -> None:
        """Note that a connection begins."""
        self.has_new = False
        self.size = 0
        self._before |= self._now
        self._now = set()
        if len(self._before) >= _MAX_SEEN:
            self._older, self._before = self._before, set()

    def add(self, items: Iterable[RawItem]) -> None:
        """Add messages of the present connection. A message that an identity distinguishes is another one."""
        for item in items:
            data = getattr(item, "data", None)
            self.size += len(data or b"")
            key = hash((getattr(item, "event", None), data, getattr(item, "id", None)))
            if key not in self._before and key not in self._older:
                self.has_new = True
            if len(self._now) < _MAX_SEEN:
                self._now.add(key)


def _exceeds(extent: Extent, known: Extent) -> bool:
    return not known or any(map(gt, extent, known))


def _larger(one: Extent, other: Extent) -> Extent:
    return tuple(map(max, one, other)) if other and one else one or other


def extent_of(state: RunState) -> tuple[int, ...]:
    """Return the numbers of a run that only grow while it advances: rounds, statuses, objects, and text.

    Text is counted in characters, of all messages, arguments and outputs.
    """
    head = state._head
    objects = state._all_objects()
    statuses = head.calls.round * _STATUSES + min(len(head.statuses), _STATUSES - 1)
    ended = sum(item.is_terminal for item in objects)
    length = sum(_length(item.parts) if item.parts is not None else len(item.text()) for item in objects)
    return (statuses, len(objects), ended, length)


def _length(node: Any) -> int:
    if isinstance(node, Text):
        return node.length
    if isinstance(node, dict):
        return sum(map(_length, node.values()))
    return 0
