"""How a run's status may change.

Rules, in order (design, promise 4; wire reference, "Order and life cycle"):

1. A terminal status absorbs: the first one wins and never changes.
2. A snapshot is stale if it asks for calls that the run was asked before and has left, or if its ``started_at``
   is null or smaller where the held one's is larger, or the same in an ``in_progress`` for a run that has left
   that start behind. A larger ``started_at`` is newer, whatever the table says.
3. Otherwise the table below decides: EXPECTED, LEGAL (surprising: something was missed), or STALE.

Statuses unknown to the table may come and go: such a change is LEGAL.
"""

from __future__ import annotations

import enum

from runstream.model.run import Run, RunStatus

__all__ = ["TRANSITIONS", "Transition", "classify_transition"]


class Transition(enum.Enum):
    """What a snapshot is worth, given the state that is held."""

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
# Rows: the held status. Columns: the snapshot's, in the order above. One row a status that is not terminal.
_ROWS = {
    #                            queued in_prog req_act cancelling completed incomplete failed cancelled expired
    RunStatus.QUEUED:          (_E,    _E,     _L,     _E,        _L,       _L,        _E,    _E,       _E),
    RunStatus.IN_PROGRESS:     (_S,    _E,     _E,     _E,        _E,       _E,        _E,    _E,       _E),
    RunStatus.REQUIRES_ACTION: (_E,    _L,     _E,     _E,        _L,       _L,        _E,    _E,       _E),
    RunStatus.CANCELLING:      (_S,    _S,     _S,     _E,        _E,       _E,        _E,    _E,       _E),
}  # fmt: skip

# The table: (held status, snapshot's status) -> verdict. The docs' diagram is drawn from it.
TRANSITIONS: dict[tuple[RunStatus, RunStatus], Transition] = {
    (current, new): transition for current, row in _ROWS.items() for new, transition in zip(_ORDER, row, strict=True)
}


def classify_transition(current: Run, new: Run, *, old_request: bool = False, replaying: bool = False) -> Transition:
    """What ``new`` is worth where ``current`` is known.

    Args:
        held: The run as it is held.
        new: The snapshot that came.
        left: Whether it asks for calls that the run has already left.
        replaying: Whether the source began to tell the run from its start again.
    """
    if current.status.is_terminal:
        return _A
    if old_request:
        return _S
    newer = False
    if current.started_at is not None and not new.status.is_terminal:
        if new.started_at is None or new.started_at < current.started_at:
            return _S
        newer = new.started_at > current.started_at
    transition = TRANSITIONS.get((current.status, new.status), _L)
    if current.status == new.status or new.status.is_terminal:
        return transition if transition is not _S else _E
    if newer and current.status is not _CANCELLING:
        return _E if transition is _E else _L
    waits = current.status in (_REQUIRES_ACTION, _QUEUED)
    if replaying and waits and not new.status.is_known:
        return _S  # no newer, and told again: it is from before the request
    if current.started_at is None:
        if replaying and new.status in (_QUEUED, _IN_PROGRESS) and current.status.is_known:
            # No evidence of age, and told again from the start: this was seen before.
            return _S
    elif new.status is _IN_PROGRESS and waits:
        # `started_at` grows when a run goes on, and a re-queue keeps it; the same one again is the snapshot from
        # before the request. Servers that send none give no such evidence, and may leave `queued` out.
        return _S
    return transition
