"""The synchronous door: raw events in, everything that became of them out. No loop, no threads."""

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
    """What became of a stream.

    Attributes:
        runs: The final state of every run, in order of appearance.
        signals: Every signal, in order.
        rejects: Input that could not be used.
        orphans: Events of runs never seen, by the id that they speak of.
        stats: What happened, in counts.
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
    """Take a whole stream of raw events through the pipeline.

    Args:
        raw_events: The stream: raw events, or JSON envelopes as bytes, text or mappings.
        limits: The bounds. Everything is kept until the end, so ended runs are never forgotten here.
        dialect: Reads the protocol; the Assistants wire by default.
        name: The source's name, for signals and rejects.
        scope: The scope of its runs.
        clock: Gives the time in Unix seconds, for raw events without one.
        progress: Whether to give ``message.text`` and ``tool_call.arguments``.
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
    """:func:`fold` for several successive, named streams: the next goes on with what one leaves open."""
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
    for name, raw_events in sources:
        named[name] += 1
        # The keys of a source's signals are made of its name: a second one of that name is told apart.
        unique = name if named[name] == 1 else f"{name}#{named[name]}"
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
