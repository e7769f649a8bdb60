"""The loop over raw events of one source, with the hot path written out.

Nearly every event of a run is one more fragment of the text that grows. For such an event the loop does in one place
what the dialect, :meth:`EventRouter.delta` and :func:`runstream.core.object_deltas.append` do, without their calls, and
builds nothing that no callback takes. There are three ways, each for what the one before refuses: a message that
equals the last one but for its text, a plain fragment, any event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from runstream.core.registry import RunRecord, Scope
from runstream.core.state import GrowingText
from runstream.dialects.assistants_wire import TextFragment, read_text
from runstream.dialects.base import Dialect
from runstream.model.events import Reject
from runstream.model.raw import RawEvent
from runstream.model.raw_input import RawInput, raw_item
from runstream.model.signals import TextDelta

if TYPE_CHECKING:
    from runstream.engine.engine import Engine
    from runstream.engine.intake import Intake

__all__ = ["feeders"]

_ROW = 4  # fragments of one text in a row, before a look at what stands around it pays
_NOT_A_FRAGMENT = (msgspec.DecodeError, UnicodeError, RecursionError)


def _unframed(data: bytes) -> None:
    """Of a dialect that does not tell."""


def feeders(
    intake: Intake, engine: Engine, scope: Scope, dialect: Dialect
) -> tuple[Callable[[RawInput], None], Callable[[Iterable[RawInput]], None]]:
    """Functions that take one raw event, or several, through an engine. As closures they need look nothing up.

    Args:
        intake: The source's way in.
        engine: Its engine.
        scope: Its scope.
        dialect: Its decoder.
    """
    handling, decode = engine.handling, dialect.feed
    record_of: Callable[[str], Any] = scope.objects.get
    handlers, grow = handling.table, handling.delta
    fragments: Mapping[str | None, Callable[[bytes], Any]] = getattr(dialect, "fragments", {})
    deltas: Mapping[str | None, Callable[[bytes], Any]] = getattr(dialect, "deltas", {})
    fragment_bytes: int = getattr(dialect, "fragment_bytes", -1)
    delta_bytes: int = getattr(dialect, "delta_bytes", -1)
    framed: Callable[[bytes], tuple[bytes, bytes] | None] = getattr(dialect, "framed", _unframed)
    retold: Any = getattr(dialect, "retold", None)
    enveloped = fragments.get(None)
    doubts = intake.doubts
    # The text that grew last, its run, and how often in a row; what stands around it in its messages, once known.
    growing: Any = None
    grows: Any = None
    row = 0
    head: bytes | None = None
    tail = b""
    around = 0  # bytes of both
    named: str | None = None
    retell: Callable[[str], Any] | None = None

    def feed_all(items: Iterable[RawInput]) -> None:
        nonlocal growing, grows, head, row
        record: Any
        event: Any
        for item in items:
            if type(item) is not RawEvent:
                item = raw_item(item)  # noqa: PLW2901 - what was given is of no more use
                if type(item) is not RawEvent:
                    intake.take_other(item)
                    continue
            at = item.at
            if at is None:
                at = engine.clock()
            if item.last_id is not None:
                intake.last_id = item.last_id
            data, name = item.data, item.event
            size = len(data)
            if item.id is None and size <= fragment_bytes:
                text = ""
                on_event, doubtful = engine.on_event, doubts.runs
                if head is not None and name is named and not doubtful:
                    live, record = growing, grows
                    buffer, offset, id = live.buffer, record.length, live.object_id
                    if (
                        record.live is live
                        and record.intake is intake
                        and record_of(id) is record
                        and buffer.length == offset
                    ):
                        string = data.removeprefix(head).removesuffix(tail)
                        if len(string) == size - around:
                            try:
                                text = read_text(string)
                            except _NOT_A_FRAGMENT:
                                text = ""
                    if not text:
                        growing = grows = head = None  # the run may be done with, and is not to be kept for this
                        row = 0
                if on_event is not None:
                    if not text and take_whole(data, name, at):
                        continue
                elif not text and (size <= delta_bytes or name is not None):
                    # Most longer envelopes are no fragments, and would be tried in vain.
                    read = enveloped if name is None else fragments.get(name)
                    if read is not None:
                        try:
                            fragment = read(data) if name is not None else read(data).data
                        except _NOT_A_FRAGMENT:
                            pass
                        else:
                            id = fragment.id
                            record = record_of(id)
                            live = record.live if record is not None and record.intake is intake else None
                            if live is None or live.object_id != id or (doubtful and live.run_id in doubtful):
                                pass
                            elif type(fragment) is not TextFragment:
                                if handling.grow_arguments(record, fragment, at):
                                    continue
                            else:
                                part = fragment.delta.content[0]
                                buffer, offset = live.buffer, record.length
                                if part.index == live.part and live.is_message and buffer.length == offset:
                                    text = part.text.value
                                    if not record.unidentified:
                                        intake.unidentify(record)
                                    if live is growing:
                                        learn(data, name, record, live)
                                    else:
                                        growing, head, row = live, None, 1
                if text:
                    if on_event is not None or engine.watched:
                        grow_told(record, live, text, data, name, at)
                        continue
                    buffer.tail.write(text)
                    buffer.last = text
                    record.length = buffer.length = offset + len(text)
                    tell = engine._on_progress
                    if tell is None:
                        engine.events += 1
                    else:
                        engine.told += 1
                        tell(TextDelta(live.run_id, live.thread_id, live.scope, at, id, live.part, offset, text))
                    continue
            for event in decode(item):
                engine.events += 1
                if event.id is not None and not intake.is_new(event):
                    continue
                if doubts.runs:
                    doubts.settle(event, at)
                if engine.on_event is not None and type(event) is not Reject:
                    engine.on_event(event)
                handlers[type(event)](intake, event, at)

    def grow_told(record: RunRecord, live: GrowingText, text: str, data: bytes, name: str | None, at: float) -> None:
        """Append to the text that grows, where somebody takes more of it than progress."""
        nonlocal retell
        engine.events += 1
        if engine.on_event is not None:
            if retell is None:
                retell = retold(deltas[name](data))
            event = retell(text)
            engine.on_event(event)
            if (
                record.live is not live
                or record.intake is not intake
                or record_of(live.object_id) is not record
                or live.buffer.length != record.length
            ):
                grow(intake, event, at)  # whoever listens has fed something
                return
        handling.grow_text(record, live, text, at)

    def take_whole(data: bytes, name: str | None, at: float) -> bool:
        """Take any fragment without an id, and give it out; whether it was one."""
        nonlocal growing, head, row
        if len(data) > delta_bytes or name not in deltas:
            return False
        try:
            event = deltas[name](data)
        except _NOT_A_FRAGMENT:
            return False
        if event.id is not None:
            return False
        engine.events += 1
        if doubts.runs:
            doubts.settle(event, at)
        if engine.on_event is not None:
            engine.on_event(event)
        grow(intake, event, at)
        record = record_of(event.data.id)
        if record is not None and record.live is not None:
            if record.live is growing:
                learn(data, name, record, record.live)
            else:
                growing, head, row = record.live, None, 1
        return True

    def learn(data: bytes, name: str | None, record: RunRecord, live: GrowingText) -> None:
        """One more fragment of the text that grew last: should those that follow differ in their text alone, that will
        be seen.
        """
        nonlocal grows, row, head, tail, around, named, retell
        row += 1
        if row < _ROW or row & (row - 1) or retold is None or name not in fragments or name not in deltas:
            return  # too few to be worth it; or it was in vain, and is tried more and more seldom
        try:
            fragment = fragments[name](data)
        except _NOT_A_FRAGMENT:
            return
        if name is None:
            fragment = fragment.data
        frame = framed(data)
        if frame is None or type(fragment) is not TextFragment or not live.is_message:
            return
        if (fragment.id, fragment.delta.content[0].index) == (live.object_id, live.part):
            head, tail = frame
            around = len(head) + len(tail)
            grows, named, retell = record, name, None

    def feed(item: RawInput) -> None:
        feed_all((item,))

    return feed, feed_all
