"""Packs: the messages between ingests and workers. Items of sources enter, bytes leave; and the inverse.

A pack has sections, one a source, and a section has entries. Items of a source are numbered from 1; an entry stands for
one item, or for several consecutive fragments of one text.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from runstream.cluster.event_codec import write_event
from runstream.core.sighting import Sighting
from runstream.errors import ClusterError
from runstream.model.events import Event, Reject, TextAppend
from runstream.model.frozen import unfreeze
from runstream.model.raw import RawEvent

__all__ = [
    "CONNECTION",
    "END",
    "EVENTS",
    "FAILURE",
    "FRAGMENTS",
    "REQUEST",
    "Pack",
    "Section",
    "SectionWriter",
    "divide_sections",
    "read_pack",
    "write_pack",
]

VERSION: Final = 1

# The kinds of entries; the numbers are the wire form.
FRAGMENTS: Final = 0
"""``[0, object id, target, index, run id, name, texts, times, ids or null]``"""
EVENTS: Final = 1
"""``[1, time, flags, events]``: the events of one raw item."""
CONNECTION: Final = 2
"""``[2, time, connected, attempt, reason, server message, number of the connection]``"""
REQUEST: Final = 3
"""``[3, time, run that the request continues]``"""
FAILURE: Final = 4
"""``[4, time, reason, attempt, server message]``"""
END: Final = 5
"""``[5, time, reason, attempts, server message]``"""

DUPLICATE: Final = 1
CONFLICT: Final = 2
FETCHED: Final = 4
"""The flags of :data:`EVENTS`: the raw item repeats a known id; its id is known with other content; it was fetched."""

FLAGS: Final = {Sighting.NEW: 0, Sighting.DUPLICATE: DUPLICATE, Sighting.CONFLICT: CONFLICT}

_FRAGMENT_SIZE: Final = 24  # bytes of a fragment beside its text, roughly
_ENTRY_SIZE: Final = 96


class Section(Struct, array_like=True, frozen=True):
    """The items of one source in a pack.

    Attributes:
        scope: The scope of the source.
        source: Its name.
        first: The number of the first item.
        cursor: The last event id behind the last item; ``None`` for none.
        continues: The run that the source continues, as the application said.
        snapshots: True if the source sends nothing but whole objects.
        dialect: The name of its dialect; "" if it has none.
        entries: The entries.
    """

    scope: str
    source: str
    first: int
    cursor: str | None
    continues: str | None
    snapshots: bool
    dialect: str
    entries: list[Any]

    @property
    def count(self) -> int:
        """The number of its items."""
        return sum([len(entry[6]) if entry[0] == FRAGMENTS else 1 for entry in self.entries])


class Pack(Struct, array_like=True, frozen=True):
    """The items of several sources, in one message."""

    version: int
    sections: list[Section]


class _Version(Struct, array_like=True):
    version: int


_encode: Final = msgspec.msgpack.Encoder(enc_hook=unfreeze).encode
_decode: Final = msgspec.msgpack.Decoder(Pack).decode
_decode_version: Final = msgspec.msgpack.Decoder(_Version).decode


def write_pack(sections: list[Section]) -> bytes:
    """Sections as bytes."""
    return _encode(Pack(VERSION, sections))


def read_pack(data: bytes) -> Pack:
    """The sections of :func:`write_pack`.

    Raises:
        ClusterError: A newer release wrote the pack, or the bytes are none.
    """
    try:
        version = _decode_version(data).version
        if version > VERSION:
            raise ClusterError(
                f"a pack of version {version} was written by a newer release of runstream (this one reads up to "
                f"{VERSION}): update the workers before the ingests"
            )
        return _decode(data)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise ClusterError(f"a message of the stream of packs is no pack ({type(error).__name__})") from None


class SectionWriter:
    """Collects the items of one source for the next pack.

    Attributes:
        entries: The entries so far.
        count: The number of items in them.
        size: Their size (bytes, roughly).
    """

    __slots__ = ("_group", "_ids", "_last", "_texts", "_times", "count", "entries", "size")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Begin again."""
        self.entries: list[Any] = []
        self.count = 0
        self.size = 0
        self._last: TextAppend | None = None
        self._group: list[Any] = []
        self._texts: list[str] = []
        self._times: list[float] = []
        self._ids: list[str | int] | None = None

    def add_fragment(self, event: TextAppend, at: float) -> None:
        """Add a fragment that is no duplicate: the hot path."""
        last, id = self._last, event.id
        if (
            last is not None
            and last.object_id == event.object_id
            and last.index == event.index
            and last.target == event.target
            and last.run_id == event.run_id
            and last.name == event.name
            and (id is None) is (self._ids is None)
        ):
            self._texts.append(event.text)
            self._times.append(at)
            if id is not None:
                self._ids.append(id)  # type: ignore[union-attr]
            self.count += 1
            self.size += _FRAGMENT_SIZE + len(event.text)
            return
        self._last = event
        self._texts, self._times, self._ids = [event.text], [at], None if id is None else [id]
        head = [FRAGMENTS, event.object_id, event.target, event.index, event.run_id, event.name]
        self._append([*head, self._texts, self._times, self._ids], _ENTRY_SIZE + len(event.text))

    def add_events(self, events: Iterable[Event | Reject], at: float, flags: int, *, by_payload: bool) -> None:
        """Add the events of one raw item.

        Args:
            events: The events.
            at: The time of its arrival (Unix seconds).
            flags: See :data:`EVENTS`.
            by_payload: See :func:`~runstream.cluster.event_codec.write_event`.
        """
        written = [write_event(event, by_payload=by_payload) for event in events]
        self._last = None
        self._append([EVENTS, at, flags, written], sum([_size_of(each) for each in written]))

    def add(self, kind: int, *values: Any) -> None:
        """Add an entry of another kind."""
        self._last = None
        self._append([kind, *values], _ENTRY_SIZE)

    def _append(self, entry: list[Any], size: int) -> None:
        self.entries.append(entry)
        self.count += 1
        self.size += size


