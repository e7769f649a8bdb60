"""The reader of recordings: a path, bytes or a binary file (``.sse`` or ``.jsonl``) in, raw events out, one at a time.

It streams: it keeps no more than one piece of the file and one event in memory. A JSON document of several lines, or a
list, is read at once (:mod:`runstream.recordings.document`).
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
from runstream.model.validation import check_counts
from runstream.recordings.document import read_document
from runstream.recordings.jsonl import decode_line
from runstream.recordings.sse_format import COMMENT_PREFIXES, decode_comment
from runstream.sources.sse_parser import MAX_EVENT_BYTES, SSEParser

__all__ = [
    "MAX_ENTRY_BYTES",
    "RecordingFormat",
    "RecordingInput",
    "UnknownRecordingFormat",
    "error_message",
    "format_from_name",
    "input_name",
    "read_recording",
]

RecordingFormat: TypeAlias = Literal["sse", "jsonl"]
RecordingInput: TypeAlias = str | os.PathLike[str] | bytes | BinaryIO

# A little more than the limit of live sources: an entry has the event's name, time and id around its data.
MAX_ENTRY_BYTES: Final = MAX_EVENT_BYTES + 64 * 1024
_PIECE_BYTES: Final = 256 * 1024
_MAX_BLANK_BYTES: Final = 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_SUFFIXES: Final[dict[str, RecordingFormat]] = {".sse": "sse", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_SSE_START: Final = re.compile(rb"(?:event|data|id|retry)?:|\.\.\.")
_SSE_START_BYTES: Final = len(b"retry:")
_Format: TypeAlias = RecordingFormat | Literal["json"]
_ADVICE: Final = 'save it as an event stream (.sse) or with one {"event": ..., "data": ...} a line (.jsonl)'


class UnknownRecordingFormat(ValueError):
    """The input is no readable recording; the message names the input and a solution.

    Args:
        name: Name of the input.
        problem: The problem that was found.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}; {_ADVICE}")
        self.name = name
        self.problem = problem


def format_from_name(name: str) -> RecordingFormat | None:
    """Return the format of a file by the suffix of its name, ``None`` for any other suffix."""
    return _SUFFIXES.get(PurePath(name).suffix.lower())


def read_recording(
    source: RecordingInput,
    *,
    format: RecordingFormat | None = None,
    name: str | None = None,
    max_event_bytes: int = MAX_ENTRY_BYTES,
) -> Iterator[RawItem]:
    """Read one recording, lazily, in file order.

    The items that `RecordingWriter` wrote come out unchanged; docs/recordings.md has the format. In files of other
    origin, an event stream is read leniently (see `SSEParser`), and a JSON line becomes one `RawEvent` without a name,
    with the line as its data: the dialect decodes the envelope. Only its ``at`` (arrival, Unix seconds) is read here,
    if it is a number. A byte order mark, CRLF and blank lines do no harm in either format. A JSON document of several
    lines, or a list, contains objects that were fetched: each becomes an `Answer`, and a request before it a `Request`.

    Args:
        source: A path, ``"-"`` for standard input, the bytes themselves, or a file open in binary mode.
            A path is opened at the first item and closed after the last; a file is left open.
        format: The format. By default it is detected by the suffix of the name or the path (``.sse``, ``.jsonl``,
            ``.ndjson``), or by the first line that is not blank.
        name: Name of the input in messages; by default the path, or the file's own name.
        max_event_bytes: Largest line of JSON or block in bytes; a larger one is an `Oversized`. By default a
            little more than the limit of live sources, 16 MiB.

    Yields:
        `RawEvent` with the line number it starts at, `Oversized`, `Malformed`, or `ConnectionEvent` for a connection
        that was made or lost; of a JSON document `Request` and `Answer`.

    Raises:
        UnknownRecordingFormat: At the first item, if the format is neither given nor recognised.
        ValueError: If ``max_event_bytes`` is less than 1.
        TypeError: If the file is open in text mode.
        OSError: If it can't be opened or read.
    """
    if isinstance(source, io.TextIOBase):
        raise TypeError("a recording is read as bytes: open the file in binary mode")
    check_counts(max_event_bytes=max_event_bytes)
    own_name = input_name(source, "<bytes>" if isinstance(source, bytes) else "<file>")
    known = format or format_from_name(name or own_name) or format_from_name(own_name)
    return _read(source, known, name or own_name, max_event_bytes)


def _read(source: RecordingInput, known: RecordingFormat | None, name: str, limit: int) -> Iterator[RawItem]:
    detected: _Format | None = known
    with _open(source) as file:
        pieces = _read_pieces(file)
        if known is None:
            head, detected = _detect_format(pieces, name)
            pieces = chain((head,), pieces)
        if detected == "sse":
            yield from _read_sse(pieces, limit)
        elif detected == "json":
            yield from _read_json(pieces, limit, name)
        else:
            yield from _read_jsonl(pieces, limit)


