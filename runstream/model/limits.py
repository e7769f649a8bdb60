"""The bounds of a pipeline, and the counts of its events."""

from __future__ import annotations

from msgspec import Struct

from runstream.model.validation import check_counts, check_durations, check_instances

__all__ = ["Limits", "Stats", "check_limits"]


class Limits(Struct, frozen=True, kw_only=True):
    """The bounds of a pipeline. Data beyond a bound are rejected or evicted, and counted; they are never an error.

    Attributes:
        max_message_bytes: Size of one raw event (bytes); larger ones are rejects.
        max_nesting: Nesting depth of its JSON (levels); deeper ones are rejects.
        max_index: Index of a content part, tool call, output or annotation in a delta; larger ones are rejects.
        max_open_runs: Number of runs that have not ended. One more evicts the oldest interrupted run; if there is
            none, the events of the new run are rejects.
        max_finished_runs: Number of ended runs kept for late events and late subscribers; the oldest is evicted first.
        max_finished_age: Time for which an ended run is kept (seconds, from the arrival of its end).
        max_run_objects: Number of messages, steps, documents and activities of one run; further ones are rejects.
        max_run_size: Size of the messages, steps, documents and activities of one run (characters of fragments, bytes
            of full objects and of JSON values); events that would exceed it are rejects. The end of the run is not.
        max_operations: Number of operations of one patch of a document or an activity; a patch with more is a reject.
        max_statuses: Number of statuses of one run in a round; a further one that is unknown is a reject.
        max_orphans: Number of events kept, over all scopes, for runs not seen yet; the oldest becomes a reject.
        max_orphan_bytes: Size of these events (bytes).
        dedupe_window: Number of event ids remembered per source.
        max_tombstones: Number of evicted runs, messages and steps, over all scopes, whose late events are ignored.

    Raises:
        ValueError: A bound is less than 0; a count is not a whole number; or ``max_message_bytes``, ``max_nesting`` or
            ``max_open_runs`` is less than 1, so that no event could pass.
    """

    max_message_bytes: int = 16 * 2**20
    max_nesting: int = 128
    max_index: int = 4096
    max_open_runs: int = 100_000
    max_finished_runs: int = 1_000
    max_finished_age: float = 3600.0
    max_run_objects: int = 10_000
    max_run_size: int = 64 * 2**20
    max_operations: int = 10_000
    max_statuses: int = 64
    max_orphans: int = 10_000
    max_orphan_bytes: int = 64 * 2**20
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
            max_run_objects=self.max_run_objects,
            max_run_size=self.max_run_size,
            max_operations=self.max_operations,
            max_statuses=self.max_statuses,
            max_orphans=self.max_orphans,
            max_orphan_bytes=self.max_orphan_bytes,
            dedupe_window=self.dedupe_window,
            max_tombstones=self.max_tombstones,
        )
        check_durations(max_finished_age=self.max_finished_age)


class Stats(Struct, kw_only=True):
    """Counts of a pipeline so far.

    Attributes:
        events: Decoded events, duplicates included.
        duplicates: Events dropped because their id was seen before.
        conflicts: Events whose id was seen before with other content; they are processed.
        rejected: Raw events that could not be used.
        mistyped: Values of an unexpected type, kept as received.
        unknown: Events with an unknown name.
        stale: Snapshots older than the known state; they changed nothing.
        surprising: Legal but unexpected changes of status.
        late: Events of runs, messages or steps that had ended; they changed nothing.
        orphans: Events kept for runs not seen yet.
        unattached: Messages of users, custom events, documents and activities that belong to no run, and events of the
            end of a run in its source whose run is unknown; they changed nothing.
        open_runs: Runs that have not ended.
        finished_runs: Ended runs still kept.
        evicted_runs: Evicted runs: ended ones, and interrupted ones if ``max_open_runs`` was reached.
        forgotten_ids: Event ids evicted because of ``dedupe_window``.
        forgotten_tombstones: Ids of evicted runs, messages and steps that were dropped because of ``max_tombstones``.
        signals: Emitted signals.
        failures: Exceptions of subscribers.
        conflated: Values that slow subscribers skipped, or received joined to one another.
        backlog: Values that wait now for the slowest asynchronous subscriber.
        gaps: Possible gaps in a run: its source skipped ids; or the run continued, after a reconnect or in another
            source, without proof that no event was lost.
        repairs: Fetched snapshots that were applied (``fetch_run``).
        failed_repairs: Number of times that a run could not be fetched.
        stalled: Limits of the watchdogs that runs have exceeded.
        loop_stalls: Blockings of the event loop for longer than a second.
        open_sources: Sources being read.
        waiting_sources: Sources that wait until another one ends (``max_connections``).
        violations: The violations of the rules of a protocol that its dialect has counted, by the name of the rule; of
            all sources. They end no run.
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
    unattached: int = 0
    open_runs: int = 0
    finished_runs: int = 0
    evicted_runs: int = 0
    forgotten_ids: int = 0
    forgotten_tombstones: int = 0
    signals: int = 0
    failures: int = 0
    conflated: int = 0
    backlog: int = 0
    gaps: int = 0
    repairs: int = 0
    failed_repairs: int = 0
    stalled: int = 0
    loop_stalls: int = 0
    open_sources: int = 0
    waiting_sources: int = 0
    violations: dict[str, int] = {}


def check_limits(limits: object) -> None:
    """Check the option of a pipeline.

    Raises:
        TypeError: It is neither bounds nor ``None``.
    """
    check_instances(Limits, "a Limits, such as Limits(max_open_runs=100)", limits=limits)
