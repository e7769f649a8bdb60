"""The progress of a source's runs: whether a connection brought anything that was not there before."""

from __future__ import annotations

from typing import Any, Final

from runstream.core.state import RunState
from runstream.core.text import Text
from runstream.engine.source_state import SourceState

__all__ = ["RunProgress", "extent_of"]

_STATUSES: Final = 64  # more than a round has


class RunProgress:
    """Counts how often the runs of one source have advanced.

    A server that sends the same part of a run again and again, cut at whatever places, changes the state without
    advancing it: a message is begun again and grows to a length that it had before. Therefore the extent of each run is
    compared with the largest one so far.

    Args:
        source: The source's state in the engine.
    """

    def __init__(self, source: SourceState) -> None:
        self._source = source
        self._ended = 0
        self._extents: dict[str, tuple[int, ...]] = {}
        self._count = 0

    def count(self) -> int:
        """Return a number that has grown if a run has begun, advanced or ended since the last call.

        The time is linear in the texts of the source's open runs. It is called once for each connection.
        """
        source = self._source
        advanced = source.ended_runs > self._ended
        self._ended = source.ended_runs
        extents: dict[str, tuple[int, ...]] = {}
        for record in source.open_records():
            extent, known = extent_of(record.state), self._extents.get(record.state.run_id)
            if known is not None:
                advanced = advanced or any(new > old for new, old in zip(extent, known, strict=True))
                extent = tuple(map(max, extent, known))
            else:
                advanced = True
            extents[record.state.run_id] = extent
        self._extents = extents
        self._count += advanced
        return self._count


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
