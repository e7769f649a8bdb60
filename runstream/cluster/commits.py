"""What a partition needs before it is fed, and what is to be written after it."""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

from runstream.cluster.event_codec import named_run
from runstream.cluster.packs import EVENTS, FRAGMENTS, Section
from runstream.model.run import RunKey

__all__ = ["Commit", "CommitMessage", "LaneKey", "Needs", "named_runs"]

LaneKey: TypeAlias = tuple[str, str]
"""The scope and name of a source."""


class Needs(Struct, frozen=True):
    """What has to be loaded before a pack is fed: sources by scope and name, runs by scope and id."""

    lanes: set[LaneKey]
    runs: set[RunKey]

    def __bool__(self) -> bool:
        return bool(self.lanes or self.runs)


class CommitMessage(Struct, frozen=True):
    """One message of a commit.

    Attributes:
        kind: ``"fact"``, ``"state"`` or ``"source"``.
        token: The token of its run or source.
        data: Its content.
        ended: True for the state of a run that has ended.
    """

    kind: str
    token: str
    data: bytes
    ended: bool = False


class Commit(Struct, frozen=True):
    """What is to be written in one step.

    Attributes:
        messages: The messages.
        facts: The number of facts in them.
        done: The sequence of the last pack that was fed in full, by this owner of the partition.
        replay: The sequence of the first pack that a takeover has to read.
        more: True if further commits have to follow, because one step takes no more.
    """

    messages: list[CommitMessage]
    facts: int
    done: int
    replay: int
    more: bool


def named_runs(section: Section) -> set[str]:
    """The runs that a section names."""
    found: set[str] = set() if section.continues is None else {section.continues}
    for entry in section.entries:
        kind = entry[0]
        if kind == FRAGMENTS:
            if entry[4] is not None:
                found.add(entry[4])
        elif kind == EVENTS:
            for event in entry[3]:
                if (run_id := named_run(event)) is not None:
                    found.add(run_id)
    return found
