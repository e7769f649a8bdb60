"""Classifies changes of a run's status.

The rules, in order (design, promise 4; wire reference, "Order and life cycle"):

1. A terminal status absorbs: the first one wins and never changes.
2. A snapshot is stale in each of these cases. A larger ``started_at`` is always newer, also against the table.

   - It requires an action that the run has left behind.
   - Its ``started_at`` is null or smaller than the known one.
   - It is ``in_progress`` with the known ``started_at``, and the run has left that start behind.

   A snapshot of a piece has no such age: one of the last piece is classified by the table, one of a new piece is always
   newer, one of an earlier piece is always stale (:mod:`runstream.core.pieces`).

3. Otherwise the table below decides: EXPECTED, LEGAL (surprising: an event is missing), or STALE.

A change from or to a status that the table does not contain is LEGAL.
"""

from __future__ import annotations

import enum

from runstream.model.run import Run, RunStatus

__all__ = ["TRANSITIONS", "Transition", "classify_transition"]


class Transition(enum.Enum):
    """The class of a snapshot, relative to the known run.

    Attributes:
        EXPECTED: The life cycle has this change.
        LEGAL: The change suggests a missing event.
        STALE: The snapshot is older than the known run.
        ABSORBED: The known run has ended.
    """

    EXPECTED = "expected"
    LEGAL = "legal"
    STALE = "stale"
    ABSORBED = "absorbed"


_E, _L, _S, _A = Transition.EXPECTED, Transition.LEGAL, Transition.STALE, Transition.ABSORBED
_QUEUED, _IN_PROGRESS = RunStatus.QUEUED, RunStatus.IN_PROGRESS
_REQUIRES_ACTION, _CANCELLING = RunStatus.REQUIRES_ACTION, RunStatus.CANCELLING
_ORDER = (
    RunStatus.QUEUED,
    RunStatus.IN_PROGRESS,
    RunStatus.REQUIRES_ACTION,
    RunStatus.CANCELLING,
    RunStatus.COMPLETED,
    RunStatus.INCOMPLETE,
    RunStatus.FAILED,
    RunStatus.CANCELLED,
    RunStatus.EXPIRED,
)
# Rows: the known status. Columns: the snapshot's status, in the order above. One row for each non-terminal status.
_ROWS = {
    #                            queued in_prog req_act cancelling completed incomplete failed cancelled expired
    RunStatus.QUEUED:          (_E,    _E,     _L,     _E,        _L,       _L,        _E,    _E,       _E),
    RunStatus.IN_PROGRESS:     (_S,    _E,     _E,     _E,        _E,       _E,        _E,    _E,       _E),
    RunStatus.REQUIRES_ACTION: (_E,    _L,     _E,     _E,        _L,       _L,        _E,    _E,       _E),
    RunStatus.CANCELLING:      (_S,    _S,     _S,     _E,        _E,       _E,        _E,    _E,       _E),
}  # fmt: skip

# The table: (known status, snapshot's status) -> transition. The diagram of the documentation is made from it.
TRANSITIONS: dict[tuple[RunStatus, RunStatus], Transition] = {
    (current, new): transition for current, row in _ROWS.items() for new, transition in zip(_ORDER, row, strict=True)
}


def classify_transition(
    current: Run, new: Run, *, old_request: bool = False, replaying: bool = False, timed: bool = True
) -> Transition:
    """Classify a snapshot.

    Args:
        current: The known run.
        new: The snapshot.
        old_request: True if the snapshot requires an action that the run has left behind.
        replaying: True if the source sends the run from its beginning again.
        timed: False if ``started_at`` proves nothing, as for a wire that names the pieces of its runs.
    """
    if current.status.is_terminal:
        return _A
    if old_request:
        return _S
    newer = False
    started_at = current.started_at if timed else None
    if started_at is not None and not new.status.is_terminal:
        if new.started_at is None or new.started_at < started_at:
            return _S
        newer = new.started_at > started_at
    transition = TRANSITIONS.get((current.status, new.status), _L)
    if current.status == new.status or new.status.is_terminal:
        return transition if transition is not _S else _E
    if newer and current.status is not _CANCELLING:
        return _E if transition is _E else _L
    waits = current.status in (_REQUIRES_ACTION, _QUEUED)
    if replaying and (waits or current.status is _CANCELLING) and not new.status.is_known:
        return _S  # not newer, and repeated: it is from before the request, or before the cancellation
    if started_at is None:
        if replaying and new.status in (_QUEUED, _IN_PROGRESS) and current.status.is_known:
            # No evidence of age in a replay from the beginning: it is a repetition.
            return _S
    elif new.status is _IN_PROGRESS and waits:
        # `started_at` grows when a run continues, and a re-queue keeps it. The same value again marks a snapshot from
        # before the request. Servers without `started_at` provide no such evidence, and may leave out `queued`.
        return _S
    return transition
