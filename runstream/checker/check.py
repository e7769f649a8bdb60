"""`check`: a recording or raw events in, a report out; without an event loop."""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from typing import BinaryIO, Final, cast

from runstream.checker.protocol import Framing
from runstream.checker.report import CheckReport
from runstream.checker.session import CheckSession
from runstream.dialects.registry import DialectLike
from runstream.model.raw_input import RawInput, check_items, raw_item
from runstream.recordings.reader import RecordingFormat, RecordingInput, format_from_name, input_name, read_recording

__all__ = ["check"]

_HEAD: Final = 64 * 1024
_BOM: Final = b"\xef\xbb\xbf"


class _Observed(io.RawIOBase):
    """A binary file that passes every piece that is read to a session as well."""

    def __init__(self, file: BinaryIO, head: bytes, session: CheckSession) -> None:
        self._file = file
        self._head = head
        self._session = session

    def readable(self) -> bool:
        """True."""
        return True

    def read1(self, size: int = -1) -> bytes:
        """The next piece, as soon as there is one."""
        piece, self._head = self._head, b""
        if not piece:
            read = getattr(self._file, "read1", self._file.read)
            piece = read(size)
        self._session.feed_bytes(piece)
        return piece


def check(
    source: RecordingInput | Iterable[RawInput],
    *,
    dialect: DialectLike | None = None,
    format: RecordingFormat | None = None,
    name: str | None = None,
) -> CheckReport:
    """Check a stream against the rules of its protocol.

    ::

        report = runstream.check("run.sse")
        for finding in report.errors:
            print(finding.rule.name, finding.count, finding.places[0].line)

    The checker is tolerant: every input gives a report. It keeps no text of a message, and at most ten places of each
    rule. docs/check.md has all rules.

    Args:
        source: A recording: a path, ``"-"`` for standard input, its bytes, or a file open in binary mode; or raw events
            as :func:`~runstream.fold` reads them.
        dialect: The dialect whose rules are checked, by name or factory; ``"auto"`` by default. Of a dialect that is
            not one of the library, only the rules of every stream are checked.
        format: The format of a recording; by default by its suffix or its first characters.
        name: The name of the input in the report; by default the path.

    Raises:
        ValueError: The dialect is not registered, or the source is a URL: see :func:`~runstream.check_url`.
        OSError: The recording can't be opened or read.
        UnknownRecordingFormat: The recording is neither an event stream nor JSON.
        TypeError: The file is open in text mode, the source has another type, or the factory can't be called as a
            factory is.
    """
    if isinstance(source, str) and "://" in source:
        raise ValueError("check() reads recordings; await check_url(url) checks a live stream")
    if isinstance(source, io.TextIOBase):
        raise TypeError("a recording is read as bytes: open the file in binary mode")
    if not isinstance(source, str | os.PathLike | bytes) and not hasattr(source, "read"):
        check_items(source, "stream")
        session = CheckSession(name or "stream", dialect, "messages")
        for item in source:
            session.feed(raw_item(item))
        return session.end()
    recording = cast("RecordingInput", source)
    shown = name or input_name(recording, "<bytes>" if isinstance(recording, bytes) else "<file>")
    if isinstance(recording, bytes):
        return _check_file(io.BytesIO(recording), shown, dialect, format)
    if isinstance(recording, str | os.PathLike) and recording != "-":
        with open(recording, "rb") as file:
            return _check_file(file, shown, dialect, format)
    if recording == "-":
        import sys

        return _check_file(sys.stdin.buffer, shown, dialect, format)
    return _check_file(cast("BinaryIO", recording), shown, dialect, format)


def _check_file(file: BinaryIO, name: str, dialect: DialectLike | None, format: RecordingFormat | None) -> CheckReport:
    read = getattr(file, "read1", file.read)
    head: bytes = read(_HEAD)
    known = format or format_from_name(name)
    is_json = known == "jsonl" or (known is None and head.removeprefix(_BOM).lstrip().startswith((b"{", b"[")))
    framing: Framing = "lines" if is_json else "sse"
    session = CheckSession(name, dialect, framing)
    if not head.strip() and known is None:
        known = "sse"  # nothing shows the format of an empty file
    observed = cast("BinaryIO", _Observed(file, head, session))
    for item in read_recording(observed, format=known, name=name):
        session.feed(item)
    return session.end()
