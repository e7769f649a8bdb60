"""`RunStream`: any number of sources in; Observables, callbacks, ``async for`` and results out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, TypeVar, Unpack, overload

from msgspec import structs
from reactivex import Observable, abc
from reactivex.disposable import Disposable

from runstream.core.run_filter import Filters, Match
from runstream.core.selection import Selector, signal_classes
from runstream.core.state import RunState
from runstream.dialects.base import Dialect
from runstream.engine.engine import Engine
from runstream.engine.watchdogs import Watchdogs
from runstream.model.events import Event, Reject
from runstream.model.limits import Limits, Stats
from runstream.model.run import Run
from runstream.model.signals import Signal
from runstream.model.validation import require_durations
from runstream.sources.adapters import Adaptable, adapt
from runstream.store.base import StateStore
from runstream.stream.buffers import Gate, Policy
from runstream.stream.channel import OnSubscriberError
from runstream.stream.channels import Channels
from runstream.stream.consumers import StreamIterator
from runstream.stream.error_reports import ErrorReports
from runstream.stream.handlers import on_object
from runstream.stream.persistence import StreamPersistence
from runstream.stream.repairs import Repair, Repairs
from runstream.stream.results import Waiters
from runstream.stream.run_view import LatestStates, RunView
from runstream.stream.source_handle import SourceHandle
from runstream.stream.source_runner import SourceRunner
from runstream.stream.subscriptions import Subscriptions
from runstream.stream.supervision import Supervisor

__all__ = ["RunStream"]

S = TypeVar("S")


class RunStream:
    """Runs as they happen, from any number of sources.

    Reading starts with the first :meth:`result`, :meth:`results`, :meth:`when`, step of ``async for`` or
    :meth:`start`, never before: whoever subscribed until then misses nothing. From then on the stream is hot.
    A late subscriber to :attr:`runs` gets the latest state of every held run at once; events and signals are
    not replayed. When no source is left (and no handler of ``ActionRequired`` is still at work, which may bring
    one), the Observables complete, iteration ends, and who waits gets a result or :class:`IncompleteStream`.

    Not thread-safe: use it in one event loop.

    Args:
        sources: What to read: see :meth:`attach`.
        limits: The bounds of the pipeline.
        dialect: Makes the decoder of each source; the Assistants wire by default.
        clock: Gives the time in Unix seconds, for raw events without a time of arrival.
        on_subscriber_error: ``"log"``, or ``"raise"`` (for tests): the first exception of a subscriber ends the
            stream and is raised from whatever is awaited, at the latest when the context is left.
        wait_timeout: How long one slow asynchronous subscriber may hold the sources, in seconds.
        close_timeout: How long leaving the context may take, in seconds.
        buffer: How many items wait for each asynchronous subscriber.
        max_connections: How many sources are read at once; further ones wait for the end of one, in order
            (``stats.waiting_sources``, :attr:`SourceHandle.waiting`). A source between two connections keeps its
            place. Mind the process's limit of open files.
        watchdogs: Which runs count as stalled, and which of those are ended.
        scheduler: What the watchdogs run on, in the stream's event loop; the running loop's own by default.
        store: Where states and delivered keys are kept, so that a restarted process goes on where this one was.
            If it fails, the stream ends with :class:`StoreError`. Whoever made it closes it, after the stream.
        fetch_run: Gives a run as it is on the server, sync or async, when the stream may have missed something: after
            a reconnect that did not go on where it was, at a skip in the ids, on a stall, when its source ends before
            it. It gets the :class:`RunState`; :class:`Repair` says what it gives, and sets its bounds.

    Raises:
        ValueError: ``buffer`` or ``max_connections`` is less than 1, or a time-out less than 0.
        TypeError: A source is none, or ``fetch_run`` is no function.
    """

    def __init__(
        self,
        *sources: Adaptable,
        limits: Limits | None = None,
        dialect: Callable[[], Dialect] | None = None,
        clock: Callable[[], float] = time.time,
        on_subscriber_error: OnSubscriberError = "log",
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
        self._failures = ErrorReports(on_subscriber_error, self._abort)
        self._closing: asyncio.Event | None = None
        require_durations(wait_timeout=wait_timeout, close_timeout=close_timeout)
        gate = Gate(wait_timeout)
        self._pump = SourceRunner(engine, gate, dialect, self._finish, max_connections)
        self._waiters = Waiters(engine.states, engine.state, engine.expired_reason, engine.is_tombstoned)
        self._care = Supervisor(engine, self._pump, gate, self._waiters, watchdogs, scheduler)
        self._repairs = Repairs(engine, self._pump, gate, fetch_run)
        self._care.repair, self._care.fetching = self._repairs.repair, self._repairs.fetching
        self._channels = Channels(engine, self._failures, self._waiters, self._pump.turns.interrupt)
        held = engine.limits.max_open_runs + engine.limits.max_finished_runs
        journal = engine.journal
        self._keeping = (
            StreamPersistence(engine, journal, self._waiters, self._end_with) if journal is not None else None
        )
        self._doors = Subscriptions(
            self._channels.all,
            gate,
            self._pump,
            self._failures,
            self.attach,
            size=buffer,
            held_runs=held,
            leavers=self._keeping.leavers if self._keeping is not None else None,
        )
        for source in sources:
            self.attach(source)

    @property
    def events(self) -> Observable[Event]:
        """What the wire said, decoded and deduplicated."""
        return self._channels.events.observable

    @property
    def runs(self) -> Observable[RunState]:
        """The latest state of each run, after each change; late subscribers get the held ones first."""
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
        """The states held now, by run id, or by (scope, run id) for runs in a scope; a live view."""
        return LatestStates(self._engine)

    @property
    def stats(self) -> Stats:
        """What happened so far, in counts."""
        return structs.replace(
            self._engine.stats(),
            failures=self._failures.count,
            conflated=self._doors.conflated,
            loop_stalls=self._care.loop_stalls,
            open_sources=self._pump.reading,
            waiting_sources=self._pump.waiting,
        )

    @property
    def orphans(self) -> dict[str, tuple[Event, ...]]:
        """Events of runs that were not seen, by the id (of the run, message or step) that they speak of."""
        return self._engine.orphans()

    def attach(self, source: Adaptable, *, scope: str = "", name: str | None = None) -> SourceHandle:
        """Add a source, before or while the stream is read.

        Args:
            source: A :class:`~runstream.sources.base.Source`, or an iterable, async iterable or Observable of raw
                events, JSON envelopes (bytes or text, each a whole message) or mappings.
            scope: Runs are told apart by (scope, id).
            name: Its name in signals and rejects, instead of its own; a second one of a name gets a number.

        Returns:
            Its handle, with ``remove()`` and ``done``.

        Raises:
            TypeError: It is nothing of the kind.
            RuntimeError: The stream has ended. To keep it open while there is no source, use :meth:`hold`.
        """
        made = adapt(source, name)
        return self._pump.attach(made, scope, name or made.name)

    def restore(self, run_id: str | None = None, *, scope: str | None = None) -> tuple[RunState, ...]:
        """Take up runs from the store before a source speaks of them, and return their states.

        A restarted process sees by this which runs wait for action: what was delivered before the restart is not
        delivered again, :class:`ActionRequired` neither. Runs of a source are taken up when it is attached.

        Args:
            run_id: One run, ended or not; all that have not ended by default.
            scope: The run's scope, "" by default; of all runs, only those of this scope.

        Returns:
            The states, those held already included; empty without a store, or where it has none.

        Raises:
            StoreError: The store can't be read.
        """
        return self._keeping.restore(run_id, scope) if self._keeping is not None else ()

    @overload
    def on(
        self,
        kind: type[S],
        fn: Callable[[S], object],
        *,
        policy: Policy | None = None,
        **filters: Unpack[Filters],
    ) -> Disposable: ...
    @overload
    def on(
        self,
        kind: Selector,
        fn: Callable[[Any], object],
        *,
        policy: Policy | None = None,
        **filters: Unpack[Filters],
    ) -> Disposable: ...
    @overload
    def on(self, kind: object, /, **filters: Unpack[Filters]) -> Disposable: ...
    def on(
        self,
        kind: Any,
        fn: Callable[[Any], object] | None = None,
        *,
        policy: Policy | None = None,
        **filters: Unpack[Filters],
    ) -> Disposable:
        """Call a function with each signal of a kind, or the methods of an object that are marked by :func:`handles`.

        A plain function is called as the signal happens, and slows the source while it runs. A coroutine function
        has a buffer and a task of its own: one call at a time, in order. What either raises is logged. A handler
        of :class:`ActionRequired` may return a source (or async iterable, iterator, Observable, or list of raw events):
        it is attached in the same scope, and the stream does not end while such a handler is at work.

        Args:
            kind: A signal class or a base of some, a type string, a tuple of these, or a union; or, without a
                function, an object with marked methods.
            fn: The function.
            policy: For coroutine functions: ``"wait"`` (the default: a full buffer holds the sources, for
                ``wait_timeout`` seconds at most) or ``"error"`` (a full buffer ends this subscription).
            filters: Only signals of runs that are as :class:`Filters` says: ``run_id``, ``scope``, ``thread_id``,
                ``assistant_id``, ``metadata``. By id it costs the same however many subscribe, each to its run;
                with id and scope the subscription ends with the run.

        Returns:
            A disposable that ends the subscription at once; of an object: of all its methods.

        Raises:
            TypeError: ``kind`` names no signal, a policy is given for a plain function, or the object has no
                marked method.
            ValueError: An unknown type string or policy.
        """
        match = Match(filters, self._run_of)
        if fn is not None:
            return self._doors.on(signal_classes(kind), fn, match, policy)
        return on_object(self._doors.on, kind, match, policy)

    def run(self, run_id: str, *, scope: str = "") -> RunView:
        """One run of this stream, seen or not seen yet: its state, its signals, its end.

        Made at no cost (with a store: of one read, if the run is not held), and any number of subscriptions, each to
        its run, cost a signal one look-up together.

        Args:
            run_id: The run's id.
            scope: Its scope.
        """
        self._know(run_id, scope)
        return RunView(self, self._channels, self._doors, run_id, scope)

    @overload
    def iter(self, kind: Literal["signals"] = "signals", *, policy: Policy | None = None) -> StreamIterator[Signal]: ...
    @overload
    def iter(self, kind: Literal["runs"], *, policy: Policy | None = None) -> StreamIterator[RunState]: ...
    @overload
    def iter(self, kind: Literal["events"], *, policy: Policy | None = None) -> StreamIterator[Event]: ...
    def iter(self, kind: str = "signals", *, policy: Policy | None = None) -> StreamIterator[Any]:
        """An asynchronous iterator over one channel, subscribed from this call on; its first step starts reading.

        Args:
            kind: ``"signals"``, ``"runs"`` or ``"events"``.
            policy: ``"wait"`` (the default for signals and events), ``"error"``, or for runs ``"latest"`` (their
                default: of several states of one run that wait, the last is given).

        Raises:
            ValueError: An unknown channel or policy.
        """
        return self._doors.iterator(kind, policy, self.start)

    def __aiter__(self) -> StreamIterator[Signal]:
        return self.iter()

    def start(self) -> None:
        """Start reading; only the first call counts. Must be called in a running event loop.

        Raises:
            RuntimeError: No event loop is running.
        """
        if not self._pump.ended:
            self._care.start()
            self._pump.start()

    async def result(self, run_id: str | None = None, *, scope: str = "") -> Run:
        """The run, as soon as it has ended, in whatever way: a failed run is a value.

        Args:
            run_id: Which run; not needed while the stream has only one (in this scope).
            scope: The run's scope.

        Raises:
            SeveralRuns: No id was given and the stream has several runs.
            IncompleteStream: The stream ended first (its cause is the :class:`SourceFailed`, if a source failed), or
                the run was seen and is forgotten (see :class:`Limits`).
        """
        self._know(run_id, scope)
        self.start()
        return await self._told(self._waiters.result(run_id, scope))

    async def results(self) -> tuple[Run, ...]:
        """All runs in order of appearance, once the stream has ended and each of them too.

        Runs that ended and were forgotten (see :class:`Limits`) before this call are not among them.

        Raises:
            IncompleteStream: A run was left open, none was seen, or a source failed before it gave anything.
        """
        self.start()
        return await self._told(self._waiters.results())

    @overload
    async def when(
        self,
        kind: type[S],
        *,
        run_id: str | None = None,
        scope: str | None = None,
        predicate: Callable[[S], bool] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the shortest way to say it
    ) -> S: ...
    @overload
    async def when(
        self,
        kind: Selector,
        *,
        run_id: str | None = None,
        scope: str | None = None,
        predicate: Callable[[Any], bool] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the shortest way to say it
    ) -> Any: ...
    async def when(
        self,
        kind: Selector,
        *,
        run_id: str | None = None,
        scope: str | None = None,
        predicate: Callable[[Any], bool] | None = None,
        timeout: float | None = None,  # noqa: ASYNC109 - the shortest way to say it
    ) -> Any:
        """The first signal of a kind; at once if a run's own signal is true already.

        That a run was created or has ended stays true; that it waits for action, or was interrupted, only until
        it goes on.

        Args:
            kind: As for :meth:`on`.
            run_id: Only signals of this run.
            scope: Only signals of this scope; of any by default.
            predicate: Only signals for which this is true.
            timeout: How long to wait, in seconds.

        Raises:
            TimeoutError: It did not happen in time.
            IncompleteStream: The stream ended without it, or the run ended otherwise.
        """
        kinds = signal_classes(kind)
        self._know(run_id, scope or "")
        self.start()
        waiting = self._waiters.when(kinds, run_id, scope, predicate, timeout, self._channels.rewire)
        return await self._told(waiting)

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the stream from ending while there is no source, because one will be attached."""
        self._pump.hold()
        try:
            yield
        finally:
            self._pump.release()

    async def __aenter__(self) -> RunStream:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is not None and self._keeping is not None:
            self._keeping.leavers.forsake()
        # After an error handlers may still finish what they have; a cancelled task wants to leave now.
        await self._close(drain=error is None or isinstance(error, Exception))
        if error is None and self._failures.first is not None and not self._failures.seen:
            raise self._failures.first

    async def aclose(self) -> None:
        """Stop all sources, let handlers finish what waits for them, and leave no task behind.

        What is not done after ``close_timeout`` seconds is cancelled. Runs that had not ended are interrupted.
        """
        await self._close(drain=True)

    async def _close(self, *, drain: bool) -> None:
        if self._closing is not None:
            await self._closing.wait()
            return
        self._closing = asyncio.Event()
        try:
            await self._repairs.close()
            await self._doors.close(self._close_timeout, drain=drain)
        finally:
            self._closing.set()

    async def _told(self, waiting: Coroutine[Any, Any, S]) -> S:
        """Await something, and note if it is a subscriber's exception that comes of it."""
        try:
            return await waiting
        except Exception as error:
            self._failures.raised(error)
            raise

    def _know(self, run_id: str | None, scope: str) -> None:
        if run_id is not None and self._keeping is not None:
            self._keeping.know(run_id, scope)

    def _run_of(self, run_id: str, scope: str) -> Run | None:
        record = self._engine.registry.record(scope, run_id)
        return record.run if record is not None else None

    def _finish(self) -> None:
        self._care.stop()
        self._channels.complete()
        self._waiters.end(self._pump.ending())

    def _abort(self, error: Exception) -> None:
        """A subscriber raised and tests want to know."""
        if error is self._failures.first:
            self._end_with(error, "a subscriber failed")

    def _end_with(self, error: Exception, reason: str = "the state store failed") -> None:
        """End everything, but not in the middle of a dispatch."""
        self._waiters.fail(error)
        asyncio.get_running_loop().call_soon(self._die, error, reason)
        self._pump.breathe()

    def _die(self, error: Exception, reason: str) -> None:
        self._channels.error(error)
        self._pump.close(reason)
        self._pump.end()
