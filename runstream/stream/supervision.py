"""Supervises a stream while it is read: watchdogs of its runs, a time-out of silent sources, a monitor of the loop."""

from __future__ import annotations

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

from reactivex import abc
from reactivex.scheduler.eventloop import AsyncIOScheduler

from runstream.core.run_record import RunRecord
from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.engine.source_state import SourceState
from runstream.engine.watchdogs import Watchdogs, WatchdogTimer, check_watchdogs
from runstream.errors import SourceFailed
from runstream.logs import LOG
from runstream.model.validation import check_instances
from runstream.stream.buffers import Gate
from runstream.stream.results import StreamResults
from runstream.stream.source_handle import SourceHandle
from runstream.stream.source_runner import SourceRunner

__all__ = ["LoopMonitor", "SilenceTimeout", "Supervisor"]


STALL_SECONDS: Final = 1.0
"""A loop that calls back later than this is logged."""


class Supervisor:
    """Starts with the reading, and stops with the stream.

    Args:
        engine: The engine whose runs are watched.
        runner: The sources, which are removed with their runs if the watchdogs close them.
        gate: Knows whether a subscriber blocks the sources.
        results: Receives each run that a watchdog has ended.
        watchdogs: The limits, if there are any.
        scheduler: Runs the watchdogs; the running loop's scheduler by default.

    Attributes:
        on_stall: Called for each stall with the run's state and the reason.
        is_fetching: Returns True for the state of a run that is being fetched.
    """

    def __init__(
        self,
        engine: Engine,
        runner: SourceRunner,
        gate: Gate,
        results: StreamResults,
        watchdogs: Watchdogs | None,
        scheduler: abc.SchedulerBase | None,
    ) -> None:
        check_watchdogs(watchdogs)
        check_instances(abc.SchedulerBase, "an Rx scheduler", scheduler=scheduler)
        self.on_stall: Callable[[RunState, str], None] | None = None
        self.is_fetching: Callable[[RunState], bool] = lambda state: False
        self._engine = engine
        self._runner = runner
        self._gate = gate
        self._results = results
        self._watchdogs = watchdogs
        self._scheduler = scheduler
        self._monitor = LoopMonitor()
        self._watcher: WatchdogTimer | None = None
        self._silence: SilenceTimeout | None = None
        self._started = False

    @property
    def loop_stalls(self) -> int:
        """How many times the loop was blocked."""
        return self._monitor.count

    def start(self) -> None:
        """Start; only the first call has an effect."""
        if self._started:
            return
        self._started = True
        self._monitor.start()
        if self._watchdogs is not None:
            scheduler = self._scheduler or AsyncIOScheduler(asyncio.get_running_loop())
            if self._watchdogs.silent is not None:
                self._silence = SilenceTimeout(self._watchdogs.silent, scheduler, self._runner.fail)
                self._runner.on_reading, self._runner.on_reading_ended = self._silence.watch, self._silence.unwatch
            self._watcher = WatchdogTimer(
                self._engine,
                self._watchdogs,
                scheduler,
                blocked=lambda: not self._gate.open,
                run_call=self._runner.queue.run,
                on_stalled=self._on_stalled,
                on_end=self._on_end,
                fetching=self.is_fetching,
            )
            self._watcher.start()

    def stop(self) -> None:
        """Stop all timers."""
        self._monitor.stop()
        if self._silence is not None:
            self._runner.on_reading = self._runner.on_reading_ended = None
            self._silence.stop()
        if self._watcher is not None:
            self._watcher.stop()

    def _on_stalled(self, state: RunState, limit: str) -> None:
        if self.on_stall is not None:
            self.on_stall(state, f"stalled: {limit}")

    def _on_end(self, record: RunRecord, source: SourceState, reason: str) -> None:
        self._results.expire(record.state, reason)
        if self._watchdogs is not None and self._watchdogs.close_sources and not source.open:
            self._runner.remove_source(source, reason)


class SilenceTimeout:
    """Fails each source that delivers nothing within a time after its reading began. One timer serves all sources.

    The runs of such a source are unknown, so no watchdog of a run can detect it.

    Args:
        limit: The time (seconds).
        scheduler: Has the clock and the timer.
        fail: Ends a source with an error.
    """

    def __init__(
        self, limit: float, scheduler: abc.SchedulerBase, fail: Callable[[SourceHandle, SourceFailed], None]
    ) -> None:
        self._limit = limit
        self._scheduler = scheduler
        self._fail = fail
        self._due: OrderedDict[SourceHandle, float] = OrderedDict()  # in order of time, as the limit is the same
        self._timer: abc.DisposableBase | None = None

    def watch(self, handle: SourceHandle) -> None:
        """Watch a source whose reading begins."""
        self._due[handle] = self._now() + self._limit
        if self._timer is None:
            self._schedule()

    def unwatch(self, handle: SourceHandle) -> None:
        """Stop watching a source: it has ended."""
        self._due.pop(handle, None)

    def stop(self) -> None:
        """Stop watching all sources."""
        self._due.clear()
        if self._timer is not None:
            self._timer.dispose()
            self._timer = None

    def _now(self) -> float:
        return self._scheduler.to_seconds(self._scheduler.now)

    def _schedule(self) -> None:
        first = next(iter(self._due.values()))
        self._timer = self._scheduler.schedule_relative(max(first - self._now(), 0.0), self._check)

    def _check(self, *_: Any) -> None:
        self._timer = None
        now = self._now()
        while self._due:
            handle, due = next(iter(self._due.items()))
            if not handle.fed and due > now:
                break
            del self._due[handle]
            if not handle.fed:
                self._fail(handle, SourceFailed(f"it gave nothing within {self._limit:g} s (silent)"))
        if self._due:
            self._schedule()


# The time at which a stall of each loop was last logged: several streams of one loop see the same one.
_LOGGED: Final[WeakKeyDictionary[asyncio.AbstractEventLoop, float]] = WeakKeyDictionary()


class LoopMonitor:
    """Detects that the event loop was blocked: then nothing is read, and no ping is answered. Of the monitors of one
    loop, one logs it.

    It schedules a callback twice within the threshold, and measures how late it is called. The callback that blocked
    the loop is not known: a slow subscriber is also logged, by its name (``slow_subscriber``); asyncio's debug mode
    names any other callback.

    Args:
        threshold: The lateness that is logged (seconds).

    Attributes:
        count: How many times the callback was later.
    """

    def __init__(self, threshold: float = STALL_SECONDS) -> None:
        self.count = 0
        self._threshold = threshold
        self._interval = threshold / 2
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Monitor the running loop."""
        self._schedule(asyncio.get_running_loop())

    def stop(self) -> None:
        """Stop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + self._interval
        self._timer = loop.call_at(due, self._check, loop, due)

    def _check(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        late = loop.time() - due
        if late > self._threshold:
            self.count += 1
            if loop.time() - _LOGGED.get(loop, -math.inf) > self._interval:
                LOG.warning("loop_stalled", seconds=round(late, 3))
            _LOGGED[loop] = loop.time()
        self._schedule(loop)
