"""A transaction: the signals and store writes that one raw event or one notification of its source causes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, TypeAlias

from runstream.core.run_record import RunRecord
from runstream.model.run import RunKey
from runstream.store.base import StoredRun, StoredSource

__all__ = [
    "Delivery",
    "QueueKey",
    "StoredPlace",
    "Transaction",
    "group_by_source",
    "restore_counter",
    "stored_run",
]

QueueKey: TypeAlias = tuple[str, ...]
"""The key of a queue of transactions: a run's scope and id, or ``"source"`` with a source's scope and name."""


class StoredPlace(Protocol):
    """The part of a source's state that is stored."""

    stored_place: StoredSource | None
    """The place that the store has, or is about to get."""

    def place(self) -> StoredSource:
        """The present place, with the memory of the dialect."""

    def unsaved(self) -> dict[RunKey, RunRecord]:
        """The runs that must be written together with the last :meth:`place`."""


class Delivery:
    """One signal that is being delivered.

    Attributes:
        transaction: Its transaction.
        run: Scope and id of its run; ``None`` for a signal of a source.
        key: The signal's key.
        waiting: The number of subscribers that have not acknowledged it; all synchronous ones count as one.
    """

    __slots__ = ("key", "run", "transaction", "waiting")

    def __init__(self, transaction: Transaction, run: RunKey | None, key: str) -> None:
        self.transaction = transaction
        self.run = run
        self.key = key
        self.waiting = 1


class Transaction:
    """Deliveries, and the writes that follow when all of them are acknowledged.

    Attributes:
        records: The runs of its signals.
        keys: The delivered keys that are removed from the store once the states are written.
        delivered: The acknowledged deliveries whose keys are not in the store yet.
        waiting: The number of deliveries that are not acknowledged.
        queue_keys: The keys of the queues in which it waits; ``None`` until all its signals are emitted.
        puts: The runs to write.
        sources: The places of sources to write.
        detached: True for signals outside an event of a source, as those of watchdogs: it writes no states.
    """

    __slots__ = ("delivered", "detached", "keys", "puts", "queue_keys", "records", "sources", "waiting")

    def __init__(self) -> None:
        self.records: dict[RunKey, RunRecord] = {}
        self.keys: list[tuple[RunKey, str]] = []
        self.delivered: list[Delivery] = []
        self.waiting = 0
        self.queue_keys: tuple[QueueKey, ...] | None = None
        self.puts: dict[RunKey, StoredRun] = {}
        self.sources: list[StoredSource] = []
        self.detached = False


def stored_run(record: RunRecord) -> StoredRun:
    """A run as it is now, in the form in which it is stored."""
    state = record.state
    return StoredRun(
        scope=state.scope,
        run_id=state.run_id,
        state=state,
        source=record.source.name if record.source is not None else "",
        replaying=record.replaying,
        places=record.places,
        paused=record.paused,
        interrupted=record.interrupted,
        stalled=record.stalled,
        unidentified=record.unidentified or record.unnumbered,
    )


def group_by_source(
    runs: list[StoredRun], sources: list[StoredSource]
) -> Iterator[tuple[list[StoredRun], StoredSource | None]]:
    """Runs and places grouped by source. The first source also gets the runs that belong to none of the others.

    Args:
        runs: The runs to write.
        sources: The places to write.
    """
    if not sources:
        yield runs, None
        return
    first, *others = sources
    for source in others:
        yield [run for run in runs if (run.scope, run.source) == (source.scope, source.name)], source
    grouped = {(source.scope, source.name) for source in others}
    yield [run for run in runs if (run.scope, run.source) not in grouped], first


def restore_counter(record: RunRecord, key: str) -> bool:
    """Raise the counter of a run to the number in a delivered key, so that the next signal gets the next number.

    Returns:
        True if the key contains a number of ``run.paused``, ``run.interrupted`` or ``run.stalled``.
    """
    parts = key.split("/")
    if len(parts) != 3 or parts[1] not in ("paused", "interrupted", "stalled") or not parts[2].isdecimal():
        return False
    _, kind, number = parts
    setattr(record, kind, max(getattr(record, kind), int(number)))
    return True
