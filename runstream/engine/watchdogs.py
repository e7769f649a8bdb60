"""Watchdogs: runs of which nothing is heard, that take too long, or that outlive what their server allowed them.

Nothing of this is on the way of an event: a sweep, a few times within the shortest limit, looks at each open run and
compares its state with that of the sweep before.
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

__all__ = ["Watchdogs", "Watcher"]

_LIMITS: Final = ("idle", "total", "expires_at", "action_expires_at")
_SWEEPS: Final = 10  # within the shortest limit
_LONGEST: Final = 5.0  # seconds between sweeps at most
_SHORTEST: Final = 0.01
_FETCH: Final = 30.0  # seconds that a fetch may put off the end of a run


class Watchdogs(Struct, frozen=True, kw_only=True):
    """What is watched of each run that has not ended, and what happens when it passes a limit.

    Each passed limit gives one :class:`~runstream.RunStalled`, whose ``limit`` names it: ``"idle"`` once for each
    silence, ``"total"`` once a run, the two others once for each time that the server named. Limits are looked at
    every tenth of the shortest one, so a signal comes by at most two tenths late, and never early.

    ::

        RunStream(source, watchdogs=Watchdogs(idle=60, total=900, end={"total"}))

    Attributes:
        idle: Seconds without an event of the run. Any event of it counts that is not a duplicate by its id, also one
            that says nothing new (polling answers so); keep-alives and pings concern no run and do not count.
            Neither does time in which the run waits for action, in which a subscriber holds the sources, in which
            the event loop stood still, or in which the run has no source.
        total: Seconds from the first sight of the run in this process, whatever it does.
        expiry_grace: Seconds that may pass after ``expires_at`` of the run, or of its required action, before it
            counts as passed: clocks differ, and the server has to tell. ``None``: expiry is not watched.
        silent: Seconds within which each source has to give anything at all once it is read. One that does not has
            failed (``source.error``, and :class:`~runstream.SourceFailed` behind ``IncompleteStream``): no run is
            known that could be told. Not for a gateway that may have nothing to tell, nor in :func:`pipeline`.
        end: Which limits end the run: ``True`` for all, or their names. It gets a
            :class:`~runstream.RunInterrupted` that names the limit, and whoever waits for it an
            :class:`~runstream.IncompleteStream`. Should it be heard of again, it goes on. Where ``fetch_run`` is given
            the run is fetched first, for 30 seconds at most, and ended if that brings nothing of it (``"idle"``), or
            not its end (the other limits).
        close_sources: Whether the source of a run that was ended so is removed too, if it has no other open run.
            Right where each run has a connection of its own; wrong for a gateway that tells of many.
        interval: Seconds between two looks, instead of a tenth of the shortest limit.

    Raises:
        ValueError: A limit is no positive number, or ``end`` names no limit.
    """

    idle: float | None = None
    total: float | None = None
    expiry_grace: float | None = 30.0
    silent: float | None = None
    end: bool | Collection[str] = False
    close_sources: bool = False
    interval: float | None = None

    def __post_init__(self) -> None:
        for name in ("idle", "total", "silent", "interval"):
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
        """Whether a run that passes this limit is ended."""
        return self.end if isinstance(self.end, bool) else limit in self.end

    @property
    def every(self) -> float:
        """Seconds between two looks at the runs."""
        if self.interval is not None:
            return self.interval
        shortest = min((limit for limit in (self.idle, self.total) if limit is not None), default=math.inf)
        return min(max(shortest / _SWEEPS, _SHORTEST), _LONGEST)


class _Watch:
    """What is known of a watched run from one sweep to the next; it hangs on the run's record, and goes with it."""

    __slots__ = ("action", "born", "ending", "expires", "silent", "since", "state", "total", "touched")

    def __init__(self, state: RunState, now: float, own: float) -> None:
        self.state = state
        self.born = now
        self.touched = own  # by the watcher's own clock
        self.silent = False  # whether this silence was told
        self.total = False  # whether that was told
        self.expires: float | None = None  # the time of expiry that was told
        self.action: float | None = None
        self.ending = ""  # the limit that ends it unless the fetch that goes on brings something
        self.since = 0.0  # when it passed that


