"""The way in of a source whose states are kept: it begins where the last process was, and closes each turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from runstream.core.registry import RunRecord, Scope
from runstream.engine.intake import Dialect, Intake
from runstream.engine.journal import Journal
from runstream.model.raw_input import RawInput
from runstream.store.base import StoredSource

if TYPE_CHECKING:
    from runstream.engine.engine import Engine
    from runstream.model.common import ErrorObject

__all__ = ["RecoveringIntake"]

T = TypeVar("T")

_LATE = 64  # ended or left runs that are looked after, in case something is filled in


class RecoveringIntake(Intake):
    """An intake with a journal. Made by :meth:`Engine.intake`."""

    def __init__(
        self, engine: Engine, name: str, scope: Scope, dialect: Dialect, window: int, journal: Journal
    ) -> None:
        super().__init__(engine, name, scope, dialect, window)
        self.placed: StoredSource | None = journal.source(scope.name, name)
        self._one, self._all = self.feed, self.feed_all
        self.feed, self.feed_all = self._take_one, self._take_all
        self._journal = journal
        self._late: dict[tuple[str, str], RunRecord] = {}
        self._restored: list[RunRecord] = []
        self._exact = False
        if self.placed is not None:
            # What this process hears is a later connection of what the last one heard.
            dialect.connection += 1
            self.last_id = self.placed.last_id
            self._counts.update(self.placed.counts)
        # As much as it held before: the runs that are open, and those that ended lately.
        since = engine.clock() - engine.limits.max_finished_age
        for record in journal.restore(scope.name, name, ended_since=since):
            self._take_up(record)
            self._restored.append(record)
        engine.registry.forget(engine.clock())

    def resume_from(self) -> str | None:
        """The last event id, for a source that will go on there."""
        self._exact = self.last_id is not None
        return self.last_id

    def _take_one(self, item: RawInput) -> None:
        if self._restored:
            self._go_on()
        self._in_turn(self._one, item)

    def _take_all(self, items: Iterable[RawInput]) -> None:
        if self._restored:
            self._go_on()
        self._in_turn(self._all, items if self._journal.inside else self._turns(items))

    def _turns(self, items: Iterable[RawInput]) -> Iterator[RawInput]:
        journal = self._journal
        for item in items:
            yield item
            if journal.turn is not None:
                journal.close_turn(self)

    def _in_turn(self, call: Callable[[T], None], item: T) -> None:
        """A turn of its own; or, called from inside one (by a subscriber), a part of that, which goes on afterwards."""
        journal = self._journal
        if journal.inside:
            call(item)
            return
        journal.inside = True
        try:
            call(item)
            if journal.turn is not None:
                journal.close_turn(self)
        except BaseException:
            journal.drop_turn()
            raise
        finally:
            journal.inside = False

    def heal(self, items: Iterable[RawInput], dialect: Dialect) -> None:
        """Take in what was fetched of this source's runs."""
        self._in_turn(partial(super().heal, dialect=dialect), items)

    def take(self, record: RunRecord) -> None:
        """Take over a run, which may come from the store."""
        held = record.intake
        if not (self.snapshots and held is not None and held is not self and not held.ended):
            self._hear(record)  # else snapshots leave it to the source that has it
        if isinstance(held, RecoveringIntake) and held is not self and record.state is not record.saved:
            held._look_after(record)
        self._take_up(record)

    def _take_up(self, record: RunRecord) -> None:
        super().take(record)
        if record.state.is_terminal:
            self._look_after(record)  # it has ended in an earlier process, and something may still be filled in

    def unidentify(self, record: RunRecord) -> None:
        """The ids of this source say nothing of the run any more. Should this process be killed, the next one would
        take the next id for a proof, and would not know that there were fragments without.
        """
        super().unidentify(record)
        if self.last_id is not None:  # else there is no id to go on from
            self._journal.keep(record)

    def drop(self, record: RunRecord) -> None:
        """A run of this source has ended."""
        super().drop(record)
        self._look_after(record)

    def unsaved(self) -> dict[tuple[str, str], RunRecord]:
        """The runs that must be put with this source's place, because they changed since they were put."""
        found = {}
        if self.last_id is not None:
            for record in self._open.values():
                if record.state is not record.saved:
                    found[record.state.scope, record.state.run_id] = record
        if self._late:
            found.update({key: record for key, record in self._late.items() if record.state is not record.saved})
            while len(self._late) > _LATE:
                del self._late[next(iter(self._late))]
        return found

    def place(self) -> StoredSource:
        """How far this source has come."""
        return StoredSource(scope=self.scope, name=self.name, last_id=self.last_id, counts=dict(self._counts))

    def connected(self, attempt: int = 0) -> None:
        """The source is connected."""
        if not self._restored:
            self._in_turn(super().connected, attempt)
            return
        self._go_on()
        doubts = self.doubts.runs
        self._in_turn(super().connected, attempt)
        self.doubts.runs = doubts  # of the others, what they may have missed while no process ran is marked

    def disconnected(self, reason: str, attempt: int = 0) -> None:
        """The source lost its connection and will try again."""
        self._in_turn(partial(super().disconnected, attempt=attempt), reason)

    def failed(self, reason: str, attempt: int = 0, error: ErrorObject | None = None) -> None:
        """The source failed, or its server said ``error``."""
        self._in_turn(partial(super().failed, attempt=attempt, error=error), reason)

    def end(self, reason: str = "the stream ended", *, last_id: str | None = None, attempts: int = 0) -> None:
        """The source has nothing more to give."""
        for record in self._open.values():
            self._look_after(record)
        self._in_turn(partial(super().end, last_id=last_id, attempts=attempts), reason)

    def _go_on(self) -> None:
        """Now it is known whether the source was asked to go on where it was."""
        restored, self._restored = self._restored, []
        for record in restored:
            self._hear(record)
        if self._exact and self.last_id is not None:
            # A server that is asked need not do it: the ids that come have to show that it did.
            self.doubts.restored(self.last_id)

    def _hear(self, record: RunRecord) -> None:
        """A run that may come from the store is heard of; snapshots tell the whole."""
        self._journal.heard(record, self.name, exact=self._exact, whole=self.snapshots)

    def _look_after(self, record: RunRecord) -> None:
        self._late[record.state.scope, record.state.run_id] = record
