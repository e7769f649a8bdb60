"""Applies a snapshot of a run to its state: the status table classifies it, then it is merged. Absent is not null."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from functools import cache, partial
from itertools import compress, repeat
from operator import is_
from typing import Any, Final, TypeVar

from msgspec import structs
from msgspec.structs import astuple

from runstream.core.action_requests import RequestKind, accept_request, classify_request, is_request, request_pairs
from runstream.core.calls import NO_CALLS, close_calls
from runstream.core.pieces import NO_PIECES, REPEATED, PieceAge, add_usage
from runstream.core.requested_arguments import fill_arguments
from runstream.core.state import RunHead, RunState, get_view
from runstream.core.status import Transition, classify_transition
from runstream.core.step_calls import step_calls
from runstream.model.base import WireStruct
from runstream.model.events import Origin, RunEvent
from runstream.model.frozen import ABSENT_LIST, ABSENT_MAP
from runstream.model.run import Run, RunStatus

__all__ = ["Outcome", "merge_snapshot", "reduce_run"]

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
        UNPLACED: An index is no number.
        KIND_CONFLICT: A message and a step have the same id.
        INVALID: A document or an activity can't be changed in this way.
    """

    CHANGED = "changed"
    SAME = "same"
    SURPRISING = "surprising"
    STALE = "stale"
    LATE = "late"
    REFUSED = "refused"
    UNPLACED = "unplaced"
    KIND_CONFLICT = "kind_conflict"
    INVALID = "invalid"


# A lookup of a member in its class costs more than most operations here.
_CHANGED: Final = Outcome.CHANGED
_SAME: Final = Outcome.SAME
_QUEUED: Final = RunStatus.QUEUED
_IN_PROGRESS: Final = RunStatus.IN_PROGRESS
_REQUIRES_ACTION: Final = RunStatus.REQUIRES_ACTION
# One tuple for all runs with the same first status.
_FIRST_STATUSES: Final = {status: (status,) for status in RunStatus}
_NONE: Final = repeat(None)
_STALE: Final = Transition.STALE
_LEGAL: Final = Transition.LEGAL
_UNKNOWN: Final = PieceAge.UNKNOWN
_NEW: Final = PieceAge.NEW
_LAST: Final = PieceAge.LAST
_EARLIER: Final = PieceAge.EARLIER
# The end of an earlier piece is not the end of the run; and each piece has tokens of its own.
_OF_THE_END: Final = (
    "required_action",
    "usage",
    "last_error",
    "incomplete_details",
    "cancelled_at",
    "failed_at",
    "completed_at",
)


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
    if _lacks_nothing(here, there, type(base)):
        return base
    missing: dict[str, Any] = {}
    for index, value in enumerate(here):
        filler = there[index]
        if filler is not value and (value is None or value is ABSENT_LIST or value is ABSENT_MAP):
            missing[base.__struct_fields__[index]] = filler
    if not missing:
        return base
    missing.pop("_wire", None)
    if base.status is not _REQUIRES_ACTION:  # type: ignore[attr-defined]
        # The required action is over once the run no longer waits, even if the server does not clear it.
        missing.pop("required_action", None)
    if not absorbs and origin is not None:
        missing = {name: filler for name, filler in missing.items() if origin.absent(name)}
    return base.replace(**missing) if missing else base


def _lacks_nothing(here: tuple[Any, ...], there: tuple[Any, ...], kind: type[WireStruct]) -> bool:
    """True if no field is absent in one object that is present in another one of its class, as in most snapshots.

    Half of thirty fields are absent, mostly in both objects: this is found without a loop in Python.

    Args:
        here: The fields of the one.
        there: The fields of the other.
        kind: Their class.
    """
    fillers = [*compress(there, map(is_, here, _NONE))]
    if fillers.count(None) != len(fillers):
        return False
    for index in _containers_of(kind):
        value = here[index]
        if (value is ABSENT_LIST or value is ABSENT_MAP) and value is not there[index]:
            return False
    return True


@cache
def _containers_of(kind: type[WireStruct]) -> tuple[int, ...]:
    """The indices of the fields with a list or a mapping that is empty if it is absent."""
    absent = (ABSENT_LIST, ABSENT_MAP)
    fields = enumerate(structs.fields(kind))
    return tuple([index for index, field in fields if any(field.default is each for each in absent)])


