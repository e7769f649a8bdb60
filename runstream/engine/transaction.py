"""A turn: what one raw event, or one word of its source, does; its signals on their way, and what is to be put."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeAlias

from runstream.core.registry import RunRecord
from runstream.store.base import StoredRun, StoredSource

__all__ = ["Delivery", "Lane", "RunKey", "Transaction", "parted", "recall", "stored_run"]

RunKey: TypeAlias = tuple[str, str]  # scope, run id
Lane: TypeAlias = tuple[str, ...]  # a run, or a source with a marker


class Delivery:
    """One signal on its way to its subscribers. ``waiting`` counts those who are not through with it."""

    __slots__ = ("key", "run", "turn", "waiting")

    def __init__(self, turn: Transaction, run: RunKey | None, key: str) -> None:
        self.turn = turn
        self.run = run
        self.key = key
        self.waiting = 1  # the synchronous subscribers


class Transaction:
    """What the signals of one turn were, who is not through with them yet, and what is put once everybody is."""

    __slots__ = ("delivered", "keys", "lanes", "loose", "puts", "records", "sources", "waiting")

    def __init__(self) -> None:
        self.records: dict[RunKey, RunRecord] = {}
        self.keys: list[tuple[RunKey, str]] = []  # that its states, once put, make superfluous
        self.delivered: list[Delivery] = []  # and not noted yet
        self.waiting = 0  # deliveries
        self.lanes: tuple[Lane, ...] | None = None  # once all its signals were told
        self.puts: dict[RunKey, StoredRun] = {}
        self.sources: list[StoredSource] = []  # that have come further
        self.loose = False  # of no source: what a watchdog says


def stored_run(record: RunRecord) -> StoredRun:
    """A run as it is now, to be put."""
    state = record.state
    return StoredRun(
        scope=state.scope,
        run_id=state.run_id,
        state=state,
        source=record.intake.name if record.intake is not None else "",
        replaying=record.replaying,
        paused=record.paused,
        interrupted=record.interrupted,
        stalled=record.stalled,
        unidentified=record.unidentified,
    )


def parted(runs: list[StoredRun], sources: list[StoredSource]) -> Iterator[tuple[list[StoredRun], StoredSource | None]]:
    """What is put, a source at a time: each with the runs that it told of, the first with what is of none of these."""
    if not sources:
        yield runs, None
        return
    first, *others = sources
    for source in others:
        yield [run for run in runs if (run.scope, run.source) == (source.scope, source.name)], source
    told = {(source.scope, source.name) for source in others}
    yield [run for run in runs if (run.scope, run.source) not in told], first


def recall(record: RunRecord, key: str) -> bool:
    """Note the number that a delivered key has used up, as the next fact of its kind is another one; whether it has."""
    head, _, number = key.rpartition("/")
    kind = head.rpartition("/")[2]
    if not number.isdecimal() or kind not in ("paused", "interrupted", "stalled"):
        return False
    setattr(record, kind, max(getattr(record, kind), int(number)))
    return True
