"""What is told on standard error: rejected input, runs that were spoken of but never seen, the closing count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from runstream.cli.output import clip, complain, escape
from runstream.model.events import Event, MessageEvent, Reject, StepEvent

__all__ = ["Rejects", "report_orphans"]


class Rejects:
    """Reports rejected input as it comes, by place and reason and never by content, and counts it."""

    def __init__(self) -> None:
        self.count = 0

    def add(self, reject: Reject) -> None:
        """Report one."""
        self.count += 1
        event = f" ({clip(reject.raw.event, 60)})" if reject.raw.event else ""
        path = f" at {clip(reject.path)}" if reject.path != "$" else ""
        complain(f"{escape(reject.where)}: rejected: {clip(reject.reason, 200)}{path}{event}")

    def total(self) -> None:
        """Say how many there were, if any."""
        if self.count:
            complain(f"{self.count} rejected input{'s' if self.count != 1 else ''}; the rest was read")


def report_orphans(orphans: Mapping[str, tuple[Event, ...]]) -> None:
    """Name the runs that events spoke of and that never came (and messages and steps whose run is unknown)."""
    runs: dict[str, str] = {}  # of the messages and steps, where at least one event of theirs says it
    for event in (event for events in orphans.values() for event in events):
        if isinstance(event, MessageEvent | StepEvent) and event.data.run_id is not None:
            runs[event.data.id] = event.data.run_id
    counts: Counter[str] = Counter()
    for id, events in orphans.items():
        counts[runs.get(id, id)] += len(events)
    for id, count in counts.items():
        told = f"{clip(id)}: spoken of ({count} event{'s' if count != 1 else ''})"
        complain(f"{told}, but {'this run' if id in runs.values() else 'the run that has it'} was never seen")
