"""The loop that takes raw events through an engine, with the hot path written out.

Nearly everything that a run sends is one more fragment of the text that grows right now. What happens to it here is
what the dialect, :meth:`Handling.delta` and :func:`runstream.core.growth.append` would do, without their calls and
without what nobody asked for; everything else is left to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from runstream.core.registry import Scope
from runstream.core.signals import TextDelta
from runstream.dialects.base import Dialect
from runstream.dialects.fragments import TextFragment
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
    slim: Mapping[str | None, Callable[[bytes], Any]] = getattr(dialect, "fragments", {})
    whole: Mapping[str | None, Callable[[bytes], Any]] = getattr(dialect, "deltas", {})
    fragment_bytes: int = getattr(dialect, "fragment_bytes", -1)
    doubts = intake.doubts

    def feed_all(items: Iterable[RawInput]) -> None:
        # Who listens to events wants them whole.
        on_event = engine.on_event
        fragments = slim if on_event is None else whole
        enveloped = fragments.get(None)
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
            read = None
            if len(data) <= fragment_bytes and item.id is None:
                read = enveloped if name is None else fragments.get(name)
            if read is not None and on_event is None:
                try:
                    fragment = read(data) if name is not None else read(data).data
                except _NOT_A_FRAGMENT:
                    pass
                else:
                    id = fragment.id
                    record: Any = record_of(id)
                    live = record.live if record is not None and record.intake is intake else None
                    if live is not None and live.object_id == id:
                        if type(fragment) is not TextFragment:
                            if handling.grow_arguments(record, fragment, at):
                                continue
                        else:
                            part = fragment.delta.content[0]
                            buffer, offset = live.buffer, record.length
                            if part.index == live.part and buffer.length == offset:
                                text = part.text.value
                                record.unidentified = True
                                tell = engine.only_progress
                                if tell is None:
                                    engine.events += 1
                                    handling.grow_text(record, live, text, at)
                                    continue
                                buffer.write(text)
                                buffer.last = text
                                record.length = buffer.length = offset + len(text)
                                engine.told += 1
                                thread_id, index = live.thread_id, live.part
                                tell(TextDelta(live.run_id, thread_id, live.scope, at, id, index, offset, text))
                                continue
            elif read is not None and on_event is not None:
                try:
                    event = read(data)
                except _NOT_A_FRAGMENT:
                    pass
                else:
                    if event.id is None:
                        engine.events += 1
                        if doubts.runs:
                            doubts.settle(event, at)
                        on_event(event)
                        grow(intake, event, at)
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

    def feed(item: RawInput) -> None:
        feed_all((item,))

    return feed, feed_all
