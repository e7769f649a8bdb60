"""The loop over raw events of one source, with the hot path written out.

Nearly each event of a run is one more fragment of the text that grows. For such an event the loop does the work of the
dialect, of :meth:`EventRouter.delta` and of :func:`~runstream.engine.append.append_text` in one place, without calls,
and builds no object that no callback takes. There are three paths, each for messages that the one before refuses: a
message that equals the last one but for its text, a plain fragment, any event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

import msgspec

from runstream.core.run_record import RunRecord
from runstream.core.state import GrowingText
from runstream.dialects.assistants_wire import TextFragment
from runstream.dialects.base import Dialect
from runstream.dialects.text_frame import read_text
from runstream.engine.append import append_arguments, append_text
from runstream.engine.outputs import Outputs
from runstream.engine.routing import EventRouter
from runstream.engine.source_state import SourceState
from runstream.model.events import Reject
from runstream.model.raw import ConnectionEvent, RawEvent
from runstream.model.raw_input import RawInput, raw_item
from runstream.model.signals import TextDelta

__all__ = ["Feed", "FeedAll", "make_feed"]

Feed = Callable[[RawInput], None]
FeedAll = Callable[[Iterable[RawInput]], None]

_STREAK: Final = 4  # consecutive fragments of one text after which its frame is worth learning
_NO_FRAGMENT: Final = (msgspec.DecodeError, UnicodeError, RecursionError)


def _no_frame(data: bytes) -> None:
    """For a dialect that knows no frames."""


def make_feed(
    source: SourceState,
    outputs: Outputs,
    router: EventRouter,
    dialect: Dialect,
    notify: Callable[[ConnectionEvent], None] | None = None,
) -> tuple[Feed, FeedAll]:
    """Build the functions that process one raw event, or several. As closures they look up no attributes.

    Args:
        source: The state of the source.
        outputs: The outputs of the engine.
        router: Its router.
        dialect: The decoder of the source.
        notify: Called with changes of the connection.
    """
    decode = dialect.feed
    record_of: Callable[[str], Any] = source.scope.objects.get
    handlers, route_delta = router.table, router.delta
    fragments: Mapping[str | None, Callable[[bytes], Any]] = getattr(dialect, "fragments", {})
    deltas: Mapping[str | None, Callable[[bytes], Any]] = getattr(dialect, "deltas", {})
    fragment_bytes: int = getattr(dialect, "fragment_bytes", -1)
    delta_bytes: int = getattr(dialect, "delta_bytes", -1)
    split_frame: Callable[[bytes], tuple[bytes, bytes] | None] = getattr(dialect, "split_frame", _no_frame)
    event_builder: Any = getattr(dialect, "event_builder", None)
    read_enveloped = fragments.get(None)
    gaps = source.gaps
    last_text: Any = None  # the text that grew last
    last_record: Any = None  # the record of its run
    streak = 0  # the number of its consecutive fragments
    # The frame: the bytes before and after its text, their number, and the name of the raw event. `None`: unknown.
    head: bytes | None = None
    tail = b""
    frame_size = 0
    frame_name: str | None = None
    build_event: Callable[[str], Any] | None = None

    def feed_all(items: Iterable[RawInput]) -> None:
        nonlocal last_text, last_record, head, streak
        record: Any
        event: Any
        for item in items:
            if type(item) is not RawEvent:
                item = raw_item(item)  # noqa: PLW2901 - the input itself is not needed any more
                if isinstance(item, ConnectionEvent):
                    if notify is not None:
                        notify(item)
                    continue
                if not isinstance(item, RawEvent):
                    source.reject_item(item)
                    continue
            at = item.at
            if at is None:
                at = outputs.clock()
            if item.last_id is not None:
                source.last_id = item.last_id
            data, name = item.data, item.event
            size = len(data)
            if item.id is None and size <= fragment_bytes:
                text = ""
                on_event, unconfirmed = outputs.on_event, gaps.unconfirmed
                if head is not None and name is frame_name and not unconfirmed:
                    growing, record = last_text, last_record
                    buffer, offset, id = growing.buffer, record.length, growing.object_id
                    if (
                        record.growing is growing
                        and record.source is source
                        and record_of(id) is record
                        and buffer.length == offset
                    ):
                        string = data.removeprefix(head).removesuffix(tail)
                        if len(string) == size - frame_size:
                            try:
                                text = read_text(string)
                            except _NO_FRAGMENT:
                                text = ""
                    if not text:
                        last_text = last_record = head = None  # the run may be evicted, and this must not keep it
                        streak = 0
                if on_event is not None:
                    if not text and feed_delta(data, name, at):
                        continue
                elif not text and (size <= delta_bytes or name is not None):
                    # Most longer envelopes contain no fragment; the decoder would refuse them.
                    read = read_enveloped if name is None else fragments.get(name)
                    if read is not None:
                        try:
                            fragment = read(data) if name is not None else read(data).data
                        except _NO_FRAGMENT:
                            pass
                        else:
                            id = fragment.id
                            record = record_of(id)
                            growing = record.growing if record is not None and record.source is source else None
                            if (
                                growing is None
                                or growing.object_id != id
                                or (unconfirmed and growing.run_id in unconfirmed)
                            ):
                                pass
                            elif type(fragment) is not TextFragment:
                                if append_arguments(outputs, record, fragment, at):
                                    continue
                            else:
                                part = fragment.delta.content[0]
                                buffer, offset = growing.buffer, record.length
                                if part.index == growing.part and growing.is_message and buffer.length == offset:
                                    text = part.text.value
                                    if not record.unidentified:
                                        source.mark_unidentified(record)
                                    if growing is last_text:
                                        learn_frame(data, name, record, growing)
                                    else:
                                        last_text, head, streak = growing, None, 1
                if text:
                    if on_event is not None or outputs.watched:
                        append_watched(record, growing, text, data, name, at)
                        continue
                    buffer.tail.write(text)
                    buffer.last = text
                    record.length = buffer.length = offset + len(text)
                    on_progress = outputs._on_progress
                    if on_progress is None:
                        outputs.events += 1
                    else:
                        outputs.progress_count += 1
                        on_progress(
                            TextDelta(
                                growing.run_id, growing.thread_id, growing.scope, at, id, growing.part, offset, text
                            )
                        )
                    continue
            for event in decode(item):
                outputs.events += 1
                if event.id is not None and source.is_duplicate(event):
                    continue
                if gaps.unconfirmed:
                    gaps.confirm(event, at)
                if outputs.on_event is not None and type(event) is not Reject:
                    outputs.on_event(event)
                handlers[type(event)](source, event, at)

    def append_watched(
        record: RunRecord, growing: GrowingText, text: str, data: bytes, name: str | None, at: float
    ) -> None:
        """Append to the text that grows where a callback takes events, states or changes."""
        nonlocal build_event
        outputs.events += 1
        if outputs.on_event is not None:
            if build_event is None:
                build_event = event_builder(deltas[name](data))
            event = build_event(text)
            outputs.on_event(event)
            if (
                record.growing is not growing
                or record.source is not source
                or record_of(growing.object_id) is not record
                or growing.buffer.length != record.length
            ):
                route_delta(source, event, at)  # the callback has fed further events
                return
        append_text(outputs, record, growing, text, at)

    def feed_delta(data: bytes, name: str | None, at: float) -> bool:
        """Feed a fragment without an id whose event a callback takes.

        Returns:
            False if the data are no such fragment; nothing was done then.
        """
        nonlocal last_text, head, streak
        if len(data) > delta_bytes or name not in deltas:
            return False
        try:
            event = deltas[name](data)
        except _NO_FRAGMENT:
            return False
        if event.id is not None:
            return False
        outputs.events += 1
        if gaps.unconfirmed:
            gaps.confirm(event, at)
        if outputs.on_event is not None:
            outputs.on_event(event)
        route_delta(source, event, at)
        record = record_of(event.data.id)
        if record is not None and record.growing is not None:
            if record.growing is last_text:
                learn_frame(data, name, record, record.growing)
            else:
                last_text, head, streak = record.growing, None, 1
        return True

    def learn_frame(data: bytes, name: str | None, record: RunRecord, growing: GrowingText) -> None:
        """Count one more fragment of the text that grew last, and learn its frame after some."""
        nonlocal last_record, streak, head, tail, frame_size, frame_name, build_event
        streak += 1
        if streak < _STREAK or streak & (streak - 1) or event_builder is None:
            return  # too few; or learning failed, and is tried again after twice as many
        if name not in fragments or name not in deltas:
            return
        try:
            fragment = fragments[name](data)
        except _NO_FRAGMENT:
            return
        if name is None:
            fragment = fragment.data
        frame = split_frame(data)
        if frame is None or type(fragment) is not TextFragment or not growing.is_message:
            return
        if (fragment.id, fragment.delta.content[0].index) == (growing.object_id, growing.part):
            head, tail = frame
            frame_size = len(head) + len(tail)
            last_record, frame_name, build_event = record, name, None

    def feed(item: RawInput) -> None:
        feed_all((item,))

    return feed, feed_all
