"""What looks after a stream while it is read: the watchdogs of its runs, and the monitor of its loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from reactivex import abc
from reactivex.scheduler.eventloop import AsyncIOScheduler

from runstream.core.run_record import RunRecord
from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.engine.source_state import SourceState
from runstream.engine.watchdogs import Watchdogs, WatchdogTimer
from runstream.stream.buffers import Gate
from runstream.stream.loop_monitor import LoopMonitor
from runstream.stream.silence_timeout import SilenceTimeout
from runstream.stream.source_runner import SourceRunner
from runstream.stream.waiters import Waiters

__all__ = ["Supervisor"]


class Supervisor:
    """Begins with the reading, and ends with the stream.

    Args:
        engine: Whose runs are watched.
        pump: Whose sources are removed, if the watchdogs are to close them.
        gate: Tells whether a subscriber holds the sources.
        waiters: Told of each run that was ended.
        watchdogs: The limits, if there are any.
        scheduler: What they run on; the running loop's by default.

    Attributes:
        repair: Called for each stall with the run's state and the limit.
        fetching: Whether a run is being fetched.
    """

    def __init__(
        self,
        engine: Engine,
        pump: SourceRunner,
        gate: Gate,
        waiters: Waiters,
        watchdogs: Watchdogs | None,
        scheduler: abc.SchedulerBase | None,
    ) -> None:
        self.repair: Callable[[RunState, str], None] | None = None
        self.fetching: Callable[[RunState], bool] = lambda state: False
        self._engine = engine
        self._pump = pump
        self._gate = gate
        self._waiters = waiters
        self._watchdogs = watchdogs
        self._scheduler = scheduler
        self._monitor = LoopMonitor()
        self._watcher: WatchdogTimer | None = None
        self._silence: SilenceTimeout | None = None
        self._started = False

    @property
    def loop_stalls(self) -> int:
        """How many times the loop stood still."""
        return self._monitor.count

    def start(self) -> None:
        """Begin; only the first call counts."""
        if self._started:
            return
        self._started = True
        self._monitor.start()
        if self._watchdogs is not None:
            scheduler = self._scheduler or AsyncIOScheduler(asyncio.get_running_loop())
            if self._watchdogs.silent is not None:
                self._silence = SilenceTimeout(self._watchdogs.silent, scheduler, self._pump.fail)
                self._pump.on_read, self._pump.on_left = self._silence.begun, self._silence.left
            self._watcher = WatchdogTimer(
                self._engine,
                self._watchdogs,
                scheduler,
                blocked=lambda: not self._gate.open,
                run_call=self._pump.turns.run,
                on_stalled=self._stalled,
                on_end=self._ended,
                fetching=self.fetching,
            )
            self._watcher.start()

    def stop(self) -> None:
        """End."""
        self._monitor.stop()
        if self._silence is not None:
            self._pump.on_read = self._pump.on_left = None
            self._silence.stop()
        if self._watcher is not None:
            self._watcher.stop()

    def _stalled(self, state: RunState, limit: str) -> None:
        if self.repair is not None:
            self.repair(state, f"stalled: {limit}")

    def _ended(self, record: RunRecord, source: SourceState, reason: str) -> None:
        self._waiters.expire(record.state, reason)
        if self._watchdogs is not None and self._watchdogs.close_sources and not source.open:
            self._pump.remove_source(source, reason)