class Watcher:
    """Looks at the open runs of an engine every so often, on a scheduler.

    It sleeps while no run is open. Not thread-safe: the scheduler must call back where events are fed.

    Args:
        engine: Whose runs.
        watchdogs: The limits.
        scheduler: Gives the time, and calls back.
        held: Whether a subscriber holds the sources now, so that no event could come in.
        turn: Runs a call among those that feed the engine.
        on_stalled: Told each stall: the run's state, and the limit.
        on_end: Told each run that is ended: its record, the source's intake, the reason.
        fetching: Whether a run is being fetched because of a stall; then it is ended only if that brings nothing.
    """

    def __init__(
        self,
        engine: Engine,
        watchdogs: Watchdogs,
        scheduler: abc.SchedulerBase,
        *,
        held: Callable[[], bool] = lambda: False,
        turn: Callable[..., None] = lambda call, *args: call(*args),
        on_stalled: Callable[[RunState, str], None] | None = None,
        on_end: Callable[[RunRecord, Any, str], None] | None = None,
        fetching: Callable[[RunState], bool] = lambda state: False,
    ) -> None:
        self._fetching = fetching
        self.on_stalled = on_stalled
        self._engine = engine
        self._dogs = watchdogs
        self._scheduler = scheduler
        self._held = held
        self._turn = turn
        self._on_end = on_end
        self._every = watchdogs.every
        self._own = 0.0  # seconds in which runs could be heard
        self._swept = 0.0
        self._timer: abc.DisposableBase | None = None
        self._stopped = False

    def start(self) -> None:
        """Watch from now on."""
        if any(True for _ in self._engine.registry.open_records()):
            self._wake()
        else:
            self._engine.on_open = self._wake

    def stop(self) -> None:
        """Watch no more."""
        self._stopped = True
        self._engine.on_open = None
        if self._timer is not None:
            self._timer.dispose()
            self._timer = None

    def _wake(self) -> None:
        self._engine.on_open = None
        self._swept = self._now()
        self._arm()

    def _arm(self) -> None:
        self._timer = self._scheduler.schedule_relative(self._every, self._tick)

    def _tick(self, *_: Any) -> None:
        if not self._stopped:
            self._turn(self._sweep)

    def _now(self) -> float:
        return self._scheduler.to_seconds(self._scheduler.now)

    def _sweep(self) -> None:
        if self._stopped:
            return
        now = self._now()
        if not self._held():
            # What is more than that is time in which nothing could be heard: the loop stood still, or slept.
            self._own += min(now - self._swept, 2 * self._every)
        self._swept = now
        unix = self._engine.clock()
        open_runs = False
        stalled = []
        for record in self._engine.registry.open_records():
            open_runs = True
            limits = self._passed(record, now, unix)
            if limits or record.watch.ending:
                stalled.append((record, limits))
        # What subscribers do when they hear of it may change the engine's tables.
        for record, limits in stalled:
            self._tell(record, limits)
        if self._stopped:
            return
        if open_runs:
            self._arm()
        else:
            self._timer = None
            self._engine.on_open = self._wake

    def _passed(self, record: RunRecord, now: float, unix: float) -> list[str]:
        """The limits that a run has passed and of which nothing was said yet."""
        state, watch, own = record.state, record.watch, self._own
        if watch is None:
            record.watch = _Watch(state, now, own)
            record.touched = False
            return self._expired(record.watch, state, unix)
        if record.touched or watch.state is not state:
            watch.state, watch.touched, watch.silent = state, own, False
            record.touched = False
            if watch.ending == "idle":
                watch.ending = ""
        waits = state.run.requires_action
        left = record.source is None or record.source.ended
        if record.expired_reason is not None or (left and not waits):
            watch.ending = ""
            return []  # it is told to be interrupted, and nobody is there to be heard
        found = []
        dogs = self._dogs
        if waits or left:
            watch.touched = own  # it is the application's turn
        elif dogs.idle is not None and not watch.silent and own - watch.touched >= dogs.idle:
            watch.silent = True
            found.append("idle")
        if dogs.total is not None and not watch.total and now - watch.born >= dogs.total:
            watch.total = True
            found.append("total")
        return found + self._expired(watch, state, unix)

    def _expired(self, watch: _Watch, state: RunState, unix: float) -> list[str]:
        grace = self._dogs.expiry_grace
        if grace is None:
            return []
        found = []
        run = state.run
        expires = run.expires_at
        if expires is not None and watch.expires != expires and unix >= expires + grace:
            watch.expires = expires
            found.append("expires_at")
        action = run.required_action
        if action is not None and run.requires_action:
            at = action.extra().get("expires_at")
            if isinstance(at, int | float) and not isinstance(at, bool) and watch.action != at and unix >= at + grace:
                watch.action = at
                found.append("action_expires_at")
        return found

    def _tell(self, record: RunRecord, limits: list[str]) -> None:
        for limit in limits:
            if record.state.is_terminal or record.expired_reason is not None:
                return  # meanwhile, by a subscriber
            idle = self._own - record.watch.touched
            self._engine.stall(record, idle, limit)
            if self.on_stalled is not None:
                self.on_stalled(record.state, limit)
            if self._dogs.ends(limit):
                record.watch.ending, record.watch.since = limit, self._swept
                self._end(record)
        if not limits:
            self._end(record)

    def _end(self, record: RunRecord) -> None:
        """End a run that has passed a limit, unless a fetch may still tell what became of it."""
        state, watch = record.state, record.watch
        if state.is_terminal or record.expired_reason is not None:
            return
        if self._fetching(state) and self._swept - watch.since < _FETCH:
            return
        limit, watch.ending = watch.ending, ""
        source, reason = record.source, self._reason(state, limit)
        self._engine.expire(record, reason)
        if self._on_end is not None and source is not None:
            self._on_end(record, source, reason)

    def _reason(self, state: RunState, limit: str) -> str:
        dogs = self._dogs
        if limit == "idle":
            return f"nothing was heard of it for {dogs.idle:g} s (idle)"
        if limit == "total":
            return f"it did not end within {dogs.total:g} s (total)"
        whose = "it" if limit == "expires_at" else "its required action"
        return f"{whose} outlived the time of its expiry by {dogs.expiry_grace:g} s ({limit})"