def input_name(recording: object, default: str) -> str:
    """Return the name of an input: the path, the file's own name, or ``default``."""
    if isinstance(recording, str | os.PathLike):
        return "<stdin>" if recording == "-" else os.fspath(recording)
    name = getattr(recording, "name", None)
    return name if isinstance(name, str) else default


def error_message(error: OSError) -> str:
    """Return the operating system's message of an error, or its class if there is none."""
    return error.strerror or type(error).__name__


def _open(source: RecordingInput) -> io.BufferedReader | nullcontext[BinaryIO]:
    if source == "-":
        return nullcontext(sys.stdin.buffer)
    if isinstance(source, bytes):
        return nullcontext(io.BytesIO(source))
    if isinstance(source, str | os.PathLike):
        return open(source, "rb")
    return nullcontext(source)


def _read_pieces(file: BinaryIO) -> Iterator[bytes]:
    # read1 returns the available bytes of a pipe; read would wait for a full piece.
    read = getattr(file, "read1", file.read)
    while piece := read(_PIECE_BYTES):
        yield piece


def _detect_format(pieces: Iterator[bytes], name: str) -> tuple[bytes, _Format]:
    """Return the bytes read so far, and the format, detected by the first characters of the first line."""
    head = b""
    start = b""
    for piece in pieces:
        head += piece
        start = head.removeprefix(_BOM).lstrip()
        if b"\n" in start or (len(start) >= _SSE_START_BYTES and not start.startswith(b"{")):
            break
        if len(start) > _MAX_BLANK_BYTES:
            break  # the line of an object is long: no document has such a first line
        if not start and len(head) > _MAX_BLANK_BYTES:
            raise UnknownRecordingFormat(name, "nothing but blank lines at its start")
    if start.startswith(b"["):
        return head, "json"
    if start.startswith(b"{"):
        line, ended, _ = start.partition(b"\n")
        return head, "json" if ended and _is_incomplete(line.strip()) else "jsonl"
    if not start or _SSE_START.match(start):
        return head, "sse"
    raise UnknownRecordingFormat(name, "not recognised by its first line")


def _read_sse(pieces: Iterator[bytes], limit: int) -> Iterator[RawItem]:
    comments: deque[tuple[int, bytes]] = deque()  # of a recorder: line number, text

    def on_comment(number: int, comment: bytes) -> None:
        if comment.startswith(COMMENT_PREFIXES):
            comments.append((number, comment[1:].strip()))

    parser = SSEParser(lenient=True, max_event_bytes=limit, on_comment=on_comment)
    at: float | None = None  # of the next block
    for piece in chain(pieces, (None,)):
        for item in parser.feed(piece) if piece is not None else parser.close():
            while comments and comments[0][0] < item.line:
                at, extra = decode_comment(*comments.popleft(), at)
                if extra is not None:
                    yield extra
            yield msgspec.structs.replace(item, at=at) if isinstance(item, RawEvent) and at is not None else item
            at = None
        while comments:
            at, extra = decode_comment(*comments.popleft(), at)
            if extra is not None:
                yield extra


def _read_json(pieces: Iterator[bytes], limit: int, name: str) -> Iterator[RawItem]:
    """Read a whole JSON document."""
    data = bytearray()
    size = 0
    for piece in pieces:
        size += len(piece)
        if size <= limit:
            data += piece
    if size > limit:
        yield Oversized(line=1, size=size, limit=limit)
        return
    found = read_document(bytes(data).removeprefix(_BOM))
    if found is None:
        raise UnknownRecordingFormat(
            name, "starts with a JSON document over several lines that is incomplete, or no object or list of objects"
        )
    yield from found


def _read_jsonl(pieces: Iterator[bytes], limit: int) -> Iterator[RawItem]:
    for number, line, size in _split_lines(pieces, limit):
        if size > limit:
            yield Oversized(line=number, size=size, limit=limit)
        elif data := (line.removeprefix(_BOM) if number == 1 else line).strip():
            yield decode_line(data, number)


def _split_lines(pieces: Iterator[bytes], limit: int) -> Iterator[tuple[int, bytes, int]]:
    """Yield (number, line, size in bytes); for a line over the limit only the size is right."""
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


def _is_incomplete(line: bytes) -> bool:
    """Return whether a line is the first of a JSON document that continues in the next line."""
    if not line.endswith((b"{", b"[", b",", b":")):
        return False
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return True
    return False
