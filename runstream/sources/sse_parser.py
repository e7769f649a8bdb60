"""The parser of event streams: bytes in any chunks in, raw events out; without I/O, after WHATWG HTML 9.2.

Input that can be no event comes out as a value too: `Oversized` and, in lenient mode, `Malformed`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from runstream.model.raw import Malformed, Oversized, RawEvent
from runstream.model.raw_events import SEPARATOR, RawEvents, RawItems
from runstream.model.validation import check_counts
from runstream.sources.stray_text import StrayText

__all__ = ["MAX_EVENT_BYTES", "ParsedItem", "SSEParser"]

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024

_DATA: Final = b"data: "
_REPEATS: Final = 2  # blocks of one form, one after the other, after which more of them are expected
_MIN_BLOCKS: Final = 8  # the number of such blocks that are worth reading together
_WINDOW: Final = 65_536  # bytes that are read together; a socket gives no more at once
_BOM: Final = b"\xef\xbb\xbf"
_FIELDS: Final = frozenset({b"data", b"event", b"id", b"retry"})
_FIELD_NAME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9_-]*")
_MAX_NAMES: Final = 128  # number of cached `event:` lines, and the length of the longest one in bytes
_MAX_RETRY_DIGITS: Final = 18

_Form: TypeAlias = tuple[str | None, bytes, int]
"""The name of the events of a block, its bytes before the data, and the number of its lines, the blank one included."""

_UNNAMED: Final[_Form] = (None, _DATA, 2)
# The form of a block by its line `event: X`, as learned from the streams of this process: a short stream repeats few of
# its names.
_FORMS: Final[dict[bytes, _Form]] = {}

ParsedItem: TypeAlias = RawEvent | Oversized | Malformed


class SSEParser:
    """Parses one event stream (``text/event-stream``), one parser for each connection; no bytes make it raise.

    Strict mode is WHATWG HTML 9.2.6, "Interpreting an event stream". Data stay bytes; names and ids are
    decoded as UTF-8, with U+FFFD for invalid bytes. An empty event name or id counts as none on the `RawEvent`.
    A ``retry`` of more than 18 digits is ignored. Unknown fields are ignored, as it defines, with two exceptions, which
    are `Malformed` (:mod:`runstream.sources.stray_text`): between two blocks, a line that begins with a bracket is JSON
    without its ``data:``, with the lines behind it up to the next one that is blank or a field; and a whole stream
    without any field or comment is no event stream. At most 16 KiB of each are kept.

    Lenient mode is for recordings that were saved and edited by hand:

    - an ``event:`` line starts a new event if its block has a name, or has data and more data follow;
    - an ``id:`` line starts a new event if its block has an id and data;
    - the last block needs no blank line, and a line of nothing but white space counts as blank;
    - a name without data is an event with empty data, which the dialect accepts or rejects;
    - ``...`` is skipped; a line that is neither comment nor ``field: value`` is `Malformed`, and so is a
      known field in the wrong case. JSON without its ``data:`` is thus reported, never interpreted as data.

    Args:
        lenient: Lenient instead of strict.
        max_event_bytes: Largest block in bytes, line ends and comments not counted. A larger block becomes
            `Oversized` when it ends; its id and retry still count, so that a resumed stream gets past it.
        on_comment: Called with the line number and the bytes of each comment line, its colon included; of a
            comment over the limit only the colon.

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
        Assign it before the first `feed` to continue after a reconnect."""
        self.retry: int | None = None
        """Reconnection time in milliseconds, the last one that the server sent."""
        self.at: float | None = None
        """Time of arrival (Unix seconds) of the events of the next `feed`."""
        self.discarded = 0
        """Bytes of an unfinished last block that a strict `close` discarded."""
        self._lenient = lenient
        self._limit = max_event_bytes
        self._on_comment = on_comment
        self._forms = _FORMS
        self._form = _UNNAMED
        self._repeats = 0  # blocks of this form, one after the other
        self._needed = _REPEATS  # the number of those after which a search for more begins
        self._head: bytes | None = b""  # the first bytes, while they may still become a byte order mark
        self._after_cr = False
        self._partial = bytearray()  # the line that has not ended yet
        self._skipped_size = 0  # length of that line once it is too long to be buffered
        self._lineno = 0
        self._stray = StrayText()
        self._reset()

    def _reset(self) -> None:
        self._start = 0  # line of the block's first field; 0 between blocks
        self._size = 0
        self._name: str | None = None
        self._id: str | None = None
        self._data: list[bytes] = []
        self._late_name = 0  # line of an `event:` field that follows data
        self._has_stray = False

    def feed(self, chunk: bytes) -> Sequence[ParsedItem]:
        """Parse the next bytes and return the items that they complete, in order. Time is linear in the bytes.

        The sequence is a list, or `RawItems`, which is like a list: many events of one name in a row are in one piece.
        """
        if self._head is not None:
            chunk = self._head + chunk
            if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
                self._head = chunk
                return []
            self._head = None
            chunk = chunk.removeprefix(_BOM)
        if not chunk:
            return []
        # All three line ends mean the same, so CR and CRLF become LF here, for all code below.
        # A CR ends its line at once; the LF that may follow in the next chunk is dropped.
        ends_with_cr = chunk.endswith(b"\r")
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        self._after_cr = ends_with_cr
        if b"\r" in chunk:
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

        out: list[Any] = []
        position = 0
        while self._start or self._partial or self._stray:  # finish the block that an earlier chunk began
            end = chunk.find(b"\n", position)
            if end < 0:
                self._buffer(chunk[position:])
                return out
            self._complete_line(chunk[position:end], out)
            position = end + 1
        has_pieces = self._feed_blocks(chunk[position:] if position else chunk, out)
        return RawItems(out) if has_pieces else out

    def close(self) -> list[ParsedItem]:
        """End the stream, and return the items that its end completes.

        Strict: an unfinished last block is discarded and counted in `discarded`. Lenient: it is completed.
        Over the limit, it is returned as `Oversized` in both modes.
        """
        out: list[ParsedItem] = []
        if self._head:
            self._buffer(self._head)
        self._head = None
        if self._lenient:
            if self._partial:
                self._complete_line(b"", out)
            self._dispatch(out)
            return out
        rest = b"" if self._partial.startswith(b":") else bytes(self._partial)
        may_be_stray = rest and not (self._start or self._skipped_size or _BOM.startswith(rest))
        if may_be_stray and self._stray.is_stray(rest, _FIELDS):
            self._report(self._stray.add(rest, self._lineno + 1), out)
        elif rest:
            self._count_field(self._skipped_size or len(rest), self._lineno + 1)
        self._partial.clear()
        self._skipped_size = 0
        self._report(self._stray.take(at_end=True), out)
        self.discarded += self._size
        if self._size > self._limit:
            self._dispatch(out)
        self._reset()
        return out

    def _feed_blocks(self, chunk: bytes, out: list[Any]) -> bool:
        """Parse bytes that start between two blocks.

        Two forms of a block, by far the most common ones, take a fast path: ``event: X`` and one ``data: Y``, and one
        ``data: Y`` alone. Many of one form in a row become `RawEvents`.

        Returns:
            True if there are such.
        """
        forms, at, lineno, limit = self._forms, self.at, self._lineno, self._limit
        last_id = self.last_id or None
        size = len(chunk)
        is_small = size <= limit  # then no block in it is too large
        name, head, step = self._form  # of the block before: most blocks repeat it
        repeats, needed = self._repeats, self._needed
        position = 0
        has_pieces = False
        while position < size:
            if not (step and chunk.startswith(head, position)):
                name, head, step = forms.get(chunk[position : chunk.find(b"\n", position)], _UNNAMED)
                repeats = 0
                if not chunk.startswith(head, position):
                    step = 0  # another form
            if step:
                start = position + len(head)
                end = chunk.find(b"\n", start)
                if end > start and chunk.startswith(b"\n", end + 1) and (is_small or end - position <= limit):
                    out.append(RawEvent(name, chunk[start:end], None, last_id, at, lineno + 1))
                    lineno += step
                    position = end + 2
                    repeats += 1
                    while repeats >= needed and is_small and size - position > _MIN_BLOCKS * (end - start):
                        found, position = _read_together(chunk, position, head)
                        if not found:
                            repeats, needed = 0, 2 * needed  # few follow: the next search begins after twice as many
                            break
                        has_pieces, needed = True, _REPEATS
                        out.append(RawEvents(name, found, last_id, at, lineno + 1, step))
                        lineno += step * len(found)
                    continue
            self._lineno = lineno
            end = chunk.find(b"\n\n", position)
            lines = chunk[position : end + 1 if end >= 0 else None].split(b"\n")
            rest = lines.pop()
            for line in lines:
                self._process_line(line, out)
            if end < 0:
                if rest:
                    self._buffer(rest)
                lineno = self._lineno
                break
            self._process_line(b"", out)
            lineno, last_id = self._lineno, self.last_id or None
            position = end + 2
        self._lineno, self._form = lineno, (name, head, step)
        self._repeats, self._needed = repeats, needed
        if not self._stray.has_fields and any(type(item) is not Malformed for item in out):
            self._stray.has_fields = True
        return has_pieces

    def _buffer(self, piece: bytes) -> None:
        """Buffer the beginning of a line, or only its first byte and its length once it is over the limit."""
        if self._skipped_size:
            self._skipped_size += len(piece)
            return
        self._partial += piece
        if len(self._partial) > self._limit:
            self._skipped_size = len(self._partial)
            self._partial = self._partial[:1]

    def _complete_line(self, piece: bytes, out: list[ParsedItem]) -> None:
        """Complete the buffered line with its last piece and process it."""
        if not self._partial:
            self._process_line(piece, out)
            return
        self._buffer(piece)
        line, skipped = bytes(self._partial), self._skipped_size
        self._partial.clear()
        self._skipped_size = 0
        self._process_line(line, out, skipped or len(line))

    def _process_line(self, line: bytes, out: list[ParsedItem], length: int | None = None) -> None:
        """Process one line.

        Args:
            line: The line; of a line over the limit maybe only its first byte.
            out: Receives the items that it completes.
            length: The length of the whole line in bytes, by default that of ``line``.
        """
        self._lineno += 1
        if not line:
            if self._stray:
                self._report(self._stray.take(), out)
            self._dispatch(out)
            return
        if line.startswith(b":"):
            self._stray.has_fields = True
            if self._on_comment is not None:
                self._on_comment(self._lineno, line)
            return
        length = length or len(line)
        if length > self._limit:
            self._count_field(length, self._lineno)
            return
        field, colon, value = line.partition(b":")
        if field in _FIELDS:
            self._stray.has_fields = True
            if self._stray:
                self._report(self._stray.take(), out)
        if value.startswith(b" "):
            value = value[1:]
        if field == b"data":
            if self._late_name:
                self._split_late_name(out)
            self._count_field(length, self._lineno)
            if self._size <= self._limit:
                self._data.append(value)
        elif field == b"event":
            if self._lenient:
                if self._name is not None:
                    self._dispatch(out)
                elif self._data:
                    self._late_name = self._lineno
            self._count_field(length, self._lineno)
            self._name = self._decode_name(line, value)
        elif field == b"id":
            if b"\0" not in value:
                if self._lenient and self._id is not None and self._data:
                    self._dispatch(out)
                self._count_field(length, self._lineno)
                self._id = value.decode("utf-8", "replace")
        elif field == b"retry":
            if value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
                self.retry = int(value)
        elif self._lenient:
            self._process_stray(line, field, colon, out)
        elif not self._start:
            self._report(self._stray.add(line, self._lineno), out)

    @staticmethod
    def _report(item: Malformed | None, out: list[ParsedItem]) -> None:
        if item is not None:
            out.append(item)

    def _process_stray(self, line: bytes, field: bytes, colon: bytes, out: list[ParsedItem]) -> None:
        text = line.strip()
        if not text:
            self._dispatch(out)
            return
        if text == b"..." or (colon and _FIELD_NAME.fullmatch(field) and field.lower() not in _FIELDS):
            return
        reason = "JSON without 'data:'" if text.startswith((b"{", b"[")) else "not a field of an event stream"
        out.append(Malformed(line=self._lineno, reason=reason, data=line, event=self._name or None))
        # A name above this line is reported with it, and therefore makes no event with empty data.
        self._has_stray = bool(self._start)

    def _decode_name(self, line: bytes, value: bytes) -> str:
        form = self._forms.get(line)
        if form is not None:
            return form[0] or ""
        name = value.decode("utf-8", "replace")
        if name and len(line) <= _MAX_NAMES:
            if len(self._forms) >= _MAX_NAMES:
                self._forms.clear()
            self._forms[line] = (name, line + b"\n" + _DATA, 3)
        return name

    def _count_field(self, length: int, line: int) -> None:
        """Add a field's size to the block, and open the block if none is open; over the limit its data are dropped."""
        self._start = self._start or line
        self._size += length
        if self._size > self._limit:
            self._data = [b""]  # not empty, because the lenient rules depend on it

    def _split_late_name(self, out: list[ParsedItem]) -> None:
        """End the nameless block before the `event:` line, which turned out to start another block."""
        name, start = self._name, self._late_name
        self._name = None
        self._dispatch(out)
        self._name, self._start = name, start

    def _dispatch(self, out: list[ParsedItem]) -> None:
        """End the block: "dispatch the event" of WHATWG."""
        if not self._start:
            return
        if self._id is not None:
            self.last_id = self._id
        name = self._name or None
        if self._size > self._limit:
            self._stray.has_fields = True
            out.append(Oversized(line=self._start, size=self._size, limit=self._limit, event=name))
        elif self._data or (self._lenient and name and not self._has_stray):
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            out.append(RawEvent(name, data, self._id or None, self.last_id or None, self.at, self._start))
        self._reset()


def _read_together(chunk: bytes, position: int, head: bytes) -> tuple[list[bytes], int]:
    """The data of the blocks from a position on that begin with the same bytes and have one line of data.

    Args:
        chunk: Whole lines, whose ends are LF.
        position: Where a block starts.
        head: The first bytes of each block.

    Returns:
        The data of each, and the position behind them; none if they are few.
    """
    if not chunk.startswith(head, position):
        return [], position
    start = position + len(head)
    between = b"\n\n" + head
    found = chunk[start : start + _WINDOW].split(between)
    joined = SEPARATOR.join(found)  # it has no LF up to the end of the last line of data
    end = joined.find(b"\n")
    if end >= 0:
        if end < len(joined) - len(found[-1]):
            del found[joined.count(SEPARATOR, 0, end) + 1 :]
        last, _, rest = found[-1].partition(b"\n")
        if rest.startswith(b"\n"):
            found[-1] = last
        else:
            found.pop()  # it has more lines, or is not whole
    else:
        found.pop()
    if len(found) < _MIN_BLOCKS:
        return [], position
    return found, start + sum(map(len, found)) + (len(found) - 1) * len(between) + 2
