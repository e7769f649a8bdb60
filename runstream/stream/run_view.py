"""Views of a stream's states: one run with its signals and its end, and all latest states as a mapping."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar, overload

from reactivex import Observable
from reactivex import operators as ops
from reactivex.disposable import Disposable

from runstream.core.selection import Selector, SignalName, SignalTuple
from runstream.core.state import RunState
from runstream.core.state_snapshot import StateSnapshot
from runstream.engine.engine import Engine
from runstream.errors import SubscriberFailed
from runstream.model.events import Event
from runstream.model.run import Run, RunKey
from runstream.model.signal_base import BaseSignal
from runstream.model.signals import Signal
from runstream.stream.buffers import Policy
from runstream.stream.channels import Channels, EventOfRun
from runstream.stream.consumers import StreamIterator
from runstream.stream.handler_options import Retry

if TYPE_CHECKING:
    from typing_extensions import TypeForm

__all__ = ["LatestStates", "RunView"]

S = TypeVar("S", bound=BaseSignal)
S2 = TypeVar("S2", bound=BaseSignal)
S3 = TypeVar("S3", bound=BaseSignal)
StateKey: TypeAlias = str | RunKey
"""The run id, or scope and run id for a run in a scope other than ""."""


class LatestStates(Mapping[StateKey, RunState]):
    """A live view of an engine's states.

    The key is the run id, or (scope, run id) for a run in a scope other than "".
    """

    __slots__ = ("_engine",)

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getitem__(self, key: StateKey) -> RunState:
        scope, run_id = key if isinstance(key, tuple) else ("", key)
        state = self._engine.state(run_id, scope)
        if state is None:
            raise KeyError(key)
        return state

    def __iter__(self) -> Iterator[StateKey]:
        for state in self._engine.states():
            yield (state.scope, state.run_id) if state.scope else state.run_id

    def __len__(self) -> int:
        return len(self._engine.states())

    def __repr__(self) -> str:
        return f"LatestStates({dict(self)!r})"


def _event_of(item: EventOfRun) -> Event:
    return item.event


class RunView:
    """One run of a stream, made by :meth:`RunStream.run`, also for a run that was not seen yet.

    ::

        run = stream.run("run_1")
        run.on(TextDelta, show)
        async for signal in run: ...
        print(await run.result())

    Its Observables complete, and its iterators and subscriptions end, when the run has ended: after all signals that
    are delivered together with its end, the terminal signal and state included. If a message or step is still open
    then, they end when that or the source has ended, at the latest 5 seconds later. They also end when the stream
    forgets the run (see :class:`Limits`) or ends. An interrupted or paused run may go on, and ends nothing. Later
    events of the server are only in the stream's own Observables.

    Attributes:
        run_id: The run's id.
        scope: Its scope.
    """

    __slots__ = (
        "_channels",
        "_iterator",
        "_on",
        "_result",
        "_snapshots",
        "_start",
        "_state",
        "_when",
        "run_id",
        "scope",
    )

    def __init__(
        self,
        run_id: str,
        scope: str,
        *,
        state: Callable[[str, str], RunState | None],
        channels: Channels,
        iterator: Callable[..., StreamIterator[Any]],
        start: Callable[[], None],
        on: Callable[..., Disposable],
        result: Callable[..., Coroutine[Any, Any, Run]],
        when: Callable[..., Coroutine[Any, Any, Any]],
        snapshots: Callable[[RunKey], list[StateSnapshot]],
    ) -> None:
        self.run_id = run_id
        self.scope = scope
        self._state = state
        self._channels = channels
        self._iterator = iterator
        self._start = start
        self._on = on
        self._result = result
        self._when = when
        self._snapshots = snapshots

    @property
    def state(self) -> RunState | None:
        """Its latest state; ``None`` if it was not seen yet, or is forgotten."""
        return self._state(self.run_id, self.scope)

    def snapshot(self) -> StateSnapshot | None:
        """Its snapshot, as ``iter(replay=True)`` begins with it; ``None`` if it was not seen yet, or is forgotten."""
        return next(iter(self._snapshots((self.scope, self.run_id))), None)

    @property
    def states(self) -> Observable[RunState]:
        """Its latest state, at once if there is one, and after each change."""
        return self._channels.runs.of_run((self.scope, self.run_id))

    @property
    def signals(self) -> Observable[Signal]:
        """Its signals from now on."""
        return self._channels.signals.of_run((self.scope, self.run_id))

    @property
    def events(self) -> Observable[Event]:
        """Its decoded events from now on, custom and unknown ones too, as far as they name their run.

        Snapshots do. Fragments do only where the protocol, or its dialect, names the run in each event.
        """
        events: Observable[Event] = self._channels.run_events.of_run((self.scope, self.run_id)).pipe(ops.map(_event_of))
        return events

    @overload
    def on(
        self,
        kind: type[S],
        fn: Callable[[S], object],
        *,
        policy: Policy | None = None,
        concurrency: int | None = None,
        retry: Retry | int | None = None,
        timeout: float | None = None,
        on_failed: Callable[[SubscriberFailed], object] | None = None,
    ) -> Disposable: ...
    @overload
    def on(
        self,
        kind: SignalName | SignalTuple,
        fn: Callable[[Any], object],
        *,
        policy: Policy | None = None,
        concurrency: int | None = None,
        retry: Retry | int | None = None,
        timeout: float | None = None,
        on_failed: Callable[[SubscriberFailed], object] | None = None,
    ) -> Disposable: ...
    @overload
    def on(
        self,
        kind: TypeForm[S],
        fn: Callable[[S], object],
        *,
        policy: Policy | None = None,
        concurrency: int | None = None,
        retry: Retry | int | None = None,
        timeout: float | None = None,
        on_failed: Callable[[SubscriberFailed], object] | None = None,
    ) -> Disposable: ...
    @overload
    def on(self, kind: object, /, *, on_failed: Callable[[SubscriberFailed], object] | None = None) -> Disposable: ...
    def on(
        self,
        kind: Any,
        fn: Callable[[Any], object] | None = None,
        *,
        policy: Policy | None = None,
        concurrency: int | None = None,
        retry: Retry | int | None = None,
        timeout: float | None = None,
        on_failed: Callable[[SubscriberFailed], object] | None = None,
    ) -> Disposable:
        """Call a function with each of its signals of a kind, or an object's marked methods: :meth:`RunStream.on`.

        Args:
            kind: A signal class or a base of some, a type string, a tuple of these, or a union; or, without a
                function, an object with marked methods.
            fn: The function.
            policy: For coroutine functions: ``"wait"`` (the default) or ``"error"``.
            concurrency: For coroutine functions: how many calls are made at a time; 64 by default.
            retry: For coroutine functions: how many times a call that raised is repeated, or a :class:`Retry`.
            timeout: For coroutine functions: seconds after which a call is cancelled.
            on_failed: Called with the :class:`SubscriberFailed` when a signal could not be processed.

        Returns:
            A disposable that ends the subscription at once.

        Raises:
            TypeError: ``kind`` names no signal, an option for coroutine functions is given for a plain one, or the
                object has no marked method.
            ValueError: An unknown type string or policy, or a number outside its range.
        """
        return self._on(
            kind,
            fn,
            policy=policy,
            concurrency=concurrency,
            retry=retry,
            timeout=timeout,
            on_failed=on_failed,
            run_id=self.run_id,
            scope=self.scope,
        )

    @overload
    def iter(
        self, kind: Literal["signals"] = "signals", *, policy: Policy | None = None, replay: Literal[False] = False
    ) -> StreamIterator[Signal]: ...
    @overload
    def iter(
        self, kind: Literal["signals"] = "signals", *, policy: Policy | None = None, replay: Literal[True]
    ) -> StreamIterator[StateSnapshot | Signal]: ...
    @overload
    def iter(self, kind: Literal["states"], *, policy: Policy | None = None) -> StreamIterator[RunState]: ...
    def iter(self, kind: str = "signals", *, policy: Policy | None = None, replay: bool = False) -> StreamIterator[Any]:
        """An asynchronous iterator over its signals or states, subscribed from this call on.

        Args:
            kind: ``"signals"``, or ``"states"``: at once if there is one, and the latest of several that wait.
            policy: As for :meth:`RunStream.iter`.
            replay: True for signals that begin with the state: if the run was seen, a :class:`StateSnapshot` comes
                first, then each signal from there on, without a gap or an overlap. After the end of the run the
                snapshot is all.

        Raises:
            ValueError: Another kind, an unknown policy, or ``replay`` for states.
        """
        if kind not in ("signals", "states"):
            raise ValueError(f"{kind!r} of a run can not be iterated; there are 'signals' and 'states'")
        channel = "runs" if kind == "states" else kind
        return self._iterator(channel, policy, self._start, (self.scope, self.run_id), replay=replay)

    def __aiter__(self) -> StreamIterator[Signal]:
        return self.iter()

    async def result(self) -> Run:
        """The run, when it has ended: :meth:`RunStream.result`.

        Raises:
            IncompleteStream: The stream ended first.
        """
        return await self._result(self.run_id, scope=self.scope)

    @overload
    async def when(
        self,
        kind: type[S],
        *,
        predicate: Callable[[S], bool] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - shorter for callers
    ) -> S: ...
    @overload
    async def when(
        self,
        kind: SignalName,
        *,
        predicate: Callable[[Any], bool] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - shorter for callers
    ) -> Signal: ...
    @overload
    async def when(  # type: ignore[overload-overlap]
        self,
        kind: tuple[type[S], type[S2]],
        *,
        predicate: Callable[[S | S2], bool] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - shorter for callers
    ) -> S | S2: ...
    @overload
    async def when(  # type: ignore[overload-overlap]
        self,
        kind: tuple[type[S], type[S2], type[S3]],
        *,
        predicate: Callable[[S | S2 | S3], bool] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - shorter for callers
    ) -> S | S2 | S3: ...
    @overload
    async def when(
        self,
        kind: SignalTuple,
        *,
        predicate: Callable[[Any], bool] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - shorter for callers
    ) -> Signal: ...
    @overload
    async def when(
        self,
        kind: TypeForm[S],
        *,
        predicate: Callable[[S], bool] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - shorter for callers
    ) -> S: ...
    async def when(
        self,
        kind: Selector,
        *,
        predicate: Callable[[Any], bool] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - shorter for callers
    ) -> Any:
        """Its first signal of a kind, at once if one is true already: :meth:`RunStream.when`.

        Args:
            kind: A signal class or a base of some, a type string, a tuple of these, or a union.
            predicate: Only signals for which it returns true.
            timeout: How long to wait, in seconds; ``None``: any time.

        Raises:
            TimeoutError: There was none in time.
            IncompleteStream: The stream or the run ended without it.
        """
        return await self._when(kind, run_id=self.run_id, scope=self.scope, predicate=predicate, timeout=timeout)

    def __repr__(self) -> str:
        return f"RunView({self.run_id!r}, scope={self.scope!r})"
