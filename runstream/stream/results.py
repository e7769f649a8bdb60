"""The awaitable results of a stream. Each signal enters; `result`, `results` and `when` return runs and signals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, TypeVar

from runstream.core.selection import PROGRESS, RUN_LEVEL
from runstream.core.state import RunState
from runstream.errors import IncompleteStream
from runstream.model.run import Run, RunKey
from runstream.model.signals import (
    ActionRequired,
    RunInterrupted,
    RunPaused,
    RunStalled,
    RunStatusChanged,
    SourceError,
)
from runstream.stream.failures import Failures
from runstream.stream.subscriber_set import no_op
from runstream.stream.waiters import ResultsWaiter, ResultWaiter, SignalWaiter, StreamEnd, Waiter, key_of

__all__ = ["StreamResults"]

T = TypeVar("T")

_TRANSIENT: Final = frozenset({RunPaused, RunInterrupted, RunStalled})
_MIN_PRUNE: Final = 64


class StreamResults:
    """All waiters of a stream, and the last signals of each run, which may be true already.

    Args:
        states: Returns the states of all runs, in order of appearance.
        state: Returns the state of a run by id and scope, if it is known.
        expired_reason: Returns by id and scope why a watchdog ended the run, if one did.
        is_tombstoned: Returns by id and scope True if a run was known and evicted.
        failures: The failures of handlers; it receives the errors of servers.

    Attributes:
        open_calls: Returns the ids of the calls that a run waits for and that are known to have no answer: set by what
            answers the runs of the stream.
    """

    def __init__(
        self,
        states: Callable[[], tuple[RunState, ...]],
        state: Callable[[str, str], RunState | None],
        expired_reason: Callable[[str, str], str | None] = lambda run_id, scope: None,
        is_tombstoned: Callable[[str, str], bool] = lambda run_id, scope: False,
        failures: Failures | None = None,
    ) -> None:
        self._failures = failures or Failures()
        self._states = states
        self._state = state
        self._expired_reason = expired_reason
        self._is_tombstoned = is_tombstoned
        self._expired: dict[RunKey, None] = {}  # runs that watchdogs ended, also those that continued since
        self._waiters: dict[Waiter[Any], None] = {}
        self._by_run: dict[str | None, dict[Waiter[Any], None]] = {None: {}}  # by the run's id; None: any run
        self._progress = 0
        self._latest: dict[str, dict[str, dict[type, Any]]] = {}  # signals by run id, scope and kind
        self._prune_at = _MIN_PRUNE
        # Runs of the store of which no source of this stream has sent anything: only their id refers to them.
        self._unsent: set[RunKey] = set()
        self._end: StreamEnd | None = None
        self._error: Exception | None = None
        self._server_message = ""  # the last one of a `source.error`
        self.open_calls: Callable[[RunKey], Sequence[str]] = lambda key: ()

    @property
    def progress(self) -> bool:
        """True if a waiter needs the growth of texts."""
        return self._progress > 0

    def observe(self, signal: Any) -> None:
        """Process a signal: store it if it is about its run as a whole, and pass it to the waiters."""
        run_id = getattr(signal, "run_id", None)
        if type(signal) is SourceError:
            self._failures.observe(signal)
            self._server_message = signal.server_message or self._server_message
        elif run_id is not None and type(signal) not in PROGRESS:
            self._store(signal, run_id)
        by_run = self._by_run
        for waiter in tuple(by_run[None]):
            waiter.observe(signal)
        if run_id in by_run and run_id is not None:
            for waiter in tuple(by_run[run_id]):
                waiter.observe(signal)

    def restore(self, state: RunState, signals: Iterable[Any]) -> None:
        """Process the facts of a run that was read from the store: an earlier process has received it.

        Until a source of this stream sends it, it answers only calls with its id.
        """
        self._unsent.add(key_of(state))
        for signal in signals:
            self._store(signal, state.run_id)
            for waiter in tuple(self._by_run.get(state.run_id, ())):
                waiter.observe(signal)

    def sent(self, state: RunState) -> None:
        """Note that a source of this stream has sent a run that was read from the store, or resumes behind it."""
        key = key_of(state)
        if key in self._unsent:
            self._unsent.discard(key)
            for signal in self._signals_of(state):
                for waiter in tuple(self._by_run[None]):
                    waiter.observe(signal)

    def facts_of(self, state: RunState) -> tuple[Any, ...]:
        """The signals about a run as a whole that are still true, in order of observation.

        Args:
            state: The latest state of the run.
        """
        return tuple(self._signals_of(state))

    def end(self, end: StreamEnd) -> None:
        """Process the end of the stream."""
        self._end = end
        end.failures = self._failures
        end.server_message = self._server_message
        end.open_calls = self.open_calls
        for waiter in self._waiters:
            waiter.end(end)

    def expire(self, state: RunState, reason: str) -> None:
        """Fail the waiters of a run that a watchdog has ended."""
        self._expired[key_of(state)] = None
        for waiter in self._waiters:
            waiter.expire(state, _expired_error(state, reason))

    def forget(self, scope: str, run_id: str) -> None:
        """Fail the waiters of a run that was evicted: it will have no further signals."""
        self._unsent.discard((scope, run_id))
        for waiter in self._by_run.get(run_id, ()):
            if waiter.scope in (None, scope):
                waiter.fail(_forgotten_error(run_id))

    def fail(self, error: Exception) -> None:
        """Fail all waiters, present and future ones."""
        self._error = error
        for waiter in self._waiters:
            waiter.fail(error)

    async def result(self, run_id: str | None, scope: str) -> Run:
        """Wait for the terminal run."""
        if run_id is None:
            return await self._wait(ResultWaiter(None, scope, self._sent_states()))
        state = self._state(run_id, scope)
        waiter = ResultWaiter(run_id, scope, () if state is None else (state,))
        if state is None and self._is_tombstoned(run_id, scope):
            waiter.fail(_forgotten_error(run_id))
        return await self._wait(waiter)

    async def results(self) -> tuple[Run, ...]:
        """Wait for all terminal runs."""
        return await self._wait(ResultsWaiter(self._sent_states(), self._state))

    async def when(
        self,
        kinds: frozenset[type],
        run_id: str | None,
        scope: str | None,
        predicate: Callable[[Any], bool] | None,
        timeout: float | None,  # noqa: ASYNC109 - of `RunStream.when`
        on_change: Callable[[], None],
    ) -> Any:
        """Wait for a signal; return at once if one is true already.

        Args:
            kinds: The classes of signals.
            run_id: Only signals of this run.
            scope: Only signals of this scope.
            predicate: Only signals for which this is true.
            timeout: The longest time to wait, in seconds.
            on_change: Called when `progress` may have changed.
        """
        waiter = SignalWaiter(kinds, run_id, scope, predicate)
        if run_id is not None and scope is not None and self._is_tombstoned(run_id, scope):
            waiter.fail(_forgotten_error(run_id))
        for signal in self._current_signals(run_id):
            waiter.observe(signal)
        try:
            async with asyncio.timeout(timeout):
                return await self._wait(waiter, on_change)
        finally:
            on_change()

    async def _wait(self, waiter: Waiter[T], on_change: Callable[[], None] = no_op) -> T:
        if self._error is not None:
            waiter.fail(self._error)
        elif self._end is not None:
            waiter.end(self._end)
        else:
            for scope, run_id in self._expired:
                state, reason = self._state(run_id, scope), self._expired_reason(run_id, scope)
                if state is not None and reason is not None:
                    waiter.expire(state, _expired_error(state, reason))
        self._add(waiter)
        on_change()
        try:
            value = await waiter.future
            if self._error is not None:  # set in the loop iteration that resolved the future
                raise self._error
            return value
        finally:
            self._remove(waiter)
            if not waiter.future.cancelled() and waiter.future.done():
                waiter.future.exception()  # also if the task was cancelled at the same moment

    def _add(self, waiter: Waiter[Any]) -> None:
        self._waiters[waiter] = None
        self._by_run.setdefault(waiter.run_id, {})[waiter] = None
        self._progress += waiter.progress

    def _remove(self, waiter: Waiter[Any]) -> None:
        del self._waiters[waiter]
        group = self._by_run[waiter.run_id]
        del group[waiter]
        if not group and waiter.run_id is not None:
            del self._by_run[waiter.run_id]
        self._progress -= waiter.progress

    def _store(self, signal: Any, run_id: str) -> None:
        scopes = self._latest.get(run_id)
        if scopes is None:
            if len(self._latest) >= self._prune_at:
                self._prune()
            scopes = self._latest[run_id] = {}
        kind = type(signal)
        kinds = scopes.setdefault(signal.scope, {})
        if not (kinds.keys().isdisjoint(_TRANSIENT) or kind in _TRANSIENT):
            for transient in _TRANSIENT:  # the run has continued
                kinds.pop(transient, None)
        if kind in RUN_LEVEL:
            kinds.pop(kind, None)  # so that the order is that of observation
            kinds[kind] = signal

    def _prune(self) -> None:
        """Drop the signals of evicted runs. The threshold grows with the number of runs: constant cost a run."""
        for run_id, scopes in tuple(self._latest.items()):
            for scope in [scope for scope in scopes if self._state(run_id, scope) is None]:
                del scopes[scope]
            if not scopes:
                del self._latest[run_id]
        self._expired = {key: None for key in self._expired if self._expired_reason(key[1], key[0]) is not None}
        self._prune_at = max(_MIN_PRUNE, 2 * len(self._latest))

    def _sent_states(self) -> tuple[RunState, ...]:
        """The states of the runs that sources of this stream have sent."""
        unsent = self._unsent
        return tuple(state for state in self._states() if key_of(state) not in unsent) if unsent else self._states()

    def _current_signals(self, run_id: str | None) -> list[Any]:
        """The stored signals of one run, or of all runs that were sent, that are still true, in order of observation
        for each run.
        """
        found: list[Any] = []
        latest = self._latest if run_id is None else {run_id: self._latest.get(run_id, {})}
        for id, scopes in latest.items():
            for scope in scopes:
                state = self._state(id, scope)
                if state is not None and (run_id is not None or (scope, id) not in self._unsent):
                    found.extend(self._signals_of(state))
        return found

    def _signals_of(self, state: RunState) -> list[Any]:
        """The stored signals of one run that are still true."""
        kinds = self._latest.get(state.run_id, {}).get(state.scope, {})
        return [signal for signal in kinds.values() if _is_current(signal, state)]


def _forgotten_error(run_id: str) -> IncompleteStream:
    return IncompleteStream(f"run {run_id} was seen and is forgotten (see Limits)", ())


def _expired_error(state: RunState, reason: str) -> IncompleteStream:
    return IncompleteStream(f"{state.run_id} was ended by a watchdog: {reason}", (state,))


def _is_current(signal: Any, state: RunState) -> bool:
    if isinstance(signal, ActionRequired | RunPaused):
        return state.run.requires_action
    if isinstance(signal, RunStatusChanged):
        return bool(signal.after == state.status)
    if isinstance(signal, RunInterrupted | RunStalled):
        return not state.is_terminal
    return True
