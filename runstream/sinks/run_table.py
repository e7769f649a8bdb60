"""A table of runs: states and signals in, rows with the latest state of each run out.

Nothing is drawn here, and nothing is built per token: a row keeps the latest state of a run that grows.
"""

from __future__ import annotations

from typing import Final, Generic, TypeAlias, TypeVar

from runstream.core.state import RunState
from runstream.model.run import RunKey
from runstream.model.signals import RunInterrupted, RunPaused, RunStalled

__all__ = ["NOTICES", "AnyRow", "Notice", "Row", "RunTable"]

Notice: TypeAlias = RunPaused | RunInterrupted | RunStalled

NOTICES: Final = (RunPaused, RunInterrupted, RunStalled)
"""The signals with facts of a run that its state does not contain."""


class Row:
    """One run of a table.

    Attributes:
        number: The place of the run in order of appearance, from 1.
        state: Its latest state.
        since: When the run began, as far as known (seconds of the table's clock).
        notice: The last of the `NOTICES` since the latest state; ``None`` if there was none.
        source_status: ``"interrupted"`` or ``"stalled"`` if this is the newest fact about the run; otherwise "".
    """

    __slots__ = ("notice", "number", "since", "source_status", "state")

    def __init__(self, number: int, state: RunState, since: float) -> None:
        self.number = number
        self.state = state
        self.since = since
        self.notice: Notice | None = None
        self.source_status = ""

    @property
    def label(self) -> str:
        """Its status, unless its source has ended or is silent: that is newer than the status."""
        return self.source_status or self.state.status.value


AnyRow = TypeVar("AnyRow", bound=Row)


class RunTable(Generic[AnyRow]):
    """Keeps the rows of runs by scope and id, and a line of text for each source.

    Attributes:
        rows: The rows.
        sources: The condition of sources, by the source's name.
    """

    def __init__(self) -> None:
        self.rows: dict[RunKey, AnyRow] = {}
        self.sources: dict[str, str] = {}
        self._numbers = 0  # the number of the last row

    def _number(self) -> int:
        """The number of a new row."""
        self._numbers += 1
        return self._numbers

    def add_notice(self, signal: Notice) -> AnyRow | None:
        """Store a notice in the row of its run, until the run's next state.

        Returns:
            The row; ``None`` if the run has none.
        """
        row = self.rows.get((signal.scope, signal.run_id))
        if row is not None:
            row.notice = signal
            if not isinstance(signal, RunPaused):
                row.source_status = signal.type.removeprefix("run.")
        return row
