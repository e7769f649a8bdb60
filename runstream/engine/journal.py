"""Writes states after delivery, so that a killed process loses no signal and repeats at most one.

The signals of a transaction are delivered one after the other. Meanwhile the store has the states before it, and the
keys that were delivered since. When all signals are acknowledged, the states after it are written with the place of
the source, and the keys are removed. Transactions that share a source or a run are written in order: the place from
which a source resumes must never be ahead of a state.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from msgspec import structs

from runstream.core.registry import RunRegistry
from runstream.core.run_record import RunRecord
from runstream.core.state import RunState
from runstream.engine.gap_tracker import report_gap
from runstream.engine.outputs import Outputs
from runstream.engine.transaction import (
    Delivery,
    QueueKey,
    StoredPlace,
    Transaction,
    group_by_source,
    restore_counter,
    stored_run,
)
from runstream.errors import StoreError
from runstream.model.progress_signals import PROGRESS
from runstream.model.run import RunKey
from runstream.model.signal_base import RunSignal
from runstream.model.signals import Signal
from runstream.store.base import StateStore, StoredRun, StoredSource

__all__ = ["Journal"]

T = TypeVar("T")


class Journal:
    """Writes states and delivered keys into a store, and reads them.

    Args:
        store: The store.
        outputs: The outputs of the engine.
        registry: Its runs.
        restore: Adds a stored state to the registry.

    Attributes:
        on_repeat: Called with each signal that is skipped because an earlier process delivered it.
        on_restore: Called with each state that was read.
        on_sent: Called with the state of a run that was read, before its first event of this process, and if its
            source resumes at its stored place.
        on_failure: Called when the store fails; without it the error is raised. Nothing is delivered afterwards.
        transaction: The transaction that collects signals now.
        active: True while an entry into the engine runs that closes the transaction.
    """

    def __init__(
        self, store: StateStore, outputs: Outputs, registry: RunRegistry, restore: Callable[[RunState], RunRecord]
    ) -> None:
        self.on_repeat: Callable[[Signal], None] | None = None
        self.on_restore: Callable[[RunState], None] | None = None
        self.on_sent: Callable[[RunState], None] | None = None
        self.on_failure: Callable[[StoreError], None] | None = None
        self.transaction: Transaction | None = None
        self.active = False
        self._store = store
        self._outputs = outputs
        self._registry = registry
        self._restore = restore
        self._keys: dict[RunKey, dict[str, None]] = {}  # delivered keys that no stored state covers
        self._queues: dict[QueueKey, deque[Transaction]] = {}
        self._current: Delivery | None = None
        self._restored: dict[RunKey, str] = {}  # the name of the last source of each run that was read
        self._detached: dict[RunKey, list[str]] = {}  # keys of detached transactions, until the run is written
        self._failed = False

    # delivery

    def deliver(self, signal: Signal, push: Callable[[Any], None]) -> bool:
        """Push a signal, unless an earlier process delivered it.

        Returns:
            True if the signal was pushed.
        """
        if self._failed:
            return False
        kind = type(signal)
        if kind in PROGRESS:
            push(signal)
            return True
        transaction = self.transaction
        if transaction is None:
            transaction = self.transaction = Transaction()
        # A signal of a source is stored with its source, though an error may name a run.
        run = (signal.scope, signal.run_id) if isinstance(signal, RunSignal) else None
        key = signal.key
        if run is not None:
            record = self._registry.record(*run)
            if record is not None:
                transaction.records[run] = record
            if key in self._keys.get(run, ()):
                transaction.keys.append((run, key))
                if self.on_repeat is not None:
                    self.on_repeat(signal)
                return False
        self._put_keys(transaction)  # the signals before it, before this one is delivered
        delivery = self._current = Delivery(transaction, run, key)
        transaction.waiting += 1
        try:
            push(signal)
        finally:
            self._current = None
        self.acknowledge(delivery)
        if not self.active:
            self._close_detached(transaction)
        return True

    def claim(self) -> Delivery | None:
        """The present delivery, for a subscriber that acknowledges it later."""
        delivery = self._current
        if delivery is not None:
            delivery.waiting += 1
        return delivery

    def acknowledge(self, delivery: Delivery) -> None:
        """Note that a subscriber has finished with a signal."""
        delivery.waiting -= 1
        if delivery.waiting:
            return
        transaction = delivery.transaction
        transaction.waiting -= 1
        transaction.delivered.append(delivery)
        if transaction.queue_keys is None:
            return
        if not transaction.waiting and self._is_first(transaction):
            self._advance(transaction)
        else:
            self._put_keys(transaction)

    # transactions

    def run(self, source: StoredPlace, call: Callable[[T], None], item: T) -> None:
        """Call a function in a transaction of its own, or as a part of the present one (where a subscriber calls).

        Args:
            source: The source whose event or notification it is.
            call: The function.
            item: Its argument.
        """
        if self.active:
            call(item)
            return
        self.active = True
        try:
            call(item)
            if self.transaction is not None:
                self.close(source)
        except BaseException:
            self.transaction = None  # the events of a broken transaction count as not received
            raise
        finally:
            self.active = False

    def close(self, source: StoredPlace) -> None:
        """Close the transaction, all of whose signals are emitted: write it now, or when all are acknowledged.

        Args:
            source: The source whose event or notification caused it.
        """
        transaction, self.transaction = self.transaction, None
        if transaction is None or self._failed:
            return
        sources, records = [source], dict(transaction.records)
        for each in sources:
            place = each.place()
            records.update(each.unsaved())
            # A run may belong to another source: a poll changed it while its stream is open, or a subscriber fed it.
            # Without the place of that source, the stored state would be ahead, and later text would be emitted twice.
            sources += {record.source for record in records.values() if record.source} - set(sources)
            if place != each.stored_place:
                each.stored_place = place
                transaction.sources.append(place)
        for run, record in records.items():
            record.saved = record.state
            transaction.puts[run] = stored_run(record)
        queue_keys: list[QueueKey] = [
            *transaction.puts,
            *(("source", place.scope, place.name) for place in transaction.sources),
        ]
        if not transaction.waiting and not any(key in self._queues for key in queue_keys):
            self._put(transaction)
            return
        self._enqueue(transaction, tuple(queue_keys))

    def keep(self, record: RunRecord) -> None:
        """Write a run when the transaction closes, though it has no signal: a later process needs its present data."""
        if not self.active:
            return  # with its next write
        if self.transaction is None:
            self.transaction = Transaction()
        self.transaction.records[record.state.scope, record.state.run_id] = record

    def _close_detached(self, transaction: Transaction) -> None:
        """Close a transaction outside an event. Its keys are enough: a state would be ahead of its source."""
        self.transaction = None
        transaction.detached = True
        queue_keys = tuple(transaction.records)
        if transaction.waiting or any(key in self._queues for key in queue_keys):
            self._enqueue(transaction, queue_keys)
        else:
            self._put(transaction)

    def _enqueue(self, transaction: Transaction, queue_keys: tuple[QueueKey, ...]) -> None:
        """Queue a transaction behind those that share a source or a run with it."""
        transaction.queue_keys = queue_keys
        for key in queue_keys:
            self._queues.setdefault(key, deque()).append(transaction)
        self._put_keys(transaction)

    def _is_first(self, transaction: Transaction) -> bool:
        """True if a transaction is the first one in each of its queues."""
        return all(self._queues[key][0] is transaction for key in transaction.queue_keys or ())

    def _advance(self, transaction: Transaction) -> None:
        """Write a transaction that is first, then those behind it that are ready."""
        ready = [transaction]
        while ready:
            transaction = ready.pop()
            self._put(transaction)
            for key in transaction.queue_keys or ():
                queue = self._queues[key]
                queue.popleft()
                if not queue:
                    del self._queues[key]
                elif not queue[0].waiting and self._is_first(queue[0]):
                    ready.append(queue[0])

    def _put(self, transaction: Transaction) -> None:
        """Write the runs and places of a transaction, and remove the keys that the states now cover."""
        if transaction.detached:
            self._put_keys(transaction)
            for run, key in transaction.keys:
                self._detached.setdefault(run, []).append(key)
            return
        for run in transaction.puts:
            transaction.keys += [(run, key) for key in self._detached.pop(run, ())]
        transaction.keys += [
            (delivery.run, delivery.key) for delivery in transaction.delivered if delivery.run is not None
        ]
        for run, key in transaction.keys:
            keys = self._keys.get(run)
            if keys is not None:
                keys.pop(key, None)
                if not keys:
                    del self._keys[run]
        runs = [
            structs.replace(stored, delivered=tuple(self._keys[run])) if run in self._keys else stored
            for run, stored in transaction.puts.items()
        ]
        for group, source in group_by_source(runs, transaction.sources):
            if group or source is not None:
                self._guard(partial(self._store.put, group, source), None)

    def _put_keys(self, transaction: Transaction) -> None:
        """Write the delivered keys, while the states that follow from them can't be written yet."""
        for delivery in transaction.delivered:
            run, key = delivery.run, delivery.key
            if run is not None:
                transaction.keys.append((run, key))
                self._keys.setdefault(run, {})[key] = None
                self._guard(partial(self._store.deliver, run[0], run[1], key), None)
        transaction.delivered.clear()

    # reading

    def source(self, scope: str, name: str) -> StoredSource | None:
        """The stored place of a source."""
        return _read_store(lambda: self._store.get_source(scope, name))

    def restore(
        self, scope: str | None = None, source: str | None = None, *, ended_since: float | None = None
    ) -> list[RunRecord]:
        """Read the runs that are not in the registry: those that have not ended, and those that ended lately.

        Args:
            scope: Their scope; ``None`` for all.
            source: The name of their source; ``None`` for all. With a name, runs that were read before this source was
                attached are returned too.
            ended_since: Unix seconds; runs that ended later are read too.
        """
        found = []
        for stored in _read_store(lambda: list(self._store.runs(scope, source, ended_since=ended_since))):
            record = self._registry.record(stored.scope, stored.run_id)
            if record is None:
                record = self._add(stored)
            elif source is None or (stored.scope, stored.run_id) not in self._restored:
                continue  # a source has sent an event of it since
            if record is not None:
                found.append(record)
        return found

    def find(self, scope: str, run_id: str) -> RunRecord | None:
        """:meth:`read` during an event: a failure of the store goes to ``on_failure``."""
        return self._guard(lambda: self.read(scope, run_id), None)

    def read(self, scope: str, run_id: str) -> RunRecord | None:
        """Read a run that is not in the registry; ``None`` if the store has none."""
        stored = _read_store(lambda: self._store.get(scope, run_id))
        return None if stored is None else self._add(stored)

    def touch(self, record: RunRecord, source: str, *, exact: bool, whole: bool) -> bool:
        """Note the first event of a run that was read: it has a gap, unless its source resumed exactly.

        Args:
            record: The run.
            source: The name of the source that sends it.
            exact: True if this source was asked to continue at its stored place.
            whole: True if it sends nothing but whole objects.

        Returns:
            True if it has a gap.
        """
        last_source = self._restored.pop((record.state.scope, record.state.run_id), None)
        if last_source is None or whole or (exact and last_source == source):
            return False
        report_gap(self._outputs, record, "the process was restarted", self._outputs.clock())
        return True

    def note_sent(self, record: RunRecord) -> None:
        """Note that a source of this process has sent a run that was read, or resumes behind it."""
        record.on_event = None
        if self.on_sent is not None:
            self.on_sent(record.state)

    def _add(self, stored: StoredRun) -> RunRecord | None:
        """Add a stored run to the registry; ``None`` if only keys of it are stored."""
        if stored.delivered:
            self._keys[stored.scope, stored.run_id] = dict.fromkeys(stored.delivered)
        if stored.state is None:
            return None
        record = self._restore(stored.state)
        record.saved = stored.state
        record.on_event = self.note_sent
        self._restored[stored.scope, stored.run_id] = stored.source
        record.replaying = stored.replaying
        record.places = {
            name: place
            for name, place in stored.places.items()
            if (known := self.source(stored.scope, name)) is not None and known.last_id is not None
        }  # a source without ids does not continue where it was
        record.paused = stored.paused
        record.interrupted = stored.interrupted
        record.stalled = stored.stalled
        record.unidentified = stored.unidentified
        # The counters replace these keys, which the next write removes.
        if used := [key for key in stored.delivered if restore_counter(record, key)]:
            self._detached[stored.scope, stored.run_id] = used
        if self.on_restore is not None:
            self.on_restore(stored.state)
        return record

    def _guard(self, call: Callable[[], T], default: T) -> T:
        """Call the store; after a failure it is not called any more, and the result is ``default``.

        Raises:
            StoreError: The store failed, and there is no ``on_failure``.
        """
        if self._failed:
            return default
        try:
            return call()
        except BaseException as error:
            if not _is_of_store(error):
                raise
            failure = error if isinstance(error, StoreError) else None
            if failure is None:
                failure = StoreError(f"{type(error).__name__} in the state store")
                failure.__cause__ = error
            self._failed = True
            self._outputs.stop_signals()
            if self.on_failure is None:
                raise failure from failure.__cause__
            self.on_failure(failure)
            return default


def _read_store(call: Callable[[], T]) -> T:
    """Call the store.

    Raises:
        StoreError: The store failed. The exception of a store of the application is its cause.
    """
    try:
        return call()
    except StoreError:
        raise
    except BaseException as error:
        if not _is_of_store(error):
            raise
        raise StoreError(f"{type(error).__name__} in the state store") from error


def _is_of_store(error: BaseException) -> bool:
    """Return whether an exception is the failure of a call to the store; others, such as KeyboardInterrupt, pass it.

    The call is synchronous, so the result of a cancelled future and the exit of a generator are the store's too, not
    the source's. The first is known by name: this module does without asyncio.
    """
    return isinstance(error, Exception | GeneratorExit) or type(error).__name__ == "CancelledError"
