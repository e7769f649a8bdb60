"""The loop over the raw events of one source: decode, deduplicate, append to the text that grows, or route."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from operator import length_hint
from typing import Any, Final

from runstream.core.state import RunState
from runstream.dialects.base import Dialect
from runstream.engine.batch import Batch
from runstream.engine.detection import Detection
from runstream.engine.fragments import AHEAD, FragmentFeeder
from runstream.engine.outputs import Outputs
from runstream.engine.routing import EventRouter
from runstream.engine.source_state import SourceState
from runstream.model.events import Event, Origin, Reject, RunEvent, TextAppend
from runstream.model.raw import Answer, ConnectionEvent, Malformed, Oversized, RawEvent, RawItem, Request
from runstream.model.raw_events import RawEvents, RawItems
from runstream.model.raw_input import RawInput, raw_item

__all__ = ["Feeder"]

_SEQUENCES: Final = (list, tuple)  # a union of types would be made for each event
_MIN_BATCH: Final = 9  # items of a list in which a search for fragments of one text is worth its time
_ALONE: Final = 4  # items that are fed one by one after a search with a result; after each other one twice as many
_MAX_ALONE: Final = 128


class Feeder:
    """Takes the raw events of one source through the engine.

    Args:
        source: The state of the source.
        outputs: The outputs of the engine.
        router: Its router.
        dialect: The decoder of the source.
        notify: Called with changes of the connection, before the dialect decodes them.

    Attributes:
        dialect: The decoder of the source.
        detection: Finds the dialect of the source; ``None`` once it is known.
    """

    def __init__(
        self,
        source: SourceState,
        outputs: Outputs,
        router: EventRouter,
        dialect: Dialect,
        notify: Callable[[ConnectionEvent], None] | None = None,
    ) -> None:
        self._source = source
        self._outputs = outputs
        self._router = router
        self.dialect = dialect
        self.detection: Detection | None = None
        self._notify = notify
        self._fragments = FragmentFeeder(source, outputs, router, self.feed)
        # Found once: each would be found again for each raw event that arrives alone.
        self._record_of: Callable[[str], Any] = source.objects.get
        self._sequence = source.gaps.sequence
        self._add_id = source.add_id

    def feed(self, item: RawInput) -> None:
        """Take one raw event, or an input that can become one."""
        self._feed_each((item,))

    def feed_all(self, items: Iterable[RawInput]) -> None:
        """Take several, at less cost for each."""
        if isinstance(items, _SEQUENCES) and len(items) >= _MIN_BATCH:
            self._feed_batch(Batch(items))
        elif type(items) is Batch:
            self._feed_batch(items)
        elif type(items) is RawItems or type(items) is RawEvents:
            self._feed_together(items)
        else:
            self._feed_each(items)

    def _feed_batch(self, batch: Batch) -> None:
        """Take the items of a list, some of them at once: those that are fragments of one text, one after the other."""
        rest = batch.rest
        alone = _ALONE
        while length_hint(rest):
            taken = self._fragments.feed_ahead(self.dialect, batch) if self.detection is None else 0
            alone = _ALONE if taken else min(2 * alone, _MAX_ALONE)
            if taken < AHEAD:
                self._feed_each(islice(rest, alone))

    def _feed_each(self, items: Iterable[RawInput]) -> None:
        """Take several one after the other.

        A fragment that is appended to the text that grows is done here, since nine events of ten are such: a call of a
        function for it would cost an eighth of it. All other fragments go to :meth:`EventRouter.delta`.
        """
        if self.detection is not None:
            items = self.detection.take(items)
        source, outputs = self._source, self._outputs
        decode, record_of = self.dialect.decode, self._record_of
        gaps = source.gaps
        if outputs.settle is not None:
            outputs.note_change()  # a callback feeds the engine
        for item in items:
            if type(item) is not RawEvent:
                item = raw_item(item)  # noqa: PLW2901 - the input itself is not needed any more
                if not isinstance(item, RawEvent):
                    self.take_other(item)
                    continue
            at = item.at
            if at is None:
                at = outputs.clock()
            if item.last_id is not None:
                source.last_id = item.last_id
            event = decode(item)
            if type(event) is not TextAppend:
                source.latest = item, event
                self.route(event, item.id, at)
                continue
            if event.id is not None:
                sequence = self._sequence
                if (event.id != sequence.next or not self._add_id(event, sequence)) and source.is_duplicate(event):
                    outputs.events += 1
                    continue
                if item.id is not None:
                    source.last_id = item.id
                elif (place := self.dialect.cursor()) is not None:
                    source.last_id = place
            if gaps.unconfirmed:
                gaps.confirm(event, at)
            if outputs.watched and outputs._on_event is not None:
                outputs.event_scope = source.scope.name
                outputs._on_event(event)
            record = record_of(event.object_id)
            if record is None or record.source is not source:
                self._route_fragment(item, event, at)
                continue
            if event.id is None and not record.unidentified:
                source.mark_unidentified(record)
            growing = record.growing
            if growing is None:
                self._route_fragment(item, event, at)
                continue
            buffer, offset = growing.buffer, record.length
            if (
                growing.object_id != event.object_id
                or growing.index != event.index
                or growing.target != event.target
                or (event.run_id is not None and event.run_id != growing.run_id)
                or buffer.length != offset  # not the newest state of this text: the reducer forks it
                or offset > record.room
            ):
                self._route_fragment(item, event, at)
                continue
            before = None
            if outputs.watched and outputs.takes_states:
                before = record._state  # `RunRecord.state`, without the call
                if before._length != offset:
                    before = record.build_state()
            text = event.text
            buffer.tail.write(text)
            buffer.last = text
            record.length = buffer.length = offset + len(text)
            if before is not None:
                after = record._state = RunState(before._head, before._objects, before._growing, record.length)
                on_change = outputs._on_change
                if outputs._on_state is not None:
                    outputs._on_state(after)  # which may feed more of the text, or set the callbacks
                if on_change is not None and outputs._on_change is not None:
                    outputs._on_change(before, after, at)
            on_progress = outputs._on_progress
            if on_progress is None:
                outputs.events += 1
                continue
            outputs.progress_count += 1
            # Variables: a method call would look an attribute that is no method up in full each time.
            make, part = growing.signal, growing.part
            if part >= 0:
                id = event.object_id
                signal = make(growing.run_id, growing.thread_id, growing.scope, at, id, part, offset, text)
            else:
                id, key = growing.call_id, growing.call_key
                signal = make(growing.run_id, growing.thread_id, growing.scope, at, id, offset, text, key)
            on_progress(signal)

    def _feed_together(self, items: RawItems[Any] | RawEvents) -> None:
        """Take raw events that arrived together, and single items before, after and between them."""
        parts: Sequence[Any] = items.parts if isinstance(items, RawItems) else (items,)
        begin = 0
        for position, part in enumerate(parts):
            if type(part) is not RawEvents:
                continue
            if begin < position:
                self._feed_each(parts[begin:position])
            begin = position + 1
            if self.detection is None:
                self._fragments.feed_all(self.dialect, part)
            else:
                self._feed_each(part)
        if begin < len(parts):
            self._feed_each(parts[begin:])

    def _route_fragment(self, item: RawEvent, event: TextAppend, at: float) -> None:
        """Route a fragment of another text than the one that grows, or of one that can't be appended as it is."""
        self._outputs.events += 1
        origin = None
        if event.id is not None:
            origin = Origin(item.data, item.event is None, self._source.connection)
        self._router.fragment(self._source, event, at, origin)

    def route(self, decoded: Event | Reject | Sequence[Event | Reject], id: str | None, at: float) -> None:
        """Deduplicate and route the events of one raw event, which have one identity.

        Args:
            decoded: The event, or the events.
            id: The id of the raw event; ``None`` if there is none.
            at: The time of its arrival (Unix seconds).
        """
        if isinstance(decoded, _SEQUENCES):
            self._route_all(decoded, id, at)
            return
        event: Any = decoded
        source, outputs, router = self._source, self._outputs, self._router
        outputs.events += 1
        if event.id is not None:
            if source.is_duplicate(event):
                if isinstance(event, RunEvent):
                    router.skip_run(source, event)
                return
            self._advance(id)
        if source.gaps.unconfirmed:
            source.gaps.confirm(event, at)
        if outputs.watched and type(event) is not Reject:
            outputs.show_event(event, source.scope.name)
        router.table[type(event)](router, source, event, at)

    def _route_all(self, events: Sequence[Any], id: str | None, at: float) -> None:
        """:meth:`route` for several events, or none."""
        source, outputs, router = self._source, self._outputs, self._router
        outputs.events += len(events)
        if events and events[0].id is not None:
            if source.is_duplicate(*events):
                for event in events:
                    if isinstance(event, RunEvent):
                        router.skip_run(source, event)
                return
            self._advance(id)
        for event in events:
            if source.gaps.unconfirmed:
                source.gaps.confirm(event, at)
            if outputs.watched and type(event) is not Reject:
                outputs.show_event(event, source.scope.name)
            router.table[type(event)](router, source, event, at)

    def _advance(self, id: str | None) -> None:
        """Note the place from which the server can go on: the id of the raw event, or the dialect's own cursor. The
        identity of an event may be made by the dialect, and is no place.
        """
        place = id if id is not None else self.dialect.cursor()
        if place is not None:
            self._source.last_id = place

    def take_other(self, item: RawItem) -> None:
        """Process an item that is no raw event: a fact beside the stream, or input that could not become an event."""
        self._outputs.note_change()
        if self._notify is not None and isinstance(item, ConnectionEvent):
            self._notify(item)
        if type(item) is Request:
            self._source.requested(item)
        if self.detection is not None:
            self.detection.keep(item)
        else:
            self.decode_other(item)

    def decode_other(self, item: RawItem) -> None:
        """Decode an item that is no raw event, and route its events."""
        decoded = self.dialect.decode(item)
        if type(item) is Answer:
            if self._source.gaps.unconfirmed:
                self._source.gaps.answered(decoded if isinstance(decoded, _SEQUENCES) else (decoded,))
            with self._router.fetching(self._source):
                self._route_other(item, decoded)
        else:
            self._route_other(item, decoded)

    def _route_other(self, item: RawItem, decoded: Event | Reject | Sequence[Event | Reject]) -> None:
        """Route the events of an item that is no raw event."""
        if isinstance(decoded, Reject):
            self.route(decoded, None, 0.0)  # it needs no time
        elif not isinstance(decoded, _SEQUENCES) or decoded:
            at = None if isinstance(item, Malformed | Oversized) else item.at
            self.route(decoded, None, self._outputs.clock() if at is None else at)
