"""What looks after a stream while it is read: the watchdogs of its runs, and the monitor of its loop."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final

from reactivex import abc
from reactivex.scheduler.eventloop import AsyncIOScheduler

from runstream.core.registry import RunRecord
from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.engine.watchdogs import Watchdogs, Watcher
from runstream.errors import SourceFailed
from runstream.logs import LOG
from runstream.stream.buffers import Gate
from runstream.stream.results import Waiters
from runstream.stream.source_handle import SourceHandle
from runstream.stream.source_runner import SourceRunner

__all__ = ["LoopMonitor", "SilenceTimeout", "Supervisor"]


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
        self._watcher: Watcher | None = None
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
            self._watcher = Watcher(
                self._engine,
                self._watchdogs,
                scheduler,
                held=lambda: not self._gate.open,
                turn=self._pump.turns.run,
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

    def _ended(self, record: RunRecord, intake: Any, reason: str) -> None:
        self._waiters.expire(record.state, reason)
        if self._watchdogs is not None and self._watchdogs.close_sources and not intake.open_runs():
            self._pump.remove_intake(intake, reason)


class SilenceTimeout:
    """Has a source fail that gives nothing for so long after its reading began. One timer serves all.

    Args:
        limit: How long (seconds).
        scheduler: Gives the time, and calls back.
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

    def begun(self, handle: SourceHandle) -> None:
        """A source is read from now on."""
        self._due[handle] = self._now() + self._limit
        if self._timer is None:
            self._arm()

    def left(self, handle: SourceHandle) -> None:
        """A source has ended."""
        self._due.pop(handle, None)

    def stop(self) -> None:
        """Watch no more."""
        self._due.clear()
        if self._timer is not None:
            self._timer.dispose()
            self._timer = None

    def _now(self) -> float:
        return self._scheduler.to_seconds(self._scheduler.now)

    def _arm(self) -> None:
        first = next(iter(self._due.values()))
        self._timer = self._scheduler.schedule_relative(max(first - self._now(), 0.0), self._tick)

    def _tick(self, *_: Any) -> None:
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
            self._arm()


STALL_SECONDS: Final = 1.0
"""A loop that comes later than this to what is due is logged."""


class LoopMonitor:
    """Asks to be called back twice within the threshold, and looks how late that happens.

    Whoever blocked the loop is not known: a slow subscriber is logged by its name besides (``slow_subscriber``);
    asyncio's debug mode names any other callback.

    Args:
        threshold: Lateness that is logged (seconds).

    Attributes:
        count: How many times it was later.
    """

    def __init__(self, threshold: float = STALL_SECONDS) -> None:
        self.count = 0
        self._threshold = threshold
        self._every = threshold / 2
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch the running loop from now on."""
        self._loop = asyncio.get_running_loop()
        self._arm(self._loop)

    def stop(self) -> None:
        """Watch no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + self._every
        self._timer = loop.call_at(due, self._tick, loop, due)

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        late = loop.time() - due
        if late > self._threshold:
            self.count += 1
            LOG.warning("loop_stalled", seconds=round(late, 3))
        self._arm(loop)
