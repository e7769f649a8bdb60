"""The bounds of a pipeline, and the counts of what happened in it."""

from __future__ import annotations

from msgspec import Struct

from runstream.model.validation import check_counts, check_durations

__all__ = ["Limits", "Stats"]


class Limits(Struct, frozen=True, kw_only=True):
    """How much a pipeline holds at most. What goes over a bound is rejected or forgotten, counted, never an error.

    Attributes:
        max_message_bytes: Size of one raw event (bytes); larger ones are rejects.
        max_nesting: Nesting of its JSON (levels); deeper ones are rejects.
        max_index: Index of a content part, tool call, output or annotation in a delta; larger ones are rejects.
        max_open_runs: Runs that have not ended; one more makes the oldest of those that were interrupted go, and if
            there is none, its events are rejects.
        max_finished_runs: Ended runs kept for late comers; the oldest is forgotten first.
        max_finished_age: How long an ended run is kept (seconds, from when its end came in).
        max_orphans: Events kept, over all scopes, for runs not seen yet; the oldest becomes a reject.
        dedupe_window: Event ids remembered per source.
        max_tombstones: Forgotten runs, messages and steps, of all scopes, whose late events stay quiet.

    Raises:
        ValueError: One is less than 0, or a count no whole number; or one less than 1 without which nothing could come
            through: ``max_message_bytes``, ``max_nesting``, ``max_open_runs``.
    """

    max_message_bytes: int = 16 * 2**20
    max_nesting: int = 128
    max_index: int = 4096
    max_open_runs: int = 100_000
    max_finished_runs: int = 1_000
    max_finished_age: float = 3600.0
    max_orphans: int = 10_000
    dedupe_window: int = 65_536
    max_tombstones: int = 1_000_000

    def __post_init__(self) -> None:
        check_counts(
            1, max_message_bytes=self.max_message_bytes, max_nesting=self.max_nesting, max_open_runs=self.max_open_runs
        )
        check_counts(
            0,
            max_index=self.max_index,
            max_finished_runs=self.max_finished_runs,
            max_orphans=self.max_orphans,
            dedupe_window=self.dedupe_window,
            max_tombstones=self.max_tombstones,
        )
        check_durations(max_finished_age=self.max_finished_age)


class Stats(Struct, kw_only=True):
    """What happened so far, in counts.

    Attributes:
        events: Events decoded, duplicates included.
        duplicates: Events dropped because their id was seen before.
        conflicts: Events whose id was seen before with other content; they pass.
        rejected: Raw events that could not be used.
        mistyped: Values of an unexpected type, kept as they came.
        unknown: Events with an unknown name.
        stale: Snapshots older than what was known; they changed nothing.
        surprising: Legal but unexpected changes of status.
        late: Events of runs, messages or steps that had ended; they changed nothing.
        orphans: Events held for runs not seen yet.
        open_runs: Runs that have not ended.
        finished_runs: Ended runs still kept.
        evicted_runs: Runs forgotten: ended ones, and interrupted ones where ``max_open_runs`` asked for it.
        forgotten_ids: Event ids that went to make room (``dedupe_window``).
        forgotten_tombstones: Ids of forgotten runs, messages and steps that went to make room (``max_tombstones``).
        signals: Signals given out.
        failures: Exceptions of subscribers.
        conflated: Values that slow subscribers skipped, or got joined to one another.
        gaps: Times that a run may have missed something in between: the ids of its source skipped some; or it went
            on, after a reconnect or in another source, without a proof that nothing was missed.
        repairs: Fetched snapshots that were taken in (``fetch_run``).
        failed_repairs: Times that a run could not be fetched.
        stalled: Limits of the watchdogs that runs have passed.
        loop_stalls: Times that the event loop stood still for longer than a second.
        open_sources: Sources that are read now.
        waiting_sources: Sources that wait until another one ends (``max_connections``).
    """

    events: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    mistyped: int = 0
    unknown: int = 0
    stale: int = 0
    surprising: int = 0
    late: int = 0
    orphans: int = 0
    open_runs: int = 0
    finished_runs: int = 0
    evicted_runs: int = 0
    forgotten_ids: int = 0
    forgotten_tombstones: int = 0
    signals: int = 0
    failures: int = 0
    conflated: int = 0
    gaps: int = 0
    repairs: int = 0
    failed_repairs: int = 0
    stalled: int = 0
    loop_stalls: int = 0
    open_sources: int = 0
    waiting_sources: int = 0
