"""A stream in, frames for any number of clients out: each receives the changes at its own pace."""

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
from runstream.model.events import Reject
from runstream.model.progress_signals import PROGRESS
from runstream.model.signals import SIGNAL_TYPES, SourceConnected, SourceDisconnected, SourceEnded
from runstream.sinks.page.diff import ClientCursor
from runstream.sinks.page.snapshot import PageSnapshot
from runstream.sinks.run_table import NOTICES
from runstream.stream.run_stream import RunStream

__all__ = ["PageFeed"]

HEARTBEAT: Final = 15.0
"""Seconds after which a frame is sent without a change: a page receives no pings, and needs a sign that the connection
is open."""

_FACTS: Final = tuple(kind for kind in SIGNAL_TYPES.values() if kind not in PROGRESS)

_POLL: Final = 1.0  # seconds; counts, such as that of duplicates, grow without a change of a run


class PageFeed:
    """The content of a page for a stream, for any number of clients.

    It follows the stream at the cost of a few operations a change, and keeps the latest states only: the frame of a
    client is built when that client is ready for it. So a slow client receives fewer and larger frames, and neither
    the stream nor another client waits for it.

    :func:`~runstream.serve_page` and :class:`~runstream.PageApp` build one from a stream. Build it yourself to share it
    between several of them, or to send its :meth:`frames` with any framework::

        feed = PageFeed(stream)

        @app.websocket("/runs/socket")
        async def socket(websocket: WebSocket) -> None:
            await websocket.accept()
            with suppress(WebSocketDisconnect):
                async for frame in feed.frames():
                    await websocket.send_text(frame)

    Args:
        stream: The stream. The feed does not start reading.
        rate: The highest number of frames a second for one client.
        max_runs: Number of runs that are shown. When there are more, the runs that ended first are removed first; while
            all are open, further ones are only counted.
        max_text: Characters that are shown of one message or of the arguments of one call: the last ones.
        clock: Returns the time in Unix seconds.

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
        self._snapshot = snapshot = PageSnapshot(
            max_runs=max_runs, max_text=max_text, clock=clock, stats=lambda: stream.stats, on_change=self._wake
        )
        replaying = True

        def update(state: RunState) -> None:
            snapshot.update(state, earlier=replaying)

        self._subscriptions: list[abc.DisposableBase] = [
            stream.runs.subscribe(update, self._end, snapshot.end),
            stream.rejects.subscribe(self._reject, lambda _: snapshot.touch()),
            stream.on(_FACTS, snapshot.history.add_signal),
            stream.on(NOTICES, snapshot.add_notice),
            stream.on((SourceConnected, SourceDisconnected, SourceEnded), snapshot.add_source),
        ]
        replaying = False

    @property
    def clients(self) -> int:
        """The number of clients that are being served."""
        return self._clients

    async def visited(self) -> None:
        """Wait until the first client has connected; return at once if one has."""
        await self._visited.wait()

    def close(self) -> None:
        """Stop following the stream. Clients keep their content, and their frames end."""
        for subscription in self._subscriptions:
            subscription.dispose()
        self._subscriptions = []
        self._snapshot.end()

    async def frames(self) -> AsyncGenerator[str, None]:
        """The frames for one client, as JSON text: first the present content, then the changes, conflated.

        The frames end when the feed is closed. The end of the stream is reported in a frame, and the frames continue.
        Read the next frame when the last one has been sent: the changes in between are one frame.
        """
        cursor, loop = ClientCursor(), asyncio.get_running_loop()
        self._clients += 1
        self._visited.set()
        try:
            sent = loop.time()
            while True:
                version, due, closed = self._snapshot.version, loop.time() + self._interval, not self._subscriptions
                frame = cursor.frame(self._snapshot, now := self._clock())
                if frame is None and loop.time() - sent >= HEARTBEAT:
                    frame = {"now": now}
                if frame is not None:
                    yield _encode(frame)
                    sent = loop.time()
                    if "more" in frame:
                        continue
                if closed:
                    return
                await asyncio.sleep(max(0.0, due - loop.time()))
                if version == self._snapshot.version:
                    await self._change()
        finally:
            self._clients -= 1

    def _end(self, _: Exception) -> None:
        self._snapshot.end()

    def _reject(self, reject: Reject) -> None:
        self._snapshot.history.add_reject(reject, self._clock())
        self._snapshot.touch()

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def _change(self) -> None:
        """Wait until something changes, or may have changed."""
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
