"""Raw events in, a recording out, that is whole after each of them, whatever then happens to the process."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import TypeAlias

from msgspec.structs import replace

from runstream.errors import RecordingError
from runstream.model.raw import Malformed, RawEvent, RawItem
from runstream.model.raw_input import RawInput, raw_item
from runstream.recordings.jsonl import encode_line
from runstream.recordings.reader import RecordingFormat, format_of
from runstream.recordings.sse_format import BlockEncoder

__all__ = ["RecordingWriter", "Redact", "require_format"]

Redact: TypeAlias = Callable[[RawEvent], RawEvent | None]
"""Gives the raw event that is to be recorded in place of another, ``None`` for none."""


class RecordingWriter:
    """Writes raw events into a file, in the format that :func:`read_recording` reads; docs/recordings.md describes it.

    Every event goes to the operating system as whole lines, in one call and at once: a process that is killed leaves
    all of them, a machine that loses power maybe not. A disk that is full leaves those before. ::

        with RecordingWriter("run.jsonl") as writer:
            writer.write_all(raw_events)

    Args:
        path: The file, ``.jsonl``, ``.ndjson`` or ``.sse``.
        format: The format, where the suffix does not tell.
        overwrite: Whether to replace a file that exists.
        redact: Applied to each raw event before it is written, for instance a :class:`Redaction`. Input that is
            no event is then written without its content.

    Attributes:
        path: The file's name.
        count: Events and other items written.
        size: Bytes written.

    Raises:
        RecordingError: The file exists, or can't be opened.
        ValueError: Neither suffix nor ``format`` tells the format.
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
        blocks = require_format(self.path, format) == "sse"
        self._encode: Callable[[RawItem, float | None], bytes] = BlockEncoder().encode if blocks else _line
        self._redact = redact
        try:
            self._file = io.FileIO(self.path, "w" if overwrite else "x")
        except FileExistsError as error:
            raise RecordingError(self.path, "exists already, and is not overwritten", error.errno) from error
        except OSError as error:
            raise self._error("can't be opened", error) from error

    def write(self, item: RawInput, at: float | None = None) -> None:
        """Write one raw event, or what else a source gives.

        Args:
            item: The event; bytes, text and mappings are taken as the adapters take them.
            at: When it arrived (Unix seconds), where the item does not say it itself.

        Raises:
            RecordingError: It can't be written, or ``redact`` failed; what was written before stays whole.
            ValueError: The writer is closed.
        """
        if self._file.closed:
            raise ValueError(f"{self.path}: the recording is closed")
        kept: RawItem | None = raw_item(item)
        if self._redact is not None:
            kept = self._redacted(kept)
        if kept is not None:
            self._put(self._encode(kept, at))
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
            RecordingError: The system found only now that it can't keep what was written.
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

    def _redacted(self, item: RawItem | None) -> RawItem | None:
        if isinstance(item, Malformed):
            return replace(item, data=b"x" * len(item.data))
        if self._redact is None or not isinstance(item, RawEvent):
            return item
        try:
            kept = self._redact(item)
        except Exception as error:
            # Its own words may hold the very text that was to be left out.
            raise RecordingError(self.path, f"redact raised {type(error).__name__}") from error
        if kept is not None and not isinstance(kept, RawEvent):
            raise RecordingError(self.path, f"redact gave a {type(kept).__name__}, not a RawEvent or None")
        return kept

    def _put(self, data: bytes) -> None:
        left = memoryview(data)
        try:
            while left:
                left = left[self._file.write(left) or 0 :]
        except OSError as error:
            # Half a line may stand there now, for which the next reader would be told of a reject.
            with suppress(OSError):
                self._file.truncate(self.size)
                self._file.seek(self.size)
            raise self._error("can't be written", error) from error
        self.size += len(data)

    def _error(self, what: str, error: OSError) -> RecordingError:
        return RecordingError(self.path, f"{what} ({error.strerror or type(error).__name__})", error.errno)


def _line(item: RawItem, at: float | None) -> bytes:
    """A line of a ``.jsonl`` recording."""
    return encode_line(item, at) + b"\n"


def require_format(path: str, format: RecordingFormat | None = None) -> RecordingFormat:
    """The format in which a file is to be written.

    Raises:
        ValueError: Neither its suffix nor ``format`` tells.
    """
    found = format or format_of(path)
    if found is None:
        raise ValueError(f"{path}: a recording is named .jsonl or .sse (or `format` says which it is)")
    return found
