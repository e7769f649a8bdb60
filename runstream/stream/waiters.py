"""What one can wait for: a run's end, all runs' ends, a signal; each resolved by signals or failed by the end."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeAlias, TypeVar

from runstream.core.selection import PROGRESS, RUN_LEVEL, TERMINAL
from runstream.core.state import RunState
from runstream.errors import IncompleteStream, SeveralRuns, SourceFailed
from runstream.model.run import Run
from runstream.model.signals import RunCreated

__all__ = ["End", "Key", "Result", "Results", "Waiter", "When", "key_of"]

T = TypeVar("T")
Key: TypeAlias = tuple[str, str]  # scope, run id


class End:
    """How the stream ended.

    Args:
        states: The states held at the end.
        failed: The failure of the source that left a run open, by run.
        failure: The last failure of a source, if any.
        blank: The last failure of a source that had given nothing: nobody knows which runs it had.
        reason: Why the stream ended, where no source failed.
    """

    def __init__(
        self,
        states: tuple[RunState, ...],
        failed: dict[Key, SourceFailed],
        failure: SourceFailed | None,
        blank: SourceFailed | None,
        reason: str,
    ) -> None:
        self.states = states
        self.left = tuple(state for state in states if not state.is_terminal)
        self._by_key: dict[Key, RunState] | None = None
        self.failed = failed
        self.failure = failure
        self.blank = blank
        self.reason = reason

    def held(self, keys: Iterable[Key]) -> tuple[RunState, ...]:
        """The states of these runs, as far as they are held; however many ask, the states are gone through once."""
        if self._by_key is None:
            self._by_key = {key_of(state): state for state in self.states}
        return tuple(self._by_key[key] for key in keys if key in self._by_key)

    def incomplete(self, states: tuple[RunState, ...], what: str = "") -> IncompleteStream:
        """What is raised for runs that did not end, its cause being the source's failure if one failed."""
        cause = next((self.failed[key_of(state)] for state in states if key_of(state) in self.failed), None)
        if cause is None and not states:
            cause = self.failure
        why = what or "; ".join(_left(state) for state in states)
        source = f"a source failed: {cause.reason}" if cause is not None else self.reason
        error = IncompleteStream(f"{source}; {why}", states or self.left)
        error.__cause__ = cause
        return error


def _left(state: RunState) -> str:
    if state.run.requires_action:
        return f"{state.run_id} waits for action"
    return f"{state.run_id} was left {state.status.value}"


def key_of(state: RunState) -> Key:
    """Scope and id of the run."""
    return state.scope, state.run_id


class Waiter(Generic[T]):
    """One who waits; its future is resolved in the pump's turn, so no later signal comes in between.

    Attributes:
        run_id: The only run whose signals concern it, if it is one.
        scope: The only scope.
        progress: Whether it waits for the growth of a text.
    """

    progress = False

    def __init__(self, run_id: str | None = None, scope: str | None = None) -> None:
        self.run_id = run_id
        self.scope = scope
        self.future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    @abstractmethod
    def offer(self, signal: Any) -> None:
        """A signal came."""

    @abstractmethod
    def end(self, end: End) -> None:
        """The stream ended."""

    def expire(self, state: RunState, error: IncompleteStream) -> None:
        """A watchdog has ended a run."""

    def resolve(self, value: T) -> None:
        if not self.future.done():
            self.future.set_result(value)

    def fail(self, error: BaseException) -> None:
        if not self.future.done():
            self.future.set_exception(error)


