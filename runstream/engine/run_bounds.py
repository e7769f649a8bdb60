"""The bounds of one open run: the number of its messages and steps, of its statuses, and the size of its texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import astuple

from runstream.core.run_record import RunRecord
from runstream.core.state import RunState
from runstream.engine.source_state import SourceState
from runstream.model.events import Event
from runstream.model.limits import Limits
from runstream.model.run import Run

__all__ = ["RunBounds", "size_of"]

_TEXTLESS: Final = frozenset({type(None), int, float, bool})


class RunBounds:
    """Decides which events of an open run are within the bounds. An event beyond a bound is a reject.

    Args:
        limits: The bounds.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def admits_run(self, record: RunRecord, source: SourceState, event: Event, run: Run, before: RunState) -> bool:
        """True if a snapshot of a run is within the bounds; else it was rejected."""
        statuses = before._head.statuses
        if len(statuses) < self._limits.max_statuses or run.status.is_known or run.status in statuses:
            return True
        return self._refuse(record, source, event, f"More than {len(statuses)} statuses in one round (max_statuses)")

    def admit_delta(self, record: RunRecord, source: SourceState, event: Any) -> int | None:
        """The size that a fragment adds to its run; ``None`` if it is beyond a bound, and was rejected."""
        record.note_growth()
        return self._admit(record, source, event, size_of(event.data.delta), record.state)

    def admit_object(
        self, record: RunRecord, source: SourceState, event: Any, before: RunState, *, ended: bool
    ) -> int | None:
        """The size that a full message or step adds to its run; ``None`` if it is beyond a bound, and was rejected."""
        size = len(event.origin.payload) if event.origin is not None else size_of(event.data)
        if record.length != record.base:
            record.note_growth()
        added = size - record.sizes.get(event.data.id, 0)
        if added < 0 and not ended:
            added = 0  # it replaces what was streamed only once it has ended
        return self._admit(record, source, event, added, before)

    def _admit(self, record: RunRecord, source: SourceState, event: Any, added: int, before: RunState) -> int | None:
        limits, objects = self._limits, before._objects
        if objects.count >= limits.max_run_objects and objects.find(event.data.id) < 0:
            source.scope.add_tombstone(event.data.id)  # so that no fragment of it waits as an orphan
            reason = f"More than {objects.count} messages and steps in one run (max_run_objects)"
            self._refuse(record, source, event, reason)
            return None
        if added > 0 and record.size + added > limits.max_run_size:
            reason = f"Messages and steps of one run of more than {limits.max_run_size} characters (max_run_size)"
            self._refuse(record, source, event, reason)
            return None
        return added

    def _refuse(self, record: RunRecord, source: SourceState, event: Event, reason: str) -> bool:
        if record.is_bounded:
            source.refuse_event(event, reason)
        else:
            record.is_bounded = True
            source.reject_event(event, reason)  # which marks the open objects of the run, once
        return False


def size_of(value: Any) -> int:
    """The number of characters in the texts of a wire object."""
    kind = type(value)
    if kind is str:
        return len(value)
    if kind in _TEXTLESS:
        return 0
    if isinstance(value, Struct):
        wire = getattr(value, "_wire", None)
        return (
            size_of(wire) if wire is not None else sum([size_of(each) for each in astuple(value) if each is not None])
        )
    if isinstance(value, tuple | list):
        return sum([size_of(each) for each in value])
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(map(size_of, value.values()))
    return 0
