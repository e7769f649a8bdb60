"""The source that replays a recording: its raw events, each at its time."""

from __future__ import annotations

import asyncio
import io
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing
from typing import Any, Literal

from msgspec.structs import replace

from runstream.errors import SourceFailed
from runstream.model.raw import TIMED, RawEvent, RawItem
from runstream.model.raw_input import RawInput, raw_item
from runstream.model.validation import check_counts
from runstream.recordings.pacing import Pace
from runstream.recordings.reader import (
    MAX_ENTRY_BYTES,
    RecordingFormat,
    RecordingInput,
    UnknownRecordingFormat,
    error_message,
    input_name,
    read_recording,
)
from runstream.sources.adapters import ItemFeeder
from runstream.sources.base import Receiver

__all__ = ["RecordingSource"]


class RecordingSource:
    """Replays a recording as a live stream: at the recorded speed, at another speed, or as fast as possible. ::

        async with RunStream(RecordingSource("run.jsonl", speed=10, max_gap=2.0)) as stream: ...

    The times in the events stay those of the recording, at any speed: durations come out as they were.
    Connections that were made and lost are reported again.

    Args:
        recording: A path, ``"-"`` for standard input, the bytes, a file open in binary mode (see
            :func:`read_recording`), or an iterable of raw events, envelopes as bytes or text, or mappings.
        name: The source's name; the file's by default.
        format: The format, for a path with another suffix.
        speed: Factor by which it is faster than recorded; ``None`` or 0 for as fast as the stream accepts it.
        gap: Seconds before an event whose time of arrival is not known, before ``speed``.
        max_gap: The longest wait between two events (seconds, after ``speed``); ``None`` for any.
        times: ``"recorded"`` keeps the recorded times of arrival; ``"now"`` replaces them by the time of the replay.
        max_event_bytes: Largest line of JSON or block in bytes, as in :func:`read_recording`.
        clock: Returns monotonic seconds.
        sleep: Waits a number of seconds.

    Raises:
        ValueError: ``speed``, ``gap`` or ``max_gap`` is negative, or ``max_event_bytes`` less than 1.
    """

    def __init__(
        self,
        recording: RecordingInput | Iterable[RawInput],
        *,
        name: str | None = None,
        format: RecordingFormat | None = None,
        speed: float | None = 1.0,
        gap: float = 0.0,
        max_gap: float | None = None,
        times: Literal["recorded", "now"] = "recorded",
        max_event_bytes: int = MAX_ENTRY_BYTES,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        check_counts(max_event_bytes=max_event_bytes)
        Pace(speed, gap=gap, max_gap=max_gap)  # wrong values are reported at once, not when reading starts
        self.name = name or input_name(recording, "recording")
        self._recording = recording
        self._format = format
        self._pace: Callable[[], Pace] = lambda: Pace(speed, gap=gap, max_gap=max_gap)
        self._recorded = times == "recorded"
        self._max_bytes = max_event_bytes
        self._clock = clock
        self._sleep = sleep

    async def run(self, receiver: Receiver) -> None:
        """Replay it once, from the first event to the last.

        Raises:
            SourceFailed: It can't be read (any further), or is no recording.
        """
        pace, feeder = self._pace(), ItemFeeder(receiver)
        for item in self._items():
            at = getattr(item, "at", None)
            # Input that can be no event has no time of its own: it is fed together with the item before.
            if (at is not None or type(item) is RawEvent) and (pause := pace.delay(at, self._clock())) > 0:
                await self._sleep(pause)
            feeder.feed(replace(item, at=None) if isinstance(item, TIMED) and not self._recorded else item)
            await receiver.ready()

    def __repr__(self) -> str:
        return f"RecordingSource({self.name!r})"

    def _items(self) -> Iterator[RawItem]:
        if _is_file(self._recording):
            return self._read(self._recording)  # type: ignore[arg-type]
        return map(raw_item, self._recording)  # type: ignore[arg-type]

    def _read(self, recording: RecordingInput) -> Iterator[RawItem]:
        items = read_recording(recording, format=self._format, name=self.name, max_event_bytes=self._max_bytes)
        with closing(items):  # type: ignore[type-var]
            while True:
                try:
                    item = next(items)
                except StopIteration:
                    return
                except UnknownRecordingFormat as error:
                    raise SourceFailed(str(error)) from error
                except OSError as error:
                    raise SourceFailed(f"{self.name}: can't be read ({error_message(error)})") from error
                yield item


def _is_file(recording: object) -> bool:
    return isinstance(recording, str | os.PathLike | bytes | io.IOBase) or hasattr(recording, "read")
