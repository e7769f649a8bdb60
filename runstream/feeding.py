"""The way of raw events through an engine, with the hot path written out.

Nearly everything that a run sends is one more fragment of the text that grows right now. What happens to it here is
what the dialect, :meth:`Handling.delta` and :func:`runstream.core.growth.append` would do, without their calls and
without what nobody asked for; everything else is left to them. There are three ways, each for what the one before
refuses: a message that is the last one but for its text, a plain fragment, anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from runstream.core.registry import Scope
from runstream.core.signals import TextDelta
from runstream.dialects.base import Dialect
from runstream.dialects.fragments import TextFragment, framed, read_text
from runstream.events import Reject
from runstream.raw import RawEvent
from runstream.sources.raw_items import RawInput, raw_item

if TYPE_CHECKING:
    from runstream.engine import Engine
    from runstream.intake import Intake

__all__ = ["feeders"]

_NOT_A_FRAGMENT = (msgspec.DecodeError, UnicodeError, RecursionError)


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
    handling, decode, record_of = engine.handling, dialect.feed, scope.objects.get
    handlers, grow = handling.table, handling.delta
    fragments: Mapping[str | None, Callable[[bytes], Any]] = getattr(dialect, "fragments", {})
    whole: Mapping[str | None, Callable[[bytes], Any]] = getattr(dialect, "deltas", {})
    fragment_bytes: int = getattr(dialect, "fragment_bytes", -1)
    enveloped = fragments.get(None)
    doubts = intake.doubts
    # What stands around the text of the last message; known once two in a row were of one text.
    head: bytes | None = None
    tail = b""
    named: str | None = None
    growing: Any = None
    of: Any = None

    def feed(item: RawInput) -> None:
        nonlocal head, tail, named, growing, of
        if type(item) is not RawEvent:
            item = raw_item(item)
            if type(item) is not RawEvent:
                intake.take_other(item)
                return
        at = item.at
        if at is None:
            at = engine.clock()
        if item.last_id is not None:
            intake.last_id = item.last_id
        data, name = item.data, item.event
        event: Any
        if item.id is None and len(data) <= fragment_bytes and engine.on_event is None:
            record: Any
            if head is not None and name is named:
                try:
                    text = read_text(data.removeprefix(head).removesuffix(tail))
                except _NOT_A_FRAGMENT:
                    head = None
                else:
                    live, record = growing, of
                    buffer = live.buffer
                    id = live.object_id
                    if (
                        record_of(id) is record
                        and record.live is live
                        and record.intake is intake
                        and buffer.length == record.length
                        and text
                    ):
                        tell = engine.only_progress
                        if tell is None:
                            engine.events += 1
                            handling.grow_text(record, live, text, at)
                            return
                        offset = buffer.length
                        buffer.write(text)
                        buffer.last = text
                        record.length = buffer.length = offset + len(text)
                        engine.told += 1
                        tell(TextDelta(live.run_id, live.thread_id, live.scope, at, id, live.part, offset, text))
                        return
                    head = None
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
                    if live is not None and live.object_id == id:
                        if type(fragment) is not TextFragment:
                            if handling.grow_arguments(record, fragment, at):
                                return
                        else:
                            part = fragment.delta.content[0]
                            buffer, offset = live.buffer, record.length
                            if part.index == live.part and buffer.length == offset:
                                text = part.text.value
                                record.unidentified = True
                                if live is growing:
                                    if frame := framed(data, text):
                                        head, tail = frame
                                        named, of = name, record
                                else:
                                    growing = live
                                engine.events += 1
                                handling.grow_text(record, live, text, at)
                                return
        for event in decode(item):
            engine.events += 1
            if event.id is not None and not intake.is_new(event):
                continue
            if doubts.runs:
                doubts.settle(event, at)
            if engine.on_event is not None and type(event) is not Reject:
                engine.on_event(event)
            handlers[type(event)](intake, event, at)

    def feed_all(items: Iterable[RawInput]) -> None:
        for item in items:
            feed(item)

    return feed, feed_all
