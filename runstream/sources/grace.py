"""The grace time of a source: after a silence, one `Idle` item where the dialect waits for a further event."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType
from typing import Final, Self

from runstream.model.raw import Idle
from runstream.sources.base import Receiver

__all__ = ["GRACE", "GraceTimer"]

GRACE: Final = 2.0
"""The grace time of a source by default (seconds)."""


class GraceTimer:
    """Feeds one :class:`~runstream.Idle` when its source was silent for the grace time.

    It is the context of the loop that reads: an exception that feeding raises is raised there.

    ::

        with GraceTimer(receiver, grace) as timer:
            async for item in items:
                timer.stop()
                receiver.feed(item)
                timer.start()

    Args:
        receiver: The receiver of the source.
        grace: The grace time (seconds); ``None`` for no such item.
    """

    __slots__ = ("_error", "_grace", "_handle", "_receiver", "_task")

    def __init__(self, receiver: Receiver, grace: float | None) -> None:
        self._receiver = receiver
        self._grace = grace
        self._handle: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[object] | None = None
        self._error: BaseException | None = None

    def start(self) -> None:
        """Begin to wait for the next item; only if the dialect waits for it."""
        if self._grace is not None and getattr(self._receiver, "expects_idle", False):
            self.stop()
            self._handle = asyncio.get_running_loop().call_later(self._grace, self._feed)

    def stop(self) -> None:
        """Note that an item has arrived."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _feed(self) -> None:
        self._handle = None
        try:
            self._receiver.feed(Idle(seconds=self._grace or 0.0, at=time.time()))
        except BaseException as error:  # for the task that reads
            self._error = error
            if self._task is not None:
                self._task.cancel()

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        failure, self._error = self._error, None
        if failure is not None:
            if self._task is not None and isinstance(error, asyncio.CancelledError):
                self._task.uncancel()
            raise failure
