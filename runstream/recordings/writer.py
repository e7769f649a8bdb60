"""The writer of recordings: raw events in, a file out.

The file is complete after each event, even if the process is killed.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import TypeAlias

from msgspec.structs import replace

from runstream.dialects.base import BaseDialect
from runstream.errors import RecordingError
from runstream.model.raw import Answer, RawEvent, RawItem, Request
from runstream.model.raw_input import RawInput, raw_item
from runstream.recordings.jsonl import encode_line
from runstream.recordings.reader import RecordingFormat, error_message, format_from_name
from runstream.recordings.redaction import Redaction
from runstream.recordings.sse_format import BlockEncoder

__all__ = ["RecordingWriter", "Redact", "choose_format"]

Redact: TypeAlias = Callable[[RawEvent], RawEvent | None]
"""Returns the raw event to record in place of its argument, ``None`` for none."""


class RecordingWriter:
    """Writes raw events into a file, in the format that :func:`read_recording` reads; docs/recordings.md describes it.

    Every event is written as whole lines, in one system call and at once: after a kill of the process the file contains
    all events, after a power failure maybe not. After a full disk it contains the events before. ::

        with RecordingWriter("run.jsonl") as writer:
            writer.write_all(raw_events)

    Args:
        path: The file, ``.jsonl``, ``.ndjson`` or ``.sse``; only its owner can read it (mode 0600).
        format: The format, for a path with another suffix.
        overwrite: True to replace a file that exists.
        redact: A :class:`Redaction`, which is applied to each item before it is written; or a function, which is
            applied to each raw event, and to the bodies of requests and answers as raw events without a name. Input
            that is no event, and the words of a server that lost a connection, are then written without their content.

    Attributes:
        path: The file's name.
        count: Number of events and other items written.
        size: Number of bytes written.

    Raises:
        RecordingError: The file exists, or can't be opened.
        ValueError: The format follows neither from the suffix nor from ``format``.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        format: RecordingFormat | None = None,
        overwrite: bool = False,
        redact: Redact | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.count = 0
        self.size = 0
        is_sse = choose_format(self.path, format) == "sse"
        self._encode: Callable[[RawItem, float | None], bytes] = BlockEncoder().encode if is_sse else _encode_line
        self._redact = redact
        try:
            self._file = io.FileIO(self.path, "w" if overwrite else "x", opener=_open_private)
        except FileExistsError as error:
            raise RecordingError(self.path, "exists already, and is not overwritten", error.errno) from error
        except OSError as error:
            raise self._error("can't be opened", error) from error

    def write(self, item: RawInput, at: float | None = None) -> None:
        """Write one raw event, or another item of a source.

        Args:
            item: The event; bytes, text and mappings are accepted as by the adapters.
            at: Time of arrival (Unix seconds), for an item without its own.

        Raises:
            RecordingError: It can't be written, or ``redact`` failed; the file stays complete up to the item before.
            ValueError: The writer is closed.
        """
        if self._file.closed:
            raise ValueError(f"{self.path}: the recording is closed")
        kept: RawItem | None = raw_item(item)
        if self._redact is not None and kept is not None:
            kept = self._apply_redact(kept)
        if kept is not None:
            self._write_bytes(self._encode(kept, at))
            self.count += 1

    def write_all(self, items: Iterable[RawInput]) -> None:
        """Write several raw events.

        Raises:
            RecordingError: As :meth:`write`.
        """
        for item in items:
            self.write(item)

    def close(self) -> None:
        """Close the file; closing twice does no harm.

        Raises:
            RecordingError: The system reports only now that it can't store the written bytes.
        """
        try:
            self._file.close()
        except OSError as error:
            raise self._error("can't be written", error) from error

    def __enter__(self) -> RecordingWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"RecordingWriter({self.path!r}, count={self.count})"

    def _apply_redact(self, item: RawItem) -> RawItem | None:
        if isinstance(item, RawEvent):
            return self._call_redact(item)
        if isinstance(self._redact, Redaction):
            return self._redact(item)
        # A function of the application knows raw events alone.
        if isinstance(item, Request):
            body = self._call_redact(RawEvent(None, item.body)) if item.body else RawEvent()
            return None if body is None else replace(item, body=body.data)
        if isinstance(item, Answer):
            data = self._call_redact(RawEvent(None, item.data)) if item.data else RawEvent()
            return None if data is None else replace(item, data=data.data)
        return Redaction(dialect=BaseDialect)(item)

    def _call_redact(self, item: RawEvent) -> RawEvent | None:
        assert self._redact is not None
        try:
            kept = self._redact(item)
        except Exception as error:
            # The exception's message may contain the very text that was to be redacted.
            raise RecordingError(self.path, f"redact raised {type(error).__name__}") from error
        if kept is not None and not isinstance(kept, RawEvent):
            raise RecordingError(self.path, f"redact gave a {type(kept).__name__}, not a RawEvent or None")
        return kept

    def _write_bytes(self, data: bytes) -> None:
        remaining = memoryview(data)
        try:
            while remaining:
                remaining = remaining[self._file.write(remaining) or 0 :]
        except OSError as error:
            # The file may now end with half a line, which every reader would reject.
            with suppress(OSError):
                self._file.truncate(self.size)
                self._file.seek(self.size)
            raise self._error("can't be written", error) from error
        self.size += len(data)

    def _error(self, problem: str, error: OSError) -> RecordingError:
        return RecordingError(self.path, f"{problem} ({error_message(error)})", error.errno)


def _open_private(path: str, flags: int) -> int:
    """Open a file that only its owner can read and write: a recording has texts and the arguments of tools.

    A file that exists and is overwritten gets this mode too, unless it is a device or a pipe, or another user's.
    """
    file = os.open(path, flags, 0o600)
    with suppress(OSError):
        if stat.S_ISREG(os.fstat(file).st_mode):
            os.chmod(file if os.chmod in os.supports_fd else path, 0o600)
    return file


def _encode_line(item: RawItem, at: float | None) -> bytes:
    """Return a line of a ``.jsonl`` recording."""
    return encode_line(item, at) + b"\n"


def choose_format(path: str, format: RecordingFormat | None = None) -> RecordingFormat:
    """Return the format in which a file is to be written.

    Raises:
        ValueError: It follows neither from the suffix nor from ``format``.
    """
    known = format or format_from_name(path)
    if known is None:
        raise ValueError(f"{path}: a recording is named .jsonl or .sse (or `format` says which it is)")
    return known
