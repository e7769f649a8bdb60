"""A source whose states are stored: it begins at the place of the last process, and closes each transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from runstream.core.registry import RunRegistry, Scope
from runstream.core.run_record import RunRecord
from runstream.dialects.base import Dialect
from runstream.engine.intake import Intake
from runstream.engine.journal import Journal
from runstream.engine.outputs import Outputs
from runstream.engine.routing import EventRouter
from runstream.engine.source_state import SourceState
from runstream.model.limits import Limits
from runstream.model.raw_input import RawInput
from runstream.model.run import RunKey
from runstream.store.base import StoredSource

if TYPE_CHECKING:
    from runstream.model.common import ErrorObject

__all__ = ["RecoveringIntake", "RecoveringState"]

_LATE: Final = 64  # ended or interrupted runs that are tracked, because a late event may complete them


def _no_memory() -> None:
    """For a source whose dialect is not known yet."""


class RecoveringState(SourceState):
    """The state of a source that continues where an earlier process stopped.

    Args:
        name: The source's name.
        scope: The scope of its runs.
        outputs: The outputs of the engine.
        registry: The runs of the engine.
        limits: The bounds.
        journal: Writes the states.
        stored: The place that an earlier process stored; ``None`` if there is none.

    Attributes:
        stored_place: The place that the store has, or is about to get.
        exact: True if the source was asked to continue at its stored place.
        dump: Returns the memory of the source's dialect.
    """

    def __init__(
        self,
        name: str,
        scope: Scope,
        outputs: Outputs,
        registry: RunRegistry,
        limits: Limits,
        journal: Journal,
        stored: StoredSource | None,
    ) -> None:
        super().__init__(name, scope, outputs, registry, limits.dedupe_window)
        self.stored_place = stored
        self.exact = False
        self.dump: Callable[[], bytes | None] = _no_memory
        self._memory: bytes | None = None  # of the last place
        self._journal = journal
        self._late: dict[RunKey, RunRecord] = {}
        self._restored: list[RunRecord] = []
        if self.stored_place is not None:
            # Events of this process belong to a later connection than those of the last process.
            self.connection += 1
            self.last_id = self.stored_place.last_id
            self.signal_counts.update(self.stored_place.counts)
        # The runs that are open, and those that ended lately: as many as the last process kept.
        for record in journal.restore(scope.name, name, ended_since=outputs.clock() - limits.max_finished_age):
            self._assign(record)
            self._restored.append(record)
        registry.evict_finished(outputs.clock())

    @property
    def resuming(self) -> bool:
        """True until the first event or connection of this process."""
        return bool(self._restored)

    def resume(self) -> None:
        """Check the restored runs, now that it is known whether the source was asked to continue at its place."""
        restored, self._restored = self._restored, []
        for record in restored:
            self._touch(record)
        if self.exact and self.last_id is not None and not self.snapshots:
            # The server need not do it: the ids that arrive have to prove that it did.
            self.gaps.restored(self.last_id)

    def note_resumed(self) -> None:
        """Note that the source continues behind its restored runs: an earlier process has received them."""
        for record in self._restored:
            if record.on_event is not None:
                self._journal.note_sent(record)

    def claim(self, record: RunRecord) -> None:
        """Make a run this source's run; it may come from the store."""
        previous = record.source
        if not (self.snapshots and previous is not None and previous is not self and not previous.ended):
            self._touch(record)  # else a source of snapshots leaves it to the other source
        if isinstance(previous, RecoveringState) and previous is not self and record.state is not record.saved:
            previous.track_late(record)
        self._assign(record)

    def _assign(self, record: RunRecord) -> None:
        super().claim(record)
        if record.state.is_terminal:
            self.track_late(record)  # it ended in an earlier process, and a late event may complete it

    def mark_unidentified(self, record: RunRecord) -> None:
        """Note that the ids of this source prove nothing about a run any more. The store must contain this too:
        otherwise the next process would accept the next id as a proof.
        """
        super().mark_unidentified(record)
        self._keep(record)

    def mark_unnumbered(self, record: RunRecord) -> None:
        """Note that between two consecutive ids of this source there may be events of a run without one. The store
        must contain this too.
        """
        super().mark_unnumbered(record)
        self._keep(record)

    def _keep(self, record: RunRecord) -> None:
        if self.last_id is not None:  # else there is no id to continue from
            self._journal.keep(record)

    def release(self, record: RunRecord) -> None:
        """Remove a run that has ended."""
        super().release(record)
        self.track_late(record)

    def unsaved(self) -> dict[RunKey, RunRecord]:
        """The runs that changed since they were written, and must be written together with the place."""
        found = {}
        # The memory of the dialect is ahead of each state that is not written with it.
        if self.last_id is not None or self._memory is not None:
            for record in self.open.values():
                if record.state is not record.saved:
                    found[record.state.scope, record.state.run_id] = record
        if self._late:
            found.update({key: record for key, record in self._late.items() if record.state is not record.saved})
            while len(self._late) > _LATE:
                del self._late[next(iter(self._late))]
        return found

    def place(self) -> StoredSource:
        """The place of the source."""
        self._memory = self.dump()
        return StoredSource(
            scope=self.scope.name,
            name=self.name,
            last_id=self.last_id,
            counts=dict(self.signal_counts),
            memory=self._memory,
        )

    def track_late(self, record: RunRecord) -> None:
        """Track an ended or interrupted run, because a late event may complete it."""
        self._late[record.state.scope, record.state.run_id] = record

    def _touch(self, record: RunRecord) -> None:
        has_gap = self._journal.touch(record, self.name, exact=self.exact, whole=self.snapshots)
        if has_gap and self.gaps.note is not None:
            self.gaps.note(record.state.run_id, None)


