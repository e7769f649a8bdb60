"""A recording in (a path, bytes or a binary file; ``.sse`` or ``.jsonl``), its raw events out, one at a time.

It streams: no more is held than one piece of the file and one event.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import chain
from pathlib import PurePath
from typing import BinaryIO, Final, Literal, TypeAlias

import msgspec

from runstream.model.raw import Oversized, RawEvent, RawItem
from runstream.model.validation import require_counts
from runstream.recordings.jsonl import decode_line
from runstream.recordings.sse_format import NOTE_STARTS, decode_note
from runstream.sources.sse_parser import MAX_EVENT_BYTES, SSEParser

__all__ = [
    "MAX_ENTRY_BYTES",
    "RecordingFormat",
    "RecordingInput",
    "UnknownRecordingFormat",
    "format_of",
    "read_recording",
]

RecordingFormat: TypeAlias = Literal["sse", "jsonl"]
RecordingInput: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO

# A little more than live sources let pass: what they gave stands here with its name, its time and its id around it.
MAX_ENTRY_BYTES: Final = MAX_EVENT_BYTES + 64 * 1024
_PIECE_BYTES: Final = 256 * 1024
_MAX_BLANK_BYTES: Final = 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_SUFFIXES: Final[dict[str, RecordingFormat]] = {".sse": "sse", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_SSE_START: Final = re.compile(rb"(?:event|data|id|retry)?:|\.\.\.")
_SSE_START_BYTES: Final = len(b"retry:")
_ADVICE: Final = 'save it as an event stream (.sse) or with one {"event": ..., "data": ...} a line (.jsonl)'


class UnknownRecordingFormat(ValueError):
    """The input is no recording that can be read; the message names it and says what to do.

    Args:
        name: Name of the input.
        problem: What was found instead.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}; {_ADVICE}")
        self.name = name
        self.problem = problem


def format_of(name: str) -> RecordingFormat | None:
    """The format that the suffix of a file's name says, ``None`` where it says none."""
    return _SUFFIXES.get(PurePath(name).suffix.lower())


def read_recording(
    source: RecordingInput,
    *,
    format: RecordingFormat | None = None,
    name: str | None = None,
    max_event_bytes: int = MAX_ENTRY_BYTES,
) -> Iterator[RawItem]:
    """Read one recording, lazily, in file order.

    What `RecordingWriter` wrote comes out as it went in; docs/recordings.md has the format. Of files of other origin,
    an event stream is read leniently (see `SSEParser`), and a JSON line becomes one `RawEvent` without a name, with
    the line as its data: the dialect decodes the envelope. Only its ``at`` (arrival, Unix seconds) is read here,
    where it is a number. A byte order mark, CRLF and blank lines do no harm in either format.

    Args:
        source: A path, ``"-"`` for standard input, the bytes themselves, or a file open in binary mode.
            A path is opened at the first item and closed after the last; a file is left open.
        format: The format. If not given, the suffix of the name or the path tells (``.sse``, ``.jsonl``,
            ``.ndjson``), and where it doesn't, the first line that is not blank.
        name: Name of the input in messages; by default the path, or the file's own name.
        max_event_bytes: Largest line of JSON or block in bytes; one beyond it is an `Oversized`. By default a
            little more than the 16 MiB that live sources let pass.

    Yields:
        `RawEvent` with the line number it starts at, `Oversized`, `Malformed`, or `ConnectionEvent` where the
        recording says that a connection was made or lost.

    Raises:
        UnknownRecordingFormat: At the first item, if the format is neither given nor recognised, or if a JSON
            document spans several lines.
        ValueError: If ``max_event_bytes`` is less than 1.
        TypeError: If the file is open in text mode.
        OSError: If it can't be opened or read.
    """
    if isinstance(source, io.TextIOBase):
        raise TypeError("a recording is read as bytes: open the file in binary mode")
    require_counts(max_event_bytes=max_event_bytes)
    own = _name_of(source)
    return _read(source, format or format_of(name or own) or format_of(own), name or own, max_event_bytes)


def _read(source: RecordingInput, known: RecordingFormat | None, name: str, limit: int) -> Iterator[RawItem]:
    found: RecordingFormat | None = known
    with _open(source) as file:
        pieces = _pieces(file)
        if known is None:
            head, found = _recognise(pieces, name)
            pieces = chain((head,), pieces)
        if found == "sse":
            yield from _read_sse(pieces, limit)
        else:
            yield from _read_jsonl(pieces, limit, None if known else name)


