"""What is told on standard error: rejected input, runs that were spoken of but never seen, the closing count."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runstream.cli.terminal import clip, complain, escape
from runstream.events import Reject

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


def report_orphans(orphans: Mapping[str, tuple[Any, ...]]) -> None:
    """Name the runs that events spoke of and that never came (and messages and steps whose run is unknown)."""
    for id, events in orphans.items():
        count = f"{len(events)} event{'s' if len(events) != 1 else ''}"
        if any(getattr(event.data, "run_id", None) == id for event in events):
            complain(f"{clip(id)}: this run was spoken of ({count}) but never seen")
        else:
            complain(f"{clip(id)}: spoken of ({count}), but the run that it belongs to was never seen")
