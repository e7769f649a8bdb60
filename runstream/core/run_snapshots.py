"""Applies a snapshot of a run to its state: the status table classifies it, then it is merged. Absent is not null."""

from __future__ import annotations

import enum
from itertools import compress, count
from operator import is_not
from typing import Any, Final, TypeVar

from msgspec import structs
from msgspec.structs import astuple

from runstream.core.state import NO_CALLS, RunHead, RunState
from runstream.core.status import Transition, classify_transition
from runstream.model.base import WireStruct
from runstream.model.events import Origin, RunEvent
from runstream.model.frozen import ABSENT_LIST, ABSENT_MAP
from runstream.model.run import Run, RunStatus
from runstream.model.signals import action_key

__all__ = ["Outcome", "merge_snapshot", "reduce_run", "repeats_request"]

W = TypeVar("W", bound=WireStruct)


class Outcome(enum.Enum):
    """The effect of an event on a state, for the counts.

    Attributes:
        CHANGED: The state changed.
        SAME: The event has no news.
        SURPRISING: The state changed in a way that suggests missing events.
        STALE: The event is older than the state.
        LATE: The event's object has ended.
        REFUSED: An index is out of bounds.
        KIND_CONFLICT: A message and a step have the same id.
    """

    CHANGED = "changed"
    SAME = "same"
    SURPRISING = "surprising"
    STALE = "stale"
    LATE = "late"
    REFUSED = "refused"
    KIND_CONFLICT = "kind_conflict"


# A lookup of a member in its class costs more than most operations here.
_CHANGED: Final = Outcome.CHANGED
_SAME: Final = Outcome.SAME
_QUEUED: Final = RunStatus.QUEUED
_IN_PROGRESS: Final = RunStatus.IN_PROGRESS
_REQUIRES_ACTION: Final = RunStatus.REQUIRES_ACTION
# One tuple for all runs with the same first status.
_FIRST_STATUSES: Final = {status: (status,) for status in RunStatus}
_STALE: Final = Transition.STALE
_LEGAL: Final = Transition.LEGAL


def merge_snapshot(current: W, new: W, origin: Origin | None) -> W:
    """Merge two snapshots of one run, message or step.

    If ``current`` has not ended, the fields of ``new`` count: an absent field keeps its value, null clears it. If
    ``current`` has ended, none of its known fields changes; a snapshot with the same status fills in absent fields.

    Args:
        current: The snapshot so far.
        new: The snapshot that arrived.
        origin: The origin of its event, which knows absent fields from null.

    Returns:
        The merged snapshot; ``current`` itself if nothing changed.
    """
    if current == new:
        return current
    absorbs = current.is_terminal  # type: ignore[attr-defined]
    if absorbs and new.status != current.status:  # type: ignore[attr-defined]
        return current
    base, other = (current, new) if absorbs else (new, current)
    here, there = astuple(base), astuple(other)
    missing: dict[str, Any] = {}
    # Only fields that differ can be missing; `is_not` finds these without a loop in Python.
    for index in compress(count(), map(is_not, here, there)):
        value = here[index]
        if value is None or value is ABSENT_LIST or value is ABSENT_MAP:
            missing[base.__struct_fields__[index]] = there[index]
    if not missing:
        return base
    missing.pop("_wire", None)
    if base.status is not _REQUIRES_ACTION:  # type: ignore[attr-defined]
        # The required action is over once the run no longer waits, even if the server does not clear it.
        missing.pop("required_action", None)
    if not absorbs and origin is not None:
        missing = {name: filler for name, filler in missing.items() if origin.absent(name)}
    return base.replace(**missing) if missing else base


def reduce_run(
    head: RunHead | None, event: RunEvent, at: float, replaying: bool, scope: str
) -> tuple[RunHead, Outcome]:
    """Compute the head of a state after a run event.

    Args:
        head: The head before; ``None`` before the run was seen.
        event: The event.
        at: The time of its arrival (Unix seconds).
        replaying: True if the source sends the run from its beginning again.
        scope: The scope of a run that is seen for the first time.

    Returns:
        The head, which is the same object if nothing changed, and the outcome of the event.
    """
    new = event.data
    if head is None:
        first: tuple[tuple[str, ...], ...] = ()
        done = NO_CALLS
        if new.status is _REQUIRES_ACTION and new.required_action is not None:
            first, done = (action_key(new.required_action),), _add_whole_calls(done, new)
        return RunHead(new, scope, first, _FIRST_STATUSES.get(new.status) or (new.status,), done, at, at), _CHANGED
    current = head.run
    before = current.status
    if before.is_terminal:
        filled = merge_snapshot(current, new, event.origin)
        if filled is current:
            return head, _SAME if new.status == before else Outcome.LATE
        return structs.replace(head, run=filled), _CHANGED
    new = merge_snapshot(current, new, event.origin)
    if new is current or new == current:
        return head, _SAME
    now = new.status
    action_keys, statuses, done = head.action_keys, head.statuses, head.calls_done
    old_request = False
    if now is _REQUIRES_ACTION and new.required_action is not None:
        key = action_key(new.required_action)
        old_request = key in action_keys and not (_is_request(current) and key == action_keys[-1])
        if not old_request and key not in action_keys:
            action_keys, statuses = (*action_keys, key), ()
        done = _add_whole_calls(done, new)
    transition = classify_transition(current, new, old_request=old_request, replaying=replaying)
    if transition is _STALE:
        return head, Outcome.STALE
    if new.instructions == current.instructions:
        # Each snapshot repeats them: one copy is enough.
        structs.force_setattr(new, "instructions", current.instructions)
        if new.tools and new.tools == current.tools:
            structs.force_setattr(new, "tools", current.tools)
    if now not in statuses:
        statuses = (*statuses, now)
    status_since, queued, running, waiting = head.status_since, head.queued, head.running, head.waiting
    outcome = _CHANGED
    if now != before:
        if transition is _LEGAL:
            outcome = Outcome.SURPRISING
        spent = at - status_since
        status_since = at
        if before is _QUEUED:
            queued = spent if queued is None else queued
        elif before is _IN_PROGRESS:
            running = (running or 0.0) + spent
        elif before is _REQUIRES_ACTION:
            waiting = (waiting or 0.0) + spent
    head = RunHead(
        new,
        head.scope,
        action_keys,
        statuses,
        done,
        head.first_seen,
        status_since,
        queued,
        running,
        waiting,
        head.first_text,
    )
    return head, outcome


def repeats_request(state: RunState, run: Run) -> bool:
    """True if a snapshot requires the same action as the last request of the state's run."""
    action_keys = state._head.action_keys
    return bool(action_keys) and _is_request(run) and action_key(run.required_action) == action_keys[-1]  # type: ignore[arg-type]


def _is_request(run: Run) -> bool:
    return run.status is _REQUIRES_ACTION and run.required_action is not None


def _add_whole_calls(done: frozenset[str], run: Run) -> frozenset[str]:
    """Add the calls of a request to the calls whose arguments are complete: a server requests complete calls only."""
    new = {call.id for call in run.pending_tool_calls if call.id} - done
    return done | new if new else done
