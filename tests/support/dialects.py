"""A dialect of the tests' own: a run and its status in two words."""

from __future__ import annotations

from runstream.model.events import Event, Reject, RunEvent
from runstream.model.raw import RawEvent
from runstream.model.run import Run, RunStatus

__all__ = ["WordsDialect"]


class WordsDialect:
    """Reads ``run_1 in_progress``. A ``-`` stands for the run that the source continues, else for `run_words`."""

    def __init__(self, *, continues: str | None = None, memory: bytes | None = None) -> None:
        self.connection = 0
        self.continues = continues
        self.memory = memory

    def feed(self, raw: RawEvent) -> tuple[Event | Reject, ...]:
        run_id, _, status = raw.data.decode().partition(" ")
        if not status:
            return (Reject(raw, "not two words"),)
        if run_id == "-":
            run_id = self.continues or "run_words"
        return (RunEvent(Run(id=run_id, status=RunStatus(status))),)
