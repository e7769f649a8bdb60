"""All who wait for something of a stream, and what is true already."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, TypeVar

from runstream.core.selection import PROGRESS, RUN_LEVEL
from runstream.core.state import RunState
from runstream.errors import IncompleteStream
from runstream.model.run import Run
from runstream.model.signals import ActionRequired, RunInterrupted, RunPaused, RunStalled, RunStatusChanged
from runstream.stream.waiters import End, Key, Result, Results, Waiter, When, key_of

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
        forgot: Tells by id and scope whether a run was held once and is done with.
    """

    def __init__(
        self,
        states: Callable[[], tuple[RunState, ...]],
        state: Callable[[str, str], RunState | None],
        expired_reason: Callable[[str, str], str | None] = lambda run_id, scope: None,
        is_tombstoned: Callable[[str, str], bool] = lambda run_id, scope: False,
    ) -> None:
        self._forgot = is_tombstoned
        self._given_up = expired_reason
        self._states = states
        self._state = state
        self._abandoned: dict[Key, None] = {}  # what watchdogs ended; who was heard of since is still among them
        self._waiting: dict[Waiter[Any], None] = {}
        self._by_run: dict[str | None, dict[Waiter[Any], None]] = {None: {}}  # by the run's id; None: any run
        self._progress = 0
        self._latest: dict[str, dict[str, dict[type, Any]]] = {}  # by run id and scope
        self._prune_at = _MIN_PRUNE
        self._end: End | None = None
        self._fatal: Exception | None = None

    @property
    def progress(self) -> bool:
        """Whether someone waits for the growth of a text."""
        return self._progress > 0

    def offer(self, signal: Any) -> None:
        """A signal came: remember it if it is the run's own, and tell those who wait."""
        run_id = getattr(signal, "run_id", None)
        if run_id is not None and type(signal) not in PROGRESS:
            self._remember(signal, run_id)
        by_run = self._by_run
        for waiter in tuple(by_run[None]):
            waiter.offer(signal)
        if run_id in by_run and run_id is not None:
            for waiter in tuple(by_run[run_id]):
                waiter.offer(signal)

    def end(self, end: End) -> None:
        """The stream has ended."""
        self._end = end
        for waiter in self._waiting:
            waiter.end(end)

    def expire(self, state: RunState, reason: str) -> None:
        """A watchdog has ended a run: who waits for it waits no longer."""
        self._abandoned[key_of(state)] = None
        for waiter in self._waiting:
            waiter.expire(state, _abandoned(state, reason))

    def forget(self, scope: str, run_id: str) -> None:
        """A run was forgotten: nothing more will be told of it."""
        for waiter in self._by_run.get(run_id, ()):
            if waiter.scope in (None, scope):
                waiter.fail(_forgotten(run_id))

    def fail(self, error: Exception) -> None:
        """The stream itself can not go on."""
        self._fatal = error
        for waiter in self._waiting:
            waiter.fail(error)

    async def result(self, run_id: str | None, scope: str) -> Run:
        """The terminal run."""
        if run_id is None:
            return await self._wait(Result(None, scope, self._states()))
        state = self._state(run_id, scope)
        waiter = Result(run_id, scope, () if state is None else (state,))
        if state is None and self._forgot(run_id, scope):
            waiter.fail(_forgotten(run_id))
        return await self._wait(waiter)

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
        if run_id is not None and scope is not None and self._forgot(run_id, scope):
            waiter.fail(_forgotten(run_id))
        for known in self._true_now(run_id):
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
                    waiter.expire(state, _abandoned(state, reason))
        self._add(waiter)
        if on_change is not None:
            on_change()
        try:
            found = await waiter.future
            if self._fatal is not None:  # in the very turn in which the future was resolved
                raise self._fatal
            return found
        finally:
            self._remove(waiter)
            if not waiter.future.cancelled() and waiter.future.done():
                waiter.future.exception()  # also when the task was cancelled at the same moment

    def _add(self, waiter: Waiter[Any]) -> None:
        self._waiting[waiter] = None
        self._by_run.setdefault(waiter.run_id, {})[waiter] = None
        self._progress += waiter.progress

    def _remove(self, waiter: Waiter[Any]) -> None:
        del self._waiting[waiter]
        group = self._by_run[waiter.run_id]
        del group[waiter]
        if not group and waiter.run_id is not None:
            del self._by_run[waiter.run_id]
        self._progress -= waiter.progress

    def _remember(self, signal: Any, run_id: str) -> None:
        scopes = self._latest.get(run_id)
        if scopes is None:
            if len(self._latest) >= self._prune_at:
                self._prune()
            scopes = self._latest[run_id] = {}
        kind = type(signal)
        kinds = scopes.setdefault(signal.scope, {})
        if not (kinds.keys().isdisjoint(_PASSING) or kind in _PASSING):
            for passing in _PASSING:  # the run was heard of again
                kinds.pop(passing, None)
        if kind in RUN_LEVEL:
            kinds.pop(kind, None)  # so that the order is that of observation
            kinds[kind] = signal

    def _prune(self) -> None:
        """Forget what the engine has forgotten; in proportion, so that it costs nothing a run."""
        for run_id, scopes in tuple(self._latest.items()):
            for scope in [scope for scope in scopes if self._state(run_id, scope) is None]:
                del scopes[scope]
            if not scopes:
                del self._latest[run_id]
        self._abandoned = {key: None for key in self._abandoned if self._given_up(key[1], key[0]) is not None}
        self._prune_at = max(_MIN_PRUNE, 2 * len(self._latest))

    def _true_now(self, run_id: str | None) -> list[Any]:
        """The signals whose fact still holds, in order of observation for each run: of one run, or of all."""
        found: list[Any] = []
        known = self._latest if run_id is None else {run_id: self._latest.get(run_id, {})}
        for id, scopes in known.items():
            for scope, kinds in scopes.items():
                state = self._state(id, scope)
                if state is not None:
                    found.extend(signal for signal in kinds.values() if _still(signal, state))
        return found


def _forgotten(run_id: str) -> IncompleteStream:
    return IncompleteStream(f"run {run_id} was seen and is forgotten (see Limits)", ())


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