class RecoveringIntake(Intake):
    """An intake whose entries are transactions of a journal. Made by :meth:`Engine.intake`."""

    state: RecoveringState

    def __init__(
        self, state: RecoveringState, outputs: Outputs, router: EventRouter, dialect: Dialect, journal: Journal
    ) -> None:
        super().__init__(state, outputs, router, dialect)
        dialect.connection += state.connection
        state.dump = dialect.dump
        self._one, self._all = self.feed, self.feed_all
        self.feed, self.feed_all = self._feed_one, self._feed_many
        self._journal = journal

    def resume_from(self) -> str | None:
        """The last event id, for a source that will continue there."""
        self.state.exact = self.state.last_id is not None
        if self.state.exact:
            self.state.note_resumed()
        return self.state.last_id

    def _feed_one(self, item: RawInput) -> None:
        if self.state.resuming:
            self.state.resume()
        self._journal.run(self.state, self._one, item)

    def _feed_many(self, items: Iterable[RawInput]) -> None:
        if self.state.resuming:
            self.state.resume()
        self._journal.run(self.state, self._all, items if self._journal.active else self._each(items))

    def _each(self, items: Iterable[RawInput]) -> Iterator[RawInput]:
        """The items; the transaction of each is closed before the next one."""
        journal = self._journal
        for item in items:
            yield item
            if journal.transaction is not None:
                journal.close(self.state)

    def connected(self, attempt: int = 0) -> None:
        """Note that the source is connected."""
        if not self.state.resuming:
            self._journal.run(self.state, super().connected, attempt)
            return
        self.state.resume()
        unconfirmed = self.state.gaps.unconfirmed
        self._journal.run(self.state, super().connected, attempt)
        # The other runs are marked already, for the time in which no process ran.
        self.state.gaps.unconfirmed = unconfirmed

    def disconnected(self, reason: str, attempt: int = 0, server_message: str = "") -> None:
        """Note that the source lost its connection and will try again."""
        call = partial(super().disconnected, attempt=attempt, server_message=server_message)
        self._journal.run(self.state, call, reason)

    def failed(
        self,
        reason: str,
        attempt: int = 0,
        error: ErrorObject | None = None,
        server_message: str = "",
        run_id: str | None = None,
    ) -> None:
        """Note that the source failed, or that its server sent an error."""
        call = partial(super().failed, attempt=attempt, error=error, server_message=server_message, run_id=run_id)
        self._journal.run(self.state, call, reason)

    def end(
        self,
        reason: str = "the stream ended",
        *,
        last_id: str | None = None,
        attempts: int = 0,
        clean: bool = True,
        server_message: str = "",
    ) -> None:
        """End the source."""
        for record in self.state.open.values():
            self.state.track_late(record)
        options: dict[str, Any] = {"last_id": last_id, "attempts": attempts, "clean": clean}
        call = partial(super().end, server_message=server_message, **options)
        self._journal.run(self.state, call, reason)
