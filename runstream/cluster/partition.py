"""One partition of a worker: packs enter, commits leave. No I/O: the worker loads what is missing and sends commits.

A commit is consistent: it has the changed runs of some sources, the number of the last item of each of these sources,
and all facts since the last commit. Sources without facts are left out until the replay gets long.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush
from itertools import chain
from typing import Any, Final

from msgspec import structs

from runstream.cluster.commits import Commit, CommitMessage, LaneKey, Needs, named_runs
from runstream.cluster.event_codec import read_event, write_event
from runstream.cluster.facts import ProgressBuffer, write_facts
from runstream.cluster.lane import Lane
from runstream.cluster.packs import Pack, Section
from runstream.cluster.stored import (
    StoredLane,
    StoredRecord,
    apply_record,
    read_stored,
    record_of,
    state_of,
    write_stored,
)
from runstream.cluster.topology import token
from runstream.core.run_record import RunRecord
from runstream.engine.engine import Engine
from runstream.engine.watchdogs import WatchdogTimer
from runstream.model.limits import Limits
from runstream.model.progress_signals import PROGRESS
from runstream.model.run import RunKey
from runstream.model.signal_base import SourceSignal
from runstream.model.signals import Signal
from runstream.store.codec import StateEncoder

__all__ = ["Partition"]

_STEP: Final = 128  # items between two checks of the size of a commit
MAX_MESSAGES: Final = 1_000
"""Messages of an atomic batch, at most: a limit of the broker."""
_DUE_MESSAGES: Final = 500  # a commit is due beyond that
_ROOM: Final = 8  # messages of a batch that are left free
_NO_END: Final = 2**62


class Partition:
    """The engine of one partition.

    Args:
        replay: The sequence of the first pack that is fed.
        limits: The bounds of one run. Those of finished and open runs are not used: the broker keeps the runs.
        max_hot: The number of runs in memory beyond which those that were silent longest leave it.
        checkpoint: The number of packs that a takeover has to read again, roughly.
        progress: True to collect progress.
        clock: The time in Unix seconds.
        on_lost: Called with the scope and name of a source whose items were removed before they were read, and their
            number.

    Attributes:
        engine: The engine.
        lanes: The sources in memory, by scope and name.
        watchdog: Watches the runs; set before the first pack, ``None`` for none.
    """

    def __init__(
        self,
        *,
        replay: int = 1,
        limits: Limits | None = None,
        max_hot: int = 20_000,
        checkpoint: int = 256,
        progress: bool = True,
        clock: Callable[[], float] = time.time,
        on_lost: Callable[[str, str, int], None] | None = None,
    ) -> None:
        limits = structs.replace(
            limits or Limits(), max_open_runs=_NO_END, max_finished_runs=_NO_END, max_finished_age=float("inf")
        )
        self.engine = Engine(limits=limits, clock=clock, progress=progress)
        self.engine.on_signal = self._collect
        self._progress = ProgressBuffer()
        if progress:
            self.engine.on_progress = self._progress.add
        self.engine.on_gap = self._note_gap
        self.lanes: dict[LaneKey, Lane] = {}
        # Not the last pack that an earlier owner has fed: those behind `replay` are missing until they are fed again.
        self.done = replay - 1
        self._max_hot = max_hot
        self._checkpoint = checkpoint
        self._on_lost = on_lost
        # By the lane with which they are stored; then by scope, id, and whether it is the id of a source.
        self._facts: dict[Lane | None, dict[tuple[str, str, bool], list[Signal]]] = {}
        self._current: Lane | None = None
        self._seq = 0  # of the pack that is being fed; 0 between packs
        self._links: dict[Lane, set[Lane]] = {}
        self._outside: dict[Lane, None] = {}  # lanes with facts that no item has caused, as those of watchdogs
        self._dirty: dict[Lane, None] = {}  # the lanes whose `since` is set
        self._used = 0
        self._encode = StateEncoder(4096)
        self._sources: dict[LaneKey, bytes | None] = {}  # loaded, and not in memory yet
        self._runs: dict[RunKey, bytes | None] = {}
        self._fed = 0
        self.watchdog: WatchdogTimer | None = None
        self._deadlines: list[tuple[float, LaneKey]] = []  # of lanes that are not in memory; a heap

    # loading

    def needs(self, packs: Iterable[Pack]) -> Needs:
        """What has to be loaded before packs can be fed, one after the other."""
        lanes: set[LaneKey] = set()
        runs: set[RunKey] = set()
        record, known = self.engine.registry.record, self._runs
        for section in chain.from_iterable([pack.sections for pack in packs]):
            key = (section.scope, section.source)
            if key not in self.lanes:
                if key not in self._sources:
                    lanes.add(key)
            elif self._is_covered(section, self.lanes[key]):
                continue
            scope = section.scope
            for run_id in named_runs(section):
                run = (scope, run_id)
                if run not in known and record(scope, run_id) is None:
                    runs.add(run)
        return Needs(lanes, runs)

    def load(self, lanes: Iterable[tuple[LaneKey, bytes | None]], runs: Iterable[tuple[RunKey, bytes | None]]) -> Needs:
        """Take what was loaded, ``None`` for what does not exist.

        Returns:
            What has to be loaded as well: the runs of these sources, the sources of these runs. When there is nothing
            more, all of it is in memory.

        Raises:
            ClusterError: Something can't be read.
        """
        more_lanes: set[LaneKey] = set()
        more_runs: set[RunKey] = set()
        for key, data in lanes:
            self._sources[key] = data
            if data is not None:
                found = read_stored(StoredLane, data)
                for run_id in (*found.open, *found.late):
                    run = (found.scope, run_id)
                    if run not in self._runs and self.engine.registry.record(*run) is None:
                        more_runs.add(run)
        for run, data in runs:
            self._runs[run] = data
            if data is not None:
                stored = read_stored(StoredRecord, data)
                if stored.source:
                    key = (stored.scope, stored.source)
                    if key not in self.lanes and key not in self._sources:
                        more_lanes.add(key)
        more = Needs(more_lanes - self._sources.keys(), more_runs - self._runs.keys())
        if not more:
            self._restore()
        return more

    def _restore(self) -> None:
        """Put all that was loaded into the engine."""
        records: dict[RunKey, tuple[RunRecord, StoredRecord]] = {}
        for run, data in self._runs.items():
            if data is None or self.engine.registry.record(*run) is not None:
                continue
            stored = read_stored(StoredRecord, data)
            record = self.engine.restore(state_of(stored))
            records[run] = record, stored
        for (scope, name), data in self._sources.items():
            lane = self.lanes[scope, name] = Lane(name, self.engine.registry.scope(scope), self.engine)
            if data is None:
                continue
            found = read_stored(StoredLane, data)
            of_lane: dict[str, RunRecord] = {}
            for run_id in (*found.open, *found.late):
                known = self.engine.registry.record(scope, run_id)
                if known is None or known.source is not None:
                    continue
                loaded = records.get((scope, run_id))
                if loaded is None or loaded[1].source in ("", name):  # else it is of another source
                    of_lane[run_id] = known
            lane.restore(found, of_lane)
            for id, written, at in found.orphans:
                event: Any = read_event(written, at)
                lane.scope.orphans.buffer(id, event, lane, at)
        for (scope, _), (record, stored) in records.items():
            apply_record(record, stored)
            if self.watchdog is not None and stored.watch is not None:
                self.watchdog.resume(record, stored.watch)
            formers = [self.lanes.get((scope, name)) for name in stored.former]
            others = [lane for lane in formers if lane is not None and lane is not record.source and not lane.ended]
            record.former_sources = tuple(dict.fromkeys([*record.former_sources, *others]))
            lane_of = record.last_source
            record.saved = record.state
            if isinstance(lane_of, Lane):
                lane_of.stored(record)
                if stored.number > lane_of.number and stored.source == lane_of.name:
                    lane_of.ahead[record] = stored.number
            else:
                record.on_event = self._note_changed
        for key in self._sources:
            self.lanes[key].changed.clear()  # to claim a run as it is stored is no change
        self._sources.clear()
        self._runs.clear()

    # feeding

    def feed(self, seq: int, pack: Pack) -> Iterator[None]:
        """Feed a pack; yields where a commit is due before the rest is fed.

        Args:
            seq: The sequence of the pack in its stream.
            pack: The pack. All that it needs is loaded.
        """
        self._seq = seq
        self._fed += 1
        for section in pack.sections:
            lane = self.lanes[section.scope, section.source]
            self._used += 1
            lane.used = self._used
            if self._is_covered(section, lane):
                continue
            if section.first > lane.number + 1:
                self._lose(lane, section.first - 1 - lane.number)
                lane.number = section.first - 1
            self._need(lane, seq)
            self._current = lane
            for _ in lane.feed(section, _STEP):
                if self._is_due(lane):
                    yield
                    self._need(lane, seq)  # for the rest of this section
            if section.snapshots:
                self._link(lane, section)
        self._current = None
        self._seq = 0
        self.done = max(self.done, seq)
        if self._is_due(None):
            yield

    def _need(self, lane: Lane, seq: int) -> None:
        """Note that a takeover needs the items of a lane from this pack on."""
        if lane.since is None:
            lane.since = seq
            self._dirty[lane] = None

    @staticmethod
    def _is_covered(section: Section, lane: Lane) -> bool:
        return section.first + section.count - 1 <= lane.number

    def _lose(self, lane: Lane, count: int) -> None:
        self._current = lane
        lane.lose_items("items of its source were removed before they were read")
        if self._on_lost is not None:
            self._on_lost(lane.scope.name, lane.name, count)

    def _is_due(self, lane: Lane | None) -> bool:
        if lane is not None:
            changed = len(lane.changed)
        else:
            changed = sum([len(each.changed) for each in self._dirty if each.has_facts])
        return sum(map(len, self._facts.values())) + changed >= _DUE_MESSAGES

    def _link(self, lane: Lane, section: Section) -> None:
        """Note the sources whose runs a source of snapshots has changed: they are stored together."""
        for run_id in named_runs(section):
            record = self.engine.registry.record(section.scope, run_id)
            other = record.source if record is not None else None
            if isinstance(other, Lane) and other is not lane:
                self._links.setdefault(lane, set()).add(other)
                self._links.setdefault(other, set()).add(lane)

    def _collect(self, signal: Signal) -> None:
        if type(signal) in PROGRESS:
            self._progress.add(signal)
            return
        owner = self._current
        if isinstance(signal, SourceSignal):
            key = (signal.scope, signal.source, True)
        else:
            run_id = signal.run_id
            key = (signal.scope, run_id, False)
            record = self.engine.registry.record(signal.scope, run_id)
            if record is not None and (found := self._owner_of(record)) is not None:
                owner = found
                owner.note_changed(record)
        self._facts.setdefault(owner, {}).setdefault(key, []).append(signal)
        if owner is not None:
            self._note_fact(owner)

    def _note_fact(self, lane: Lane) -> None:
        lane.has_facts = True
        if lane.since is None:
            self._outside[lane] = None

    def _note_gap(self, state: Any, reason: str) -> None:
        record = self.engine.registry.record(state.scope, state.run_id)
        if record is not None:
            self._note_changed(record)

    def _owner_of(self, record: RunRecord) -> Lane | None:
        """The source with which a run is stored: the one that sent it last."""
        owner = record.last_source
        if isinstance(owner, Lane):
            return owner
        if self._current is not None:
            return self._current
        run_id = record.state.run_id  # of a run that a watchdog has ended
        return next((lane for lane in self.lanes.values() if lane.late.get(run_id) is record), None)

    def _note_changed(self, record: RunRecord) -> None:
        lane = self._owner_of(record)
        if lane is not None:
            lane.note_changed(record)

    # commits

    @property
    def events(self) -> int:
        """The number of events that were fed."""
        return self.engine.events + self.engine.progress_count

    @property
    def has_facts(self) -> bool:
        """True if facts wait for a commit."""
        return bool(self._facts)

    @property
    def needs_checkpoint(self) -> bool:
        """True if a takeover would have to read many packs again, or runs can't leave the memory that is full."""
        return self._fed >= self._checkpoint or (bool(self._dirty) and self._is_full)

    @property
    def _is_full(self) -> bool:
        registry = self.engine.registry
        return registry.open + registry.finished > self._max_hot or len(self.lanes) > self._max_hot

    def take_progress(self, limit: int = 2**20) -> list[tuple[str, bytes]]:
        """Remove and return the progress since the last call: the token of each run, and its signals as JSON.

        Args:
            limit: The size of a message that the server accepts (bytes).
        """
        return self._progress.take(limit)

    def take_commit(self, *, everything: bool = False) -> Commit:
        """Build the next commit; what it has counts as stored from now on.

        Args:
            everything: True to store all sources, not only those with facts.
        """
        checkpoint = everything or self.needs_checkpoint
        chosen, more = self._choose(everything=checkpoint)
        if checkpoint and not more:
            self._fed = 0
        messages: list[CommitMessage] = []
        facts = 0
        for owner in (None, *chosen):
            for (scope, id, _), signals in self._facts.pop(owner, {}).items():
                messages.append(CommitMessage("fact", token(scope, id), write_facts(signals)))
                facts += len(signals)
        for lane in chosen:
            for record in lane.changed:
                state = record.state
                watch = None if self.watchdog is None else self.watchdog.save(record)
                data = write_stored(record_of(record, self._encode(state), lane.number, watch))
                messages.append(CommitMessage("state", token(state.scope, state.run_id), data, state.is_terminal))
                lane.stored(record)
            lane.changed.clear()
            stored = structs.replace(lane.dump(), orphans=self._orphans_of(lane), deadline=self._deadline_of(lane))
            messages.append(CommitMessage("source", token(lane.scope.name, lane.name), write_stored(stored)))
            lane.has_facts = False
            lane.since = None
            self._dirty.pop(lane, None)
            self._outside.pop(lane, None)
            self._links.pop(lane, None)
        for lane in chosen:
            for record in lane.expendable():
                self.engine.registry.unload(record)
        if self._seq:
            done, replay = self._seq - 1, self._seq  # the rest of this pack
        else:
            done, replay = self.done, self.done + 1
        replay = min([replay, *[lane.since for lane in self._dirty if lane.since is not None]])
        return Commit(messages, facts, done, replay, more)

    def _choose(self, *, everything: bool) -> tuple[list[Lane], bool]:
        """The sources of a commit: those with facts, as many as one step takes; and whether others remain."""
        chosen: dict[Lane, None] = {}
        count = 1
        starts = [lane for lane in self._dirty if everything or lane.has_facts] + [*self._outside]
        for start in starts:
            if start in chosen:
                continue
            group = [lane for lane in self._group(start) if lane not in chosen]
            size = sum([len(lane.changed) + 1 + len(self._facts.get(lane, ())) for lane in group])
            if chosen and count + size > MAX_MESSAGES - _ROOM:
                return [*chosen], True
            chosen.update(dict.fromkeys(group))
            count += size
        return [*chosen], False

    def _group(self, lane: Lane) -> list[Lane]:
        """A source and all that share runs with it: they are stored in one step."""
        group: dict[Lane, None] = {}
        waiting = [lane]
        while waiting:
            lane = waiting.pop()
            if lane in group:
                continue
            group[lane] = None
            others: set[Any] = set(self._links.get(lane, ()))
            for record in lane.changed:
                others.update((record.source, *record.former_sources))
            waiting += [each for each in others if isinstance(each, Lane) and each.since is not None]
        return [*group]

    def _orphans_of(self, lane: Lane) -> list[tuple[str, list[Any], float]]:
        orphans = lane.scope.orphans
        if not orphans:
            return []
        return [
            (id, write_event(event, by_payload=False), at)
            for id, events in orphans._events.items()
            for event, source, at in events.values()
            if source is lane
        ]

    def unload_cold(self) -> None:
        """Remove from memory the sources that were silent longest, and are stored, until few enough runs remain.

        To be called between packs, when all that was loaded is fed.
        """
        if not self._is_full:
            return
        registry = self.engine.registry
        target = self._max_hot // 2
        for key, lane in sorted(self.lanes.items(), key=lambda each: each[1].used):
            if lane.since is not None or lane.has_facts or lane.changed or self._orphans_of(lane):
                continue
            if (deadline := self._deadline_of(lane)) is not None:
                self.add_deadline(deadline, key)
            for record in lane.unload():
                registry.unload(record)
            registry.remove_idle_scope(lane.scope)
            del self.lanes[key]
            if registry.open + registry.finished <= target and len(self.lanes) <= target:
                return

    # watchdogs of runs that are not in memory

    def _deadline_of(self, lane: Lane) -> float | None:
        if self.watchdog is None:
            return None
        found = [self.watchdog.deadline(record) for record in (*lane.open.values(), *lane.late.values())]
        return min([each for each in found if each is not None], default=None)

    def add_deadline(self, deadline: float, key: LaneKey) -> None:
        """Note when a source that is not in memory has to be loaded for the watchdogs.

        Args:
            deadline: Unix seconds.
            key: Its scope and name.
        """
        if key not in self.lanes:
            heappush(self._deadlines, (deadline, key))

    def due(self, now: float, limit: int = 64) -> Needs:
        """The sources that have to be loaded now, because a run of them may pass a limit.

        Args:
            now: Unix seconds.
            limit: Their number, at most.
        """
        keys: set[LaneKey] = set()
        while self._deadlines and self._deadlines[0][0] <= now and len(keys) < limit:
            _, key = heappop(self._deadlines)
            if key not in self.lanes:
                keys.add(key)
        return Needs(keys, set())
