"""A cluster in one process without a broker: ingests, partitions, and a storage that is a table."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Any

from runstream.cluster.facts import read_facts
from runstream.cluster.ingest_source import IngestPlace, IngestSource, read_place, write_place
from runstream.cluster.packs import Section, read_pack, write_pack
from runstream.cluster.partition import Partition
from runstream.cluster.stored import StoredRecord, read_stored, state_of
from runstream.cluster.topology import token
from runstream.core.state import RunState
from runstream.model.limits import Limits, Stats
from runstream.model.raw import ConnectionEvent, RawItem
from runstream.model.signals import Signal

LIMITS = Limits()


class Simulation:
    """One partition, any number of owners of it one after the other."""

    def __init__(self, *, max_hot: int = 20_000, checkpoint: int = 64) -> None:
        self.packs: list[bytes] = []
        self.states: dict[str, bytes] = {}
        self.sources: dict[str, bytes] = {}
        self.facts: list[Signal] = []
        self.done, self.replay = 0, 1
        self.position = 0  # the sequence of the last pack that the owner has fed
        self.options: dict[str, Any] = {
            "max_hot": max_hot,
            "checkpoint": checkpoint,
            "limits": LIMITS,
            "clock": lambda: 1e9,
        }
        self.partition = Partition(**self.options)
        self.takeovers = 0

    def publish(self, sections: Sequence[Section]) -> None:
        if sections:
            self.packs.append(write_pack(list(sections)))

    def take_over(self) -> None:
        """Another worker has the partition: what was not committed never happened."""
        self.takeovers += 1
        self.partition = Partition(replay=self.replay, **self.options)
        self.position = self.replay - 1

    def work(self, commit: bool = True) -> bool:
        """Feed the next pack; False if there is none."""
        if self.position >= len(self.packs):
            return False
        self.position += 1
        pack = read_pack(self.packs[self.position - 1])
        needs = self.partition.needs([pack])
        while needs:
            needs = self.partition.load(
                [(key, self.sources.get(token(*key))) for key in needs.lanes],
                [(key, self.states.get(token(*key))) for key in needs.runs],
            )
        for _ in self.partition.feed(self.position, pack):
            self.commit()
        if commit:
            self.commit()
        return True

    def commit(self, *, everything: bool = False) -> None:
        while self._commit_once(everything=everything):
            pass

    def _commit_once(self, *, everything: bool) -> bool:
        found = self.partition.take_commit(everything=everything)
        assert len(found.messages) < 1_000
        for message in found.messages:
            if message.kind == "fact":
                self.facts += read_facts(message.data)
            else:
                (self.states if message.kind == "state" else self.sources)[message.token] = message.data
        self.done, self.replay = found.done, found.replay
        if not self.partition._seq and not found.more:
            self.partition.unload_cold()
        return found.more

    def final(self) -> dict[tuple[str, str], RunState]:
        """The stored states of all runs, after all packs."""
        while self.work():
            pass
        self.commit(everything=True)
        stored = [state_of(read_stored(StoredRecord, data)) for data in self.states.values()]
        return {(state.scope, state.run_id): state for state in stored}


def ingest(
    name: str,
    items: Iterable[RawItem],
    *,
    scope: str = "",
    dialect: Any = None,
    every: int = 20,
    place: bytes | None = None,
    **options: Any,
) -> list[list[Section]]:
    """The sections of a source, one for so many items, with its end."""
    source = make_source(
        name, scope=scope, dialect=dialect, place=None if place is None else read_place(place), **options
    )
    found = []
    source.connected()
    first = True
    for count, item in enumerate(items, 1):
        if isinstance(item, ConnectionEvent):
            if not item.connected:
                source.disconnected(item.reason, item.attempt)
            elif not first:
                source.connected(item.attempt)
        else:
            source.feed(item)
        first = False
        if count % every == 0 and (section := source.take_section()):
            found.append([section])
            # As if another process went on: the place has all that it needs.
            assert read_place(write_place(source.place("a"))) == source.place("a")
    source.end("the stream ended")
    if section := source.take_section():
        found.append([section])
    return found


def make_source(
    name: str, *, scope: str = "", dialect: Any = None, place: IngestPlace | None = None, **options: Any
) -> IngestSource:
    return IngestSource(
        name, scope, dialect=dialect, place=place, limits=LIMITS, counts=Stats(), clock=lambda: 1e9, **options
    )


def interleave(streams: Sequence[list[list[Section]]], random: random.Random) -> list[list[Section]]:
    """Sections of several sources as packs: the order within each source stays."""
    packs: list[list[Section]] = []
    waiting = [list(stream) for stream in streams if stream]
    while waiting:
        pack: list[Section] = []
        for stream in random.sample(waiting, random.randint(1, min(4, len(waiting)))):
            pack += stream.pop(0)
        waiting = [stream for stream in waiting if stream]
        packs.append(pack)
    return packs
