"""From a stream to any number of clients: each gets what changed, at its own pace, and slows nobody."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any, Final

import msgspec
from reactivex import abc

from runstream.core.state import RunState
from runstream.model.signals import (
    RunInterrupted,
    RunPaused,
    RunStalled,
    SourceConnected,
    SourceDisconnected,
    SourceEnded,
)
from runstream.sinks.page.diff import Cursor
from runstream.sinks.page.snapshot import Board
from runstream.stream.run_stream import RunStream

__all__ = ["PageFeed"]

HEARTBEAT: Final = 15.0
"""Seconds after which a frame is sent though nothing has changed: a page can't see pings, and must know that the
connection lives."""

_POLL: Final = 1.0  # seconds; counts, such as that of duplicates, grow without any run changing


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
        self._interval = 1 / rate
        self._clock = clock
        self._clients = 0
        self._visited = asyncio.Event()
        self._waiting: set[asyncio.Future[None]] = set()
        self._board = board = Board(
            max_runs=max_runs, max_text=max_text, clock=clock, stats=lambda: stream.stats, changed=self._wake
        )
        replaying = True

        def take(state: RunState) -> None:
            board.state(state, held=replaying)

        self._handles: list[abc.DisposableBase] = [
            stream.runs.subscribe(take, self._end, board.end),
            stream.rejects.subscribe(self._reject, self._reject),
            stream.on((RunPaused, RunInterrupted, RunStalled), board.note),
            stream.on((SourceConnected, SourceDisconnected, SourceEnded), board.source),
        ]
        replaying = False

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
        self._board.end()

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
                version, due, closed = self._board.version, loop.time() + self._interval, not self._handles
                frame = cursor.frame(self._board, now := self._clock())
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
                if version == self._board.version:
                    await self._change()
        finally:
            self._clients -= 1

    def _end(self, _: Exception) -> None:
        self._board.end()

    def _reject(self, _: object) -> None:
        self._board.touch()

    def _wake(self) -> None:
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
