"""What a reject may have said: an event of a message or step that can't be read is a piece that is missing.

Its name, and its id where that can still be read, say which; the open messages and steps of that run (or, where no id
can be read, of all open runs of the source) are marked partial, as after any other gap.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from runstream.engine.gap_tracker import mark_missed
from runstream.model.raw import RawEvent

if TYPE_CHECKING:
    from runstream.engine.engine import Engine
    from runstream.engine.intake import Intake

__all__ = ["mark_damaged"]

_NAMES: Final = ("thread.message.", "thread.run.step.")
_NAMED: Final = re.compile(rb'"event"\s*:\s*"thread\.(?:message|run\.step)\.')
_ID: Final = re.compile(rb'"id"\s*:\s*"([^"\\]{1,256})"')
_HEAD: Final = 4096  # bytes in which the name and the ids stand


def mark_damaged(engine: Engine, intake: Intake, raw: RawEvent) -> None:
    """Mark what misses this event.

    Args:
        engine: Whose input it is.
        intake: The source's.
        raw: What could not be used.
    """
    head = raw.data[:_HEAD]
    if raw.event is None:
        if _NAMED.search(head) is None:
            return
    elif not raw.event.startswith(_NAMES):
        return
    ids = {id.decode(errors="replace") for id in _ID.findall(head)}
    known = [record for id in ids if (record := intake._scope.objects.get(id)) is not None]
    for record in known or intake._ordered():
        mark_missed(engine, record, "an event could not be used", engine.clock())
