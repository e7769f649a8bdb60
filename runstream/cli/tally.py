"""Runs and their fates come in, an exit code goes out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from runstream.cli.exit_codes import WORST_FIRST, ExitCode
from runstream.core.state import RunState
from runstream.model.signals import (
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunExpired,
    RunFailed,
    RunIncomplete,
    Signal,
)

__all__ = ["Tally"]


class Tally:
    """Counts how runs end, from their signals; holds nothing of a run that has ended."""

    def __init__(self) -> None:
        self.seen = 0
        self.ended: Counter[str] = Counter()

    def add(self, signal: Signal) -> None:
        """Count one signal."""
        if isinstance(signal, RunCreated):
            self.seen += 1
        elif isinstance(signal, RunCompleted | RunFailed | RunCancelled | RunExpired | RunIncomplete):
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