class Result(Waiter[Run]):
    def __init__(self, run_id: str | None, scope: str, states: tuple[RunState, ...]) -> None:
        super().__init__(run_id, scope)
        self._scope = scope
        self._seen: list[str] = []
        for state in states:
            if state.scope == scope and run_id in (None, state.run_id):
                self._seen.append(state.run_id)
        self._several()
        for state in states:
            if state.scope == scope and state.is_terminal and state.run_id in self._seen:
                self.resolve(state.run)

    def _several(self) -> None:
        if self.run_id is None and len(self._seen) > 1:
            self.fail(SeveralRuns(self._seen))

    def offer(self, signal: Any) -> None:
        kind = type(signal)
        if kind is RunCreated and self.run_id is None and signal.scope == self.scope:
            if signal.run_id not in self._seen:
                self._seen.append(signal.run_id)
            self._several()
        elif kind in TERMINAL and signal.scope == self.scope and self.run_id in (None, signal.run_id):
            self.resolve(signal.run)

    def expire(self, state: RunState, error: IncompleteStream) -> None:
        if state.scope == self.scope and (state.run_id == self.run_id or state.run_id in self._seen):
            self.fail(error)

    def end(self, end: End) -> None:
        asked = () if self.run_id is None else (self.run_id,)
        mine = end.held((self._scope, run_id) for run_id in dict.fromkeys((*self._seen, *asked)))
        if mine:
            self.fail(end.incomplete(mine))
            return
        place = f" in scope {self.scope!r}" if self.scope else ""
        what = f"no run was seen{place}" if self.run_id is None else f"run {self.run_id} is not held{place}"
        self.fail(end.incomplete((), what))


class Results(Waiter[tuple[Run, ...]]):
    """Keeps every run that it sees from its making on: the stream itself forgets ended runs some day."""

    def __init__(self, states: tuple[RunState, ...], current: Callable[[str, str], RunState | None]) -> None:
        super().__init__()
        self._runs: dict[Key, Run | None] = {
            key_of(state): state.run if state.is_terminal else None for state in states
        }
        self._current = current

    def offer(self, signal: Any) -> None:
        kind = type(signal)
        if kind is RunCreated:
            self._runs.setdefault((signal.scope, signal.run_id), None)
        elif kind in TERMINAL:
            self._runs[signal.scope, signal.run_id] = signal.run

    def expire(self, state: RunState, error: IncompleteStream) -> None:
        self.fail(error)  # one run is left open, and the stream might not end for long

    def end(self, end: End) -> None:
        left = tuple(s for s in end.states if not s.is_terminal)
        if left:
            self.fail(end.incomplete(left))
        elif not self._runs:
            self.fail(end.incomplete((), "no run was seen"))
        elif end.blank is not None:
            self.fail(end.incomplete((), "it may have had further runs"))
        else:
            # Fields that came after the end (usage) stand in the state that is still held.
            held = {key: self._current(key[1], key[0]) for key in self._runs}
            runs = [now.run if now is not None else self._runs[key] for key, now in held.items()]
            self.resolve(tuple(run for run in runs if run is not None))


class When(Waiter[Any]):
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

    def offer(self, signal: Any) -> None:
        if self.run_id is not None and getattr(signal, "run_id", None) != self.run_id:
            return
        if self.scope is not None and signal.scope != self.scope:
            return
        if type(signal) in self._kinds:
            try:
                if self._predicate is None or self._predicate(signal):
                    self.resolve(signal)
            except Exception as error:  # the caller's own mistake goes to the caller
                self.fail(error)
        if type(signal) in TERMINAL and self.run_id is not None and self._kinds <= RUN_LEVEL:
            # A run that has ended gives no further signal of itself: waiting on would be for ever.
            self.fail(IncompleteStream(f"run {self.run_id} ended {signal.run.status.value} without it"))

    def expire(self, state: RunState, error: IncompleteStream) -> None:
        if state.run_id == self.run_id and self.scope in (None, state.scope):
            self.fail(error)

    def end(self, end: End) -> None:
        names = " or ".join(sorted(kind.__struct_config__.tag for kind in self._kinds))  # type: ignore[attr-defined]
        mine = () if self.run_id is None else end.held([(self.scope or "", self.run_id)])
        self.fail(end.incomplete(mine, f"there was no {names}"))
