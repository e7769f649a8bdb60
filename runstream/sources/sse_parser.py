"""Bytes of an event stream in (any chunking), raw events out: a sans-I/O parser after WHATWG HTML 9.2.

What can't be an event comes out as a value too: `Oversized` and, in lenient mode, `Malformed`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from runstream.dialects.assistants_wire import EVENT_TYPES
from runstream.model.raw import Malformed, Oversized, RawEvent
from runstream.model.validation import check_counts

__all__ = ["MAX_EVENT_BYTES", "ParsedItem", "SSEParser"]

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024

_NO_LINE: Final = b"\n"  # which no line is
_BOM: Final = b"\xef\xbb\xbf"
_FIELDS: Final = frozenset({b"data", b"event", b"id", b"retry"})
_FIELD_NAME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9_-]*")
# The names that are to be expected, at hand from the first block on.
_NAMES: Final = {b"event: " + name.encode(): name for name in EVENT_TYPES}
_MAX_NAMES: Final = 128  # distinct `event:` lines remembered, and the longest one in bytes
_MAX_RETRY_DIGITS: Final = 18


ParsedItem: TypeAlias = RawEvent | Oversized | Malformed


class SSEParser:
    """Parser of one event stream (``text/event-stream``), one for each connection; no bytes make it raise.

    Strict mode is WHATWG HTML 9.2.6, "Interpreting an event stream". Data stay bytes; names and ids are
    decoded as UTF-8 with U+FFFD for what isn't. An empty event name or id counts as none on the `RawEvent`.
    A ``retry`` of more than 18 digits is ignored.

    Lenient mode is for recordings that people saved and edited:

    - an ``event:`` line starts a new event if its block has a name, or has data and more data follow;
    - an ``id:`` line starts a new event if its block has an id and data;
    - the last block needs no blank line, and a line of white space alone is a blank one;
    - a name without data is an event with empty data, for the dialect to judge;
    - ``...`` is skipped; a line that is neither comment nor ``field: value`` is `Malformed`, and so is a
      known field in the wrong case. JSON without its ``data:`` is thus reported, never taken for data.

    Args:
        lenient: Lenient instead of strict.
        max_event_bytes: Largest block in bytes, line ends and comments not counted. One beyond it becomes
            `Oversized` when it ends; its id and retry still count, so that a resumed stream gets past it.
        on_comment: Called with the line number and the bytes of each comment line, its colon included; of one
            over the limit only the colon.

    Raises:
        ValueError: ``max_event_bytes`` is less than 1.
    """

    def __init__(
        self,
        *,
        lenient: bool = False,
        max_event_bytes: int = MAX_EVENT_BYTES,
        on_comment: Callable[[int, bytes], None] | None = None,
    ) -> None:
        check_counts(max_event_bytes=max_event_bytes)
        self.last_id = ""
        """Last event id in force, "" for none: set when a block ends, with data or without; for resuming.
        Assign it before the first `feed` to go on after a reconnect."""
        self.retry: int | None = None
        """Reconnection time in milliseconds, as the server sent it last."""
        self.at: float | None = None
        """Time of arrival (Unix seconds) that the events of the next `feed` get."""
        self.discarded = 0
        """Bytes of an unfinished last block that a strict `close` threw away."""
        self._lenient = lenient
        self._limit = max_event_bytes
        self._on_comment = on_comment
        self._names = _NAMES.copy()  # whole `event: X` line → X
        self._head: bytes | None = b""  # the first bytes, while they may still become a byte order mark
        self._after_cr = False
        self._partial = bytearray()  # the line that has not ended yet
        self._skipped = 0  # length of that line once it is too long to be held
        self._lineno = 0
        self._reset()

    def _reset(self) -> None:
        self._start = 0  # line of the block's first field; 0 between blocks
        self._size = 0
        self._name: str | None = None
        self._id: str | None = None
        self._data: list[bytes] = []
        self._late_name = 0  # line of an `event:` field that came after data
        self._strayed = False

    def feed(self, chunk: bytes) -> list[ParsedItem]:
        """Take the next bytes and return what they completed, in order. Time is linear in the bytes."""
        if self._head is not None:
            chunk = self._head + chunk
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._head = chunk
                return []
            self._head = None
            chunk = chunk.removeprefix(_BOM)
        if not chunk:
            return []
        # All three line ends mean the same, so CR and CRLF become LF here and nothing below knows of them.
        # A CR ends its line at once; the LF that may follow in the next chunk is swallowed.
        ends_with_cr = chunk.endswith(b"\r")
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = ends_with_cr
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

        out: list[ParsedItem] = []
        position = 0
        while self._start or self._partial:  # finish the block that an earlier chunk began
            end = chunk.find(b"\n", position)
            if end < 0:
                self._hold(chunk[position:])
                return out
            self._end_line(chunk[position:end], out)
            position = end + 1
        self._feed_blocks(chunk[position:] if position else chunk, out)
        return out

    def close(self) -> list[ParsedItem]:
        """Say that the stream has ended, and return what its end completes.

        Strict: an unfinished last block is thrown away and counted in `discarded`. Lenient: it is completed.
        Over the limit, it is returned as `Oversized` in both modes.
        """
        out: list[ParsedItem] = []
        if self._head:
            self._hold(self._head)
        self._head = None
        if self._lenient:
            if self._partial:
                self._end_line(b"", out)
            self._dispatch(out)
            return out
        if self._partial and not self._partial.startswith(b":"):
            self._grow(self._skipped or len(self._partial), self._lineno + 1)
        self._partial.clear()
        self._skipped = 0
        self.discarded += self._size
        if self._size > self._limit:
            self._dispatch(out)
        self._reset()
        return out

    def _feed_blocks(self, chunk: bytes, out: list[ParsedItem]) -> None:
        """Take bytes that start between two blocks; the most common form of a block takes the short way."""
        lines = chunk.split(b"\n")
        rest = lines.pop()
        names, at, taken = self._names, self.at, self._lineno
        last_id = self.last_id or None
        small = len(chunk) <= self._limit  # then no block in it is too large
        lines += (_NO_LINE, _NO_LINE)  # what is left over at the end comes out too
        each = iter(lines)
        for first, second, third in zip(each, each, each, strict=False):
            # `event: X`, one `data: Y`, and a blank line.
            name = names.get(first)
            if name is not None and not third:
                data = second.removeprefix(b"data: ")
                if data != second and data and (small or len(first) + len(second) <= self._limit):
                    out.append(RawEvent(name, data, None, last_id, at, taken + 1))
                    taken += 3
                    continue
            self._lineno = taken
            for line in (first, second, third):
                if line is not _NO_LINE:
                    self._take(line, out)
            if third:  # the block may go on
                for line in each:
                    if line is not _NO_LINE:
                        self._take(line, out)
                    if not line:
                        break
            taken, last_id = self._lineno, self.last_id or None
        self._lineno = taken
        if rest:
            self._hold(rest)

    def _hold(self, piece: bytes) -> None:
        """Keep the beginning of a line, or only its first byte and its length once it is over the limit."""
        if self._skipped:
            self._skipped += len(piece)
            return
        self._partial += piece
        if len(self._partial) > self._limit:
            self._skipped = len(self._partial)
            self._partial = self._partial[:1]

    def _end_line(self, piece: bytes, out: list[ParsedItem]) -> None:
        """Complete the held line with its last piece and take it."""
        if not self._partial:
            self._take(piece, out)
            return
        self._hold(piece)
        line, skipped = bytes(self._partial), self._skipped
        self._partial.clear()
        self._skipped = 0
        self._take(line, out, skipped or len(line))

    def _take(self, line: bytes, out: list[ParsedItem], length: int | None = None) -> None:
        """Take one line; of an over-long one only the first byte may be there, hence its length."""
        self._lineno += 1
        if not line:
            self._dispatch(out)
            return
        if line.startswith(b":"):
            if self._on_comment is not None:
                self._on_comment(self._lineno, line)
            return
        length = length or len(line)
        if length > self._limit:
            self._grow(length, self._lineno)
            return
        field, colon, value = line.partition(b":")
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            if self._late_name:
                self._split_late_name(out)
            self._grow(length, self._lineno)
            if self._size <= self._limit:
                self._data.append(value)
        elif field == b"event":
            if self._lenient:
                if self._name is not None:
                    self._dispatch(out)
                elif self._data:
                    self._late_name = self._lineno
            self._grow(length, self._lineno)
            self._name = self._decode_name(line, value)
        elif field == b"id":
            if b"\0" not in value:
                if self._lenient and self._id is not None and self._data:
                    self._dispatch(out)
                self._grow(length, self._lineno)
                self._id = value.decode("utf-8", "replace")
        elif field == b"retry":
            if value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
                self.retry = int(value)
        elif self._lenient:
            self._take_stray(line, field, colon, out)

    def _take_stray(self, line: bytes, field: bytes, colon: bytes, out: list[ParsedItem]) -> None:
        text = line.strip()
        if not text:
            self._dispatch(out)
            return
        if text == b"..." or (colon and _FIELD_NAME.fullmatch(field) and field.lower() not in _FIELDS):
            return
        reason = "JSON without 'data:'" if text.startswith((b"{", b"[")) else "not a field of an event stream"
        out.append(Malformed(line=self._lineno, reason=reason, data=line, event=self._name or None))
        # A name above this line is reported with it, and so makes no event with empty data as well.
        self._strayed = bool(self._start)

    def _decode_name(self, line: bytes, value: bytes) -> str:
        name = self._names.get(line)
        if name is None:
            name = value.decode("utf-8", "replace")
            if name and len(line) <= _MAX_NAMES:
                if len(self._names) >= _MAX_NAMES:
                    self._names.clear()
                self._names[line] = name
        return name

    def _grow(self, length: int, line: int) -> None:
        """Count a field into the block, which it opens if need be; over the limit nothing more is held."""
        self._start = self._start or line
        self._size += length
        if self._size > self._limit:
            self._data = [b""]  # there was data, for the lenient rules

    def _split_late_name(self, out: list[ParsedItem]) -> None:
        """End the nameless block before the `event:` line that turned out to start another one."""
        name, start = self._name, self._late_name
        self._name = None
        self._dispatch(out)
        self._name, self._start = name, start

    def _dispatch(self, out: list[ParsedItem]) -> None:
        """End the block: WHATWG "dispatch the event"."""
        if not self._start:
            return
        if self._id is not None:
            self.last_id = self._id
        name = self._name or None
        if self._size > self._limit:
            out.append(Oversized(line=self._start, size=self._size, limit=self._limit, event=name))
        elif self._data or (self._lenient and name and not self._strayed):
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            out.append(RawEvent(name, data, self._id or None, self.last_id or None, self.at, self._start))
        self._reset()
