"""The source that records another source: every item is written to a file before the stream receives it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Literal

from msgspec.structs import replace

from runstream.dialects.base import Dialect
from runstream.errors import RecordingError, SourceFailed
from runstream.logs import LOG
from runstream.model.raw import TIMED, ConnectionEvent, RawItem
from runstream.recordings.reader import RecordingFormat
from runstream.recordings.redaction import Redaction
from runstream.recordings.writer import RecordingWriter, Redact, choose_format
from runstream.sources.adapters import Adaptable, adapt
from runstream.sources.base import Receiver

__all__ = ["RecordedSource", "TeeReceiver", "record"]


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
    """Make a source that emits the items of ``source``, and writes each into a file first. ::

        source = runstream.record(WebSocketSource(url), "run.jsonl", redact=runstream.Redaction())
        async with RunStream(source) as stream: ...

    The file contains every item that the stream has received, with its time of arrival: raw events, input that can be
    no event, connections made and lost. Redaction affects only the file.

    Args:
        source: The source to record, or any object that :class:`RunStream` accepts as one.
        path: The file (``.jsonl``, ``.ndjson`` or ``.sse``), opened when reading starts; or a writer that is open,
            which is closed at the end, and then ``format``, ``overwrite`` and ``redact`` are its own.
        format: The format, for a path with another suffix.
        overwrite: True to replace a file that exists.
        redact: Returns the raw event to record in place of its argument, ``None`` for none; see :class:`Redaction`.
        on_error: The reaction to a full disk, or to a ``redact`` that raises: ``"fail"`` the source before the stream
            receives the item that can't be recorded, or ``"log"`` it once and continue without recording.
        clock: Returns the time of arrival in Unix seconds. Raw events without a time get it, in the stream too, so
            that a replay has the same times.

    Raises:
        ValueError: The format follows neither from the suffix nor from ``format``.
        TypeError: The source is no source.
    """
    return RecordedSource(
        source, path, format=format, overwrite=overwrite, redact=redact, on_error=on_error, clock=clock
    )


class RecordedSource:
    """The recorded source that :func:`record` returns.

    Attributes:
        name: The name of the source that is recorded.
        snapshots: True if that source emits nothing but snapshots, as polling does.
        dialect: The name of the dialect of that source, if it has one.
        path: The file.
        error: The error that stopped recording, ``None`` while everything is recorded.
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
        self.dialect: str | None = getattr(self._source, "dialect", None)
        if self.dialect is not None and isinstance(redact, Redaction):
            redact = redact.for_dialect(self.dialect)
        self.path = path.path if isinstance(path, RecordingWriter) else os.fspath(path)
        self.error: RecordingError | None = None
        if isinstance(path, RecordingWriter):
            self._open: Callable[[], RecordingWriter] = lambda: path
        else:
            choose_format(self.path, format)
            self._open = partial(RecordingWriter, path, format=format, overwrite=overwrite, redact=redact)
        self._fails = on_error == "fail"
        self._clock = clock

    async def run(self, receiver: Receiver) -> None:
        """Read and record until there is no more.

        Raises:
            SourceFailed: The source failed for good, or its recording can't be written.
        """
        try:
            writer = self._open()
        except RecordingError as error:
            self._on_error(error)
            self._raise_if_failed()
            await self._source.run(receiver)
            return
        try:
            await self._source.run(TeeReceiver(receiver, writer, self._clock, self._on_error))
        except Exception:
            self._raise_if_failed()  # the source may have raised another exception, with less details
            raise
        finally:
            try:
                writer.close()
            except RecordingError as error:
                self._on_error(error)
        self._raise_if_failed()

    def __repr__(self) -> str:
        return f"RecordedSource({self.name!r}, {self.path!r})"

    @property
    def sent(self) -> Any:
        """What the source has sent to its server, for masking; ``None`` if it does not report it."""
        return getattr(self._source, "sent", None)

    def _on_error(self, error: RecordingError) -> bool:
        """Keep the error of the recording, and return whether it ends the source."""
        if self.error is None:
            self.error = error
            if not self._fails:
                LOG.error("recording_failed", source=self.name, path=error.path, reason=error.reason)
        return self._fails

    def _raise_if_failed(self) -> None:
        if self.error is not None and self._fails:
            raise SourceFailed(f"the recording can't go on: {self.error}") from self.error


class TeeReceiver:
    """The receiver of a recorded source: writes each item, then passes it on to the stream's receiver.

    Args:
        receiver: The stream's receiver.
        writer: Writes the items.
        clock: Returns the time of arrival in Unix seconds.
        on_error: Called with the error of the writer; returns whether it is raised. If not, nothing more is written.
    """

    def __init__(
        self,
        receiver: Receiver,
        writer: RecordingWriter,
        clock: Callable[[], float],
        on_error: Callable[[RecordingError], bool],
    ) -> None:
        self._receiver = receiver
        self._writer: RecordingWriter | None = writer
        self._clock = clock
        self._on_error = on_error

    def feed(self, item: RawItem) -> None:
        """Write one item, and pass it on."""
        self._receiver.feed(self._record(item))

    async def feed_all(self, items: Iterable[RawItem]) -> None:
        """Write many items, each before it is passed on."""
        await self._receiver.feed_all(map(self._record, items))

    async def ready(self) -> None:
        """Return when more input is welcome."""
        await self._receiver.ready()

    def connected(self, attempt: int = 0) -> None:
        """Write a connection event, and pass it on."""
        self._write(ConnectionEvent(connected=True, attempt=attempt))
        self._receiver.connected(attempt)

    def disconnected(self, reason: str, attempt: int = 0, server_message: str = "") -> None:
        """Write a connection event, and pass the loss on."""
        self._write(ConnectionEvent(connected=False, attempt=attempt, reason=reason, server_message=server_message))
        self._receiver.disconnected(reason, attempt, server_message)

    def decoder(self) -> Dialect:
        """Return a new decoder of the source's dialect, from the stream's receiver."""
        return self._receiver.decoder()

    @property
    def expects_idle(self) -> bool:
        """True while the dialect waits for a silence, from the stream's receiver."""
        return bool(getattr(self._receiver, "expects_idle", False))

    def cursor(self, run_id: str | None = None) -> str | None:
        """The place of the dialect, from the stream's receiver."""
        return self._receiver.cursor(run_id)

    @property
    def live(self) -> bool:
        """True if a run of this source is live, from the stream's receiver."""
        return self._receiver.live

    @property
    def continues(self) -> str | None:
        """The id of the run that the source continues, from the stream's receiver."""
        return self._receiver.continues

    @property
    def progress(self) -> int:
        """A number that grows with the state, from the stream's receiver."""
        return self._receiver.progress

    @property
    def last_id(self) -> str | None:
        """The last event id, from the stream's receiver."""
        return self._receiver.last_id

    def _record(self, item: RawItem) -> RawItem:
        if isinstance(item, TIMED) and item.at is None:
            item = replace(item, at=self._clock())
        self._write(item)
        return item

    def _write(self, item: RawItem) -> None:
        if self._writer is None:
            return
        try:
            self._writer.write(item, self._clock())
        except RecordingError as error:
            if self._on_error(error):
                raise
            self._writer = None
