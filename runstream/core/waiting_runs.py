"""An index of the runs of one scope that wait for action, by the ids under which an answer may name them."""

from __future__ import annotations

from runstream.core.run_record import RunRecord

__all__ = ["WaitingRuns"]


class WaitingRuns:
    """The runs that wait for action, by the id of their last piece and by the ids of their awaited calls."""

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: dict[str, dict[str, None]] = {}  # for each id the ids of runs

    def __len__(self) -> int:
        return len(self._runs)

    def find(self, id: str) -> str | None:
        """The id of the run that waits under this id; ``None`` if there is none, or more than one."""
        runs = self._runs.get(id, ())
        return next(iter(runs)) if len(runs) == 1 else None

    def update(self, record: RunRecord) -> None:
        """Note the present state of a run."""
        run = record.run
        ids: tuple[str, ...] = ()
        if run.requires_action:
            last = record.last_piece
            ids = ((last,) if last is not None else ()) + tuple([call.id for call in run.pending_tool_calls if call.id])
        if ids != record.waits_under:
            self.remove(record)
            record.waits_under = ids
            for id in ids:
                self._runs.setdefault(id, {})[run.id] = None

    def remove(self, record: RunRecord) -> None:
        """Remove a run."""
        for id in dict.fromkeys(record.waits_under):
            runs = self._runs[id]
            del runs[record.run.id]
            if not runs:
                del self._runs[id]
        record.waits_under = ()
