"""When what is kept is written down: after delivery, so that a kill loses no signal and repeats at most one.

A *turn* is what one raw event (or one word of its source: connected, ended) does. Its signals are delivered one
after the other; the store then holds the states before it and the keys delivered since. Once all are delivered, the
states after it are put, with the place of the source, and the keys go. Turns that share a source or a run are put in
order: what a source is asked to resume from must never be ahead of a state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import structs

from runstream.core.registry import RunRecord
from runstream.core.state import RunState
from runstream.engine.gap_tracker import mark_missed
from runstream.engine.transaction import Delivery, Lane, RunKey, Transaction, parted, recall, stored_run
from runstream.errors import StoreError
from runstream.model.signals import ArgumentsDelta, Signal, TextDelta
from runstream.store.base import StateStore, StoredRun, StoredSource

if TYPE_CHECKING:
    from runstream.engine.engine import Engine
    from runstream.engine.recovery import RecoveringIntake

__all__ = ["Journal"]

T = TypeVar("T")


class Journal:
    """Writes states and delivered keys into a store, and reads them back.

    Args:
        store: Where they are kept.
        engine: Whose they are.

    Attributes:
        on_repeat: Called with each signal that is not delivered because an earlier process has done so.
        on_restore: Called with each state that was read.
        on_failure: Called when the store fails; without it the error is raised. Nothing is delivered afterwards.
    """

    def __init__(self, store: StateStore, engine: Engine) -> None:
        self.on_repeat: Callable[[Signal], None] | None = None
        self.on_restore: Callable[[RunState], None] | None = None
        self.on_failure: Callable[[StoreError], None] | None = None
        self.turn: Transaction | None = None
        self.inside = False  # a turn that somebody will close
        self._store = store
        self._engine = engine
        self._keys: dict[RunKey, dict[str, None]] = {}  # delivered, and not part of a state that was put
        self._lanes: dict[Lane, deque[Transaction]] = {}
        self._current: Delivery | None = None
        self._told_by: dict[RunKey, str] = {}  # of runs that were read: the source that spoke of them last
        self._loose: dict[RunKey, list[str]] = {}  # keys of loose turns, until the run is put
        self._failed = False

    # signals out

    def deliver(self, signal: Signal, push: Callable[[Any], None]) -> bool:
        """Push a signal, unless it was delivered before the restart; whether it was pushed."""
        if self._failed:
            return False
        kind = type(signal)
        if kind is TextDelta or kind is ArgumentsDelta:
            push(signal)
            return True
        turn = self.turn
        if turn is None:
            turn = self.turn = Transaction()
        run_id = getattr(signal, "run_id", None)
        run = None if run_id is None else (signal.scope, run_id)
        key = signal.key
        if run is not None:
            record = self._engine.registry.record(*run)
            if record is not None:
                turn.records[run] = record
            if key in self._keys.get(run, ()):
                turn.keys.append((run, key))
                if self.on_repeat is not None:
                    self.on_repeat(signal)
                return False
        self._note(turn)  # what was delivered before it, before it is on its way
        delivery = self._current = Delivery(turn, run, key)
        turn.waiting += 1
        try:
            push(signal)
        finally:
            self._current = None
        self.acknowledge(delivery)
        if not self.inside:
            self._close_loose(turn)
        return True

    def claim(self) -> Delivery | None:
        """The delivery that goes on right now, for a subscriber who acknowledges it later."""
        delivery = self._current
        if delivery is not None:
            delivery.waiting += 1
        return delivery

    def acknowledge(self, delivery: Delivery) -> None:
        """A subscriber is through with a signal."""
        delivery.waiting -= 1
        if delivery.waiting:
            return
        turn = delivery.turn
        turn.waiting -= 1
        turn.delivered.append(delivery)
        if turn.lanes is None:
            return
        if not turn.waiting and self._is_first(turn):
            self._advance(turn)
        else:
            self._note(turn)

    # turns

    def close_turn(self, intake: RecoveringIntake) -> None:
        """All signals of the turn were told: put what it did, at once or when they are all acknowledged."""
        turn, self.turn = self.turn, None
        if turn is None or self._failed:
            return
        intakes, records = [intake], dict(turn.records)
        for each in intakes:
            records.update(each.unsaved())
            # A run may be another source's: told of by a poll beside its stream, or fed by a subscriber. Put without
            # the place of that one, its state would be ahead, and what is told from there on would come twice.
            intakes += {record.intake for record in records.values() if record.intake} - set(intakes)
            place = each.place()
            if place != each.placed:
                each.placed = place
                turn.sources.append(place)
        for run, record in records.items():
            record.saved = record.state
            turn.puts[run] = stored_run(record)
        lanes: list[Lane] = [*turn.puts, *(("source", source.scope, source.name) for source in turn.sources)]
        if not turn.waiting and not any(lane in self._lanes for lane in lanes):
            self._put(turn)
            return
        self._queue(turn, tuple(lanes))

    def keep(self, record: RunRecord) -> None:
        """Put a run when the turn closes, though no signal tells of it: a later process must know what it is now."""
        if not self.inside:
            return  # with its next put
        if self.turn is None:
            self.turn = Transaction()
        self.turn.records[record.state.scope, record.state.run_id] = record

    def _close_loose(self, turn: Transaction) -> None:
        """A turn of no source puts no state, which would be ahead of its source: its keys say it all."""
        self.turn = None
        turn.loose = True
        lanes = tuple(turn.records)
        if turn.waiting or any(lane in self._lanes for lane in lanes):
            self._queue(turn, lanes)
        else:
            self._put(turn)

    def _queue(self, turn: Transaction, lanes: tuple[Lane, ...]) -> None:
        turn.lanes = lanes
        for lane in lanes:
            self._lanes.setdefault(lane, deque()).append(turn)
        self._note(turn)

    def drop_turn(self) -> None:
        """The turn broke off: its events count as not received."""
        self.turn = None

    def _is_first(self, turn: Transaction) -> bool:
        return all(self._lanes[lane][0] is turn for lane in turn.lanes or ())

    def _advance(self, turn: Transaction) -> None:
        ready = [turn]
        while ready:
            turn = ready.pop()
            self._put(turn)
            for lane in turn.lanes or ():
                queue = self._lanes[lane]
                queue.popleft()
                if not queue:
                    del self._lanes[lane]
                elif not queue[0].waiting and self._is_first(queue[0]):
                    ready.append(queue[0])

    def _put(self, turn: Transaction) -> None:
        if turn.loose:
            self._note(turn)
            for run, key in turn.keys:
                self._loose.setdefault(run, []).append(key)
            return
        for run in turn.puts:
            turn.keys += [(run, key) for key in self._loose.pop(run, ())]
        turn.keys += [(delivery.run, delivery.key) for delivery in turn.delivered if delivery.run is not None]
        for run, key in turn.keys:
            keys = self._keys.get(run)
            if keys is not None:
                keys.pop(key, None)
                if not keys:
                    del self._keys[run]
        runs = [
            structs.replace(stored, delivered=tuple(self._keys[run])) if run in self._keys else stored
            for run, stored in turn.puts.items()
        ]
        for theirs, source in parted(runs, turn.sources):
            if theirs or source is not None:
                self._guarded(partial(self._store.put, theirs, source), None)

    def _note(self, turn: Transaction) -> None:
        """Note the keys that were delivered, while the states that follow from them can't be put yet."""
        for delivery in turn.delivered:
            run, key = delivery.run, delivery.key
            if run is not None:
                turn.keys.append((run, key))
                self._keys.setdefault(run, {})[key] = None
                self._guarded(partial(self._store.deliver, *run, key), None)
        turn.delivered.clear()

    # states in

    def source(self, scope: str, name: str) -> StoredSource | None:
        """The place of a source, as it is kept."""
        return self._store.get_source(scope, name)

    def restore(
        self, scope: str | None = None, source: str | None = None, *, ended_since: float | None = None
    ) -> list[RunRecord]:
        """Read the runs that have not ended (or lately) and are not held yet; for a source also those that were read
        before it was there.
        """
        found = []
        for stored in self._store.runs(scope, source, ended_since=ended_since):
            record = self._engine.registry.record(stored.scope, stored.run_id)
            if record is None:
                record = self._take_in(stored)
            elif source is None or (stored.scope, stored.run_id) not in self._told_by:
                continue  # a source has spoken of it since
            if record is not None:
                found.append(record)
        return found

    def find(self, scope: str, run_id: str) -> RunRecord | None:
        """:meth:`read` in the middle of an event."""
        return self._guarded(lambda: self.read(scope, run_id), None)

    def read(self, scope: str, run_id: str) -> RunRecord | None:
        """Read a run that is not held; ``None`` if it is not kept either."""
        stored = self._store.get(scope, run_id)
        return None if stored is None else self._take_in(stored)

    def heard(self, record: RunRecord, source: str, *, exact: bool, whole: bool) -> None:
        """A run that was read is heard of again.

        Args:
            record: The run.
            source: The name of the source that speaks of it.
            exact: Whether this source was asked to go on where it was.
            whole: Whether it tells nothing but whole objects.
        """
        told_by = self._told_by.pop((record.state.scope, record.state.run_id), None)
        if told_by is not None and not whole and not (exact and told_by == source):
            mark_missed(self._engine, record, "the process was restarted", self._engine.clock())

    def _take_in(self, stored: StoredRun) -> RunRecord | None:
        if stored.delivered:
            self._keys[stored.scope, stored.run_id] = dict.fromkeys(stored.delivered)
        if stored.state is None:
            return None
        record = self._engine.restore(stored.state)
        record.saved = stored.state
        self._told_by[stored.scope, stored.run_id] = stored.source
        record.replaying = stored.replaying
        record.paused = stored.paused
        record.interrupted = stored.interrupted
        record.stalled = stored.stalled
        record.unidentified = stored.unidentified
        # These have served their purpose with the next put.
        if used := [key for key in stored.delivered if recall(record, key)]:
            self._loose[stored.scope, stored.run_id] = used
        if self.on_restore is not None:
            self.on_restore(stored.state)
        return record

    def _guarded(self, call: Callable[[], T], default: T) -> T:
        if self._failed:
            return default
        try:
            return call()
        except Exception as error:
            failure = error
            if not isinstance(failure, StoreError):
                failure = StoreError(f"{type(error).__name__} in the state store")
                failure.__cause__ = error
            self._failed = True
            if self.on_failure is None:
                raise failure from failure.__cause__
            self.on_failure(failure)
            return default
