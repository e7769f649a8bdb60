"""Sources that are read and give nothing at all: of their runs nobody knows, so no watchdog of a run can tell."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from reactivex import abc

from runstream.errors import SourceFailed
from runstream.stream.source_handle import SourceHandle

__all__ = ["SilenceTimeout"]


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
