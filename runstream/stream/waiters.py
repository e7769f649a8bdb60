"""The kinds of waiters: for the end of a run, of all runs, or for a signal. Signals enter, a future is resolved."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

from runstream.core.selection import PROGRESS, RUN_LEVEL, TERMINAL
from runstream.core.state import RunState
from runstream.engine.unused_input import UnusedInput
from runstream.errors import IncompleteStream, SeveralRuns, SourceFailed
from runstream.model.run import Run, RunKey
from runstream.model.signals import RunCreated
from runstream.stream.failures import Failures

__all__ = ["ResultWaiter", "ResultsWaiter", "SignalWaiter", "StreamEnd", "Waiter", "key_of"]

T = TypeVar("T")

_ALL_USED: Final = UnusedInput()
_MAX_SHOWN: Final = 5  # calls


class StreamEnd:
    """How the stream ended.

    Args:
        states: The states at the end.
        failed: The failure of the source that left a run open, by run.
        removed: Why the application removed the source that left a run open, by run.
        failure: The last failure of a source, if any.
        unfed_failure: The last failure of a source that had delivered nothing: its runs are not known.
        reason: Why the stream ended, if no source failed.
        unused: The input that could not be used.

    Attributes:
        failures: The failures of handlers, and the errors of servers.
        server_message: The last words of a server about an error, if no source failed.
        open_calls: Returns the ids of the calls that a run waits for and that are known to have no answer.
    """

    def __init__(
        self,
        states: tuple[RunState, ...],
        failed: dict[RunKey, SourceFailed],
        removed: dict[RunKey, str],
        failure: SourceFailed | None,
        unfed_failure: SourceFailed | None,
        reason: str,
        unused: UnusedInput = _ALL_USED,
    ) -> None:
        self.states = states
        self.open_states = tuple(state for state in states if not state.is_terminal)
        self._by_key: dict[RunKey, RunState] | None = None
        self.failed = failed
        self.removed = removed
        self.failure = failure
        self.unfed_failure = unfed_failure
        self.reason = reason
        # Beside a run it explains nothing: the run itself says how far it came.
        self.unused = unused if not states else _ALL_USED
        self.failures = Failures()
        self.server_message = ""
        self.open_calls: Callable[[RunKey], Sequence[str]] = lambda key: ()

    def states_of(self, keys: Iterable[RunKey]) -> tuple[RunState, ...]:
        """The states of these runs, without those that are not known. All calls share one index of the states."""
        if self._by_key is None:
            self._by_key = {key_of(state): state for state in self.states}
        return tuple(self._by_key[key] for key in keys if key in self._by_key)

    def incomplete(self, states: tuple[RunState, ...], problem: str = "") -> IncompleteStream:
        """The exception for runs that did not end."""
        source_failure = next((self.failed[key_of(state)] for state in states if key_of(state) in self.failed), None)
        if source_failure is None and not states:
            source_failure = self.failure
        left = states or self.open_states
        failures, server_error = self.failures.answers(left), self.failures.server_error(left)
        removed = next((self.removed[key_of(state)] for state in states if key_of(state) in self.removed), self.reason)
        parts = [f"a source failed: {source_failure.reason}" if source_failure is not None else removed]
        parts += [str(failure) for failure in failures]
        if server_error is not None:
            parts.append(str(server_error))
        parts.append(problem or "; ".join(self._open_reason(state) for state in states))
        if described := self.unused.describe():
            parts.append(described)
        return IncompleteStream(
            "; ".join(parts),
            left,
            source_failure.server_message if source_failure is not None else self.server_message,
            source_failure=source_failure,
            server_error=server_error,
            failures=failures,
            rejected=self.unused.rejected,
            unknown=self.unused.unknown,
        )

    def _open_reason(self, state: RunState) -> str:
        if not state.run.requires_action:
            return f"{state.run_id} was left {state.status.value}"
        calls = self.open_calls(key_of(state))
        shown = ", ".join(calls[:_MAX_SHOWN]) + (f" and {more} more" if (more := len(calls) - _MAX_SHOWN) > 0 else "")
        return f"{state.run_id} waits for action" + (f" (no answer to {shown})" if shown else "")


def key_of(state: RunState) -> RunKey:
    """Scope and id of a state's run."""
    return state.scope, state.run_id


class Waiter(Generic[T]):
    """One waiting task. Its future is resolved during the delivery of the signal, before any later signal.

    Attributes:
        run_id: The only run whose signals it needs, if it is one.
        scope: The only scope whose signals it needs.
        progress: True if it needs the growth of texts.
    """

    progress = False

    def __init__(self, run_id: str | None = None, scope: str | None = None) -> None:
        self.run_id = run_id
        self.scope = scope
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    @abstractmethod
    def observe(self, signal: Any) -> None:
        """Process a signal."""

    @abstractmethod
    def end(self, end: StreamEnd) -> None:
        """Process the end of the stream."""

    def expire(self, state: RunState, error: IncompleteStream) -> None:
        """Process the end of a run by a watchdog."""

    def resolve(self, value: T) -> None:
        """Resolve the future, unless it is done."""
        if not self.future.done():
            self.future.set_result(value)

    def fail(self, error: BaseException) -> None:
        """Set the exception of the future, unless it is done."""
        if not self.future.done():
            self.future.set_exception(error)


