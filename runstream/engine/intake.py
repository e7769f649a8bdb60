"""One source's way into the engine: its dialect, its memory of event ids, its open runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from runstream.core.dedupe import Deduper, Sighting
from runstream.core.registry import RunRecord, Scope
from runstream.core.state import RunState
from runstream.dialects.base import Dialect
from runstream.engine.feed import feeders
from runstream.engine.gap_tracker import GapTracker
from runstream.model.events import Event, MessageEvent, StepEvent
from runstream.model.raw import ConnectionEvent, RawEvent, RawItem
from runstream.model.raw_input import RawInput
from runstream.model.signals import (
    SourceConnected,
    SourceDisconnected,
    SourceEnded,
    SourceError,
    SourceResumed,
    SourceSignal,
)

if TYPE_CHECKING:
    from runstream.engine.engine import Engine
    from runstream.model.common import ErrorObject

__all__ = ["Dialect", "Intake"]


class Intake:
    """Where one source's raw events go in. Made by :meth:`Engine.intake`.

    Attributes:
        name: The source's name, for its signals and rejects.
        last_id: The last event id that came in, for resuming.
        ended: Whether :meth:`end` was called.
        feed: Takes one raw event through everything, or what can become one: a JSON envelope as bytes, text or a
            mapping. Input never raises; what callbacks raise comes through.
        feed_all: Likewise an iterable of these, at less cost for each.
    """

    def __init__(self, engine: Engine, name: str, scope: Scope, dialect: Dialect, window: int) -> None:
        self.name = name
        self.last_id: str | None = None
        self.ended = False
        self.snapshots = False  # whether it tells nothing but snapshots, as polling does
        self.doubts = GapTracker(engine, self)
        self._engine = engine
        self._scope = scope
        self._dialect = dialect
        self._dedupe = Deduper(window, engine.counts)
        self._open: dict[str, RunRecord] = {}
        self._created: set[str] = set()  # objects created in this connection; kept from the second on
        self._counts: dict[str, int] = {}
        self.feed: Callable[[RawInput], None]
        self.feed_all: Callable[[Iterable[RawInput]], None]
        self.feed, self.feed_all = feeders(self, engine, scope, dialect)

    @property
    def scope(self) -> str:
        """The scope in which its runs are held."""
        return self._scope.name

    @property
    def connection(self) -> int:
        """The number of its connection, from 0."""
        return self._dialect.connection

    def resume_from(self) -> str | None:
        """The last event id, for a source that asks its server to go on there."""
        return self.last_id

    def is_new(self, event: Event) -> bool:
        """Note an event's id; whether it was not seen before."""
        sighting = self._dedupe.see(event)
        self.doubts.see(event, sighting)
        if sighting is Sighting.DUPLICATE:
            if self._begins_again(event):
                return True
            self._engine.counts.duplicates += 1
            return False
        if sighting is Sighting.CONFLICT:
            self._engine.counts.conflicts += 1
        if isinstance(event.id, str):
            self.last_id = event.id
        return True

    def _begins_again(self, event: Event) -> bool:
        """Whether a known ``created`` begins its object again, as one without id does: in a later connection, while the
        object is open, where its fragments would count twice without it (some have no id) or in another order (some
        are missing). Else each fragment that comes again is known by its id; and to forget them would lose those that
        this connection does not come to before it is lost too.
        """
        if self._dialect.connection == 0 or not isinstance(event, MessageEvent | StepEvent):
            return False
        id = event.data.id
        if not event.event.endswith(".created") or id in self._created or not self._dedupe.holds(id):
            return False
        record = self._scope.objects.get(id)
        return record is not None and (record.unidentified or id in record.state.partial)

    def unidentify(self, record: RunRecord) -> None:
        """Note that the ids of this source say nothing of a run any more."""
        record.unidentified = True

    def heal(self, items: Iterable[RawItem], dialect: Dialect) -> None:
        """Take in what was fetched of this source's runs; it says nothing of the source's own connection.

        Args:
            items: Snapshots.
            dialect: Reads them; they need not be of the source's own.
        """
        runs, self.doubts.runs = self.doubts.runs, {}
        try:
            feeders(self, self._engine, self._scope, dialect)[1](items)
        finally:
            self.doubts.runs = runs

    def restarts(self, event: Event) -> bool:
        """Whether a repeated ``created`` starts its object again: only in a later connection, and once there; or if
        nothing but snapshots told of it before.
        """
        id = event.data.id  # type: ignore[union-attr]
        if self._dialect.connection == 0:
            return self.doubts.starts(id)
        if id in self._created or (event.origin is not None and event.origin.connection != self._dialect.connection):
            return False  # or it was told before, and has waited for its run
        self._created.add(id)
        # Its fragments may have ids that are known, though the event that starts it again has none, or a new one.
        own = event.id is not None
        if self._dedupe.forget(id) > own and (record := self._scope.objects.get(id)) is not None:
            self.unidentify(record)
        if own:
            self._dedupe.see(event)
        return True

    def take(self, record: RunRecord) -> None:
        """Take over a run that another source spoke of before; snapshots leave it to a stream that goes on."""
        held: Intake | None = record.intake
        if held is not None and held is not self:
            if self.snapshots and not (held.snapshots or held.ended):
                return
            held._open.pop(record.state.run_id, None)
            self.doubts.taken_from(held, record)
        record.intake = self
        if record.expired_reason is not None:
            record.expired_reason = None
        self._engine.registry.taken_up(record)
        if not record.state.is_terminal:
            self._open[record.state.run_id] = record

    def drop(self, record: RunRecord) -> None:
        """A run of this source has ended."""
        self._open.pop(record.state.run_id, None)

    def object_ended(self, id: str) -> None:
        """A run, message or step of this source has ended; its event ids may be forgotten."""
        self._dedupe.ended(id)
        self._created.discard(id)
        self.doubts.ended(id)

    def open_runs(self) -> tuple[RunState, ...]:
        """The runs that this source spoke of last and that have not ended, in order of appearance."""
        return tuple(record.state for record in self._ordered())

    def _ordered(self) -> list[RunRecord]:
        return sorted(self._open.values(), key=lambda record: record.order)

    @property
    def live(self) -> bool:
        """Whether a run of this source is neither ended nor waiting for action."""
        return any(not record.state.run.requires_action for record in self._open.values())

    def take_other(self, item: RawItem) -> None:
        """Take what is no raw event: a change of the connection, or input that could not become one."""
        if not isinstance(item, ConnectionEvent):
            data = getattr(item, "data", b"")
            self._engine.reject(self, RawEvent(item.event, data, line=item.line), getattr(item, "reason", ""))
        elif item.connected:
            self.connected(item.attempt)
        else:
            self.disconnected(item.reason, item.attempt)

    def connected(self, attempt: int = 0) -> None:
        """The source is connected; from the second time on, its dialect counts a new connection."""
        if self._counts.get("connected"):
            self._dialect.connection += 1
            self._created.clear()
            self.doubts.reconnected()
            self._say(SourceResumed, "resumed", "", attempt)
        else:
            self._say(SourceConnected, "connected", "", attempt)

    def disconnected(self, reason: str, attempt: int = 0) -> None:
        """The source lost its connection and will try again."""
        self._say(SourceDisconnected, "disconnected", reason, attempt)

    def failed(self, reason: str, attempt: int = 0, error: ErrorObject | None = None) -> None:
        """The source failed, or its server said ``error``."""
        self._count("error")
        at = self._engine.clock()
        self._engine.emit(SourceError(self.name, self.scope, at, self._counts["error"], reason, attempt, error))

    def end(self, reason: str = "the stream ended", *, last_id: str | None = None, attempts: int = 0) -> None:
        """The source has nothing more to give: each of its open runs gets its signal, in order of appearance."""
        if self.ended:
            return
        self.ended = True
        self.doubts.runs = {}
        for record in self._ordered():
            self._engine.source_ended(record, reason, last_id or self.last_id, attempts)
        self._open.clear()
        self._say(SourceEnded, "ended", reason, attempts)
        # Runs that are still held keep their source; what it remembers is of no use to them.
        self._dedupe.clear()
        self._created.clear()
        self._scope.intakes -= 1
        self._engine.registry.leave(self._scope)

    def _count(self, what: str) -> None:
        self._counts[what] = self._counts.get(what, 0) + 1

    def _say(self, kind: type[SourceSignal], what: str, reason: str, attempt: int) -> None:
        self._count(what)
        at = self._engine.clock()
        signal: Any = kind(self.name, self.scope, at, self._counts[what], reason, attempt)
        self._engine.emit(signal)
