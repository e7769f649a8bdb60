"""Watchdogs: detect runs that are silent, take too long, or pass the time of expiry that their server has set.

No code of them runs when an event arrives. A sweep, several times within the shortest limit, compares the state of
each open run with its state at the sweep before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any, Final

from msgspec import Struct
from reactivex import abc

from runstream.core.run_record import RunRecord
from runstream.core.state import RunState
from runstream.engine.engine import Engine
from runstream.model.lenient import MILLISECONDS
from runstream.model.run import Run
from runstream.model.validation import check_instances, check_numbers

__all__ = ["SavedWatch", "WatchdogTimer", "Watchdogs", "check_watchdogs"]

_LIMITS: Final = ("idle", "total", "expires_at", "action_expires_at")
_TIMES: Final = ("idle", "total", "silent", "interval")
_SWEEPS_PER_LIMIT: Final = 10  # within the shortest limit
_MAX_INTERVAL: Final = 5.0  # seconds between sweeps
_MIN_INTERVAL: Final = 0.01
_FETCH_TIMEOUT: Final = 30.0  # seconds by which a fetch may delay the end of a run


class Watchdogs(Struct, frozen=True, kw_only=True):
    """The limits of each run that has not ended, and the action when a run passes one.

    Each passed limit causes one :class:`~runstream.RunStalled`, whose ``limit`` is its name: ``"idle"`` once for each
    silence, ``"total"`` once for each run, the two others once for each time that the server has set. The interval
    between two checks is a tenth of the shortest limit, so a signal is at most two tenths late, and never early.

    ::

        RunStream(source, watchdogs=Watchdogs(idle=60, total=900, end={"total"}))

    Attributes:
        idle: Seconds without an event of the run. Each event counts that is not a duplicate by its id, also one
            without news (as polling returns). Keep-alives and pings belong to no run and do not count. Not counted is
            the time in which the run waits for action, a subscriber blocks the sources, the event loop is blocked, or
            the run has no source.
        total: Seconds from the first event of the run in this process.
        expiry_grace: Seconds after ``expires_at`` of the run, or of its required action, before it counts as passed:
            clocks differ, and the server needs time to send it. ``None`` for no check of the expiry.
        silent: Seconds within which each source must deliver its first item after reading starts. A source that does
            not has failed (``source.error``, and :class:`~runstream.SourceFailed` as the cause of
            ``IncompleteStream``), since no run is known that could be stalled. Not for a gateway that may have nothing
            to send, nor in :func:`pipeline`.
        end: The limits that end the run: ``True`` for all, or their names. The run gets a
            :class:`~runstream.RunInterrupted` whose reason is the limit, and callers that wait for it get an
            :class:`~runstream.IncompleteStream`. A later event of the run resumes it. With ``fetch_run`` the run is
            fetched first, for at most 30 seconds. It is ended if the fetch brings no news of it (``"idle"``), or not
            its end (the other limits).
        close_sources: True to remove also the source of a run that was ended so, if it has no other open run. Right
            if each run has a connection of its own; wrong for a gateway that sends many runs.
        interval: Seconds between two checks, instead of a tenth of the shortest limit.

    Raises:
        ValueError: A limit is not positive, or ``end`` contains an unknown name.
        TypeError: A limit is no number, or ``end`` is no collection.
    """

    idle: float | None = None
    total: float | None = None
    expiry_grace: float | None = 30.0
    silent: float | None = None
    end: bool | Collection[str] = False
    close_sources: bool = False
    interval: float | None = None

    def __post_init__(self) -> None:
        numbers = {name: getattr(self, name) for name in (*_TIMES, "expiry_grace")}
        check_numbers("a number of seconds, or None", **numbers)
        check_instances(bool | Collection, f"True, False or a collection of {', '.join(_LIMITS)}", end=self.end)
        for name in _TIMES:
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be a positive number of seconds, or None")
        if self.expiry_grace is not None and not 0 <= self.expiry_grace < math.inf:
            raise ValueError("expiry_grace must be a number of seconds, 0 or more, or None")
        if isinstance(self.end, str):
            raise ValueError(f"end is True, False or a collection of names: {{{self.end!r}}}")
        if not isinstance(self.end, bool):
            unknown = sorted(set(self.end) - set(_LIMITS))
            if unknown:
                raise ValueError(f"end names {', '.join(map(repr, unknown))}; limits are {', '.join(_LIMITS)}")

    def ends(self, limit: str) -> bool:
        """True if a run that passes this limit is ended."""
        return self.end if isinstance(self.end, bool) else limit in self.end

    @property
    def every(self) -> float:
        """Seconds between two checks of the runs."""
        if self.interval is not None:
            return self.interval
        shortest = min((limit for limit in (self.idle, self.total) if limit is not None), default=math.inf)
        return min(max(shortest / _SWEEPS_PER_LIMIT, _MIN_INTERVAL), _MAX_INTERVAL)


def check_watchdogs(watchdogs: object) -> None:
    """Check the option of a pipeline.

    Raises:
        TypeError: It is neither limits nor ``None``.
    """
    check_instances(Watchdogs, "a Watchdogs, such as Watchdogs(idle=60)", watchdogs=watchdogs)


class SavedWatch(Struct, frozen=True, array_like=True):
    """The data of a watched run, as a store keeps them.

    Attributes:
        at: The time at which they were saved (Unix seconds).
        silent: Seconds since its last event.
        age: Seconds since its first event.
        idle_reported: True if this silence was reported.
        total_reported: True if its age was reported.
        expiry: The time of expiry that was reported.
        action_expiry: The same of its required action.
    """

    at: float
    silent: float = 0.0
    age: float = 0.0
    idle_reported: bool = False
    total_reported: bool = False
    expiry: float | None = None
    action_expiry: float | None = None


class _WatchedRun:
    """The data of a watched run from one sweep to the next. It belongs to the run's record."""

    __slots__ = (
        "action_expiry",
        "ending",
        "ending_since",
        "expiry",
        "first_seen",
        "idle_reported",
        "state",
        "total_reported",
        "touched",
    )

    def __init__(self, state: RunState, now: float, active: float) -> None:
        self.state = state
        self.first_seen = now
        self.touched = active  # the active time at its last event
        self.idle_reported = False  # of this silence
        self.total_reported = False
        self.expiry: float | None = None  # the time of expiry that was reported
        self.action_expiry: float | None = None
        self.ending = ""  # the limit that ends the run, unless the present fetch brings news
        self.ending_since = 0.0


