"""Processes that die, without a process: what a store must get over, played in one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from runstream.engine.engine import Engine
from runstream.model.raw import RawEvent
from runstream.model.signals import ProgressSignal, Signal, SourceSignal
from runstream.store.base import StateStore, StoredRun, StoredSource

__all__ = ["Killed", "KillingStore", "Life", "facts", "live"]


class Killed(BaseException):
    """The process ends here. No code of the library catches it."""


def facts(signals: Iterable[Signal]) -> list[str]:
    """The keys of all signals but progress and those of sources."""
    return [signal.key for signal in signals if not isinstance(signal, SourceSignal | ProgressSignal)]


class KillingStore:
    """A store in front of another, whose calls to write are moments at which the process may die."""

    def __init__(self, store: StateStore, tick: Callable[[], None]) -> None:
        self.store = store
        self.get = store.get
        self.runs = store.runs
        self.get_source = store.get_source
        self._tick = tick

    def put(self, runs: Sequence[StoredRun], source: StoredSource | None = None) -> None:
        self._tick()
        self.store.put(runs, source)
        self._tick()

    def deliver(self, scope: str, run_id: str, key: str) -> None:
        self._tick()
        self.store.deliver(scope, run_id, key)
        self._tick()


class Life:
    """The lives of a consumer: each reads until it is killed, the last one to the end.

    Args:
        store: What outlives them.
        raws: What the server has.
        resumes: Whether the server goes on after the last id; else it tells all from the start.
        seed: Decides when they are killed.
        kills: How many times at most.
    """

    def __init__(
        self, store: StateStore, raws: Sequence[RawEvent], *, resumes: bool, seed: int, kills: int = 30
    ) -> None:
        self.signals: list[Signal] = []  # delivered, in all lives together
        self.kills = 0
        self.states: dict[str, Any] = {}
        self._random = random.Random(seed)
        while True:
            mortal = self.kills < kills
            try:
                self._live(store, raws, resumes, self._random.randint(1, 12) if mortal else -1)
            except Killed:
                self.kills += 1
            else:
                return

    def _live(self, store: StateStore, raws: Sequence[RawEvent], resumes: bool, left: int) -> None:
        def tick() -> None:
            nonlocal left
            left -= 1
            if left == 0:
                raise Killed

        def take(signal: Signal) -> None:
            if not isinstance(signal, ProgressSignal):
                tick()  # before
            self.signals.append(signal)
            if not isinstance(signal, ProgressSignal):
                tick()  # in delivery: it happened, and nobody knows

        engine = Engine(clock=lambda: 1.0, store=KillingStore(store, tick))
        engine.on_signal = take
        intake = engine.intake("server")
        last = intake.resume_from() if resumes else None
        intake.connected()
        ids = [raw.id for raw in raws]
        start = ids.index(last) + 1 if last is not None else 0
        for raw in raws[start:]:
            intake.feed(raw)
        self.states = {state.run_id: state for state in engine.states()}


def live(store: StateStore, raws: Sequence[RawEvent], *, resumes: bool, seed: int, kills: int = 30) -> Life:
    """Read until the end, whatever it takes."""
    return Life(store, raws, resumes=resumes, seed=seed, kills=kills)
