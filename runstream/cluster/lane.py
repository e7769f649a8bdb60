"""One source in a worker: sections of packs enter the engine; its state goes into the broker and comes back."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from msgspec import structs

from runstream.cluster.event_codec import named_object, named_run, read_event
from runstream.cluster.pack_dialect import PackDialect, Sightings
from runstream.cluster.packs import (
    CONFLICT,
    CONNECTION,
    DUPLICATE,
    END,
    EVENTS,
    FAILURE,
    FETCHED,
    FRAGMENTS,
    REQUEST,
    Section,
)
from runstream.cluster.stored import StoredLane, StoredSequence
from runstream.core.registry import Scope
from runstream.core.run_record import RunRecord
from runstream.core.sighting import Sighting
from runstream.engine.engine import Engine
from runstream.engine.feed import Feeder
from runstream.engine.gap_tracker import report_gap
from runstream.engine.source_state import SourceState
from runstream.errors import ClusterError
from runstream.model.events import RunEvent, TextAppend
from runstream.model.raw import RawEvent, Request
from runstream.model.signals import SourceConnected, SourceDisconnected, SourceResumed

__all__ = ["Lane"]

_MAX_LATE: Final = 64  # ended or detached runs that stay with their source, for late events
_JOINED: Final = 4  # fragments of one entry from which on they are appended in one step
_SIGHTINGS: Final = {0: Sighting.NEW, DUPLICATE: Sighting.DUPLICATE, CONFLICT: Sighting.CONFLICT}


class Lane(SourceState):
    """The state of one source whose events come in packs.

    Args:
        name: The source's name.
        scope: The scope of its runs.
        engine: The engine.

    Attributes:
        number: The number of the last item that the states contain.
        since: The sequence in the stream of packs from which the items are needed that the stored states lack; ``None``
            if these lack nothing.
        changed: The runs that changed since they were stored.
        has_facts: True if a fact was emitted since.
        late: The ended or detached runs, the oldest first.
        used: The number of the last use, for the choice of lanes to unload.
        ahead: The number of the last item that the state of a run contains, where it is beyond ``number``.
    """

    def __init__(self, name: str, scope: Scope, engine: Engine) -> None:
        super().__init__(name, scope, engine, engine.registry, 1)
        self._sightings = Sightings()
        self._dedupe: Any = self._sightings
        self.add_id = self._sightings.add
        self._engine = engine
        self._dialect = PackDialect(self._sightings)
        self._feeder = Feeder(self, engine, engine.router, self._dialect)
        self.number = 0
        self.since: int | None = None
        self.changed: dict[RunRecord, None] = {}
        self.has_facts = False
        self.late: dict[str, RunRecord] = {}
        self.used = 0
        self.ahead: dict[RunRecord, int] = {}
        scope.sources += 1

    # items

    def feed(self, section: Section, limit: int) -> Iterator[int]:
        """Feed the items of a section that are new; yields after some of them, so that the caller may commit.

        Args:
            section: The section.
            limit: The number of items between two yields, at most.

        Yields:
            The number of the last item.
        """
        if self.ended:
            self._reopen()
        if self.ahead:
            section = self._without_known(section)
        self.last_id = section.cursor
        self.snapshots = section.snapshots
        if self.continues is None and section.continues is not None:
            self.requested(Request(continues=section.continues))
        raws: list[RawEvent] = []
        decoded: list[Any] = []
        number = section.first - 1
        fetched = False
        for entry in section.entries:
            kind = entry[0]
            if kind == FRAGMENTS:
                _, object_id, target, index, run_id, name, texts, times, ids = entry
                count = len(texts)
                at = max(self.number - number, 0)
                if fetched:
                    self._flush(raws, decoded, fetched=True)
                    fetched = False
                if count - at >= _JOINED:
                    raws.append(RawEvent(None, b"", None, None, times[at]))
                    id = None if ids is None else ids[at]
                    decoded.append(TextAppend(object_id, target, index, texts[at], id, run_id, name))
                    self._flush(raws, decoded)
                    at += 1 + self._append(entry, at + 1)
                    self.number = number + at
                    yield self.number
                while at < count:
                    end = min(count, at + limit - len(raws))
                    for position in range(at, end):
                        raws.append(RawEvent(None, b"", None, None, times[position]))
                        id = None if ids is None else ids[position]
                        decoded.append(TextAppend(object_id, target, index, texts[position], id, run_id, name))
                    at = end
                    if len(raws) >= limit:
                        self._flush(raws, decoded)
                        self.number = number + at
                        yield self.number
                number += count
                continue
            number += 1
            if number <= self.number:
                continue
            if kind == EVENTS:
                _, at, flags, events = entry
                if bool(flags & FETCHED) is not fetched:
                    self._flush(raws, decoded, fetched=fetched)
                    fetched = not fetched
                if not events:
                    continue
                found = [read_event(event, at) for event in events]
                sighting = _SIGHTINGS[flags & (DUPLICATE | CONFLICT)]
                if sighting is Sighting.DUPLICATE:
                    for event in found:
                        if isinstance(event, RunEvent) and (record := self.scope.find(event.data.id)) is not None:
                            self.note_changed(record)  # its place among the requests may change
                raws.append(RawEvent(None, b"", None, None, at))
                decoded.append((sighting, found[0] if len(found) == 1 else found))
                if len(raws) >= limit:
                    self._flush(raws, decoded, fetched=fetched)
                    self.number = number
                    yield number
                continue
            self._flush(raws, decoded, fetched=fetched)
            fetched = False
            self._take(entry)
            self.number = number
        self._flush(raws, decoded, fetched=fetched)
        self.number = max(self.number, number)
        yield self.number

    def _append(self, entry: list[Any], at: int) -> int:
        """Append the fragments of an entry to the text that grows, in one step: as if they were fed one by one.

        Args:
            entry: The entry; the fragment before these was fed.
            at: The place of the first one in the entry.

        Returns:
            The number of fragments that were appended. The others have to be fed: something is to be noted with them.
        """
        _, object_id, target, index, run_id, _, texts, times, ids = entry
        record, engine = self.objects.get(object_id), self._engine
        growing = None if record is None else record.growing
        if (
            record is None
            or growing is None
            or record.source is not self
            or engine.watched
            or self.gaps.unconfirmed
            or growing.object_id != object_id
            or growing.index != index
            or growing.target != target
            or (run_id is not None and run_id != growing.run_id)
            or growing.buffer.length != record.length
            or (ids is None and not record.unidentified)
            or record.length + sum(map(len, islice(texts, at, None))) > record.room
        ):
            return 0
        end = len(texts)
        if ids is not None:
            sequence = self.gaps.sequence
            end = at
            for id in islice(ids, at, None):
                if id != sequence.next:
                    break
                sequence.advance()
                end += 1
        text = "".join(texts[at:end])
        offset, buffer, count = record.length, growing.buffer, end - at
        if count:
            buffer.tail.write(text)
            buffer.last = text
            record.length = buffer.length = offset + len(text)
            self._count_appended(growing, object_id, offset, text, times[at], count)
        return count

    def _count_appended(self, growing: Any, object_id: str, offset: int, text: str, at: float, count: int) -> None:
        engine = self._engine
        if engine.on_progress is None:
            engine.events += count
            return
        engine.progress_count += count
        make, part = growing.signal, growing.part
        if part >= 0:
            signal = make(growing.run_id, growing.thread_id, growing.scope, at, object_id, part, offset, text)
        else:
            id, key = growing.call_id, growing.call_key
            signal = make(growing.run_id, growing.thread_id, growing.scope, at, id, offset, text, key)
        engine.on_progress(signal)

    def _without_known(self, section: Section) -> Section:
        """A section without the items that the states of some runs contain already."""
        last = max(self.ahead.values())
        entries: list[Any] = []
        number = section.first - 1
        for entry in section.entries:
            if entry[0] == FRAGMENTS:
                known = self._known(entry[4], entry[1]) - number
                number += len(entry[6])
                if known > 0:
                    # Entries keep their number of items, so an item without a meaning replaces each known one.
                    entries += [[EVENTS, 0.0, 0, []] for _ in entry[6][:known]]
                    entry = [*entry[:6], *[None if each is None else each[known:] for each in entry[6:]]]  # noqa: PLW2901
                    if not entry[6]:
                        continue
            else:
                number += 1
                if entry[0] == EVENTS and number <= max(
                    [self._known(named_run(event), named_object(event)) for event in entry[3]], default=0
                ):
                    entry = [EVENTS, 0.0, 0, []]  # noqa: PLW2901
            entries.append(entry)
        if number >= last:
            self.ahead.clear()
        return structs.replace(section, entries=entries)

    def _known(self, run_id: str | None, object_id: str | None) -> int:
        """The number up to which the state of a run contains the items, by the run or an object of it."""
        record = self.scope.find(run_id)
        if record is None and object_id is not None:
            record = self.objects.get(object_id) or self.scope.owner(object_id)
        return 0 if record is None else self.ahead.get(record, 0)

    def _flush(self, raws: list[RawEvent], decoded: list[Any], *, fetched: bool = False) -> None:
        if not raws:
            return
        self._dialect.begin(decoded)
        if fetched:
            with self._engine.router.fetching(self):
                self._feeder.feed_all(raws)
        else:
            self._feeder.feed_all(raws)
        raws.clear()
        decoded.clear()

    def _take(self, entry: list[Any]) -> None:
        """Take an item that has no events."""
        kind = entry[0]
        if kind == CONNECTION:
            _, _, connected, attempt, reason, server_message, connection = entry
            if not connected:
                self.publish(SourceDisconnected, "disconnected", reason, attempt, server_message)
            elif self.signal_counts.get("connected"):
                self.reconnected()
                self.connection = connection
                self.publish(SourceResumed, "resumed", "", attempt)
            else:
                self.connection = connection
                self.publish(SourceConnected, "connected", "", attempt)
        elif kind == REQUEST:
            self.requested(Request(continues=entry[2]))
        elif kind == FAILURE:
            _, _, reason, attempt, server_message = entry
            self.publish_error(reason, attempt, None, server_message)
        elif kind == END:
            _, _, reason, attempts, server_message = entry
            for record in self.open.values():
                self.add_late(record)
            self.end(reason, self.last_id, attempts, server_message)
        else:
            raise ClusterError(f"a pack has an entry of an unknown kind ({kind}): update the workers")

    def _reopen(self) -> None:
        """Begin again after the end: a source of the same name was attached."""
        self.ended = False
        self.connection += 1
        self.scope.sources += 1
        if self._registry.scopes.get(self.scope.name) is not self.scope:
            self.scope = self._registry.scope(self.scope.name)

    def lose_items(self, reason: str) -> None:
        """Note that items were removed before they were read: open objects may miss something."""
        at = self._engine.clock()
        for record in self.open_records():
            record.state = record.state
            record.growing = None
            report_gap(self._engine, record, reason, at, fetch=False)
            self.note_changed(record)

    # changes

    def note_changed(self, record: RunRecord) -> None:
        """Note that a run changed since it was stored."""
        record.on_event = None
        self.changed[record] = None

    def stored(self, record: RunRecord) -> None:
        """Note that a run is stored as it is now; its next change is noted, that of a growing text too."""
        record.state = record.state
        record.saved = record.state
        record.growing = None
        record.on_event = self.note_changed

    def claim(self, record: RunRecord) -> None:
        """Make a run this source's run."""
        previous = record.source
        super().claim(record)
        if record.source is self and previous is not self:
            if isinstance(previous, Lane):
                previous.changed.pop(record, None)
            self.note_changed(record)
            if record.state.is_terminal:
                self.add_late(record)

    def release(self, record: RunRecord) -> None:
        """Remove a run that has ended."""
        super().release(record)
        self.add_late(record)

    def add_late(self, record: RunRecord) -> None:
        """Keep an ended or detached run for its late events."""
        self.late.pop(record.state.run_id, None)
        self.late[record.state.run_id] = record

    def expendable(self) -> list[RunRecord]:
        """Remove and return the late runs that are too many, and stored."""
        found = []
        while len(self.late) > _MAX_LATE:
            run_id = next(iter(self.late))
            record = self.late[run_id]
            if record in self.changed:
                break
            del self.late[run_id]
            if record.source is self or record.source is None:
                found.append(record)
        return found

    # storage

    def dump(self) -> StoredLane:
        """The lane as it is stored."""
        sequence, gaps = self.gaps.sequence, self.gaps
        return StoredLane(
            scope=self.scope.name,
            name=self.name,
            number=self.number,
            connection=self.connection,
            last_id=self.last_id,
            continues=self.continues,
            ended=self.ended,
            snapshots=self.snapshots,
            counts=dict(self.signal_counts),
            sequence=StoredSequence(
                sequence.after_reconnect,
                sequence._prefix,
                sequence._last,
                sequence.streak,
                sequence.next,
                sequence.number,
                sequence.prefix,
            ),
            identified=self._sightings.identified,
            claimed=self._claimed,
            unconfirmed=[*gaps.unconfirmed],
            beginnings=sorted(gaps._beginnings),
            created=sorted(self._created),
            open=[*self.open],
            late=[*self.late],
            ended_runs=self.ended_runs,
        )

    def restore(self, found: StoredLane, records: dict[str, RunRecord]) -> None:
        """Go on from a stored lane.

        Args:
            found: The stored lane.
            records: The records of its runs by id, as far as they are stored.
        """
        self.number, self.connection, self.last_id = found.number, found.connection, found.last_id
        self.continues, self.snapshots = found.continues, found.snapshots
        self.signal_counts.update(found.counts)
        sequence, stored = self.gaps.sequence, found.sequence
        sequence.after_reconnect, sequence._prefix, sequence._last = stored.after_reconnect, stored.start, stored.last
        sequence.next, sequence.number, sequence.prefix = stored.next, stored.number, stored.prefix
        sequence._streak, sequence._begin = stored.streak, stored.number - stored.streak
        self._sightings.identified = found.identified
        for run_id in found.open:
            record = records.get(run_id)
            if record is not None and record.source is None:
                self.note_sent(record)
                self._set_source(record)
        for run_id in found.late:
            record = records.get(run_id)
            if record is None:
                continue
            self.late[run_id] = record
            self.note_sent(record)
            for id in record.objects:
                self.objects.setdefault(id, record)
            if record.source is None and record.state.is_terminal:
                record.source = self
                self._registry.reclaim(record)
            elif record.source is None and self not in record.former_sources:
                record.former_sources = (*record.former_sources, self)
        self._claimed = found.claimed
        self.ended_runs = found.ended_runs
        self._sent_several = self._sent_several or found.ended_runs > 1
        self._created.update(found.created)
        self.gaps._beginnings.update(found.beginnings)
        self.gaps.unconfirmed = {id: self.open[id] for id in found.unconfirmed if id in self.open}
        if found.ended:
            self.ended = True
            self.scope.sources -= 1

    def unload(self) -> list[RunRecord]:
        """Leave the memory, with all runs that no other source has; they are stored.

        Returns:
            The runs.
        """
        runs = {**dict.fromkeys(self.open.values()), **dict.fromkeys(self.late.values())}
        if not self.ended:
            self.ended = True
            self.scope.sources -= 1
        return [record for record in runs if record.source in (self, None)]
