"""Fragments of one text that are read together: they are decoded, deduplicated and appended at once.

The results are those of :class:`~runstream.engine.feed.Feeder` for one raw event after another, and what is not certain
is left to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import accumulate, repeat
from typing import Any, Final

from runstream.core.run_record import RunRecord
from runstream.core.state import GrowingText, RunState
from runstream.dialects.base import Dialect, FragmentDecoder, fragment_decoder
from runstream.engine.batch import Batch
from runstream.engine.outputs import Outputs
from runstream.engine.routing import EventRouter
from runstream.engine.source_state import SourceState
from runstream.model.events import TextAppend
from runstream.model.raw import RawEvent
from runstream.model.raw_events import RawEvents
from runstream.model.signals import Signal
from runstream.model.text_fragments import TextFragments

__all__ = ["AHEAD", "FragmentFeeder"]

AHEAD: Final = 256
"""The largest number of items that :meth:`FragmentFeeder.feed_ahead` takes."""
_MIN_FRAGMENTS: Final = 8  # that are worth taking at once
_LAST_TRY: Final = 8  # events after which it is tried for the last time to decode the others at once


class FragmentFeeder:
    """Takes raw events that are read together through the engine.

    Args:
        source: The state of the source.
        outputs: The outputs of the engine.
        router: Its router.
        feed: Takes one raw event.
    """

    __slots__ = ("_feed", "_outputs", "_router", "_source")

    def __init__(
        self, source: SourceState, outputs: Outputs, router: EventRouter, feed: Callable[[RawEvent], None]
    ) -> None:
        self._router = router
        self._source = source
        self._outputs = outputs
        self._feed = feed

    def feed_all(self, dialect: Dialect, events: RawEvents) -> None:
        """Take all of them; the first ones alone, if these are to show which text grows.

        Args:
            dialect: The decoder of the source.
            events: The raw events.
        """
        decoder = fragment_decoder(dialect)
        position = next_try = 0
        while position < len(events):
            if decoder is not None and position == next_try:
                taken = self._take_from(decoder, events, position)
                if taken:
                    position += taken
                    decoder = None  # the rest goes one by one
                    continue
                next_try = 2 * position or 1
                if position == _LAST_TRY:
                    decoder = None
            self._feed(events[position])
            position += 1

    def feed_ahead(self, dialect: Dialect, batch: Batch) -> int:
        """Take the next items of a batch, if these are many fragments of the text that grew last.

        Args:
            dialect: The decoder of the source.
            batch: The batch; no item is processed after its interruption.

        Returns:
            The number of items that were processed.
        """
        decoder = fragment_decoder(dialect)
        if decoder is None or self._source.gaps.unconfirmed:
            return 0
        taken = 0
        items = batch.ahead(AHEAD, self._outputs.note_change)
        try:
            count = _guess_leading(decoder.may_continue, items)
            if count >= _MIN_FRAGMENTS and (events := RawEvents.of(items[:count])) is not None:
                taken = self._take_from(decoder, events, 0)
        finally:
            batch.advance(taken)
        return taken

    def _take_from(self, decoder: FragmentDecoder, events: RawEvents, first: int) -> int:
        """Decode raw events, and process the first ones, as far as they are appended to the text that grows.

        Args:
            decoder: The decoder of the source.
            events: The raw events.
            first: The index of the first one to process.

        Returns:
            The number of those that were processed.
        """
        source, outputs = self._source, self._outputs
        if outputs.settle is not None:
            outputs.note_change()  # a callback feeds the engine, and the decoder has to know what was processed
        fragments = decoder.decode_fragments(events, first)
        if fragments is None:
            return 0
        taken, count = 0, len(fragments.texts)
        while taken < count and (record := self._find(fragments)) is not None:
            texts = fragments.texts[taken:]
            ends = list(accumulate(map(len, texts), initial=record.length))
            if ends[-1] > record.room:
                break  # a bound is near: each fragment is checked
            if fragments.number is not None:
                noted = source.add_ids(fragments, taken)
                if not noted:
                    break
                texts = texts[:noted]
            elif not record.unidentified:
                source.mark_unidentified(record)
            append = _Append(outputs, record, texts, ends)
            outputs.settle = settle = partial(self._settle, decoder, fragments, events, first, taken, append)
            try:
                times = self._times(events, first + taken, len(texts))
                if outputs.watched:
                    append.run_watched(times, self._events(fragments, taken, texts), self._route)
                else:
                    append.run(times)
            finally:  # a callback may raise
                if outputs.settle is settle:
                    settle()
            taken += append.count
            if append.count < len(texts):
                break
        return taken

    def _settle(
        self,
        decoder: FragmentDecoder,
        fragments: TextFragments,
        events: RawEvents,
        first: int,
        taken: int,
        append: _Append,
    ) -> None:
        """Note the identities and the place of the fragments that were appended so far, and of no others.

        Args:
            decoder: The decoder of the source.
            fragments: The fragments.
            events: Their raw events.
            first: The index of the raw event of the first fragment.
            taken: The number of fragments before those of ``append``.
            append: Those that are appended now.
        """
        self._outputs.settle = None
        source, count = self._source, append.settle()
        taken += count
        if fragments.number is not None:
            source.revoke_ids(fragments, taken, len(append.texts) - count)
        if not count:
            return  # the clock has raised
        decoder.take_fragments(fragments, taken)
        raw, place = events[first + taken - 1], None
        if fragments.number is not None:
            place = raw.id if raw.id is not None else decoder.cursor()
        if place is None:
            place = raw.last_id
        if place is not None:
            source.last_id = place

    def _events(self, fragments: TextFragments, first: int, texts: list[str]) -> Iterator[TextAppend]:
        """Make the events of some fragments, which are of the scope of the source.

        Args:
            fragments: All fragments.
            first: The index of the first one.
            texts: The texts of these.
        """
        self._outputs.event_scope = self._source.scope.name
        ids = fragments.ids(first, len(texts))
        place = (repeat(fragments.object_id), repeat(fragments.target), repeat(fragments.index))
        return map(TextAppend, *place, texts, ids, repeat(fragments.run_id), repeat(fragments.name))

    def _route(self, event: TextAppend, at: float) -> None:
        """Route a fragment that can't be appended any more, as :class:`~runstream.engine.feed.Feeder` does."""
        self._outputs.events += 1
        self._router.fragment(self._source, event, at, None)

    def _times(self, events: RawEvents, first: int, count: int) -> list[float]:
        """The times of arrival of some events (Unix seconds).

        Args:
            events: The events.
            first: The index of the first one.
            count: Their number.
        """
        times, clock = events.times(first, count), self._outputs.clock
        if None not in times:
            return times  # type: ignore[return-value]
        if events.items is None:  # they arrived at one time
            return [clock()] * count
        return [clock() if at is None else at for at in times]

    def _find(self, fragments: TextFragments) -> RunRecord | None:
        """The run of the text, if it grows now."""
        source = self._source
        if source.gaps.unconfirmed:
            return None
        record = source.objects.get(fragments.object_id)
        if record is None or record.source is not source:
            return None
        growing = record.growing
        if (
            growing is None
            or growing.object_id != fragments.object_id
            or growing.index != fragments.index
            or growing.target != fragments.target
            or (fragments.run_id is not None and fragments.run_id != growing.run_id)
            or growing.buffer.length != record.length  # not the newest state of this text: the reducer forks it
        ):
            return None
        return record


