"""`record`: a live stream in, a file out, and a line of progress."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import time
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext, suppress
from typing import Final

from runstream.cli.exit_codes import UsageError
from runstream.cli.stdio import clip, complain, escape
from runstream.cli.watch import live_source, watch_source
from runstream.dialects.registry import DEFAULT_DIALECT
from runstream.engine.engine import Engine
from runstream.errors import RecordingError
from runstream.model.signals import RunCreated, Signal
from runstream.recordings.reader import format_from_name
from runstream.recordings.redaction import Redaction
from runstream.recordings.tee import RecordedSource
from runstream.recordings.tee import record as record_source
from runstream.recordings.writer import RecordingWriter
from runstream.stream.run_stream import RunStream

__all__ = ["record"]

_PAUSE: Final = 0.2  # seconds between two updates of the line


def record(args: argparse.Namespace) -> int:
    """Write a live stream into a file."""
    source = live_source(args)
    writer = _open(args)
    progress = _Progress(writer)
    recorded = record_source(source, writer)
    try:
        result = asyncio.run(watch_source(recorded, progress, quiet=False, idle=args.idle, dialect=args.dialect))
    finally:
        writer.close()
        _report(writer, recorded)
    if recorded.error is not None:
        raise UsageError(escape(str(recorded.error)))
    return result.tally.code(result.states)


def _open(args: argparse.Namespace) -> RecordingWriter:
    path = args.output
    if format_from_name(path) is None:
        raise UsageError(f"{escape(path)}: name the file .jsonl (JSON lines) or .sse (an event stream)")
    try:
        redact = Redaction(dialect=args.dialect or DEFAULT_DIALECT) if args.redact else None
        return RecordingWriter(path, overwrite=args.force, redact=redact)
    except RecordingError as error:
        advice = "; --force replaces it" if isinstance(error.__cause__, FileExistsError) else ""
        raise UsageError(f"{escape(str(error))}{advice}") from error


def _report(writer: RecordingWriter, recorded: RecordedSource) -> None:
    if writer.size:
        complain(f"{clip(writer.path)}: {_counted(writer)}")
    elif recorded.error is None:
        # Nothing was received: an empty file would only prevent the next attempt.
        with suppress(OSError):
            os.unlink(writer.path)
        complain(f"{clip(writer.path)}: nothing was recorded")


def _counted(writer: RecordingWriter) -> str:
    size = f"{writer.size} bytes" if writer.size < 10_000 else f"{writer.size / 1000:.0f} kB"
    return f"{writer.count} {'entry' if writer.count == 1 else 'entries'}, {size}"


class _Progress:
    """A view that counts; on a terminal it shows the counts on one line, updated at intervals."""

    def __init__(self, writer: RecordingWriter) -> None:
        self.times = self.reasons = True
        self.counts = False
        self._writer = writer
        self._runs = 0
        self._next = 0.0
        self._shown = False
        self._tty = sys.stderr is not None and sys.stderr.isatty()

    def show(self, signal: Signal) -> None:
        """Count one signal."""
        self._runs += isinstance(signal, RunCreated)
        if self._tty and (now := time.monotonic()) >= self._next:
            self._next = now + _PAUSE
            runs = f"{self._runs} run{'s' if self._runs != 1 else ''}"
            self._write(f"\r\x1b[K{runs}, {_counted(self._writer)} (Ctrl-C ends it)")
            self._shown = True

    def close(self) -> None:
        """Remove the line; the last count is reported on a line of its own."""
        if self._shown:
            self._write("\r\x1b[K")
            self._shown = False

    def watching(self, stream: RunStream) -> AbstractAsyncContextManager[object]:
        """An empty context."""
        return nullcontext()

    def reading(self, engine: Engine) -> AbstractContextManager[AbstractContextManager[object]]:
        """An empty context."""
        return nullcontext(nullcontext())

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except (OSError, ValueError):
            self._tty = False
