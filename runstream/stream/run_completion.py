"""Completes the subscribers of single runs: a run's terminal signal enters, the end of its subscribers leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from runstream.core.selection import TERMINAL
from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.model.message import Message
from runstream.model.run import RunKey
from runstream.model.signals import SourceEnded
from runstream.model.step import RunStep
from runstream.stream.channel import Channel

__all__ = ["LINGER", "RunCompletion"]

LINGER: Final = 5.0
"""How long the subscribers of an ended run still receive values while a message or step of it is open (seconds)."""


class RunCompletion:
    """Completes the subscribers of single runs.

    They complete in the loop iteration after the run's end: a fetched run comes before its steps and messages, all in
    one batch. If a message or step is still open then (polled too early, or sent late), they complete when it has
    ended, or when the source has ended, at the latest after :data:`LINGER` seconds: some servers never close it.

    Args:
        engine: The engine, for the runs' states.
        channels: The channels whose subscribers are completed.
    """

    def __init__(self, engine: Engine, channels: Iterable[Channel[Any]]) -> None:
        self._engine = engine
        self._channels = tuple(channels)
        self._pending: dict[RunKey, asyncio.TimerHandle | None] = {}

    def observe(self, signal: Any) -> None:
        """Process a signal that was delivered."""
        kind = type(signal)
        if kind in TERMINAL:
            key = (signal.scope, signal.run_id)
            if key not in self._pending and self._has_subscribers(signal.run_id):
                self._pending[key] = None
                self._check_soon(key)
        elif self._pending:
            if kind is SourceEnded:
                for key in self._pending:
                    self._check_soon(key)
            elif (key := (signal.scope, getattr(signal, "run_id", ""))) in self._pending:
                self._check_soon(key)

    def evict(self, scope: str, run_id: str) -> None:
        """Complete the subscribers of a run that the engine has evicted."""
        if self._has_subscribers(run_id):
            asyncio.get_running_loop().call_soon(self._complete, (scope, run_id))

    def is_complete(self, run: RunKey) -> bool:
        """True if a run will have no further values."""
        scope, run_id = run
        state = self._engine.state(run_id, scope)
        if state is None:
            return self._engine.is_tombstoned(run_id, scope)
        return state.is_terminal and run not in self._pending

    def stop(self) -> None:
        """Cancel all timers: the stream has ended."""
        for timer in self._pending.values():
            if timer is not None:
                timer.cancel()
        self._pending.clear()

    def _has_subscribers(self, run_id: str) -> bool:
        return any(channel.has_subscribers_of(run_id) for channel in self._channels)

    def _check_soon(self, key: RunKey) -> None:
        asyncio.get_running_loop().call_soon(self._check, key)

    def _check(self, key: RunKey) -> None:
        if key not in self._pending:
            return
        scope, run_id = key
        record = self._engine.registry.record(scope, run_id)
        if record is None or record.source is None or record.source.ended or not _has_open_object(record.state):
            self._complete(key)
        elif self._pending[key] is None:
            self._pending[key] = asyncio.get_running_loop().call_later(LINGER, self._complete, key)

    def _complete(self, key: RunKey) -> None:
        timer = self._pending.pop(key, None)
        if timer is not None:
            timer.cancel()
        for channel in self._channels:
            channel.complete_run(key)


def _has_open_object(state: RunState) -> bool:
    """True if a message or step has a status, and not a terminal one."""
    objects: tuple[Message | RunStep, ...] = (*state.messages, *state.steps)
    return any(one.status is not None and not one.is_terminal for one in objects)
