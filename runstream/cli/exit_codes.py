"""The exit codes, on which scripts rely, and the tally that finds the one that applies."""

from __future__ import annotations

import enum
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runstream.core.state import RunState
    from runstream.model.signals import Signal

__all__ = ["WORST_FIRST", "ExitCode", "Tally", "UsageError"]


class ExitCode(enum.IntEnum):
    """The exit codes. Of several that apply, the first in the order of :data:`WORST_FIRST` is given."""

    COMPLETED = 0
    NOT_COMPLETED = 1
    USAGE = 2
    WAITING = 3
    LEFT_LIVE = 4
    # What a shell shows for a command that a signal ended: 128 and the signal's number.
    CTRL_C = 130
    CLOSED_PIPE = 141


WORST_FIRST = (ExitCode.USAGE, ExitCode.LEFT_LIVE, ExitCode.NOT_COMPLETED, ExitCode.WAITING, ExitCode.COMPLETED)


class UsageError(Exception):
    """The command can't do what it was asked; the message says why, and what to do."""


class Tally:
    """Counts how runs end, from their signals; holds nothing of a run that has ended."""

    def __init__(self) -> None:
        # Here: help and usage errors load no model.
        from runstream.model.signals import RunCancelled, RunCompleted, RunCreated, RunExpired, RunFailed, RunIncomplete

        self.seen = 0
        self.ended: Counter[str] = Counter()
        self._created = RunCreated
        self._ends = (RunCompleted, RunFailed, RunCancelled, RunExpired, RunIncomplete)

    def add(self, signal: Signal) -> None:
        """Count one signal."""
        if isinstance(signal, self._created):
            self.seen += 1
        elif isinstance(signal, self._ends):
            self.ended[signal.run.status.value] += 1

    def code(self, states: Iterable[RunState]) -> ExitCode:
        """The exit code, given the states that are still held at the end: among them all runs that have not ended.

        A run waits only if its status says so. Any other that has not ended was cut off, however its stream ended
        and whatever an unknown status may mean: that must not pass for success.
        """
        codes = {ExitCode.COMPLETED}
        if not self.seen or self.ended.total() > self.ended["completed"]:
            codes.add(ExitCode.NOT_COMPLETED)
        for state in states:
            if not state.is_terminal:
                codes.add(ExitCode.WAITING if state.run.requires_action else ExitCode.LEFT_LIVE)
        return next(code for code in WORST_FIRST if code in codes)

    def summary(self, states: Iterable[RunState]) -> str:
        """The same in words: ``8 runs: 4 completed, 1 failed, 1 waiting for action, 2 cut off``."""
        if not self.seen:
            return "no run was seen"
        open_states = [state for state in states if not state.is_terminal]
        waiting = sum(state.run.requires_action for state in open_states)
        counts = {**self.ended, "waiting for action": waiting, "cut off": len(open_states) - waiting}
        told = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
        return f"{self.seen} run{'s' if self.seen != 1 else ''}: {told}"
