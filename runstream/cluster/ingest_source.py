"""One source of an ingest: raw items enter, decoded events with their numbers leave in sections of packs. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import Struct

from runstream.cluster.packs import (
    CONNECTION,
    END,
    FAILURE,
    FETCHED,
    FLAGS,
    REQUEST,
    Section,
    SectionWriter,
)
from runstream.core.dedupe import Deduper
from runstream.core.sequence import SequenceStatus, SequenceTracker
from runstream.core.sighting import Sighting
from runstream.dialects.auto import AutoDialect
from runstream.dialects.base import Dialect
from runstream.dialects.registry import COMMON_DIALECT, DEFAULT_DIALECT, DialectLike, make_dialect, resolve_dialect
from runstream.engine.detection import Detection
from runstream.errors import ClusterError
from runstream.model.events import Event, MessageEvent, Reject, RunDetached, RunEvent, StepEvent, TextAppend
from runstream.model.limits import Limits, Stats
from runstream.model.raw import Answer, ConnectionEvent, Malformed, Oversized, RawEvent, RawItem, Request
from runstream.model.raw_input import RawInput, raw_item
from runstream.model.run import Run

__all__ = ["IngestPlace", "IngestSource", "read_place", "write_place"]

_SEQUENCES: Final = (list, tuple)
_NEW: Final = Sighting.NEW
_MAX_OPEN: Final = 1_000  # open runs that a place names; a source with more counts as live
VERSION: Final = 1


class IngestPlace(Struct, array_like=True, frozen=True, kw_only=True):
    """The place of a source, as the broker keeps it: all that another ingest needs to go on.

    Attributes:
        version: The version of this form.
        owner: The ingest that has the source; "" if it was released.
        number: The number of the last item.
        cursor: The last event id; ``None`` for none.
        connection: The number of its last connection.
        connected: True if it was connected.
        dialect: The name of its dialect; "" if it is not known.
        memory: The dialect's memory; ``None`` for none.
        partition: Its partition; -1 if it has sent nothing.
        continues: The run that it continues; ``None`` if it is not known.
        open: The open runs by id: True for one that waits for action. ``None`` for too many to name.
        ended: True if it ended by itself.
        taken: The number of raw items that it delivered, for sources that can be read again by number.
    """

    version: int = VERSION
    owner: str = ""
    number: int = 0
    cursor: str | None = None
    connection: int = 0
    connected: bool = False
    dialect: str = ""
    memory: bytes | None = None
    partition: int = -1
    continues: str | None = None
    open: dict[str, bool] | None = {}
    ended: bool = False
    taken: int = 0


class _Version(Struct, array_like=True):
    version: int


_decode: Final = msgspec.msgpack.Decoder(IngestPlace).decode
_decode_version: Final = msgspec.msgpack.Decoder(_Version).decode
write_place: Final = msgspec.msgpack.Encoder().encode


def read_place(data: bytes) -> IngestPlace:
    """The place in bytes of ``write_place``.

    Raises:
        ClusterError: A newer release wrote it, or the bytes are none.
    """
    try:
        if _decode_version(data).version > VERSION:
            raise ClusterError("the place of a source was written by a newer release of runstream: update this ingest")
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ClusterError(f"the stored place of a source can't be read ({type(error).__name__})") from None


class IngestSource:
    """The entry of one source: it decodes, compares ids, numbers the items, and collects them for the next pack.

    Args:
        name: The source's name.
        scope: The scope of its runs.
        dialect: Its dialect, by name or factory, or a decoder; ``"auto"`` by default.
        place: The place that an earlier ingest has stored; ``None`` for a new source.
        continues: The id of the run that it continues.
        snapshots: True if it sends nothing but whole objects.
        limits: The bounds.
        counts: Receives the counts.
        clock: The time in Unix seconds, for items without a time.
        find_run: Returns the waiting run that an id names, for the dialect.
        on_run: Called with the name of each snapshot of a run (the event) of this source.
        on_reject: Called with input that can't be used.

    Attributes:
        writer: The items for the next pack.
        number: The number of the last item.
        cursor: The last event id.
        partition: Its partition; -1 until it is known.
        dialect: The decoder; of ``"auto"`` the found one.
        detection: Finds the dialect; ``None`` once it is known.
        news: A number that grows with each item that is no repetition.
        taken: The number of raw items that were fed, by earlier ingests too.
    """

    def __init__(
        self,
        name: str,
        scope: str = "",
        *,
        dialect: DialectLike | Dialect | None = None,
        place: IngestPlace | None = None,
        continues: str | None = None,
        snapshots: bool = False,
        limits: Limits,
        counts: Stats,
        clock: Callable[[], float],
        find_run: Callable[[str], str | None] | None = None,
        on_run: Callable[[IngestSource, RunEvent], None] | None = None,
        on_reject: Callable[[Reject], None] | None = None,
    ) -> None:
        place = place or IngestPlace()
        self.name = name
        self.scope = scope
        self.clock = clock
        self.writer = SectionWriter()
        self.number = place.number
        self.cursor = place.cursor
        self.partition = place.partition
        self.continues = continues if continues is not None else place.continues
        self.snapshots = snapshots
        self.connection = place.connection
        self.ended = False
        self.news = 0
        self.taken = place.taken
        self._undecided = 0  # items that wait until the dialect is known
        self._connected = place.connected
        self._counts = counts
        self._open: dict[str, bool] | None = None if place.open is None else dict(place.open)
        self._on_run = on_run
        self._on_reject = on_reject
        self._dedupe = Deduper(limits.dedupe_window, counts)
        self._sequence = SequenceTracker()
        if place.cursor is not None:
            self._sequence.restored(place.cursor)
        self._created: set[str] = set()
        self._unidentified: set[str] = set()  # open objects with fragments that have no id
        self._unsure = False  # True if open objects may miss something
        factory = resolve_dialect(dialect)
        self._make = partial(make_dialect, dialect=factory, find_run=find_run, limits=limits)
        self._dialect: Dialect = self._make(continues=self.continues, memory=place.memory)
        self._dialect.connection += place.connection
        self.dialect = self._dialect
        self.dialect_name = (factory.name or "") if factory.name != DEFAULT_DIALECT else ""
        self.detection: Detection | None = None
        if isinstance(self._dialect, AutoDialect):
            if self._dialect.dialect is None:
                self.detection = Detection(self._dialect, self, self, self._note_dialect)  # type: ignore[arg-type]
            else:
                self._note_dialect(self._dialect)
                self.dialect = self._dialect.dialect
        self._by_payload = self.dialect_name == COMMON_DIALECT

    def _note_dialect(self, found: AutoDialect) -> None:
        self.dialect_name = found.name or ""
        self._by_payload = self.dialect_name == COMMON_DIALECT
        self._make = partial(self._make, dialect=self.dialect_name)

    def count(self, items: int) -> None:
        """Count raw items that were fed."""
        self.taken += items
        self._undecided = self._undecided + items if self.detection is not None else 0

    # the receiver's side, without flow control

    def feed(self, item: RawInput) -> None:
        """Take one item."""
        self.feed_all((item,))

    def feed_all(self, items: Iterable[RawInput]) -> None:
        """Take several items, at less cost for each."""
        if self.detection is not None:
            items = self.detection.take(items)
        decode, sequence = self.dialect.decode, self._sequence
        add_id, add_fragment = self._dedupe.add, self.writer.add_fragment
        for item in items:
            if type(item) is not RawEvent:
                item = raw_item(item)  # noqa: PLW2901 - the input itself is not needed any more
                if not isinstance(item, RawEvent):
                    self.take_other(item)
                    continue
            at = item.at
            if at is None:
                at = self.clock()
            if item.last_id is not None:
                self.cursor = item.last_id
            event = decode(item)
            if type(event) is not TextAppend:
                self.route(event, item.id, at)
                continue
            id = event.id
            if id is None:
                self._unidentified.add(event.object_id)
            else:
                if id != sequence.next or not add_id(event, sequence):
                    sighting = self._see((event,))
                    if sighting is not _NEW:
                        self._add((event,), at, FLAGS[sighting])
                        continue
                if item.id is not None:
                    self.cursor = item.id
                else:
                    self._advance(None)
            self.news += 1
            add_fragment(event, at)

    def route(self, decoded: Any, id: str | None, at: float) -> None:
        """Compare and add the events of one raw item, which have one identity.

        Args:
            decoded: The event, or the events.
            id: The id of the raw item; ``None`` if there is none.
            at: The time of its arrival (Unix seconds).
        """
        self._route(decoded, id, at, 0)

    def _route(self, decoded: Any, id: str | None, at: float, flags: int) -> None:
        events: Any = decoded if isinstance(decoded, _SEQUENCES) else (decoded,)
        if not events:
            return
        sighting = _NEW
        if events[0].id is not None:
            sighting = self._see(events)
            if sighting is Sighting.DUPLICATE:
                if any(self._begins_again(event) for event in events):
                    sighting = _NEW
                else:
                    self._counts.duplicates += 1
            if sighting is not Sighting.DUPLICATE:
                self._advance(id)
        if sighting is not Sighting.DUPLICATE:
            self.news += 1
            for event in events:
                self._note(event)
        self._add(events, at, flags | FLAGS[sighting])

    def _add(self, events: Iterable[Event | Reject], at: float, flags: int) -> None:
        self.writer.add_events(events, at, flags, by_payload=self._by_payload)

    def _advance(self, id: str | None) -> None:
        place = id if id is not None else self.dialect.cursor()
        if place is not None:
            self.cursor = place

    def take_other(self, item: RawItem) -> None:
        """Take an item that is no raw event."""
        if isinstance(item, ConnectionEvent):
            self._note_connection(item)
        elif type(item) is Request and item.continues is not None:
            self.writer.add(REQUEST, self._time(item.at), item.continues)
            if self.continues is None:
                self.continues = item.continues
        if self.detection is not None:
            self.detection.keep(item)
        else:
            self.decode_other(item)

    def decode_other(self, item: RawItem) -> None:
        """Decode an item that is no raw event, and add its events."""
        at = None if isinstance(item, Malformed | Oversized) else item.at
        self._route(self.dialect.decode(item), None, self._time(at), FETCHED if type(item) is Answer else 0)

    def _time(self, at: float | None) -> float:
        return self.clock() if at is None else at

    # connections and the end

    def connected(self, attempt: int = 0) -> None:
        """Note that the source is connected."""
        self.take_other(ConnectionEvent(connected=True, attempt=attempt))

    def disconnected(self, reason: str, attempt: int = 0, server_message: str = "") -> None:
        """Note that the connection was lost."""
        self.take_other(ConnectionEvent(connected=False, attempt=attempt, reason=reason, server_message=server_message))

    def _note_connection(self, item: ConnectionEvent) -> None:
        if item.connected:
            if self._connected:
                self.connection += 1
                self._dialect.connection += 1
                self._created.clear()
                self._sequence.reconnected()
            self._connected = True
        at = self._time(item.at)
        self.writer.add(CONNECTION, at, item.connected, item.attempt, item.reason, item.server_message, self.connection)

    def failed(self, reason: str, attempt: int = 0, server_message: str = "") -> None:
        """Note that the source failed."""
        self.writer.add(FAILURE, self.clock(), reason, attempt, server_message)

    def end(self, reason: str, *, attempts: int = 0, clean: bool = True, server_message: str = "") -> None:
        """End the source: its last events, and the end itself."""
        if self.ended:
            return
        self.ended = True
        self._route(self._dialect.end(clean), None, self.clock(), 0)
        self.writer.add(END, self.clock(), reason, attempts, server_message)

    # what is known of ids and runs

    def _see(self, events: Any) -> Sighting:
        """Note the id of the events of one raw item."""
        first, sequence = events[0], self._sequence
        expected = sequence if first.id == sequence.next else None
        sighting = self._dedupe.see(first, expected) if len(events) == 1 else self._dedupe.see_all(events)
        if sighting is _NEW and expected is not None:
            sequence.advance()
        elif sequence.see(first.id, sighting) is SequenceStatus.GAP:
            self._unsure = True
        return sighting

    def _begins_again(self, event: Event | Reject) -> bool:
        """True if a known ``created`` begins its object again: as in :meth:`SourceState.is_duplicate`, by the facts
        that are known without the states.
        """
        if self.connection == 0 or not isinstance(event, MessageEvent | StepEvent):
            return False
        id = event.data.id
        if not event.created or id in self._created or not self._dedupe.has_open(id):
            return False
        return self._unsure or id in self._unidentified

    def _note(self, event: Event | Reject) -> None:
        """Note what an event says about its objects."""
        if isinstance(event, MessageEvent | StepEvent):
            id = event.data.id
            if event.created and self.connection and id not in self._created:
                self._created.add(id)
                self._dedupe.forget(id)
                if event.id is not None:
                    self._dedupe.see(event)
            if event.data.is_terminal:
                self._ended(id)
        elif isinstance(event, RunEvent):
            run: Run = event.data
            if run.is_terminal:
                self._ended(run.id)
                if self._open is not None:
                    self._open.pop(run.id, None)
            elif self._open is not None:
                self._open[run.id] = run.requires_action
            if self._on_run is not None:
                self._on_run(self, event)
        elif isinstance(event, RunDetached):
            if self._open is not None and event.run_id is not None:
                self._open.pop(event.run_id, None)
        elif isinstance(event, Reject):
            self._counts.rejected += 1
            if event.object_ids != ():
                self._unsure = True
            if self._on_reject is not None:
                self._on_reject(msgspec.structs.replace(event, source=self.name))

    def _ended(self, id: str) -> None:
        self._dedupe.ended(id)
        self._created.discard(id)
        self._unidentified.discard(id)

    # the receiver's questions

    @property
    def live(self) -> bool:
        """True if a run has not ended and does not wait for action."""
        return self._open is None or not all(self._open.values())

    @property
    def expects_idle(self) -> bool:
        """True while the dialect waits for a further event or a silence."""
        return getattr(self._dialect, "expects_idle", False) is True

    def dialect_cursor(self, run_id: str | None = None) -> str | None:
        """The place from which the dialect asks the server to go on."""
        return self._dialect.cursor() if run_id is None else self._dialect.cursor(run_id)

    def make_decoder(self) -> Dialect:
        """Another decoder of the source's dialect."""
        return self._make(continues=self.continues)

    # packs

    def take_section(self) -> Section | None:
        """Remove the collected items; ``None`` if there are none."""
        writer = self.writer
        if not writer.count:
            return None
        entries, count = writer.entries, writer.count
        writer.clear()
        first = self.number + 1
        self.number += count
        return Section(
            self.scope, self.name, first, self.cursor, self.continues, self.snapshots, self.dialect_name, entries
        )

    def place(self, owner: str) -> IngestPlace:
        """The place behind the last section.

        Args:
            owner: The ingest that has the source.
        """
        opened = self._open
        return IngestPlace(
            owner=owner,
            number=self.number,
            cursor=self.cursor,
            connection=self.connection,
            connected=self._connected,
            dialect=self.dialect_name,
            memory=self._dialect.dump(),
            partition=self.partition,
            continues=self.continues,
            open=None if opened is None or len(opened) > _MAX_OPEN else opened,
            ended=self.ended,
            taken=self.taken - self._undecided,
        )
