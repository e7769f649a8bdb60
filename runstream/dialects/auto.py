"""The dialect that finds the dialect of its source: the first raw event that one of them recognises decides.

Until then items are kept in order, and the decoder that is found decodes them first. Input that no dialect recognises
becomes rejects that name the dialects.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from runstream.dialects.base import BaseDialect, Dialect
from runstream.dialects.redaction_rules import RedactionRules
from runstream.model.events import ErrorEvent, Event, Reject
from runstream.model.jsontext import MAX_NESTING, STREAM_TEXT, is_stream_text, nesting_depth
from runstream.model.raw import Answer, Malformed, Oversized, RawEvent, RawItem

__all__ = ["AutoDialect", "Choice", "KeptItem"]

_MAX_EVENTS: Final = 64
_MAX_BYTES: Final = 256 * 1000
_MEMORY: Final = "auto"
_DONE: Final = (b"[DONE]", b'"[DONE]"')

_decode_memory: Final = msgspec.msgpack.Decoder(tuple[str, str, bytes]).decode


class KeptItem(NamedTuple):
    """An item that was received before the dialect was known.

    Attributes:
        item: The item.
        connection: The number of the connection in which it was received.
        at: Its time of arrival (Unix seconds), for an item that has none.
    """

    item: RawItem
    connection: int
    at: float | None


class Choice(NamedTuple):
    """The dialects among which one is found.

    Attributes:
        find: Returns the name of the dialect that recognises a raw event; ``None`` if none does.
        make: Makes the decoder of a dialect by its name, with the memory of an earlier one.
        names: Returns the names of all dialects.
        read_error: Reads an error that servers of any protocol send, with no name of an event; ``None`` for another
            raw event.
    """

    find: Callable[[RawEvent], str | None]
    make: Callable[[str, bytes | None], Dialect]
    names: Callable[[], tuple[str, ...]]
    read_error: Callable[[RawEvent], ErrorEvent | None]


class AutoDialect(BaseDialect):
    """Finds the dialect of its source, and decodes with it.

    At most 64 events, and 256 kB of them, are kept until one is recognised; more become rejects, and the search goes
    on. Requests, heads of responses and changes of the connection are kept apart from these bounds, the latest 64. An
    error without the name of an event decides nothing: it is decoded at once, and the search goes on.

    Args:
        choice: The dialects.
        memory: The :meth:`dump` of an earlier decoder of this source: the dialect is then known.
        max_message_bytes: Larger messages become rejects (bytes).
        max_nesting: More deeply nested messages become rejects (levels).

    Attributes:
        name: The name of the dialect; ``None`` until it is found.
        dialect: Its decoder; ``None`` until then.
    """

    def __init__(
        self,
        choice: Choice,
        memory: bytes | None = None,
        *,
        max_message_bytes: int = 16 * 2**20,
        max_nesting: int = MAX_NESTING,
    ) -> None:
        self.name: str | None = None
        self.dialect: Dialect | None = None
        self._choice = choice
        self._max_bytes = max_message_bytes
        self._max_nesting = max_nesting
        self._connection = 0
        self._kept: list[KeptItem] = []
        self._events = 0  # kept ones
        self._bytes = 0  # of these
        self._has_error = False  # True once a server has sent an error in place of a stream
        self._dump: tuple[bytes, bytes] | None = None  # the memory of the decoder, and with the name
        if (found := _load(memory)) is not None and found[0] in choice.names():
            self._take(*found)

    # the search

    def keep(self, item: RawItem, at: float | None = None) -> Sequence[ErrorEvent | Reject]:
        """Keep an item; if a dialect recognises it, :attr:`dialect` is set, and :meth:`kept` has all items.

        Args:
            item: The item.
            at: Its time of arrival (Unix seconds), for an item that has none.

        Returns:
            The error that the item is; the rejects of items for which there is no more room.
        """
        if isinstance(item, Malformed | Oversized):
            return [BaseDialect.decode(self, item)]  # type: ignore[list-item] # it is one
        rejects: list[Reject] = []
        raw = _raw_event(item)
        if raw is not None and (reason := self._check(raw.data)) is not None:
            return [Reject(raw, reason, object_ids=None)]
        size = len(raw.data) if raw is not None else 0
        if (name := self._choice.find(raw) if raw is not None else None) is not None:
            self._take(name, None)
        elif raw is not None:
            if (error := self._choice.read_error(raw)) is not None:
                self._has_error = True
                return [error]
            if self._has_error and raw.data in _DONE:
                return []  # it ends the answer that is an error
            if self._events == _MAX_EVENTS or self._bytes + size > _MAX_BYTES:
                rejects = self._reject_events()
            if size > _MAX_BYTES:
                return [*rejects, self._reject(raw)]
            self._events += 1
            self._bytes += size
        elif len(self._kept) - self._events >= _MAX_EVENTS:
            del self._kept[next(at for at, each in enumerate(self._kept) if _raw_event(each.item) is None)]
        self._kept.append(KeptItem(item, self._connection, at))
        return rejects

    def kept(self) -> list[KeptItem]:
        """Remove and return the kept items, in order."""
        kept, self._kept = self._kept, []
        self._events = self._bytes = 0
        return kept

    def _take(self, name: str, memory: bytes | None) -> None:
        self.name = name
        dialect = self.dialect = self._choice.make(name, memory)
        dialect.connection = self._connection
        self.decode = dialect.decode  # type: ignore[method-assign] # each further event costs nothing here

    def _reject_events(self) -> list[Reject]:
        """Remove the kept events, and return their rejects."""
        kept = self.kept()
        self._kept = [each for each in kept if _raw_event(each.item) is None]
        return [self._reject(raw) for each in kept if (raw := _raw_event(each.item)) is not None]

    def _check(self, data: bytes) -> str | None:
        """The reason why no dialect reads a message; ``None`` if one may."""
        if len(data) > self._max_bytes:
            return f"Message of {len(data)} bytes; at most {self._max_bytes} are read (max_message_bytes)"
        if nesting_depth(data, self._max_nesting) > self._max_nesting:
            return f"Nested more than {self._max_nesting} levels deep (max_nesting)"
        return None

    def _reject(self, raw: RawEvent) -> Reject:
        if is_stream_text(raw.data):
            return Reject(raw, STREAM_TEXT, object_ids=None)
        names = ", ".join(map(repr, self._choice.names()))
        return Reject(raw, f"No dialect recognises it ({names}); `dialect` names the one of a source", object_ids=None)

    # the dialect

    def decode(self, item: RawItem) -> Event | Reject | Sequence[Event | Reject]:
        """Decode one item; the kept ones first, once the dialect is found. Never raises on input."""
        rejects = self.keep(item)
        if (dialect := self.dialect) is None:
            return rejects[0] if len(rejects) == 1 else rejects
        found: list[Event | Reject] = list(rejects)
        for kept in self.kept():
            dialect.connection = kept.connection
            decoded: Any = dialect.decode(kept.item)
            found += decoded if isinstance(decoded, list | tuple) else (decoded,)
        return found

    @property
    def connection(self) -> int:
        """The number of the source's connection."""
        return self._connection

    @connection.setter
    def connection(self, value: int) -> None:
        self._connection = value
        if self.dialect is not None:
            self.dialect.connection = value

    @property
    def expects_idle(self) -> bool:
        """What the decoder says."""
        return getattr(self.dialect, "expects_idle", False)

    @property
    def violations(self) -> Mapping[str, int]:
        """The counts of the decoder."""
        return {} if self.dialect is None else getattr(self.dialect, "violations", {})

    @property
    def redaction(self) -> RedactionRules:  # type: ignore[override] # those of the decoder
        """The rules of the decoder; those of no dialect until there is one."""
        return BaseDialect.redaction if self.dialect is None else self.dialect.redaction

    def end(self, clean: bool) -> Sequence[Any]:
        """The last events of the decoder; the rejects of the kept events if no dialect was found."""
        return self._reject_events() if self.dialect is None else self.dialect.end(clean)

    def forget(self, run_id: str) -> None:
        """Note that a run was evicted."""
        if self.dialect is not None:
            self.dialect.forget(run_id)

    def note_gap(self, run_id: str | None, event: Event | None) -> None:
        """Note that events of a run may be lost, if the decoder needs to know it."""
        if (note := getattr(self.dialect, "note_gap", None)) is not None:
            note(run_id, event)

    def cursor(self, run_id: str | None = None) -> str | None:
        """The place of the decoder."""
        if self.dialect is None:
            return None
        return self.dialect.cursor() if run_id is None else self.dialect.cursor(run_id)

    def dump(self) -> bytes | None:
        """The name of the dialect and the memory of its decoder; ``None`` if that has none: the next event decides."""
        memory = self.dialect.dump() if self.dialect is not None else None
        if memory is None:
            return None
        if self._dump is None or self._dump[0] is not memory:
            self._dump = memory, msgspec.msgpack.encode((_MEMORY, self.name, memory))
        return self._dump[1]


def _raw_event(item: RawItem) -> RawEvent | None:
    """The raw event in an item that can decide on the dialect."""
    if type(item) is RawEvent:
        return item
    return RawEvent(data=item.data) if isinstance(item, Answer) and item.status < 300 and item.data else None


def _load(memory: bytes | None) -> tuple[str, bytes] | None:
    """The name of a dialect and the memory of its decoder; ``None`` if the memory has another form."""
    try:
        kind, name, inner = _decode_memory(memory or b"")
    except (msgspec.MsgspecError, UnicodeError):
        return None
    return (name, inner) if kind == _MEMORY else None