def _size_of(written: list[Any]) -> int:
    """The size of a written event (bytes, roughly)."""
    size = _ENTRY_SIZE
    for value in written:
        kind = type(value)
        if kind is bytes or kind is str:
            size += len(value)
        elif kind is list and value and type(value[0]) is bytes:
            size += len(value[0])  # an origin
        elif value is not None and kind not in (bool, int, float, list):
            size += len(_encode(value))  # a document
    return size


def divide_sections(sections: list[Section], size: int, limit: int) -> list[bytes]:
    """Packs of sections in order, each within a size: halved until it fits. A section is divided between items.

    Args:
        sections: The sections.
        size: The size of a pack (bytes), at most but for one large item.
        limit: The size that the broker accepts: a larger item becomes a reject.
    """
    data = write_pack(sections)
    if len(data) <= size:
        return [data]
    if len(sections) > 1:
        middle = len(sections) // 2
        return divide_sections(sections[:middle], size, limit) + divide_sections(sections[middle:], size, limit)
    halves = _halve(sections[0])
    if halves is not None:
        return [each for half in halves for each in divide_sections([half], size, limit)]
    if len(data) <= limit:
        return [data]
    (entry,) = sections[0].entries
    at = entry[1] if entry[0] == EVENTS else entry[7][0]
    reason = f"Its event has {len(data)} bytes, more than the broker accepts (max_payload of the server)"
    reject = write_event(Reject(RawEvent(), reason, object_ids=None), by_payload=False)
    return [write_pack([structs.replace(sections[0], entries=[[EVENTS, at, 0, [reject]]])])]


def _halve(section: Section) -> tuple[Section, Section] | None:
    """A section as two; ``None`` if it has one item."""
    entries = section.entries
    if len(entries) > 1:
        middle = len(entries) // 2
        head = structs.replace(section, entries=entries[:middle])
        return head, structs.replace(section, first=section.first + head.count, entries=entries[middle:])
    (entry,) = entries
    if entry[0] != FRAGMENTS or len(entry[6]) < 2:
        return None
    middle = len(entry[6]) // 2
    halves = [
        [*entry[:6], *[None if each is None else each[part] for each in entry[6:]]]
        for part in (slice(middle), slice(middle, None))
    ]
    return (
        structs.replace(section, entries=[halves[0]]),
        structs.replace(section, first=section.first + middle, entries=[halves[1]]),
    )
