"""Folds whole streams synchronously: raw events in; states, signals and rejects out. No event loop, no threads."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import msgspec
from msgspec import Struct

from runstream.core.state import RunState
from runstream.dialects.base import Dialect
from runstream.engine.engine import Engine
from runstream.model.events import Event, Reject
from runstream.model.limits import Limits, Stats
from runstream.model.raw_input import RawInput
from runstream.model.signals import Signal

__all__ = ["Folded", "fold", "fold_sources"]


class Folded(Struct, frozen=True, kw_only=True):
    """The result of a fold.

    Attributes:
        runs: The final state of each run, in order of first appearance.
        signals: All signals, in order.
        rejects: Input that could not be used.
        orphans: Events whose run was never seen, by the id (of the run, message or step) that they wait for.
        stats: The counts.
    """

    runs: tuple[RunState, ...]
    signals: tuple[Signal, ...]
    rejects: tuple[Reject, ...]
    orphans: Mapping[str, tuple[Event, ...]]
    stats: Stats


def fold(
    raw_events: Iterable[RawInput],
    *,
    limits: Limits | None = None,
    dialect: Dialect | None = None,
    name: str = "stream",
    scope: str = "",
    clock: Callable[[], float] = time.time,
    progress: bool = True,
) -> Folded:
    """Process a whole stream of raw events.

    Args:
        raw_events: The stream: raw events, or JSON envelopes as bytes, text or mappings.
        limits: The bounds. All runs are kept until the end, so the bounds of finished runs are not used.
        dialect: The decoder of the protocol; by default of the Assistants wire.
        name: The source's name, for signals and rejects.
        scope: The scope of its runs.
        clock: Returns the time in Unix seconds, for raw events without a time.
        progress: True to emit ``message.text`` and ``tool_call.arguments``.
    """
    return _fold([(name, raw_events)], limits, dialect, scope, clock, progress)


def fold_sources(
    sources: Iterable[tuple[str, Iterable[RawInput]]],
    *,
    limits: Limits | None = None,
    scope: str = "",
    clock: Callable[[], float] = time.time,
    progress: bool = True,
) -> Folded:
    """:func:`fold` for several successive, named streams. A later stream may continue the open runs of an earlier one.

    Args:
        sources: The name and the raw events of each stream.
        limits: The bounds, as for :func:`fold`.
        scope: The scope of the runs.
        clock: Returns the time in Unix seconds, for raw events without a time.
        progress: True to emit ``message.text`` and ``tool_call.arguments``.
    """
    return _fold(sources, limits, None, scope, clock, progress)


def _fold(
    sources: Iterable[tuple[str, Iterable[RawInput]]],
    limits: Limits | None,
    dialect: Dialect | None,
    scope: str,
    clock: Callable[[], float],
    progress: bool,
) -> Folded:
    limits = msgspec.structs.replace(limits or Limits(), max_finished_runs=2**62, max_finished_age=float("inf"))
    engine = Engine(limits=limits, clock=clock, progress=progress)
    signals: list[Signal] = []
    rejects: list[Reject] = []
    engine.on_signal = signals.append
    engine.on_reject = rejects.append
    named: Counter[str] = Counter()
    taken: set[str] = set()
    for name, raw_events in sources:
        named[name] += 1
        # The keys of a source's signals contain its name, so a second source of that name gets another one.
        unique = name
        while unique in taken:
            unique = f"{name}#{named[name]}"
            named[name] += unique in taken
        taken.add(unique)
        intake = engine.intake(unique, scope=scope, dialect=dialect)
        intake.feed_all(raw_events)
        intake.end()
    return Folded(
        runs=engine.states(),
        signals=tuple(signals),
        rejects=tuple(rejects),
        orphans=engine.orphans(),
        stats=engine.stats(),
    )
