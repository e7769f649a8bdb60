"""`RunStream`: any number of sources enter; Observables, callbacks, ``async for`` and results leave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from msgspec import structs
from reactivex import Observable, abc
from reactivex.disposable import Disposable

from runstream.core.run_filter import Filters, RunMatcher
from runstream.core.selection import Selector, SignalName, SignalTuple, signal_classes
from runstream.core.state import RunState
from runstream.core.state_snapshot import StateSnapshot
from runstream.dialects.registry import DialectLike
from runstream.engine.engine import Engine
from runstream.engine.watchdogs import Watchdogs
from runstream.errors import SubscriberFailed, SubscribersFailed
from runstream.model.callables import check_call
from runstream.model.events import Event, Reject
from runstream.model.limits import Limits, Stats
from runstream.model.run import Run
from runstream.model.signal_base import BaseSignal
from runstream.model.signals import Signal
from runstream.model.validation import check_durations, check_instances, check_numbers
from runstream.sources.adapters import Adaptable, adapt
from runstream.store.base import StateStore
from runstream.stream.buffers import Gate, Policy
from runstream.stream.channel import OnSubscriberError
from runstream.stream.channels import Channels
from runstream.stream.consumers import StreamIterator
from runstream.stream.error_reports import ErrorReports
from runstream.stream.failures import Failures
from runstream.stream.handler_methods import subscribe_methods
from runstream.stream.handler_options import HandlerOptions, Retry
from runstream.stream.persistence import StreamPersistence
from runstream.stream.repairs import Repair, Repairs
from runstream.stream.replay import Replay
from runstream.stream.results import StreamResults
from runstream.stream.run_view import LatestStates, RunView
from runstream.stream.source_handle import SourceHandle
from runstream.stream.source_runner import SourceRunner
from runstream.stream.subscriber_set import no_op
from runstream.stream.subscriptions import Subscriptions
from runstream.stream.supervision import Supervisor

if TYPE_CHECKING:
    from typing_extensions import TypeForm

__all__ = ["RunStream"]

S = TypeVar("S", bound=BaseSignal)
S2 = TypeVar("S2", bound=BaseSignal)
S3 = TypeVar("S3", bound=BaseSignal)
T = TypeVar("T")


class RunStream:
    """Runs as they happen, from any number of sources.

    Reading starts with the first :meth:`result`, :meth:`results`, :meth:`when`, step of ``async for`` or
    :meth:`start`, never before: earlier subscribers miss nothing. From then on the stream is hot. A late subscriber
    to :attr:`runs` receives the latest state of every run in memory at once; events and signals are not replayed.
    When no source is left (and no handler of ``ActionRequired`` is running, which may attach one), the Observables
    complete, iteration ends, and waiting tasks get a result or :class:`IncompleteStream`.

    Not thread-safe: use it in one event loop.

    Args:
        sources: The sources: see :meth:`attach`.
        limits: The bounds of the pipeline.
        dialect: The dialect of each source that has none of its own: the name of a registered one, or a factory (see
            :func:`register_dialect`); ``"auto"`` by default: the first event that a registered dialect recognises
            decides, and :attr:`SourceHandle.dialect` has its name.
        clock: Returns the time in Unix seconds, for raw events without a time of arrival.
        on_subscriber_error: ``"log"``; a function, which is called with each :class:`SubscriberFailed`, beside the
            log; or ``"raise"`` (for tests): the first exception of a subscriber ends the stream and is raised to the
            awaiting task, at the latest when the context is left.
        wait_timeout: How long one slow asynchronous subscriber may block the sources, in seconds.
        close_timeout: How long leaving the context may take, in seconds.
        buffer: The maximum number of items that wait for each asynchronous subscriber.
        max_connections: How many sources are read at once; further ones wait for the end of one, in order
            (``stats.waiting_sources``, :attr:`SourceHandle.waiting`). A source between two connections keeps its
            place. Mind the process's limit of open files.
        watchdogs: Which runs count as stalled, and which of those are ended.
        scheduler: Runs the watchdogs, in the stream's event loop; the running loop's scheduler by default.
        store: Stores states and delivered keys, so that a restarted process continues where this one stopped.
            If it fails, the stream ends with :class:`StoreError`. Its owner closes it, after the stream.
        fetch_run: Returns a run as it is on the server, sync or async, when the stream may have a gap: after
            a reconnect that did not resume, at a skipped id, on a stall, when its source ends before it. It takes the
            :class:`RunState`; :class:`Repair` describes what it returns, and has its bounds.

    Raises:
        ValueError: ``buffer`` or ``max_connections`` is less than 1, a time-out less than 0, or the dialect is not
            registered.
        TypeError: A source or another argument has another type, such as a path as ``store``; or a function can't be
            called as it will be.
    """

    def __init__(
        self,
        *sources: Adaptable,
        limits: Limits | None = None,
        dialect: DialectLike | None = None,
        clock: Callable[[], float] = time.time,
        on_subscriber_error: OnSubscriberError | Callable[[SubscriberFailed], object] = "log",
        wait_timeout: float = 30.0,
        close_timeout: float = 5.0,
        buffer: int = 1024,
        max_connections: int = 2_048,
        watchdogs: Watchdogs | None = None,
        scheduler: abc.SchedulerBase | None = None,
        store: StateStore | None = None,
        fetch_run: Callable[[RunState], Any] | Repair | None = None,
    ) -> None:
        self._engine = engine = Engine(limits=limits, clock=clock, progress=False, store=store)
        self._close_timeout = close_timeout
        self._failures = Failures(self._source_of, self._redactor_of)
        self._reports = _error_reports(on_subscriber_error, self._on_first_error, self._failures)
        self._closing: asyncio.Event | None = None
        check_durations(wait_timeout=wait_timeout, close_timeout=close_timeout)
        gate = Gate(wait_timeout)
        self._runner = SourceRunner(engine, gate, dialect, self._on_end, max_connections, clock=self._reports.clock)
        self._results = StreamResults(
            engine.states, engine.state, engine.expired_reason, engine.is_tombstoned, self._failures
        )
        self._supervisor = Supervisor(engine, self._runner, gate, self._results, watchdogs, scheduler)
        self._repairs = Repairs(engine, self._runner, gate, fetch_run)
        self._supervisor.on_stall, self._supervisor.is_fetching = self._repairs.request, self._repairs.is_fetching
        self._channels = Channels(engine, self._reports, self._results, self._runner.queue.interrupt)
        journal = engine.journal
        self._persistence = (
            StreamPersistence(engine, journal, self._results, self._end_with) if journal is not None else None
        )
        self._replay = replay = Replay(engine, self._results)
        if self._persistence is not None:
            self._persistence.on_restored, self._persistence.on_repeat = replay.restored, replay.repeat
        self._subscriptions = Subscriptions(
            self._channels.all,
            gate,
            self._runner,
            self._reports,
            size=buffer,
            max_runs=engine.limits.max_open_runs + engine.limits.max_finished_runs,
            replay=replay,
            pending_acks=self._persistence.pending_acks if self._persistence is not None else None,
        )
        for source in sources:
            self.attach(source)

    @property
    def events(self) -> Observable[Event]:
        """The events of the wire, decoded and deduplicated."""
        return self._channels.events.observable

    @property
    def runs(self) -> Observable[RunState]:
        """The latest state of each run, after each change; late subscribers receive those in memory first."""
        return self._channels.runs.observable

    @property
    def signals(self) -> Observable[Signal]:
        """Derived events, once per fact."""
        return self._channels.signals.observable

    @property
    def rejects(self) -> Observable[Reject]:
        """Input that could not be used."""
        return self._channels.rejects.observable

    @property
    def latest(self) -> LatestStates:
        """The states in memory now, by run id, or by (scope, run id) for runs in a scope; a live view."""
        return LatestStates(self._engine)

    @property
    def is_started(self) -> bool:
        """True if reading has started (:meth:`start`)."""
        return self._runner.started

    @property
    def stats(self) -> Stats:
        """Counts of everything that has happened so far."""
        return structs.replace(
            self._engine.stats(),
            failures=self._reports.count,
            conflated=self._subscriptions.conflated,
            backlog=self._subscriptions.backlog,
            loop_stalls=self._supervisor.loop_stalls,
            open_sources=self._runner.reading,
            waiting_sources=self._runner.waiting,
        )

    @property
    def orphans(self) -> dict[str, tuple[Event, ...]]:
        """Events of runs that were not seen, by the id (of the run, message or step) that they refer to."""
        return self._engine.orphans()

    def attach(
        self,
        source: Adaptable,
        *,
        dialect: DialectLike | None = None,
        continues: str | None = None,
        scope: str = "",
        name: str | None = None,
    ) -> SourceHandle:
        """Add a source, before or while the stream is read.

        Args:
            source: A :class:`~runstream.sources.base.Source`, or an iterable, async iterable or Observable of raw
                events, JSON envelopes (bytes or text, each a whole message) or mappings.
            dialect: Its dialect: the name of a registered one, or a factory. By default the one that the source
                names, else that of the source that sent the run which this one continues, else that of the stream.
            continues: The id of the run that it continues, in its scope; the run need not have been seen yet. This has
                precedence over each link on the wire, and objects of the source that name no run belong to this run.
                A source that a handler of ``ActionRequired`` returns continues the run of the signal.
            scope: Runs are identified by (scope, id).
            name: Its name in signals and rejects, instead of its own; a second one of a name gets a number.

        Returns:
            Its handle, with ``remove()`` and ``done``.

        Raises:
            TypeError: The source has another type, or the dialect is neither a name nor a factory.
            ValueError: The dialect is not registered, or the run has ended and so can't be continued.
            StoreError: The run can't be read from the store.
            RuntimeError: The stream has ended. To keep it open while there is no source, use :meth:`keep_open`.
        """
        adapted = adapt(source, name)
        bind = getattr(adapted, "bind", None)
        if bind is not None:
            bind(self.attach)  # a source that brings sources of its own
        return self._runner.attach(adapted, scope, name or adapted.name, dialect, continues)

    def restore(self, run_id: str | None = None, *, scope: str | None = None) -> tuple[RunState, ...]:
        """Read runs from the store before a source has events of them, and return their states.

        A restarted process uses it to find the runs that wait for action: signals that were delivered before the
        restart are not delivered again, nor is :class:`ActionRequired`. The runs of a source are read when it is
        attached.

        Args:
            run_id: One run, ended or not; all that have not ended by default.
            scope: The run's scope, "" by default; of all runs, only those of this scope.

        Returns:
            The states, including those already in memory; empty without a store, or if the store has none.

        Raises:
            StoreError: The store can't be read.
        """
        return self._persistence.restore(run_id, scope) if self._persistence is not None else ()

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
        **filters: Unpack[Filters],
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
        **filters: Unpack[Filters],
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
        **filters: Unpack[Filters],
    ) -> Disposable: ...
    @overload
    def on(
        self,
        kind: object,
        /,
        *,
        on_failed: Callable[[SubscriberFailed], object] | None = None,
        **filters: Unpack[Filters],
    ) -> Disposable: ...
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
        **filters: Unpack[Filters],
    ) -> Disposable:
        """Call a function with each signal of a kind, or the methods of an object that are marked by :func:`handles`.

        A plain function is called as the signal happens, and slows the source while it runs. A coroutine function
        has a buffer: the signals of one run are processed in order, one call at a time, those of several runs at the
        same time. A handler of :class:`ActionRequired` may return a source (or async iterable, iterator, Observable,
        or list of raw events): it is attached in the same scope, continues the run of the signal, and is read in the
        dialect in which that run came. The stream does not end while such a handler is running. If the run has ended
        meanwhile, the source is read as one that continues no run, and emits ``source.error``. Another value than a
        source or ``None`` is a failure of the handler.

        A failure is logged, passed to the stream's ``on_subscriber_error``, and raised by :meth:`results`. It concerns
        no other subscriber.

        Args:
            kind: A signal class or a base of some, a type string, a tuple of these, or a union; or, without a
                function, an object with marked methods.
            fn: The function.
            policy: For coroutine functions: ``"wait"`` (the default: a full buffer blocks the sources, for
                ``wait_timeout`` seconds at most) or ``"error"`` (a full buffer ends this subscription).
            concurrency: For coroutine functions: how many calls are made at a time, each for another run; 64 by
                default. With 1 all signals are processed in the order in which they were received.
            retry: For coroutine functions: how many times a call that raised is repeated, or a :class:`Retry` with the
                delays and the exceptions.
            timeout: For coroutine functions: seconds after which a call is cancelled; it has then failed with
                :class:`TimeoutError`.
            on_failed: Called with the :class:`SubscriberFailed` when a signal could not be processed, after all
                retries, or when the subscription was ended because it was slow; sync or async. It may return what
                the function may return, such as a source that submits the failure as the output. If it returns, the
                failure counts as processed: :meth:`results` does not raise it.
            filters: Only signals of runs that match :class:`Filters`: ``run_id``, ``scope``, ``thread_id``,
                ``assistant_id``, ``metadata``, ``path``. Subscriptions by id, each to its run, cost the same whatever
                their number; with id and scope a subscription ends with the run.

        Returns:
            A disposable that ends the subscription at once; of an object: of all its methods.

        Raises:
            TypeError: ``kind`` names no signal, the function can't be called with the signal alone, an option for
                coroutine functions is given for a plain one, or the object has no marked method.
            ValueError: An unknown type string or policy, or a number outside its range.
        """
        match = RunMatcher(filters, self._run_of)
        options = HandlerOptions(policy, concurrency, retry, timeout, on_failed)
        if fn is not None:
            return self._subscriptions.on(signal_classes(kind), fn, match, options)
        return subscribe_methods(self._subscriptions.on, kind, match, options)

    def run(self, run_id: str, *, scope: str = "") -> RunView:
        """One run of this stream, seen or not seen yet: its state, its signals, its end.

        It costs nothing (with a store: one read, if the run is not in memory). Any number of subscriptions, each to
        its run, cost one look-up a signal together.

        Args:
            run_id: The run's id.
            scope: Its scope.
        """
        self._load_run(run_id, scope)
        return RunView(
            run_id,
            scope,
            state=self._engine.state,
            channels=self._channels,
            iterator=self._subscriptions.iterator,
            start=self.start,
            on=self.on,
            result=self.result,
            when=self.when,
            snapshots=self._replay.snapshots,
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
    def iter(self, kind: Literal["runs"], *, policy: Policy | None = None) -> StreamIterator[RunState]: ...
    @overload
    def iter(self, kind: Literal["events"], *, policy: Policy | None = None) -> StreamIterator[Event]: ...
    def iter(self, kind: str = "signals", *, policy: Policy | None = None, replay: bool = False) -> StreamIterator[Any]:
        """An asynchronous iterator over one channel, subscribed from this call on; its first step starts reading.

        Args:
            kind: ``"signals"``, ``"runs"`` or ``"events"``.
            policy: ``"wait"`` (the default for signals and events), ``"error"``, or for runs ``"latest"`` (their
                default: the latest of several states of one run that wait).
            replay: True for signals that begin with the state: first a :class:`StateSnapshot` of each run in memory,
                then each signal from there on, without a gap or an overlap. A run that begins later has no snapshot:
                its signals are whole. With a store, one that is read later has its snapshot before its first signal.

        Raises:
            ValueError: An unknown channel or policy, or ``replay`` for another channel than signals.
        """
        return self._subscriptions.iterator(kind, policy, self.start, replay=replay)

    def __aiter__(self) -> StreamIterator[Signal]:
        return self.iter()

    def follow(
        self, on_item: Callable[[StateSnapshot | Signal], object], on_end: Callable[[], object] = no_op
    ) -> Disposable:
        """Call a plain function with what ``iter(replay=True)`` gives, as it happens; for sinks of many clients.

        Args:
            on_item: Called with the snapshot of each run in memory, then with all that follows.
            on_end: Called at the end of the stream.

        Returns:
            A disposable that ends the subscription at once.
        """
        return self._subscriptions.follow(on_item, on_end)

    def snapshots(self) -> tuple[StateSnapshot, ...]:
        """The snapshots of all runs in memory, as ``iter(replay=True)`` begins with them, in order of appearance.

        Between two signals, as in any task, the signals that follow continue them. In a callback they may be ahead.
        """
        return tuple(self._replay.snapshots(None))

    def start(self) -> None:
        """Start reading; only the first call has an effect. Must be called in a running event loop.

        Raises:
            RuntimeError: No event loop is running.
        """
        if not self._runner.ended:
            self._supervisor.start()
            self._runner.start()

    async def result(self, run_id: str | None = None, *, scope: str = "") -> Run:
        """The run, as soon as it has ended, with any status: a failed run is a value.

        Args:
            run_id: Which run; not needed while the stream has only one (in this scope). With a store, the only run
                that a source of this stream has sent since it was attached; a source that resumes at its stored place
                counts as having sent its stored runs. Other stored runs are reached by their id.
            scope: The run's scope.

        Raises:
            SeveralRuns: No id was given and the stream has several runs.
            IncompleteStream: The stream ended first (its cause is the exception of the handler on whose answer the run
                waits, the :class:`SourceFailed` or the :class:`ServerError`, if there is one), or the run was seen
                and is forgotten (see :class:`Limits`).
        """
        self._load_run(run_id, scope)
        self.start()
        return await self._noting_errors(self._results.result(run_id, scope))

    async def results(self) -> tuple[Run, ...]:
        """All runs in order of appearance, once the stream has ended and each of them too.

        It also waits until the handlers have processed their signals, at most ``close_timeout`` seconds. Runs that
        ended and were forgotten (see :class:`Limits`) before this call are not included; with a store, neither are
        runs that ended in an earlier process, unless a source of this stream has sent them or resumes behind them.

        Raises:
            IncompleteStream: A run was left open, none was seen, or a source failed before it delivered anything.
            SubscribersFailed: All runs have ended (``runs``), but a handler or another subscriber raised or was ended
                for being slow, and no ``on_failed`` of a handler has processed that.
        """
        self.start()
        runs = await self._noting_errors(self._results.results())
        await self._subscriptions.drain(self._close_timeout)
        if self._failures.unhandled:
            raise SubscribersFailed(self._failures.unhandled, runs)
        return runs

    @overload
    async def when(
        self,
        kind: type[S],
        *,
        run_id: str | None = None,
        scope: str | None = None,
        predicate: Callable[[S], bool] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - shorter for callers
    ) -> S: ...
    @overload
    async def when(
        self,
        kind: SignalName,
        *,
        run_id: str | None = None,
        scope: str | None = None,
        predicate: Callable[[Any], bool] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - shorter for callers
    ) -> Signal: ...
    @overload
    async def when(  # type: ignore[overload-overlap]
        self,
        kind: tuple[type[S], type[S2]],
        *,
        run_id: str | None = None,
        scope: str | None = None,
        predicate: Callable[[S | S2], bool] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - shorter for callers
    ) -> S | S2: ...
    @overload
    async def when(  # type: ignore[overload-overlap]
        self,
        kind: tuple[type[S], type[S2], type[S3]],
        *,
        run_id: str | None = None,
        scope: str | None = None,
        predicate: Callable[[S | S2 | S3], bool] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - shorter for callers
    ) -> S | S2 | S3: ...
    @overload
    async def when(
        self,
        kind: SignalTuple,
        *,
        run_id: str | None = None,
        scope: str | None = None,
        predicate: Callable[[Any], bool] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - shorter for callers
    ) -> Signal: ...
    @overload
    async def when(
        self,
        kind: TypeForm[S],
        *,
        run_id: str | None = None,
        scope: str | None = None,
        predicate: Callable[[S], bool] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - shorter for callers
    ) -> S: ...
    async def when(
        self,
        kind: Selector,
        *,
        run_id: str | None = None,
        scope: str | None = None,
        predicate: Callable[[Any], bool] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - shorter for callers
    ) -> Any:
        """The first signal of a kind, at once if a signal about a run as a whole is true already.

        That a run was created or has ended stays true; that it waits for action, or was interrupted, is true until
        it continues.

        Args:
            kind: As for :meth:`on`.
            run_id: Only signals of this run; by default of each run that a source of this stream has sent, as for
                :meth:`result`.
            scope: Only signals of this scope; of any by default.
            predicate: Only signals for which this is true.
            timeout: How long to wait, in seconds.

        Raises:
            TimeoutError: There was none in time.
            TypeError: ``kind`` names no signal, or another argument has another type.
            IncompleteStream: The stream or the run ended without it.
        """
        kinds = signal_classes(kind)
        check_numbers("a number of seconds, or None", timeout=timeout)
        if predicate is not None:
            check_instances(Callable, "a function", predicate=predicate)
            check_call(predicate, "a predicate", "the signal")
        self._load_run(run_id, scope or "")
        self.start()
        signal = self._results.when(kinds, run_id, scope, predicate, timeout, self._channels.rewire)
        return await self._noting_errors(signal)

    def interrupt(self, run_id: str, reason: str, *, scope: str = "") -> None:
        """Interrupt a run that has no source any more and will not continue, such as one whose calls stay unanswered.

        :class:`RunInterrupted` and the :class:`~runstream.IncompleteStream` of :meth:`result` have the reason. A later
        event of the run resumes it. It has no effect on a run that is not known or has ended.

        Args:
            run_id: The id of the run.
            reason: The reason, in words of the application.
            scope: The scope of the run.
        """
        record = self._engine.registry.record(scope, run_id)
        if record is not None and not record.state.is_terminal:
            self._runner.interrupt(record, reason)

    @contextmanager
    def keep_open(self) -> Iterator[None]:
        """Keep the stream from ending while there is no source, because one will be attached."""
        self._runner.keep_open()
        try:
            yield
        finally:
            self._runner.release()

    async def __aenter__(self) -> RunStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and self._persistence is not None:
            self._persistence.pending_acks.cancel()
        # After an error handlers may still process their values; a cancelled task has to leave now.
        await self._close(drain=error is None or isinstance(error, Exception))
        if error is None and self._reports.first is not None and not self._reports.seen:
            raise self._reports.first

    async def aclose(self) -> None:
        """Stop all sources, let handlers process the signals that wait for them, and leave no task behind.

        After ``close_timeout`` seconds the remaining tasks are cancelled. Runs that had not ended are interrupted.
        """
        await self._close(drain=True)

    async def _close(self, *, drain: bool) -> None:
        if self._closing is not None:
            await self._closing.wait()
            return
        self._closing = asyncio.Event()
        try:
            await self._repairs.close()
            await self._subscriptions.close(self._close_timeout, drain=drain)
        finally:
            self._closing.set()

    async def _noting_errors(self, awaitable: Coroutine[Any, Any, T]) -> T:
        """Await something, and note an exception of a subscriber that is raised by it."""
        try:
            return await awaitable
        except Exception as error:
            self._reports.note_raised(error)
            raise

    def _load_run(self, run_id: str | None, scope: str) -> None:
        if run_id is not None and self._persistence is not None:
            self._persistence.load_run(run_id, scope)

    def _run_of(self, run_id: str, scope: str) -> Run | None:
        record = self._engine.registry.record(scope, run_id)
        return record.run if record is not None else None

    def _source_of(self, scope: str, run_id: str) -> str | None:
        record = self._engine.registry.record(scope, run_id)
        return record.source.name if record is not None and record.source is not None else None

    def _redactor_of(self, scope: str, source: str) -> Callable[[str], str] | None:
        return self._runner.redactor_of(scope, source)

    def _on_end(self) -> None:
        self._supervisor.stop()
        self._channels.complete()
        self._results.end(self._runner.stream_end())

    def _on_first_error(self, error: Exception) -> None:
        """End the stream with the first exception of a subscriber, in mode ``"raise"``."""
        if error is self._reports.first:
            self._end_with(error, "a subscriber failed")

    def _end_with(self, error: Exception, reason: str = "the state store failed") -> None:
        """End the stream with an error, but not in the middle of a delivery."""
        self._results.fail(error)
        asyncio.get_running_loop().call_soon(self._end_now, error, reason)
        self._runner.yield_to_loop()

    def _end_now(self, error: Exception, reason: str) -> None:
        self._channels.error(error)
        self._runner.close(reason)
        self._runner.end()


def _error_reports(
    on_subscriber_error: OnSubscriberError | Callable[[SubscriberFailed], object],
    notify: Callable[[Exception], None],
    failures: Failures,
) -> ErrorReports:
    if isinstance(on_subscriber_error, str):
        return ErrorReports(on_subscriber_error, notify, failures)
    if not callable(on_subscriber_error):
        raise TypeError(
            f"on_subscriber_error is 'log', 'raise' or a function, not a {type(on_subscriber_error).__name__}"
        )
    check_call(on_subscriber_error, "on_subscriber_error", "the failure")
    return ErrorReports("log", failures=failures, hook=on_subscriber_error)
