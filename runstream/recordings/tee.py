"""A source that writes down what another one gives, on its way to the stream."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal

from msgspec.structs import replace

from runstream.errors import RecordingError, SourceFailed
from runstream.logs import LOG
from runstream.model.raw import ConnectionEvent, RawEvent, RawItem
from runstream.recordings.reader import RecordingFormat
from runstream.recordings.writer import RecordingWriter, Redact, require_format
from runstream.sources.adapters import Adaptable, adapt
from runstream.sources.base import Receiver

__all__ = ["RecordedSource", "record"]


def record(
    source: Adaptable,
    path: str | os.PathLike[str] | RecordingWriter,
    *,
    format: RecordingFormat | None = None,
    overwrite: bool = False,
    redact: Redact | None = None,
    on_error: Literal["fail", "log"] = "fail",
    clock: Callable[[], float] = time.time,
) -> RecordedSource:
    """A source that gives what ``source`` gives, and writes it all into a file first. ::

        source = runstream.record(WebSocketSource(url), "run.jsonl", redact=runstream.Redaction())
        async with RunStream(source) as stream: ...

    Whatever the stream has seen stands in the file, with its time of arrival: raw events, input that can be none,
    connections made and lost. Redaction touches the file alone.

    Args:
        source: What to read: a source, or whatever :class:`RunStream` takes for one.
        path: The file (``.jsonl``, ``.ndjson`` or ``.sse``), opened when reading starts; or a writer that is open,
            which is closed at the end, and then ``format``, ``overwrite`` and ``redact`` are its own.
        format: The format, where the suffix does not tell.
        overwrite: Whether to replace a file that exists.
        redact: Gives what is to be recorded in place of a raw event, ``None`` for nothing; see :class:`Redaction`.
        on_error: What a disk that is full, or a ``redact`` that raises, does: ``"fail"`` the source before the
            stream sees what can't be recorded, or ``"log"`` it once and go on without recording.
        clock: Gives the time of arrival in Unix seconds. Raw events that have none get it, in the stream too, so
            that a replay tells the same times.

    Raises:
        ValueError: Neither suffix nor ``format`` tells the format.
        TypeError: The source is none.
    """
    return RecordedSource(
        source, path, format=format, overwrite=overwrite, redact=redact, on_error=on_error, clock=clock
    )


class RecordedSource:
    """What :func:`record` gives.

    Attributes:
        name: The name of the source that is recorded.
        snapshots: Whether that one tells nothing but snapshots, as polling does.
        path: The file.
        error: Why nothing more is recorded, ``None`` as long as everything is.
    """

    def __init__(
        self,
        source: Adaptable,
        path: str | os.PathLike[str] | RecordingWriter,
        *,
        format: RecordingFormat | None = None,
        overwrite: bool = False,
        redact: Redact | None = None,
        on_error: Literal["fail", "log"] = "fail",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = adapt(source)
        self.name = self._source.name
        self.snapshots = getattr(self._source, "snapshots", False)
        self.path = path.path if isinstance(path, RecordingWriter) else os.fspath(path)
        self.error: RecordingError | None = None
        if isinstance(path, RecordingWriter):
            self._open: Callable[[], RecordingWriter] = partial(_same, path)
        else:
            require_format(self.path, format)
            self._open = partial(RecordingWriter, path, format=format, overwrite=overwrite, redact=redact)
        self._fails = on_error == "fail"
        self._clock = clock

    async def run(self, receiver: Receiver) -> None:
        """Read and record until there is no more.

        Raises:
            SourceFailed: The source is gone for good, or its recording can't be written.
        """
        try:
            writer = self._open()
        except RecordingError as error:
            self._failed(error)
            self._check()
            await self._source.run(receiver)
            return
        try:
            await self._source.run(_Tap(receiver, writer, self._clock, self._failed))
        except Exception:
            self._check()  # what a source makes of an exception is less than what there is to say
            raise
        finally:
            try:
                writer.close()
            except RecordingError as error:
                self._failed(error)
        self._check()

    def __repr__(self) -> str:
        return f"RecordedSource({self.name!r}, {self.path!r})"

    def _failed(self, error: RecordingError) -> bool:
        """Take down that recording has failed, and tell whether that is the end."""
        if self.error is None:
            self.error = error
            if not self._fails:
                LOG.error("recording_failed", source=self.name, path=error.path, reason=error.reason)
        return self._fails

    def _check(self) -> None:
        if self.error is not None and self._fails:
            raise SourceFailed(f"the recording can't go on: {self.error}") from self.error


class _Tap:
    """The receiver that the recorded source gets: everything is written first, and then passed on."""

    def __init__(
        self,
        receiver: Receiver,
        writer: RecordingWriter,
        clock: Callable[[], float],
        failed: Callable[[RecordingError], bool],
    ) -> None:
        self._receiver = receiver
        self._writer: RecordingWriter | None = writer
        self._clock = clock
        self._failed = failed

    def feed(self, item: RawItem) -> None:
        """Write one item, and pass it on."""
        self._receiver.feed(self._written(item))

    async def feed_all(self, items: Iterable[RawItem]) -> None:
        """Write many items, each before it is passed on."""
        await self._receiver.feed_all(map(self._written, items))

    async def ready(self) -> None:
        """Return when more input is welcome."""
        await self._receiver.ready()

    def connected(self, attempt: int = 0) -> None:
        """Write that the source is connected, and pass it on."""
        self._write(ConnectionEvent(connected=True, attempt=attempt))
        self._receiver.connected(attempt)

    def disconnected(self, reason: str, attempt: int = 0) -> None:
        """Write that the connection was lost, and pass it on."""
        self._write(ConnectionEvent(connected=False, attempt=attempt, reason=reason))
        self._receiver.disconnected(reason, attempt)

    @property
    def live(self) -> bool:
        """What the stream's own receiver says."""
        return self._receiver.live

    @property
    def last_id(self) -> str | None:
        """What the stream's own receiver says."""
        return self._receiver.last_id

    def _written(self, item: RawItem) -> RawItem:
        if type(item) is RawEvent and item.at is None:
            item = replace(item, at=self._clock())
        self._write(item)
        return item

    def _write(self, item: RawItem) -> None:
        if self._writer is None:
            return
        try:
            self._writer.write(item, self._clock())
        except RecordingError as error:
            if self._failed(error):
                raise
            self._writer = None


def _same(writer: RecordingWriter) -> RecordingWriter:
    return writer
