"""The exit codes, which are stable, and the tally that computes the code from the final statuses of the runs."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runstream.core.state import RunState
    from runstream.engine.unused_input import UnusedInput
    from runstream.model.signals import Signal

__all__ = ["WORST_FIRST", "ExitCode", "Tally", "UsageError"]


class ExitCode(enum.IntEnum):
    """The exit codes. If several apply, the first in the order of :data:`WORST_FIRST` is returned."""

    COMPLETED = 0
    NOT_COMPLETED = 1
    USAGE = 2
    WAITING = 3
    LEFT_LIVE = 4
    NO_CONNECTION = 5
    # The codes that a shell shows for a command that was ended by a signal: 128 plus its number.
    CTRL_C = 130
    CLOSED_PIPE = 141


WORST_FIRST = (
    ExitCode.USAGE,
    ExitCode.NO_CONNECTION,
    ExitCode.LEFT_LIVE,
    ExitCode.NOT_COMPLETED,
    ExitCode.WAITING,
    ExitCode.COMPLETED,
)


class UsageError(Exception):
    """A command can't run as requested; the message says why, and what to do."""


class Tally:
    """Counts runs by their final status, from their signals; keeps nothing else of an ended run.

    Attributes:
        seen: The number of runs.
        ended: The number of ended runs by status.
    """

    def __init__(self) -> None:
        # Imported here, because help and usage errors must not load the model.
        from runstream.core.selection import RUN_ENDS
        from runstream.model.signals import (
            RunCreated,
            SourceConnected,
            SourceError,
        )

        self.seen = 0
        self._connected = self._failed = False
        self._source_signals = (SourceConnected, SourceError)
        self.ended: Counter[str] = Counter()
        self._created_signal = RunCreated
        self._end_signals = RUN_ENDS

    def add(self, signal: Signal) -> None:
        """Count one signal."""
        if isinstance(signal, self._created_signal):
            self.seen += 1
        elif isinstance(signal, self._end_signals):
            self.ended[signal.run.status.value] += 1
        elif isinstance(signal, self._source_signals):
            if signal.type == "source.connected":
                self._connected = True
            elif getattr(signal, "error", None) is None:  # else the server has sent it
                self._failed = True

    @property
    def unconnected(self) -> bool:
        """True if a source has failed, and none was ever connected."""
        return self._failed and not self._connected and not self.seen

    def code(self, states: Iterable[RunState]) -> ExitCode:
        """The exit code.

        A run waits only if its status says so. Any other run that has not ended was cut off, independent of the end of
        its stream and of an unknown status: that must not count as success.

        Args:
            states: The states that are stored at the end, among them those of all runs that have not ended.
        """
        codes = {ExitCode.COMPLETED}
        if self.unconnected:
            codes.add(ExitCode.NO_CONNECTION)
        if not self.seen or self.ended.total() > self.ended["completed"]:
            codes.add(ExitCode.NOT_COMPLETED)
        for state in states:
            if not state.is_terminal:
                codes.add(ExitCode.WAITING if state.run.requires_action else ExitCode.LEFT_LIVE)
        return next(code for code in WORST_FIRST if code in codes)

    def summary(self, states: Iterable[RunState], unused: UnusedInput) -> str:
        """The counts in words: ``8 runs: 4 completed, 1 failed, 1 waiting for action, 2 cut off``.

        Args:
            states: The states that are stored at the end.
            unused: The input that could not be used, which is the reason if no run was seen.
        """
        if not self.seen:
            return ": ".join(filter(None, ("no run was seen", unused.describe())))
        open_states = [state for state in states if not state.is_terminal]
        waiting = sum(state.run.requires_action for state in open_states)
        counts = {**self.ended, "waiting for action": waiting, "cut off": len(open_states) - waiting}
        parts = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
        return f"{self.seen} run{'s' if self.seen != 1 else ''}: {parts}"
