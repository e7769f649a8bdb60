"""Cases in, dumps out: the one module that knows how streams go through the library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import runstream
from tests.golden.dump import checksum, input_form, orphans_form, plain, reject_form, signal_form, state_form

__all__ = ["CHANNELS", "POLL", "SECTIONS", "Case", "Turn", "dump"]

SECTIONS: Final = ("input", "states", "signals", "rejects", "orphans", "counts", "trace")
CHANNELS: Final = ("event", "state", "change", "signal")
POLL: Final = "poll"
"""The name of a source that delivers snapshots alone."""
_START: Final = 1_790_000_000.0


class Turn(NamedTuple):
    """One thing that happens to an engine.

    Attributes:
        does: ``feed``: a source delivers items. ``end``: it has no more. ``restart``: the engine is replaced by a new
            one with the same store.
        source: The source's name.
        scope: Its scope.
        items: The items.
    """

    does: str
    source: str = "stream"
    scope: str = ""
    items: tuple[Any, ...] = ()


class Case(NamedTuple):
    """One stream, or several, and how they are read.

    Attributes:
        name: Its name.
        turns: What happens, in order.
        progress: Whether signals of progress are given.
        limits: The bounds; ``None`` for the defaults.
        channels: The callbacks that the trace has.
        stored: Whether the engine has a store.
        folded: Whether the sections but the trace come from ``fold_sources``: each source is fed whole, and ended,
            before the next one.
    """

    name: str
    turns: tuple[Turn, ...]
    progress: bool = True
    limits: runstream.Limits | None = None
    channels: tuple[str, ...] = CHANNELS
    stored: bool = False
    folded: bool = False


_LATER: Final = ("backlog", "unattached", "violations")  # counts that the recorded digests lack where they are 0


def counts_form(stats: runstream.Stats) -> Any:
    """The plain form of the counts."""
    return {name: value for name, value in plain(stats).items() if value or name not in _LATER}


def _clock() -> Callable[[], float]:
    """A clock that goes on by a quarter of a second with each look at it."""
    now = _START

    def look() -> float:
        nonlocal now
        now += 0.25
        return now

    return look


def dump(case: Case) -> dict[str, Any]:
    """The dump of a case, by section."""
    return {
        "input": [[*turn[:-1], [input_form(item) for item in turn.items]] for turn in case.turns],
        **(_folded(case) if case.folded else _plain(case)),
        "trace": _trace(case),
    }


def _folded(case: Case) -> dict[str, Any]:
    sources = [(turn.source, turn.items) for turn in case.turns if turn.does == "feed"]
    if len(sources) == 1:
        ((name, items),) = sources
        folded = runstream.fold(items, name=name, limits=case.limits, clock=_clock(), progress=case.progress)
    else:
        folded = runstream.fold_sources(sources, limits=case.limits, clock=_clock(), progress=case.progress)
    return {
        "states": {"runs": [state_form(state) for state in folded.runs]},
        "signals": [signal_form(signal) for signal in folded.signals],
        "rejects": [reject_form(reject) for reject in folded.rejects],
        "orphans": orphans_form(folded.orphans),
        "counts": counts_form(folded.stats),
    }


class _Play:
    """A case on an engine that is fed by hand.

    Args:
        case: The case.
        wire: Sets the callbacks of an engine.
        whole: Whether all items of a turn are fed at once.
    """

    def __init__(self, case: Case, wire: Callable[[runstream.Engine], None], *, whole: bool) -> None:
        self.sources: list[Any] = []
        self.lives: list[Any] = []
        self._case = case
        self._wire = wire
        self._clock = _clock()
        self._store = runstream.MemoryStore(clock=lambda: _START) if case.stored else None
        self._intakes: dict[tuple[str, str], runstream.Intake] = {}
        self.engine = self._begin()
        for turn in case.turns:
            if turn.does == "restart":
                self._finish()
                self.engine = self._begin()
                continue
            key = (turn.scope, turn.source)
            intake = self._intakes.get(key)
            if intake is None:
                intake = self._intakes[key] = self.engine.intake(turn.source, scope=turn.scope)
                intake.snapshots = turn.source == POLL
                self.sources.append([*key, "resumes from", intake.resume_from()])
            if turn.does == "end":
                self._note(key, self._intakes.pop(key))
                intake.end()
            elif whole:
                intake.feed_all(turn.items)
            else:
                for item in turn.items:
                    intake.feed(item)
        self._finish()

    def _begin(self) -> runstream.Engine:
        case = self._case
        engine = runstream.Engine(limits=case.limits, clock=self._clock, progress=case.progress, store=self._store)
        self._wire(engine)
        return engine

    def _note(self, key: tuple[str, str], intake: runstream.Intake) -> None:
        open_runs = [state.run_id for state in intake.open_runs()]
        self.sources.append([*key, intake.name, intake.scope, intake.last_id, intake.connection, open_runs])

    def _finish(self) -> None:
        for key, intake in self._intakes.items():
            self._note(key, intake)
        self._intakes.clear()
        engine = self.engine
        self.lives.append(
            {
                "runs": [state_form(state) for state in engine.states()],
                "orphans": orphans_form(engine.orphans()),
                "counts": counts_form(engine.stats()),
            }
        )


def _plain(case: Case) -> dict[str, Any]:
    signals: list[Any] = []
    rejects: list[Any] = []

    def wire(engine: runstream.Engine) -> None:
        engine.on_signal = signals.append
        engine.on_reject = rejects.append

    play = _Play(case, wire, whole=True)
    seen = dict.fromkeys((signal.scope, signal.run_id) for signal in signals if isinstance(signal, runstream.RunSignal))
    known = [
        [scope, id, play.engine.state(id, scope) is not None, play.engine.is_tombstoned(id, scope)]
        for scope, id in seen
    ]
    return {
        "states": {"runs": [life["runs"] for life in play.lives], "sources": play.sources, "known": known},
        "signals": [signal_form(signal) for signal in signals],
        "rejects": [reject_form(reject) for reject in rejects],
        "orphans": [life["orphans"] for life in play.lives],
        "counts": [life["counts"] for life in play.lives],
    }


def _summary(state: runstream.RunState | None) -> Any:
    if state is None:
        return None
    text = state.text
    calls = "\0".join(f"{call.id}\0{call.arguments}" for call in state.tool_calls)
    objects = [len(state.messages), len(state.steps), len(state.partial)]
    return [state.run_id, state.changed_by, state.status.value, state.round, objects, len(text), checksum(text + calls)]


def _trace(case: Case) -> dict[str, Any]:
    """The callbacks in order, with all items fed one by one; then what came of it in the end."""
    calls: list[Any] = []

    def on_event(event: Any) -> None:
        full = event.widen() if isinstance(event, runstream.TextAppend) else event
        calls.append(["event", full.event, repr(full.id), repr(full)])

    def on_state(state: runstream.RunState) -> None:
        calls.append(["state", *_summary(state)])

    def on_change(before: runstream.RunState | None, after: runstream.RunState, at: float) -> None:
        calls.append(["change", _summary(before), _summary(after), at])

    def on_signal(signal: Any) -> None:
        calls.append(["signal", signal.type, signal.key, signal.at])

    def on_reject(reject: runstream.Reject) -> None:
        calls.append(["reject", plain(reject.reason), checksum(reject.raw.data)])

    def wire(engine: runstream.Engine) -> None:
        for name, call in zip(CHANNELS, (on_event, on_state, on_change, on_signal), strict=True):
            if name in case.channels:
                setattr(engine, f"on_{name}", call)
        engine.on_reject = on_reject

    play = _Play(case, wire, whole=False)
    return {"channels": case.channels, "calls": calls, "sources": play.sources, "lives": play.lives}
