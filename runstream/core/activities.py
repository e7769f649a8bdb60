"""The activities of a run: a content or a patch of one in, the activities after it out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct, structs

from runstream.core.documents import is_same
from runstream.core.json_entries import MISSING, NO_ENTRIES, Entries, find_entry, iterate_entries, set_entry
from runstream.core.json_patch import MAX_OPERATIONS, MAX_SIZE, JsonValue, PatchError, apply_patch, make_value
from runstream.model.events import ActivityEvent
from runstream.model.frozen import freeze, thaw

__all__ = ["NO_ACTIVITIES", "Activities", "ActivityState", "change_activity"]


class ActivityState(Struct, frozen=True, eq=False):
    """An activity of a run, as far as it is known: what an application shows beside messages.

    Attributes:
        id: Its id.
        kind: The kind of its content, such as ``"PLAN"``; "" if it is unknown.
        version: The number of its changes so far.
        path: The path of the subagent or subgraph that it belongs to.
        partial: True if it misses a change, until its whole content is sent.
    """

    id: str
    kind: str
    content: JsonValue
    version: int = 1
    path: tuple[str, ...] = ()
    partial: bool = False

    @property
    def value(self) -> Any:
        """Its content: any JSON value (read-only)."""
        return freeze(self.content.value)

    def to_dict(self) -> dict[str, Any]:
        """The activity as JSON builtins."""
        return {
            "id": self.id,
            "kind": self.kind,
            "version": self.version,
            "path": [*self.path],
            "partial": self.partial,
            "value": thaw(self.value),
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ActivityState):
            return NotImplemented
        return self is other or (
            (self.id, self.kind, self.version, self.path, self.partial)
            == (other.id, other.kind, other.version, other.path, other.partial)
            and is_same(self.content, other.content)
        )

    def __hash__(self) -> int:
        return hash((self.id, self.version))

    def __repr__(self) -> str:
        return f"ActivityState(id={self.id!r}, kind={self.kind!r}, version={self.version})"


class Activities(Struct, frozen=True, eq=False):
    """The activities of a run, in order of first appearance. A change of one of n costs O(log n).

    Attributes:
        entries: The place of each in the order, and the activity, by id.
        count: Their number.
        size: The size of all contents (bytes of JSON).
        changed: The id of the last one that changed.
        operations: The operations of that change; ``None`` if the whole content was sent.
    """

    entries: Entries = NO_ENTRIES
    count: int = 0
    size: int = 0
    changed: str = ""
    operations: Any = None

    def __iter__(self) -> Iterator[ActivityState]:
        found = sorted([(place, id) for id, (place, _) in iterate_entries(self.entries)])
        return (activity for _, id in found if (activity := self.find(id)) is not None)

    def __len__(self) -> int:
        return self.count

    def find(self, id: str) -> ActivityState | None:
        """The activity with this id; ``None`` if there is none."""
        entry = find_entry(self.entries, id)
        return None if entry is MISSING else entry[1]

    def with_activity(self, activity: ActivityState, operations: Any = None) -> Activities:
        """A copy with an activity added or replaced."""
        entry = find_entry(self.entries, activity.id)
        place, old = (self.count, 0) if entry is MISSING else (entry[0], entry[1].content.size)
        return Activities(
            set_entry(self.entries, activity.id, (place, activity)),
            self.count + (entry is MISSING),
            self.size + activity.content.size - old,
            activity.id,
            operations,
        )


NO_ACTIVITIES: Final = Activities()


def change_activity(
    activities: Activities, event: ActivityEvent, *, max_size: int = MAX_SIZE, max_operations: int = MAX_OPERATIONS
) -> tuple[Activities, PatchError | None]:
    """Apply a content or a patch.

    Args:
        activities: The activities before.
        event: The event. A patch of an activity that is unknown changes ``{}``, and the activity is partial.
        max_size: The size that its content may have (bytes of JSON).
        max_operations: The number of operations that a patch may have.

    Returns:
        The activities, which are the same object if nothing changed; and the reason if the event can't be applied: the
        activity is then partial.
    """
    known = activities.find(event.activity_id)
    if known is not None and event.operations is None and not event.replace:
        return activities, None
    try:
        if event.operations is None:
            content, partial = make_value(event.data, max_size=max_size), False
            if known is not None and is_same(known.content, content):
                content = known.content
        else:
            before = known.content if known is not None else make_value({})
            content = apply_patch(before, event.operations, max_size=max_size, max_operations=max_operations)
            partial = known is None or known.partial
            if known is None and content is before:
                return activities, None
    except PatchError as error:
        if known is None or known.partial:
            return activities, error
        return activities.with_activity(structs.replace(known, partial=True)), error
    if known is None:
        new = ActivityState(event.activity_id, event.kind, content, 1, event.path, partial)
        return activities.with_activity(new, event.operations), None
    kind = event.kind or known.kind
    if content is known.content and kind == known.kind:
        if partial is known.partial:
            return activities, None
        return activities.with_activity(structs.replace(known, partial=partial)), None
    new = ActivityState(known.id, kind, content, known.version + 1, known.path, partial)
    return activities.with_activity(new, event.operations), None
