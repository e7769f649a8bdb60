"""From a stream to any number of clients: each gets what changed, at its own pace, and slows nobody."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec
from reactivex import abc

from runstream.core.limits import Stats
from runstream.core.signals import (
    RunInterrupted,
    RunPaused,
    RunStalled,
    SourceConnected,
    SourceDisconnected,
    SourceEnded,
    SourceSignal,
)
from runstream.core.state import RunState
from runstream.sinks.page.frames import Cursor
from runstream.sinks.page.views import Fact, RunView, view_of
from runstream.stream import RunStream

__all__ = ["PageFeed"]

MAX_BLOCKS: Final = 50
"""Messages and tool calls of one run that are shown: the last ones."""

MAX_SOURCES: Final = 20
"""Sources that are named; there may be more."""

HEARTBEAT: Final = 15.0
"""Seconds after which a frame is sent though nothing has changed: a page can't see pings, and must know that the
connection lives."""

_POLL: Final = 1.0  # seconds; counts, such as that of duplicates, grow without any run changing


class _Entry:
    """A run that is shown."""

    __slots__ = ("_view", "began", "max_text", "note", "number", "state", "version")

    def __init__(self, number: int, state: RunState, began: float, max_text: int) -> None:
        self.number = number
        self.state = state
        self.began = began
        self.max_text = max_text
        self.note: str | None = None
        self.version = 0
        self._view: RunView | None = None

    def changed(self) -> None:
        """Make the view anew when somebody asks for it."""
        self._view = None

    def view(self) -> RunView:
        """What is shown of it now; made once for all clients."""
        if self._view is None:
            took = self.state.timings.total
            self._view = view_of(
                self.state,
                max_text=self.max_text,
                max_blocks=MAX_BLOCKS,
                began=self.began,
                took=took,
                note=None if self.state.is_terminal else self.note,
            )
        return self._view


class PageFeed:
    """What a page shows of a stream, for any number of clients.

    It follows the stream at the cost of a few operations a change, and keeps the latest states only: what a client
    gets is made when that client is ready for it. So a slow client gets fewer and larger frames, and neither the
    stream nor another client waits for it, whatever it does.

    :func:`~runstream.serve_page` and :class:`~runstream.PageApp` make one of a stream. Make it yourself to give
    several of them the same one, or to send its :meth:`frames` by the means of any framework::

        feed = PageFeed(stream)

        @app.websocket("/runs/socket")
        async def socket(websocket: WebSocket) -> None:
            await websocket.accept()
            with suppress(WebSocketDisconnect):
                async for frame in feed.frames():
                    await websocket.send_text(frame)

    Args:
        stream: The stream. Reading does not start by this.
        rate: Frames a second that one client gets at most.
        max_runs: Runs that are shown. When there are more, those leave first that ended first; while all are
            open, further ones are only counted.
        max_text: Characters that are shown of one message or of one call's arguments, the last ones.
        clock: Gives the time in Unix seconds.

    Raises:
        ValueError: A bound is not positive.
    """

    def __init__(
        self,
        stream: RunStream,
        *,
        rate: float = 10.0,
        max_runs: int = 200,
        max_text: int = 20_000,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not (rate > 0 and max_runs > 0 and max_text > 1):
            raise ValueError("rate, max_runs and max_text must be positive (max_text at least 2)")
        self.feed = secrets.token_hex(4)
        self.removals = 0
        self._interval = 1 / rate
        self._max_runs = max_runs
        self._max_text = max_text
        self._clock = clock
        self._stream = stream
        self._version = 0
        self._numbers = 0
        self._ended: float | None = None
        self._clients = 0
        self._visited = asyncio.Event()
        # In the order of their last change, so that what is new for a client stands at the end.
        self._entries: dict[tuple[str, str], _Entry] = {}
        self._finished: dict[tuple[str, str], None] = {}
        self._hidden: dict[tuple[str, str], None] = {}
        self._sources: dict[str, str] = {}
        self._waiting: set[asyncio.Future[None]] = set()
        self._handles: list[abc.DisposableBase] = [
            stream.runs.subscribe(self._state, self._end, self._end),
            stream.rejects.subscribe(self._touch, self._touch),
            stream.on((RunPaused, RunInterrupted, RunStalled), self._note),
            stream.on((SourceConnected, SourceDisconnected, SourceEnded), self._source),
        ]

    @property
    def clients(self) -> int:
        """How many clients are being served."""
        return self._clients

    async def visited(self) -> None:
        """Wait until the first client has come; at once if one has."""
        await self._visited.wait()

    def close(self) -> None:
        """Follow the stream no more. Clients keep what they have, and their frames end."""
        for handle in self._handles:
            handle.dispose()
        self._handles = []
        self._end()

    async def frames(self) -> AsyncGenerator[str, None]:
        """The frames for one client, as JSON text: first what there is now, then what changed, conflated.

        They end when the feed is closed; the end of the stream is told in a frame, and the frames go on. Take the
        next one when the last one is on its way: what changes meanwhile goes into one frame.
        """
        cursor, loop = Cursor(), asyncio.get_running_loop()
        self._clients += 1
        self._visited.set()
        try:
            spoke = loop.time()
            while True:
                version, due, closed = self._version, loop.time() + self._interval, not self._handles
                frame = cursor.frame(self, now := self._clock())
                if frame is None and loop.time() - spoke >= HEARTBEAT:
                    frame = {"now": now}
                if frame is not None:
                    yield _encode(frame)
                    spoke = loop.time()
                    if "more" in frame:
                        continue
                if closed:
                    return
                await asyncio.sleep(max(0.0, due - loop.time()))
                if version == self._version:
                    await self._change()
        finally:
            self._clients -= 1

    # What a cursor asks for

    def page(self) -> Mapping[str, Fact]:
        """Facts of the whole page."""
        stats: Stats = self._stream.stats
        return {
            "ended": self._ended,  # when (Unix seconds); the time that runs have taken stands still then
            "open": stats.open_runs,
            "finished": stats.finished_runs + stats.evicted_runs,
            "hidden": len(self._hidden),
            "events": stats.events,
            "rejected": stats.rejected,
            "duplicates": stats.duplicates,
            "sources": "\n".join(f"{name}: {state}" for name, state in self._sources.items()),
        }

    def since(self, version: int) -> Iterable[_Entry]:
        """The runs that changed after this version, the earliest change first."""
        return reversed(list(self._newer(version)))

    def numbers(self) -> Iterable[int]:
        """The numbers of all runs that are shown."""
        return [entry.number for entry in self._entries.values()]

    def _newer(self, version: int) -> Iterator[_Entry]:
        for entry in reversed(self._entries.values()):
            if entry.version <= version:
                return
            yield entry

    # What the stream tells

    def _state(self, state: RunState) -> None:
        key = (state.scope, state.run_id)
        entry = self._entries.pop(key, None)
        if entry is None:
            if not self._room():
                if not state.is_terminal and len(self._hidden) < self._max_runs * 100:
                    self._hidden[key] = None
                else:
                    self._hidden.pop(key, None)
                self._touch()
                return
            self._hidden.pop(key, None)
            self._numbers += 1
            entry = _Entry(self._numbers, state, self._began(state), self._max_text)
        else:
            entry.state = state
        # What was said of its source holds until it goes on.
        entry.note = None
        self._put(key, entry)
        if state.is_terminal:
            self._finished[key] = None
        else:
            self._finished.pop(key, None)

    def _began(self, state: RunState) -> float:
        """When it began, for what is known: a page may be opened on a stream that was read for long."""
        timings = state.timings
        return self._clock() - sum(part or 0.0 for part in (timings.queued, timings.running, timings.waiting))

    def _room(self) -> bool:
        if len(self._entries) < self._max_runs:
            return True
        oldest = next(iter(self._finished), None)
        if oldest is None:
            return False
        del self._finished[oldest]
        del self._entries[oldest]
        self.removals += 1
        return True

    def _put(self, key: tuple[str, str], entry: _Entry) -> None:
        entry.changed()
        self._touch()
        entry.version = self._version
        self._entries[key] = entry

    def _note(self, signal: RunPaused | RunInterrupted | RunStalled) -> None:
        key = (signal.scope, signal.run_id)
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        match signal:
            case RunPaused():
                entry.note = "Its stream ended; it waits for action."
            case RunInterrupted(reason=reason):
                entry.note = f"Interrupted: {reason}"
            case RunStalled(idle=idle):
                entry.note = f"Nothing heard for {idle:.0f} s."
        self._put(key, entry)

    def _source(self, signal: SourceSignal) -> None:
        told = signal.type.removeprefix("source.")
        if signal.source in self._sources or len(self._sources) < MAX_SOURCES:
            self._sources[signal.source] = f"{told} ({signal.reason})" if signal.reason else told
        self._touch()

    def _end(self, _: Exception | None = None) -> None:
        if self._ended is None:
            self._ended = self._clock()
        self._touch()

    def _touch(self, _: Any = None) -> None:
        self._version += 1
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def _change(self) -> None:
        """Wait until something changes, or may have."""
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.add(waiting)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(_POLL):
                    await waiting
        finally:
            self._waiting.discard(waiting)


def _encode(frame: dict[str, Any]) -> str:
    try:
        return msgspec.json.encode(frame).decode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can write as an escape
        return json.dumps(frame)
