"""The reducer: (state, event) in, state out.

It is pure and total: each event on each state returns a state. An event without news returns the same object.
"""

from __future__ import annotations

from msgspec import structs

from runstream.core.activities import change_activity
from runstream.core.documents import change_document
from runstream.core.json_patch import MAX_OPERATIONS, MAX_SIZE, PatchError
from runstream.core.object_deltas import append, append_fragment, apply_delta
from runstream.core.object_snapshots import apply_object
from runstream.core.run_snapshots import Outcome, reduce_run
from runstream.core.state import RunState
from runstream.model.events import (
    ActivityEvent,
    CustomEvent,
    DocumentPatch,
    DocumentSnapshot,
    Event,
    MessageDeltaEvent,
    MessageEvent,
    RunEvent,
    StepDeltaEvent,
    StepEvent,
    TextAppend,
)

__all__ = ["Outcome", "append", "apply", "apply_activity", "apply_document", "apply_run", "count_custom", "reduce"]


def reduce(
    state: RunState | None,
    event: Event,
    *,
    at: float = 0.0,
    restart: bool = False,
    replaying: bool = False,
    max_index: int = 4096,
    scope: str = "",
    further: bool = False,
) -> RunState | None:
    """Compute the state after an event.

    Args:
        state: The state before; ``None`` before the run was seen.
        event: An event of that run. Events of no run (threads, errors, unknown ones) change nothing.
        at: The time of its arrival (Unix seconds); only the timings depend on it.
        restart: True if a repeated ``created`` starts the accumulation of its object again, as in a later connection.
        replaying: True if the source sends the run from its beginning again. A snapshot that is not newer is then old.
        max_index: Deltas with a larger index change nothing.
        scope: The scope of a run that is seen for the first time.
        further: True if the source has shown that the run went on since the last request for action. A request that
            was made before is then a new one.

    Returns:
        The new state; the same object if nothing changed; ``None`` while no snapshot of the run was seen.
    """
    return apply(
        state, event, at=at, restart=restart, replaying=replaying, max_index=max_index, scope=scope, further=further
    )[0]


def apply(
    state: RunState | None,
    event: Event,
    *,
    at: float = 0.0,
    restart: bool = False,
    replaying: bool = False,
    max_index: int = 4096,
    scope: str = "",
    further: bool = False,
) -> tuple[RunState | None, Outcome]:
    """:func:`reduce`, with the outcome of the event for the counts."""
    if isinstance(event, RunEvent):
        return apply_run(state, event, at, replaying, scope, further=further)
    if state is None:
        return None, Outcome.SAME
    if isinstance(event, TextAppend):
        grown = append_fragment(state, event.object_id, event.target, event.index, event.text)
        if grown is not None:
            return grown, Outcome.CHANGED
        event = event.widen()
    if isinstance(event, MessageDeltaEvent | StepDeltaEvent):
        after = append(state, event.data)
        return (after, Outcome.CHANGED) if after is not None else apply_delta(state, event, at, max_index)
    if isinstance(event, MessageEvent | StepEvent):
        return apply_object(state, event, at, restart)
    if isinstance(event, CustomEvent):
        return count_custom(state, event), Outcome.CHANGED
    if isinstance(event, DocumentSnapshot | DocumentPatch):
        after, error = apply_document(state, event)
    elif isinstance(event, ActivityEvent):
        after, error = apply_activity(state, event)
    else:
        return state, Outcome.SAME
    if error is not None:
        return after, Outcome.INVALID
    return after, Outcome.SAME if after is state else Outcome.CHANGED


def apply_document(
    state: RunState,
    event: DocumentSnapshot | DocumentPatch,
    max_size: int = MAX_SIZE,
    max_operations: int = MAX_OPERATIONS,
) -> tuple[RunState, PatchError | None]:
    """Apply a snapshot or a patch of a document; see :func:`~runstream.core.documents.change_document`.

    Returns:
        The state, which is the same object if nothing changed, and the reason if the event can't be applied.
    """
    head = state._head
    documents, error = change_document(head.documents, event, max_size=max_size, max_operations=max_operations)
    if documents is head.documents:
        return state, error
    head = structs.replace(head, documents=documents)
    return RunState(head, state._objects, state._growing, state._length, -3, event.event), error


def apply_activity(
    state: RunState, event: ActivityEvent, max_size: int = MAX_SIZE, max_operations: int = MAX_OPERATIONS
) -> tuple[RunState, PatchError | None]:
    """Apply the content or a patch of an activity; see :func:`~runstream.core.activities.change_activity`.

    Returns:
        The state, which is the same object if nothing changed, and the reason if the event can't be applied.
    """
    head = state._head
    activities, error = change_activity(head.activities, event, max_size=max_size, max_operations=max_operations)
    if activities is head.activities:
        return state, error
    head = structs.replace(head, activities=activities)
    return RunState(head, state._objects, state._growing, state._length, -4, event.event), error


def count_custom(state: RunState, event: CustomEvent) -> RunState:
    """The state with one custom event more. Its value is no part of the state; its number is a part of its key."""
    head = structs.replace(state._head, custom=state._head.custom + 1)
    return RunState(head, state._objects, state._growing, state._length, -1, event.event)


def apply_run(
    state: RunState | None, event: RunEvent, at: float, replaying: bool, scope: str = "", *, further: bool = False
) -> tuple[RunState, Outcome]:
    """Apply a snapshot of the run.

    Args:
        state: The state before; ``None`` before the run was seen.
        event: The event.
        at: The time of its arrival (Unix seconds).
        replaying: True if the source sends the run from its beginning again.
        scope: The scope of a run that is seen for the first time.
        further: True if the source has shown that the run went on since the last request for action.

    Returns:
        The state, which is the same object if nothing changed, and the outcome of the event.
    """
    if state is None:
        head, outcome = reduce_run(None, event, at, replaying, scope)
        return RunState(head, _touched=-1, _event=event.event), outcome
    before = state._head
    head, outcome = reduce_run(state, event, at, replaying, scope, further)
    if head is before:
        return state, outcome
    growing = state._growing
    if growing is not None and (head.run.requires_action or head.run.status.is_terminal):
        # The text is complete. A fragment that arrives nevertheless must not use the hot path.
        return RunState(head, state._all_objects(), None, 0, -1, event.event), outcome
    if growing is not None and growing.thread_id != head.run.thread_id:
        growing = structs.replace(growing, thread_id=head.run.thread_id)
    return RunState(head, state._objects, growing, state._length, -1, event.event), outcome
