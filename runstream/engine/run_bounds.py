"""The bounds of one open run: the number of its messages and steps, of its statuses, and the size of its texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import astuple

from runstream.core.json_patch import PatchError, PatchProblem
from runstream.core.reduce import apply_activity, apply_document
from runstream.core.run_record import RunRecord
from runstream.core.state import RunState
from runstream.engine.source_state import SourceState
from runstream.model.events import ActivityEvent, Event
from runstream.model.limits import Limits
from runstream.model.run import Run

__all__ = ["VALUES", "RunBounds", "size_of", "value_size"]

VALUES: Final = "$runstream.values"
"""The name under which a run counts the size of its documents and activities, beside the ids of its objects."""

_BOUNDS: Final = {PatchProblem.TOO_LARGE: "max_run_size", PatchProblem.TOO_MANY: "max_operations"}

_TEXTLESS: Final = frozenset({type(None), int, float, bool})
_LISTS: Final = (tuple, list)  # a union of types would be made for each value


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
        limits = self._limits
        if before._objects.count < limits.max_run_objects and record.size + added <= limits.max_run_size:
            return added  # as nearly always
        return self._admit(record, source, event, added, before)

    def change_value(
        self, record: RunRecord, source: SourceState, event: Any
    ) -> tuple[RunState, PatchError | None] | None:
        """Apply a change of a document or an activity, within the bounds.

        Returns:
            The state after it, and the reason if it can't be applied; ``None`` if the run has no room for another
            document or activity, and the event was rejected.
        """
        limits, state = self._limits, record.state
        documents, activities = state._head.documents, state._head.activities
        if isinstance(event, ActivityEvent):
            known = activities.find(event.activity_id)
            is_new, size = known is None, known.content.size if known is not None else 0
        else:
            is_new, size = event.path not in documents.values, documents.size_of(event.path)
        count = len(state._objects) + len(documents.values) + activities.count
        if is_new and count >= limits.max_run_objects:
            reason = f"More than {count} messages, steps, documents and activities in one run (max_run_objects)"
            source.refuse_event(event, reason)
            return None
        record.note_growth()
        room = max(limits.max_run_size - record.size + size, 0)
        apply: Any = apply_activity if isinstance(event, ActivityEvent) else apply_document
        return apply(state, event, room, limits.max_operations)  # type: ignore[no-any-return]

    @staticmethod
    def describe(error: PatchError) -> str:
        """The reason of a reject, with the name of the bound where there is one."""
        bound = _BOUNDS.get(error.problem)
        return f"{error} ({bound})" if bound is not None else str(error)

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


def value_size(state: RunState) -> int:
    """The size of the documents and activities of a run (bytes of JSON)."""
    head = state._head
    return head.documents.size + head.activities.size


def size_of(value: Any) -> int:
    """The number of characters in the texts of a wire object."""
    if isinstance(value, str):
        return len(value)
    kind = type(value)
    if kind in _TEXTLESS:
        return 0
    if kind is tuple or kind is list:
        return _size_of_all(value)
    if isinstance(value, Struct):
        wire = getattr(value, "_wire", None)
        return size_of(wire) if wire is not None else _size_of_all(astuple(value))
    if isinstance(value, _LISTS):
        return _size_of_all(value)
    if isinstance(value, Mapping):
        return _size_of_all(value.values()) if value else 0
    return 0


def _size_of_all(values: Iterable[Any]) -> int:
    size = 0
    for value in filter(None, values):  # most fields of a wire object are absent, and what is empty has no size
        size += len(value) if type(value) is str else size_of(value)
    return size