def reduce_run(
    state: RunState | None, event: RunEvent, at: float, replaying: bool, scope: str, further: bool = False
) -> tuple[RunHead, Outcome]:
    """Compute the head of a state after a run event.

    Args:
        state: The state before; ``None`` before the run was seen.
        event: The event.
        at: The time of its arrival (Unix seconds).
        replaying: True if the source sends the run from its beginning again.
        scope: The scope of a run that is seen for the first time.
        further: True if the source has shown that the run went on since the last request for action.

    Returns:
        The head, which is the same object if nothing changed, and the outcome of the event.
    """
    new = event.data
    if state is None:
        first = NO_CALLS
        if is_request(new):
            first = accept_request(NO_CALLS, new, request_pairs(new), RequestKind.NEW, lambda step_id: {})
        head = RunHead(new, scope, first, _FIRST_STATUSES.get(new.status) or (new.status,), at, at)
        if event.piece is not None:
            pieces = NO_PIECES.add(event.piece, 0).add_status(new.status)
            head = structs.replace(head, pieces=pieces if new.usage is None else pieces.add_counted())
        return head, _CHANGED
    if new.required_action is not None:
        new = fill_arguments(state, new)
    head = state._head
    current = head.run
    before = current.status
    pieces = head.pieces
    age = _UNKNOWN if event.piece is None else pieces.classify(event.piece)
    earlier = pieces.usage if age is _LAST else current.usage if age is _NEW else None
    if earlier is not None and new.usage is not None:
        new = new.replace(usage=add_usage(earlier, new.usage))  # each piece counts its own tokens
    if before.is_terminal:
        if age is _NEW:
            return head, Outcome.LATE
        filled = merge_snapshot(current, new, event.origin)
        if age is _LAST and new.usage is not None and not pieces.counted and new.status == before:
            filled = filled.replace(usage=new.usage)  # the event that ended the run had no tokens of its last piece
            head = structs.replace(head, pieces=pieces.add_counted())
        if filled is current:
            return head, _SAME if new.status == before else Outcome.LATE
        return structs.replace(head, run=filled), _CHANGED
    if age is _EARLIER:
        filled = _fill_missing(current, new)
        if new.usage is not None and (late := pieces.add_late_usage(event.piece, new.usage)) is not pieces:  # type: ignore[arg-type]
            filled = filled.replace(usage=add_usage(current.usage, new.usage))
            head = structs.replace(head, pieces=late)
        return (head if filled is current else structs.replace(head, run=filled)), Outcome.STALE
    action = new.required_action
    new = merge_snapshot(current, new, event.origin)
    now = new.status
    calls, statuses = head.calls, head.statuses
    if age is _NEW:
        if new.required_action is not action:
            new = new.replace(required_action=action)  # the request of an earlier piece is over
        pieces = pieces.add(event.piece, calls.round, earlier)  # type: ignore[arg-type]
        calls = close_calls(calls)
    requests = now is _REQUIRES_ACTION and new.required_action is not None
    first_request = requests and age is not _UNKNOWN and calls.round == pieces.rounds  # in its piece
    if (new is current or new == current) and age is not _NEW and not (requests and (further or first_request)):
        return head, _SAME
    kind = None
    if requests:
        pairs = request_pairs(new)
        started_at = new.started_at if age is _UNKNOWN else None
        further = further or first_request
        kind = classify_request(calls, pairs, started_at, waits=is_request(current), further=further)
    if age is _NEW:
        transition = Transition.EXPECTED
    else:
        timed = age is _UNKNOWN
        # A status that the last piece did not have is no repetition.
        replaying = replaying and (timed or now not in REPEATED or now in pieces.statuses)
        old_request = kind is RequestKind.OLD
        transition = classify_transition(current, new, old_request=old_request, replaying=replaying, timed=timed)
    if transition is _STALE:
        return head, Outcome.STALE
    if kind is not None:
        calls = accept_request(calls, new, pairs, kind, partial(_step_arguments, state))
        if kind is RequestKind.NEW:
            statuses = ()
    if new.instructions == current.instructions:
        # Each snapshot repeats them: one copy is enough.
        structs.force_setattr(new, "instructions", current.instructions)
        if new.tools and new.tools == current.tools:
            structs.force_setattr(new, "tools", current.tools)
    if now not in statuses:
        statuses = (*statuses, now)
    if age is not _UNKNOWN:
        pieces = pieces.add_status(now)
        if event.data.usage is not None:
            pieces = pieces.add_counted()
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
        calls,
        statuses,
        head.first_seen,
        status_since,
        queued,
        running,
        waiting,
        head.first_text,
        pieces,
        head.custom,
        head.documents,
        head.activities,
    )
    return head, outcome


def _fill_missing(current: Run, new: Run) -> Run:
    """A run with the fields that it lacks, from a snapshot of an earlier piece; the same object if there are none."""
    fields = zip(current.__struct_fields__, astuple(current), astuple(new), strict=True)
    missing = {
        name: value
        for name, known, value in fields
        if (known is None or known is ABSENT_LIST or known is ABSENT_MAP)
        and value is not known
        and value is not None
        and name != "_wire"
        and name not in _OF_THE_END
    }
    return current.replace(**missing) if missing else current


def _step_arguments(state: RunState, step_id: str) -> Mapping[str, str | None]:
    """The arguments of a step's calls so far, by their names; empty if they are unknown, or may miss something."""
    item = state._find(step_id)
    if item is None or item.partial:
        return {}
    calls = zip(step_calls(item), get_view(item).tool_calls, strict=False)
    return {known.name: call.arguments for known, call in calls}
