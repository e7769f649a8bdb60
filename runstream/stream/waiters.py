"""All who wait for something of a stream, and what is true already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from runstream.core.signals import ActionRequired, RunInterrupted, RunPaused, RunStalled, RunStatusChanged
from runstream.core.state import RunState
from runstream.errors import IncompleteStream
from runstream.model.run import Run
from runstream.stream.selection import PROGRESS, RUN_LEVEL
from runstream.stream.waiting import End, Key, Result, Results, Waiter, When, key_of

__all__ = ["Waiters"]

T = TypeVar("T")

_PASSING: Final = frozenset({RunPaused, RunInterrupted, RunStalled})
_MIN_PRUNE: Final = 64


class Waiters:
    """All who wait, and what is true already.

    Args:
        states: Gives the states held, in order of appearance.
        state: Gives the state of a run by id and scope, if it is held.
        given_up: Tells by id and scope why a watchdog ended the run, if one did.
    """

    def __init__(
        self,
        states: Callable[[], tuple[RunState, ...]],
        state: Callable[[str, str], RunState | None],
        given_up: Callable[[str, str], str | None] = lambda run_id, scope: None,
    ) -> None:
        self._given_up = given_up
        self._states = states
        self._state = state
        self._abandoned: dict[Key, None] = {}  # what watchdogs ended; who was heard of since is still among them
        self._waiting: list[Waiter[Any]] = []
        self._latest: dict[Key, dict[type, Any]] = {}
        self._prune_at = _MIN_PRUNE
        self._end: End | None = None
        self._fatal: Exception | None = None

    @property
    def progress(self) -> bool:
        """Whether someone waits for the growth of a text."""
        return any(waiter.progress for waiter in self._waiting)

    def offer(self, signal: Any) -> None:
        """A signal came: remember it if it is the run's own, and tell those who wait."""
        kind = type(signal)
        if kind not in PROGRESS and hasattr(signal, "run_id"):
            self._remember(signal)
        for waiter in tuple(self._waiting):
            waiter.offer(signal)

    def end(self, end: End) -> None:
        """The stream has ended."""
        self._end = end
        for waiter in self._waiting:
            waiter.end(end)

    def give_up(self, state: RunState, reason: str) -> None:
        """A watchdog has ended a run: who waits for it waits no longer."""
        self._abandoned[key_of(state)] = None
        for waiter in self._waiting:
            waiter.give_up(state, _abandoned(state, reason))

    def fail(self, error: Exception) -> None:
        """The stream itself can not go on."""
        self._fatal = error
        for waiter in self._waiting:
            waiter.fail(error)

    async def result(self, run_id: str | None, scope: str) -> Run:
        """The terminal run."""
        return await self._wait(Result(run_id, scope, self._states()))

    async def results(self) -> tuple[Run, ...]:
        """All terminal runs."""
        return await self._wait(Results(self._states(), self._state))

    async def when(
        self,
        kinds: frozenset[type],
        run_id: str | None,
        scope: str | None,
        predicate: Callable[[Any], bool] | None,
        timeout: float | None,  # noqa: ASYNC109 - for callers, who give it to `RunStream.when`
        on_change: Callable[[], None],
    ) -> Any:
        """The signal, at once if it is true already."""
        waiter = When(kinds, run_id, scope, predicate)
        for known in self._true_now():
            waiter.offer(known)
        try:
            async with asyncio.timeout(timeout):
                return await self._wait(waiter, on_change)
        finally:
            on_change()

    async def _wait(self, waiter: Waiter[T], on_change: Callable[[], None] | None = None) -> T:
        if self._fatal is not None:
            waiter.fail(self._fatal)
        elif self._end is not None:
            waiter.end(self._end)
        else:
            for scope, run_id in self._abandoned:
                state, reason = self._state(run_id, scope), self._given_up(run_id, scope)
                if state is not None and reason is not None:
                    waiter.give_up(state, _abandoned(state, reason))
        self._waiting.append(waiter)
        if on_change is not None:
            on_change()
        try:
            found = await waiter.future
            if self._fatal is not None:  # in the very turn in which the future was resolved
                raise self._fatal
            return found
        finally:
            self._waiting.remove(waiter)
            if not waiter.future.cancelled() and waiter.future.done():
                waiter.future.exception()  # also when the task was cancelled at the same moment

    def _remember(self, signal: Any) -> None:
        key = (signal.scope, signal.run_id)
        kinds = self._latest.get(key)
        if kinds is None:
            if len(self._latest) >= self._prune_at:
                self._prune()
            kinds = self._latest[key] = {}
        if kinds.keys() & _PASSING and type(signal) not in _PASSING:
            for kind in _PASSING:  # the run was heard of again
                kinds.pop(kind, None)
        if type(signal) in RUN_LEVEL:
            kinds.pop(type(signal), None)  # so that the order is that of observation
            kinds[type(signal)] = signal

    def _prune(self) -> None:
        """Forget what the engine has forgotten; in proportion, so that it costs nothing a run."""
        self._latest = {key: kinds for key, kinds in self._latest.items() if self._state(key[1], key[0]) is not None}
        self._abandoned = {key: None for key in self._abandoned if self._given_up(key[1], key[0]) is not None}
        self._prune_at = max(_MIN_PRUNE, 2 * len(self._latest))

    def _true_now(self) -> list[Any]:
        """The signals whose fact still holds, in order of observation for each run."""
        found: list[Any] = []
        for (scope, run_id), kinds in self._latest.items():
            state = self._state(run_id, scope)
            if state is not None:
                found.extend(signal for signal in kinds.values() if _still(signal, state))
        return found


def _abandoned(state: RunState, reason: str) -> IncompleteStream:
    return IncompleteStream(f"{state.run_id} was ended by a watchdog: {reason}", (state,))


def _still(signal: Any, state: RunState) -> bool:
    if isinstance(signal, ActionRequired | RunPaused):
        return state.run.requires_action
    if isinstance(signal, RunStatusChanged):
        return bool(signal.after == state.status)
    if isinstance(signal, RunInterrupted | RunStalled):
        return not state.is_terminal
    return True