class ResultWaiter(Waiter[Run]):
    """Waits for the end of one run: of the run with an id, or of the only run in a scope."""

    def __init__(self, run_id: str | None, scope: str, states: tuple[RunState, ...]) -> None:
        super().__init__(run_id, scope)
        self._scope = scope
        self._seen: list[str] = []
        for state in states:
            if state.scope == scope and run_id in (None, state.run_id):
                self._seen.append(state.run_id)
        self._check_single()
        for state in states:
            if state.scope == scope and state.is_terminal and state.run_id in self._seen:
                self.resolve(state.run)

    def _check_single(self) -> None:
        if self.run_id is None and len(self._seen) > 1:
            self.fail(SeveralRuns(self._seen))

    def observe(self, signal: Any) -> None:
        kind = type(signal)
        if kind is RunCreated and self.run_id is None and signal.scope == self.scope:
            if signal.run_id not in self._seen:
                self._seen.append(signal.run_id)
            self._check_single()
        elif kind in TERMINAL and signal.scope == self.scope and self.run_id in (None, signal.run_id):
            self.resolve(signal.run)

    def expire(self, state: RunState, error: IncompleteStream) -> None:
        if state.scope == self.scope and (state.run_id == self.run_id or state.run_id in self._seen):
            self.fail(error)

    def end(self, end: StreamEnd) -> None:
        requested = () if self.run_id is None else (self.run_id,)
        states = end.states_of((self._scope, run_id) for run_id in dict.fromkeys((*self._seen, *requested)))
        if states:
            self.fail(end.incomplete(states))
            return
        place = f" in scope {self.scope!r}" if self.scope else ""
        problem = f"no run was seen{place}" if self.run_id is None else f"run {self.run_id} is not known{place}"
        self.fail(end.incomplete((), problem))


class ResultsWaiter(Waiter[tuple[Run, ...]]):
    """Waits for the end of all runs. It keeps each of them itself, because the engine evicts ended runs."""

    def __init__(self, states: tuple[RunState, ...], current: Callable[[str, str], RunState | None]) -> None:
        super().__init__()
        self._runs: dict[RunKey, Run | None] = {
            key_of(state): state.run if state.is_terminal else None for state in states
        }
        self._current = current

    def observe(self, signal: Any) -> None:
        kind = type(signal)
        if kind is RunCreated:
            self._runs.setdefault((signal.scope, signal.run_id), None)
        elif kind in TERMINAL:
            self._runs[signal.scope, signal.run_id] = signal.run

    def expire(self, state: RunState, error: IncompleteStream) -> None:
        self.fail(error)  # one run is left open, and the stream may not end for a long time

    def end(self, end: StreamEnd) -> None:
        if end.open_states:
            self.fail(end.incomplete(end.open_states))
        elif not self._runs:
            self.fail(end.incomplete((), "no run was seen"))
        elif end.unfed_failure is not None:
            self.fail(end.incomplete((), "it may have had further runs"))
        else:
            # Fields that arrived after the run's end (usage) are in its state, if that is not evicted.
            states = {key: self._current(key[1], key[0]) for key in self._runs}
            runs = [state.run if state is not None else self._runs[key] for key, state in states.items()]
            self.resolve(tuple(run for run in runs if run is not None))


class SignalWaiter(Waiter[Any]):
    """Waits for the first signal of some kinds, of one run or scope if they are given, for which a predicate is true.

    An exception of the predicate is the exception of the future.
    """

    def __init__(
        self,
        kinds: frozenset[type],
        run_id: str | None,
        scope: str | None,
        predicate: Callable[[Any], bool] | None,
    ) -> None:
        super().__init__(run_id, scope)
        self.progress = not kinds.isdisjoint(PROGRESS)
        self._kinds = kinds
        self._predicate = predicate

    def observe(self, signal: Any) -> None:
        if self.run_id is not None and getattr(signal, "run_id", None) != self.run_id:
            return
        if self.scope is not None and signal.scope != self.scope:
            return
        if type(signal) in self._kinds:
            try:
                if self._predicate is None or self._predicate(signal):
                    self.resolve(signal)
            except Exception as error:  # of the caller's predicate: it goes to the caller
                self.fail(error)
        if type(signal) in TERMINAL and self.run_id is not None and self._kinds <= RUN_LEVEL:
            # An ended run has no further signals of its own: the wait would never end.
            self.fail(IncompleteStream(f"run {self.run_id} ended {signal.run.status.value} without it"))

    def expire(self, state: RunState, error: IncompleteStream) -> None:
        if state.run_id == self.run_id and self.scope in (None, state.scope):
            self.fail(error)

    def end(self, end: StreamEnd) -> None:
        names = " or ".join(sorted(kind.__struct_config__.tag for kind in self._kinds))  # type: ignore[attr-defined]
        states = () if self.run_id is None else end.states_of([(self.scope or "", self.run_id)])
        self.fail(end.incomplete(states, f"there was no {names}"))
