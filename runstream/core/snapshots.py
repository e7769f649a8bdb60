"""What a snapshot of a run does to its state: judged by the status table, then merged; absent is not null."""

from __future__ import annotations

import enum
from typing import Any, TypeVar

from msgspec import structs
from msgspec.structs import astuple

from runstream.core.signals import action_key
from runstream.core.state import RunCore, RunState
from runstream.core.status import Verdict, judge
from runstream.events import Origin, RunEvent
from runstream.model.base import WireStruct
from runstream.model.frozen import ABSENT_LIST, ABSENT_MAP
from runstream.model.run import Run, RunStatus

__all__ = ["Outcome", "asks_again", "joined", "reduce_run"]

W = TypeVar("W", bound=WireStruct)


class Outcome(enum.Enum):
    """What an event was worth, for the counts."""

    CHANGED = "changed"
    SAME = "same"
    SURPRISING = "surprising"
    STALE = "stale"
    LATE = "late"
    REFUSED = "refused"
    CONFUSED = "confused"


def joined(held: W, new: W, origin: Origin | None) -> W:
    """``new``, completed by what only ``held`` says.

    Ended objects absorb: nothing that is known changes any more, and only a snapshot with the same status may fill
    in what was absent. Otherwise ``new`` counts; fields that it lacks keep their value, null clears one.
    """
    if held == new:
        return held
    absorbs = held.is_terminal  # type: ignore[attr-defined]
    if absorbs and new.status != held.status:  # type: ignore[attr-defined]
        return held
    base, other = (held, new) if absorbs else (new, held)
    missing = {
        name: filler
        for name, value, filler in zip(base.__struct_fields__, astuple(base), astuple(other), strict=True)
        if (value is None or value is ABSENT_LIST or value is ABSENT_MAP) and filler is not value
    }
    if not absorbs and origin is not None:
        missing = {name: filler for name, filler in missing.items() if origin.absent(name)}
    missing.pop("_wire", None)
    if base.status != RunStatus.REQUIRES_ACTION:  # type: ignore[attr-defined]
        # What a run waited for is over once it no longer waits, whether the server says so or not.
        missing.pop("required_action", None)
    return base.replace(**missing) if missing else base


def reduce_run(
    core: RunCore | None, event: RunEvent, at: float, replaying: bool, scope: str
) -> tuple[RunCore, Outcome]:
    """The core after a run event, the same object if nothing changed, and what the event was worth."""
    new = event.data
    if core is None:
        key = action_key(new.required_action) if _asks(new) else None  # type: ignore[arg-type]
        core = RunCore(new, scope, () if key is None else (key,), (new.status,), _whole(frozenset(), new), at, at)
        return core, Outcome.CHANGED
    held = core.run
    if held.status.is_terminal:
        filled = joined(held, new, event.origin)
        if filled is held:
            return core, Outcome.SAME if new.status == held.status else Outcome.LATE
        return structs.replace(core, run=filled), Outcome.CHANGED
    new = joined(held, new, event.origin)
    if new is held or new == held:
        return core, Outcome.SAME
    key = action_key(new.required_action) if _asks(new) else None  # type: ignore[arg-type]
    left = key is not None and key in core.asked and not (_asks(held) and key == core.asked[-1])
    verdict = judge(held, new, left=left, replaying=replaying)
    if verdict is Verdict.STALE:
        return core, Outcome.STALE
    worth = Outcome.SURPRISING if verdict is Verdict.LEGAL and new.status != held.status else Outcome.CHANGED
    asked = core.asked if key is None or key in core.asked else (*core.asked, key)
    if new.tools and new.instructions == held.instructions and new.tools == held.tools:
        # Every snapshot repeats them: one copy will do.
        structs.force_setattr(new, "instructions", held.instructions)
        structs.force_setattr(new, "tools", held.tools)
    statuses = core.statuses if len(asked) == len(core.asked) else ()
    if new.status not in statuses:
        statuses = (*statuses, new.status)
    changes: dict[str, Any] = {}
    if new.status != held.status:
        spent = at - core.since
        changes["since"] = at
        if held.status == RunStatus.QUEUED and core.queued is None:
            changes["queued"] = spent
        elif held.status == RunStatus.IN_PROGRESS:
            changes["running"] = (core.running or 0.0) + spent
        elif held.status == RunStatus.REQUIRES_ACTION:
            changes["waiting"] = (core.waiting or 0.0) + spent
    after = structs.replace(
        core,
        run=new,
        asked=asked,
        statuses=statuses,
        calls_done=_whole(core.calls_done, new),
        **changes,
    )
    return after, worth


def asks_again(state: RunState, run: Run) -> bool:
    """Whether a snapshot asks for the calls that the state's run asked for last."""
    asked = state._core.asked
    return bool(asked) and _asks(run) and action_key(run.required_action) == asked[-1]  # type: ignore[arg-type]


def _asks(run: Run) -> bool:
    return run.status == RunStatus.REQUIRES_ACTION and run.required_action is not None


def _whole(done: frozenset[str], run: Run) -> frozenset[str]:
    """The calls whose arguments are whole: those that the run asks for are."""
    if not _asks(run):
        return done
    new = {call.id for call in run.pending_tool_calls if call.id} - done
    return done | new if new else done
