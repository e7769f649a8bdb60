"""The runs of the harness: recordings of several dialects, played again and again under scopes of their own."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

from msgspec import structs

from runstream import demo, read_recording
from runstream.core.state import RunState
from runstream.engine.fold import fold
from runstream.model.limits import Limits
from runstream.model.progress_signals import PROGRESS
from runstream.model.raw import TIMED, ConnectionEvent, RawItem
from runstream.model.signals import SourceSignal

SHARED = Path(__file__).resolve().parents[3] / "shared" / "recordings"
TIME = 1_700_000_000.0
NOT_RESUMABLE = frozenset(
    {
        "agui/tanstack_approval_2.sse",
        "langgraph/cancel_interrupt.sse",
        "langgraph/cancel_rollback.sse",
        "langgraph/resumable_1_cut.sse",
        "langgraph/thread_stream_two_runs.sse",
        "langgraph/timeout.sse",
        "langgraph/v2_approval.sse",
        "langgraph/v2_error.sse",
        "langgraph/v2_text.sse",
        "langgraph/v2_two_speak_at_once.sse",
    }
)
"""Recordings whose decoder does not go on from its memory at each item as it would without the break, or not behind
the last one: a limit of those dialects, in one process as here."""


@cache
def templates() -> tuple[tuple[str, tuple[RawItem, ...]], ...]:
    """Recordings of several protocols, each with at least one run; those of others only where they are."""
    found: list[tuple[str, list[RawItem]]] = []
    for act in demo.SCRIPT:
        names = [scene.files[0] for scene in act]
        found += [(name, list(read_recording(demo.load(name), format="sse"))) for name in names]
    if SHARED.exists():
        for path in sorted(SHARED.rglob("*.sse"))[::3]:  # each process reads them: a third is enough
            try:
                items = list(read_recording(path))
            except (ValueError, OSError):
                continue
            if 5 <= len(items) <= 400:
                found.append((f"{path.parent.name}/{path.name}", items))
    usable = []
    for name, items in found:
        if name in NOT_RESUMABLE or any(isinstance(item, ConnectionEvent) for item in items):
            continue
        # Each item has a time, so that states of several processes are equal.
        timed = [structs.replace(item, at=TIME) if isinstance(item, TIMED) else item for item in items]
        folded = fold(timed, limits=Limits(), clock=lambda: TIME)
        if folded.runs and not folded.rejects:
            usable.append((name, tuple(timed)))
    return tuple(usable)


def source_of(number: int) -> tuple[str, str, tuple[RawItem, ...]]:
    """The source of a number: its scope, its name, its items. The same in every process."""
    found = templates()
    name, items = found[random.Random(number).randrange(len(found))]
    return f"s{number}", name, items


@cache
def _expected(name: str) -> tuple[dict[str, RunState], tuple[str, ...]]:
    items = dict(templates())[name]
    folded = fold(items, name=name, scope="SCOPE", limits=Limits(), clock=lambda: TIME)
    keys = [each.key for each in folded.signals if type(each) not in PROGRESS and not isinstance(each, SourceSignal)]
    return {state.run_id: state for state in folded.runs}, tuple(keys)


def expected(number: int) -> tuple[dict[str, RunState], list[str]]:
    """The states of the runs of a source by id, with the scope ``SCOPE``, and the keys of the facts of its runs."""
    scope, name, _ = source_of(number)
    states, keys = _expected(name)
    return states, [key.replace("SCOPE:", f"{scope}:", 1) for key in keys]