class WatchdogTimer:
    """Checks the open runs of an engine at regular intervals, on a scheduler.

    It sleeps while no run is open. Not thread-safe: the scheduler must call back where events are fed.

    Args:
        engine: The engine.
        watchdogs: The limits.
        scheduler: The clock and the timer.
        blocked: Returns True if a subscriber blocks the sources, so that no event can arrive.
        run_call: Runs a call between two events of the engine.
        on_stalled: Called with the state of a run that has passed a limit, and the limit.
        on_end: Called for each run that is ended, with its record, the state of its source, and the reason.
        fetching: Returns True if a run is being fetched because of a stall. It is then ended only if the fetch brings
            no news.
    """

    def __init__(
        self,
        engine: Engine,
        watchdogs: Watchdogs,
        scheduler: abc.SchedulerBase,
        *,
        blocked: Callable[[], bool] = lambda: False,
        run_call: Callable[..., None] = lambda call, *args: call(*args),
        on_stalled: Callable[[RunState, str], None] | None = None,
        on_end: Callable[[RunRecord, Any, str], None] | None = None,
        fetching: Callable[[RunState], bool] = lambda state: False,
    ) -> None:
        self._fetching = fetching
        self.on_stalled = on_stalled
        self._engine = engine
        self._watchdogs = watchdogs
        self._scheduler = scheduler
        self._blocked = blocked
        self._run_call = run_call
        self._on_end = on_end
        self._interval = watchdogs.every
        self._active = 0.0  # seconds in which events could arrive
        self._last_sweep = 0.0
        self._timer: abc.DisposableBase | None = None
        self._stopped = False

    def start(self) -> None:
        """Start to check the runs."""
        if any(True for _ in self._engine.registry.open_records()):
            self._wake()
        else:
            self._engine.on_open = self._wake

    def stop(self) -> None:
        """Stop for good."""
        self._stopped = True
        self._engine.on_open = None
        if self._timer is not None:
            self._timer.dispose()
            self._timer = None

    def save(self, record: RunRecord) -> SavedWatch:
        """The data of a watched run, for another process that watches it later."""
        watch, active, now = record.watch, self._active, self._now()
        unix = self._engine.clock()
        if watch is None:
            return SavedWatch(unix)
        silent = 0.0 if record.touched or watch.state is not record.state else active - watch.touched
        age = now - watch.first_seen
        return SavedWatch(
            unix, silent, age, watch.idle_reported, watch.total_reported, watch.expiry, watch.action_expiry
        )

    def resume(self, record: RunRecord, saved: SavedWatch) -> None:
        """Go on with a run that another process has watched. The time between counts: its events would have come."""
        elapsed = max(self._engine.clock() - saved.at, 0.0)
        now = self._now()
        watch = record.watch = _WatchedRun(record.state, now - saved.age - elapsed, self._active)
        watch.touched -= saved.silent + elapsed
        watch.idle_reported, watch.total_reported = saved.idle_reported, saved.total_reported
        watch.expiry, watch.action_expiry = saved.expiry, saved.action_expiry
        record.touched = False

    def deadline(self, record: RunRecord) -> float | None:
        """The time at which a run passes its next limit if no event of it arrives (Unix seconds); ``None`` for none."""
        saved, limits, run = self.save(record), self._watchdogs, record.run
        found: list[float] = []
        if run.status.is_terminal or record.expired_reason is not None:
            return None
        if record.source is not None and not record.source.ended and not run.requires_action:
            if limits.idle is not None and not saved.idle_reported:
                found.append(saved.at + limits.idle - saved.silent)
            if limits.total is not None and not saved.total_reported:
                found.append(saved.at + limits.total - saved.age)
        if limits.expiry_grace is not None:
            for at, reported in ((run.expires_at, saved.expiry), (_action_expiry(run), saved.action_expiry)):
                if at is not None and at != reported:
                    found.append(at + limits.expiry_grace)
        return min(found, default=None)

    def _wake(self) -> None:
        self._engine.on_open = None
        self._last_sweep = self._now()
        self._schedule()

    def _schedule(self) -> None:
        self._timer = self._scheduler.schedule_relative(self._interval, self._tick)

    def _tick(self, *_: Any) -> None:
        if not self._stopped:
            self._run_call(self._sweep)

    def _now(self) -> float:
        return self._scheduler.to_seconds(self._scheduler.now)

    def _sweep(self) -> None:
        if self._stopped:
            return
        now = self._now()
        if not self._blocked():
            # No event could arrive in the time beyond that: the loop was blocked, or the machine slept.
            self._active += min(now - self._last_sweep, 2 * self._interval)
        self._last_sweep = now
        unix = self._engine.clock()
        open_runs = False
        stalled = []
        for record in self._engine.registry.open_records():
            open_runs = True
            limits = self._check(record, now, unix)
            if limits or record.watch.ending:
                stalled.append((record, limits))
        # After the loop, since subscribers that react may change the tables of the engine.
        for record, limits in stalled:
            self._report(record, limits)
        if self._stopped:
            return
        if open_runs:
            self._schedule()
        else:
            self._timer = None
            self._engine.on_open = self._wake

    def _check(self, record: RunRecord, now: float, unix: float) -> list[str]:
        """The limits that a run has passed and that were not reported yet."""
        state, watch, active = record.state, record.watch, self._active
        if watch is None:
            record.watch = _WatchedRun(state, now, active)
            record.touched = False
            return self._check_expiry(record.watch, state, unix)
        if record.touched or watch.state is not state:
            watch.state, watch.touched, watch.idle_reported = state, active, False
            record.touched = False
            if watch.ending == "idle":
                watch.ending = ""
        waits = state.run.requires_action
        orphaned = record.source is None or record.source.ended
        if record.expired_reason is not None or (orphaned and not waits):
            watch.ending = ""
            return []  # `run.interrupted` was emitted, and no source can send an event of it
        passed = []
        watchdogs = self._watchdogs
        if waits or orphaned:
            watch.touched = active  # the application is to act now, not the server
        elif watchdogs.idle is not None and not watch.idle_reported and active - watch.touched >= watchdogs.idle:
            watch.idle_reported = True
            passed.append("idle")
        if watchdogs.total is not None and not watch.total_reported and now - watch.first_seen >= watchdogs.total:
            watch.total_reported = True
            passed.append("total")
        return passed + self._check_expiry(watch, state, unix)

    def _check_expiry(self, watch: _WatchedRun, state: RunState, unix: float) -> list[str]:
        grace = self._watchdogs.expiry_grace
        if grace is None:
            return []
        passed = []
        run = state.run
        expiry = run.expires_at
        if expiry is not None and watch.expiry != expiry and unix >= expiry + grace:
            watch.expiry = expiry
            passed.append("expires_at")
        at = _action_expiry(run) if run.requires_action else None
        if at is not None and watch.action_expiry != at and unix >= at + grace:
            watch.action_expiry = at
            passed.append("action_expires_at")
        return passed

    def _report(self, record: RunRecord, limits: list[str]) -> None:
        """Emit the stalls of a run, and end it if the limit ends runs."""
        for limit in limits:
            if record.state.is_terminal or record.expired_reason is not None:
                return  # meanwhile, by a subscriber
            idle = self._active - record.watch.touched
            self._engine.stall(record, idle, limit)
            if self.on_stalled is not None:
                self.on_stalled(record.state, limit)
            if self._watchdogs.ends(limit):
                record.watch.ending, record.watch.ending_since = limit, self._last_sweep
                self._end(record)
        if not limits:
            self._end(record)

    def _end(self, record: RunRecord) -> None:
        """End a run that has passed a limit, unless a fetch of the run may still bring news."""
        state, watch = record.state, record.watch
        if state.is_terminal or record.expired_reason is not None:
            return
        if self._fetching(state) and self._last_sweep - watch.ending_since < _FETCH_TIMEOUT:
            return
        limit, watch.ending = watch.ending, ""
        source, reason = record.source, self._reason(state, limit)
        self._engine.expire(record, reason)
        if self._on_end is not None and source is not None:
            self._on_end(record, source, reason)

    def _reason(self, state: RunState, limit: str) -> str:
        watchdogs = self._watchdogs
        if limit == "idle":
            return f"no event of it arrived for {watchdogs.idle:g} s (idle)"
        if limit == "total":
            return f"it did not end within {watchdogs.total:g} s (total)"
        subject = "it" if limit == "expires_at" else "its required action"
        return f"{subject} outlived the time of its expiry by {watchdogs.expiry_grace:g} s ({limit})"


def _action_expiry(run: Run) -> float | None:
    """The time of expiry of a run's required action (Unix seconds); ``None`` if it has none."""
    at = run.required_action.extra().get("expires_at") if run.required_action is not None else None
    is_time = isinstance(at, int | float) and not isinstance(at, bool) and -MILLISECONDS < at < MILLISECONDS
    return at if is_time else None