def _guess_leading(fits: Callable[[RawEvent], bool], items: Sequence[Any]) -> int:
    """A guess of how many of the first items fit, from a few of them.

    It is exact if none fits behind the first one that does not. Else it may be too large, and the decoder refuses them.

    Args:
        fits: Says it of a raw event.
        items: Raw events, and other items, which do not fit.
    """
    low, high = 0, len(items)
    probe = 0  # most searches end with the first item, or with the last one
    while low < high:
        item = items[probe]
        if type(item) is RawEvent and fits(item):
            low = probe + 1
        else:
            high = probe
        probe = high - 1 if low == 1 and high == len(items) else (low + high) // 2
    return low


class _Append:
    """Appends fragments to the text of a run that grows.

    Args:
        outputs: The outputs of the engine.
        record: The run.
        texts: The fragments.
        ends: The length of the text before the first one, and after each.

    Attributes:
        texts: The fragments.
        count: The number of those that were appended, once that is settled.
    """

    __slots__ = ("_counted", "_emits", "_ends", "_outputs", "_reached", "_record", "count", "texts")

    def __init__(self, outputs: Outputs, record: RunRecord, texts: list[str], ends: list[int]) -> None:
        self._outputs = outputs
        self._record = record
        self._ends = ends
        self.texts = texts
        self.count = 0
        self._emits = outputs.on_progress is not None
        self._counted = (0, 0)  # in `Outputs.progress_count` and in `Outputs.events`
        self._reached: int | None = None  # the number of those whose signal was due, where states are emitted before it

    def settle(self) -> int:
        """End the loop after the present fragment.

        Returns:
            The number of fragments that were appended, the present one included.
        """
        self.count = self.count or self._ends.index(self._record.length)  # no fragment is empty
        self._outputs.changes += 1
        count = self.count if self._reached is None else self._reached
        self._note_counts(count if self._emits else 0, 0 if self._emits else count)
        return self.count

    def _note_counts(self, with_signal: int, others: int) -> None:
        """Note how many events have caused a signal of progress so far, and how many none."""
        outputs, (known_with, known_others) = self._outputs, self._counted
        outputs.progress_count += with_signal - known_with
        outputs.events += others - known_others
        self._counted = (with_signal, others)

    def run(self, times: list[float]) -> None:
        """Append them, and emit their signals until a callback changes something that the next one depends on.

        The buffer has the text of all at once. The length of the state grows with each signal, so a callback sees the
        state that the fragment of its signal has made.

        Args:
            times: The time of arrival of each (Unix seconds).
        """
        outputs, record, texts, ends = self._outputs, self._record, self.texts, self._ends
        growing = self._write()
        push = outputs.on_progress
        if push is None:
            record.length = ends[len(texts)]
            self.count = len(texts)
            self._note_counts(0, self.count)
            return
        changes = outputs.changes
        end = ends[0]
        try:
            for end, signal in zip(ends[1:], _signals(growing, times, ends, texts), strict=False):
                record.length = end
                push(signal)
                if outputs.changes != changes or record.growing is not growing:
                    break
        finally:
            self.count = ends.index(end)  # no fragment is empty
            self._note_counts(self.count, 0)

    def _write(self) -> GrowingText:
        """Write the texts into the buffer of the text that grows, which is returned."""
        growing: GrowingText = self._record.growing  # type: ignore[assignment]
        buffer, texts = growing.buffer, self.texts
        buffer.tail.write("".join(texts))
        buffer.last = texts[-1]
        buffer.length = self._ends[len(texts)]
        return growing

    def run_watched(
        self, times: list[float], events: Iterator[TextAppend], route: Callable[[TextAppend, float], None]
    ) -> None:
        """:meth:`run` where a callback takes events or states.

        Args:
            times: The time of arrival of each (Unix seconds).
            events: The event of each.
            route: Takes an event that can't be appended, because ``on_event`` has fed the engine or set a callback.
        """
        outputs, record, ends = self._outputs, self._record, self._ends
        state = record.state
        head, objects = state._head, state._objects
        growing = self._write()
        changes, count = outputs.changes, 0
        self._reached = 0
        on_event, on_state, on_change = outputs._on_event, outputs._on_state, outputs._on_change
        push, takes_states = outputs._on_progress, outputs.takes_states
        signals = _signals(growing, times, ends, self.texts)
        try:
            for end, event, signal in zip(ends[1:], events, signals, strict=False):
                self.count = count = count + 1
                if on_event is not None:
                    on_event(event)
                    if outputs.changes != changes or record.growing is not growing:
                        route(event, times[count - 1])  # which counts it
                        break
                record.length = end
                if takes_states:
                    before = state
                    state = record._state = RunState(head, objects, growing, end)
                    if on_state is not None:
                        on_state(state)
                    if on_change is not None and outputs._on_change is not None:
                        on_change(before, state, times[count - 1])
                    if outputs.changes != changes:
                        push = outputs._on_progress
                self._reached = count
                if push is not None:
                    push(signal)
                if outputs.changes != changes or record.growing is not growing:
                    break
        finally:
            reached = self._reached
            # A callback of the last one has set the callback of progress, or removed it.
            switched = 1 if count and reached == count and self._emits is (push is None) else 0
            with_signal = reached - switched if self._emits else switched
            self._note_counts(with_signal, reached - with_signal)


def _signals(growing: GrowingText, times: list[float], offsets: list[int], texts: list[str]) -> Iterator[Signal]:
    """Make the signals of fragments.

    Args:
        growing: The text that grows.
        times: The time of arrival of each (Unix seconds).
        offsets: The length of the text before each.
        texts: The fragments.
    """
    run = (repeat(growing.run_id), repeat(growing.thread_id), repeat(growing.scope), times)
    if growing.part >= 0:
        return map(growing.signal, *run, repeat(growing.object_id), repeat(growing.part), offsets, texts)
    return map(growing.signal, *run, repeat(growing.call_id), offsets, texts, repeat(growing.call_key))
