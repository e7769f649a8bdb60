"""An AG-UI event that can't be read: its bytes enter, and what they still show of it leaves."""

from __future__ import annotations

import re
from typing import Final

from runstream.dialects.ag_ui_events import ON_INTERRUPT
from runstream.dialects.ag_ui_wire import EVENT_TYPES

__all__ = ["may_ask", "visible_type"]

_HEAD: Final = 4096
_TYPE: Final = re.compile(rb'"type"\s*:\s*"([A-Z_]+)"')
_NAME: Final = re.compile(rb'"name"\s*:\s*"[^"]*"')
_ON_INTERRUPT: Final = ON_INTERRUPT.encode()


def visible_type(data: bytes) -> str | None:
    """The type that the bytes of an event show; ``None`` if they show none, so that it may be no event at all."""
    for match in _TYPE.finditer(data[:_HEAD]):
        if (name := match[1].decode()) in EVENT_TYPES:
            return name
    return None


def may_ask(data: bytes) -> bool:
    """True if an event may be a question to the application: a custom event with the name of one, or with no name."""
    if visible_type(data) != "CUSTOM":
        return False
    return _ON_INTERRUPT in data or _NAME.search(data) is None
