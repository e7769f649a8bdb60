"""The embedded server: recordings in, WebSocket messages out, to any number of clients, each from the beginning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from msgspec import Struct
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from runstream.raw import RawEvent

__all__ = ["Frame", "RecordingServer", "frames_of", "serve_recording"]


class Frame(Struct, frozen=True):
    """One WebSocket message, and when it was recorded (Unix seconds, where known)."""

    text: str
    at: float | None = None


class RecordingServer(Struct, frozen=True):
    """A running server. ``url`` is where it listens."""

    url: str


def frames_of(items: Iterable[Any]) -> list[Frame]:
    """Raw events as envelopes ``{"event": ..., "data": ..., "id"?: ...}``; the data's JSON text stays as it came.

    What is no raw event (the unusable parts of a damaged file) is left out; data that is not JSON becomes a string.
    """
    frames = []
    for item in items:
        if isinstance(item, RawEvent):
            text = item.data if item.event is None else _envelope(item.event, item)
            frames.append(Frame(text.decode(errors="replace"), item.at))
    return frames


def _envelope(name: str, item: RawEvent) -> bytes:
    envelope: dict[str, Any] = {"event": name, "data": msgspec.Raw(_json(item.data))}
    if item.id is not None:
        envelope["id"] = item.id
    return msgspec.json.encode(envelope)


def _json(data: bytes) -> bytes:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return msgspec.json.encode(data.decode(errors="replace"))
    return data


@asynccontextmanager
async def serve_recording(
    items: Iterable[Any], *, host: str = "127.0.0.1", port: int = 0, speed: float = 1.0, gap: float = 0.0
) -> AsyncIterator[RecordingServer]:
    """Serve raw events to every client, from the first to the last, then close with 1000 (RFC 6455, section 7.4.1).

    Args:
        items: The recording.
        host: Where to listen.
        port: The port; 0 for a free one.
        speed: How many times faster than recorded; 0 for as fast as the client takes it.
        gap: Seconds between two events that carry no time of arrival, before ``speed``.

    Raises:
        OSError: The address can't be had.
    """
    frames = await asyncio.to_thread(frames_of, items)

    async def play(connection: ServerConnection) -> None:
        loop = asyncio.get_running_loop()
        due, last = loop.time(), None
        try:
            for frame in frames:
                if speed > 0:
                    pause = gap if frame.at is None or last is None else max(0.0, frame.at - last)
                    last = frame.at
                    # By the clock, so that delays do not add up.
                    due += pause / speed
                    if due > loop.time():
                        await asyncio.sleep(due - loop.time())
                await connection.send(frame.text)  # waits while the client is behind
        except ConnectionClosed:
            return

    async with serve(play, host, port) as server:
        address = next(iter(server.sockets)).getsockname()
        shown = f"[{address[0]}]" if ":" in address[0] else address[0]
        yield RecordingServer(f"ws://{shown}:{address[1]}")
