"""The exit codes, on which scripts rely; `tally` finds the one that applies."""

from __future__ import annotations

import enum

__all__ = ["WORST_FIRST", "ExitCode", "UsageError"]


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
