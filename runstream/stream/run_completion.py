"""When the subscribers of one run are through: the run has ended, and nothing of it is left open."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from runstream.core.selection import TERMINAL
from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.model.message import Message
from runstream.model.signals import SourceEnded
from runstream.model.step import RunStep
from runstream.stream.channel import Channel, RunKey

__all__ = ["LINGER", "Endings"]

LINGER: Final = 5.0
"""How long an ended run is listened to because a message or step of it is still open (seconds)."""


class Endings:
    """Completes the observers of single runs.

    They end in the turn of the loop after the run's end: what is fetched has the run before its steps and messages,
    and is told in one go. If a message or step is open even then (polled a moment too early, or told late), they end
    when it has ended, or its source has, at the latest after :data:`LINGER` seconds: some servers leave it open.

    Args:
        engine: Whose runs.
        hubs: Whose observers.
    """

    def __init__(self, engine: Engine, hubs: Iterable[Channel[Any]]) -> None:
        self._engine = engine
        self._hubs = tuple(hubs)
        self._pending: dict[RunKey, asyncio.TimerHandle | None] = {}

    def see(self, signal: Any) -> None:
        """A signal was told."""
        kind = type(signal)
        if kind in TERMINAL:
            key = (signal.scope, signal.run_id)
            if key not in self._pending and any(hub.listens(signal.run_id) for hub in self._hubs):
                self._pending[key] = None
                self._look_soon(key)
        elif self._pending:
            if kind is SourceEnded:
                for key in self._pending:
                    self._look_soon(key)
            elif (key := (signal.scope, getattr(signal, "run_id", ""))) in self._pending:
                self._look_soon(key)

    def evicted(self, scope: str, run_id: str) -> None:
        """A run was forgotten."""
        if any(hub.listens(run_id) for hub in self._hubs):
            asyncio.get_running_loop().call_soon(self._end, (scope, run_id))

    def over(self, run: RunKey) -> bool:
        """Whether nothing more is to come of a run."""
        scope, run_id = run
        state = self._engine.state(run_id, scope)
        if state is None:
            return self._engine.is_tombstoned(run_id, scope)
        return state.is_terminal and run not in self._pending

    def stop(self) -> None:
        """The stream has ended."""
        for timer in self._pending.values():
            if timer is not None:
                timer.cancel()
        self._pending.clear()

    def _look_soon(self, key: RunKey) -> None:
        asyncio.get_running_loop().call_soon(self._look, key)

    def _look(self, key: RunKey) -> None:
        if key not in self._pending:
            return
        scope, run_id = key
        record = self._engine.registry.record(scope, run_id)
        if record is None or record.intake is None or record.intake.ended or not _has_open(record.state):
            self._end(key)
        elif self._pending[key] is None:
            self._pending[key] = asyncio.get_running_loop().call_later(LINGER, self._end, key)

    def _end(self, key: RunKey) -> None:
        timer = self._pending.pop(key, None)
        if timer is not None:
            timer.cancel()
        for hub in self._hubs:
            hub.complete_run(key)


def _has_open(state: RunState) -> bool:
    """Whether the server has said of a message or step that it goes on, and not yet that it has ended."""
    found: tuple[Message | RunStep, ...] = (*state.messages, *state.steps)
    return any(one.status is not None and not one.is_terminal for one in found)