def _name_of(source: RecordingInput) -> str:
    if isinstance(source, bytes):
        return "<bytes>"
    if isinstance(source, str | os.PathLike):
        return "<stdin>" if source == "-" else os.fspath(source)
    name = getattr(source, "name", None)
    return name if isinstance(name, str) else "<file>"


def _open(source: RecordingInput) -> io.BufferedReader | nullcontext[BinaryIO]:
    if source == "-":
        return nullcontext(sys.stdin.buffer)
    if isinstance(source, bytes):
        return nullcontext(io.BytesIO(source))
    if isinstance(source, str | os.PathLike):
        return open(source, "rb")
    return nullcontext(source)


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    # read1 gives what a pipe holds already, where read would wait for a full piece.
    read = getattr(file, "read1", file.read)
    while piece := read(_PIECE_BYTES):
        yield piece


def _recognise(pieces: Iterator[bytes], name: str) -> tuple[bytes, RecordingFormat]:
    """Return the pieces read so far, and the format that the first characters of the first line show."""
    head = b""
    start = b""
    for piece in pieces:
        head += piece
        start = head.removeprefix(_BOM).lstrip()
        if len(start) >= _SSE_START_BYTES or b"\n" in start:
            break
        if not start and len(head) > _MAX_BLANK_BYTES:
            raise UnknownRecordingFormat(name, "nothing but blank lines at its start")
    if start.startswith(b"["):
        raise UnknownRecordingFormat(name, "starts with a JSON array, not with events")
    if start.startswith(b"{"):
        return head, "jsonl"
    if not start or _SSE_START.match(start):
        return head, "sse"
    raise UnknownRecordingFormat(name, "not recognised by its first line")


def _read_sse(pieces: Iterator[bytes], limit: int) -> Iterator[RawItem]:
    notes: deque[tuple[int, bytes]] = deque()  # comments that a recorder wrote: line number, text

    def note(number: int, comment: bytes) -> None:
        if comment.startswith(NOTE_STARTS):
            notes.append((number, comment[1:].strip()))

    parser = SSEParser(lenient=True, max_event_bytes=limit, on_comment=note)
    at: float | None = None  # of the next block
    for piece in chain(pieces, (None,)):
        for item in parser.feed(piece) if piece is not None else parser.close():
            while notes and notes[0][0] < item.line:
                at, kept = decode_note(*notes.popleft(), at)
                if kept is not None:
                    yield kept
            yield msgspec.structs.replace(item, at=at) if isinstance(item, RawEvent) and at is not None else item
            at = None
        while notes:
            at, kept = decode_note(*notes.popleft(), at)
            if kept is not None:
                yield kept


def _read_jsonl(pieces: Iterator[bytes], limit: int, guessed: str | None) -> Iterator[RawItem]:
    """Read JSON lines; ``guessed`` is the input's name if its format rests on the first character alone."""
    for number, line, size in _lines(pieces, limit):
        if size > limit:
            yield Oversized(line=number, size=size, limit=limit)
        elif data := (line.removeprefix(_BOM) if number == 1 else line).strip():
            if guessed and _is_opened(data):
                raise UnknownRecordingFormat(guessed, "starts with a JSON document over several lines")
            yield decode_line(data, number)
        else:
            continue
        guessed = None


def _lines(pieces: Iterator[bytes], limit: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield (number, line, size in bytes); of a line over the limit only the size is right."""
    number = 1
    partial = bytearray()
    skipped = 0
    for piece in pieces:
        *ended, rest = piece.split(b"\n")
        for line in ended:
            yield number, bytes(partial) + line, skipped + len(partial) + len(line)
            partial.clear()
            skipped = 0
            number += 1
        partial += rest
        if skipped or len(partial) > limit:
            skipped += len(partial)
            partial.clear()
    yield number, bytes(partial), skipped + len(partial)


def _is_opened(line: bytes) -> bool:
    """Tell whether a line is the first of a JSON document that goes on in the next line."""
    if not line.endswith((b"{", b"[", b",", b":")):
        return False
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return True
    return False
