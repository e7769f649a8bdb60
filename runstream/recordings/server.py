"""The embedded server: recordings in, WebSocket messages out, to any number of clients, each from the beginning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import msgspec
from msgspec import Struct
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from runstream.model.raw import RawEvent
from runstream.recordings.pacing import Pace

__all__ = ["Frame", "RecordingServer", "address_of", "frames_of", "read_away", "serve_recording", "stop"]

_GRACE: Final = 1.0  # seconds that clients have to take their leave when the server stops


class Frame(Struct, frozen=True):
    """One WebSocket message.

    Attributes:
        data: What is sent.
        at: When it was recorded (Unix seconds), where known.
        text: Whether it is sent as text (RFC 6455, section 5.6: UTF-8) or, where it isn't UTF-8, as binary.
    """

    data: bytes
    at: float | None = None
    text: bool = True


class RecordingServer(Struct, frozen=True):
    """A running server. ``url`` is where it listens."""

    url: str


def frames_of(items: Iterable[Any]) -> list[Frame]:
    """Raw events as envelopes ``{"event": ..., "data": ..., "id"?: ...}``; the data's JSON text stays as it came.

    An event without a name is sent as it is: its data is an envelope already. Data that is not JSON becomes a JSON
    string. What is no raw event (the unusable parts of a damaged file) is left out.
    """
    frames = []
    for item in items:
        if isinstance(item, RawEvent):
            data = item.data if item.event is None else _envelope(item.event, item)
            frames.append(Frame(data, item.at, _is_utf8(data)))
    return frames


def _envelope(name: str, item: RawEvent) -> bytes:
    envelope: dict[str, Any] = {"event": _sound(name), "data": msgspec.Raw(_json(item.data))}
    if item.id is not None:
        envelope["id"] = _sound(item.id)
    return msgspec.json.encode(envelope)


def _json(data: bytes) -> bytes:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return msgspec.json.encode(data.decode(errors="replace"))
    return data


def _sound(text: str) -> str:
    return text.encode(errors="replace").decode()


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


@asynccontextmanager
async def serve_recording(
    items: Iterable[Any], *, host: str = "127.0.0.1", port: int = 0, speed: float = 1.0, gap: float = 0.0
) -> AsyncIterator[RecordingServer]:
    """Serve raw events to every client, from the first to the last, then close with 1000 (RFC 6455, section 7.4.1).

    A client that is slow slows its own sending and nobody else's; it is given all the time it wants. What clients
    send is read and thrown away.

    Args:
        items: The recording.
        host: Where to listen.
        port: The port; 0 for a free one.
        speed: How many times faster than recorded; 0 for as fast as the client takes it.
        gap: Seconds between two events that carry no time of arrival, before ``speed``.

    Raises:
        OSError: The address can't be had.
        ValueError: ``speed`` or ``gap`` is negative.
    """
    Pace(speed, gap=gap)  # what is wrong with them must not be found out by the first client
    frames = frames_of(items)
    clients: set[ServerConnection] = set()

    async def client(connection: ServerConnection) -> None:
        clients.add(connection)
        # Reading also notices a client that leaves, or the server's own end, in the middle of a long pause.
        gone = asyncio.create_task(read_away(connection))
        try:
            with suppress(ConnectionClosed):
                await _play(connection, frames, Pace(speed, gap=gap), gone)
                await connection.close()
        finally:
            gone.cancel()
            clients.discard(connection)

    # Neither pings nor a limit on closing: a client may be held by its reader (a pager, a debugger) for minutes,
    # and what it has not read yet would be lost. Compressing costs more than loopback does.
    server = await serve(client, host, port, ping_interval=None, close_timeout=None, compression=None)
    try:
        yield RecordingServer(f"ws://{address_of(server)}")
    finally:
        await stop(server, clients)


async def stop(server: Server, clients: Collection[ServerConnection]) -> None:
    """Close a server and its clients (1001), in little more than a second, also those that do not read."""
    server.close()
    try:
        async with asyncio.timeout(_GRACE):
            await asyncio.shield(server.wait_closed())
    except TimeoutError:
        for connection in clients:
            connection.transport.abort()
        await server.wait_closed()


def address_of(server: Server) -> str:
    """``host:port`` where a server listens, as it stands in a URL."""
    host, port = next(iter(server.sockets)).getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _play(connection: ServerConnection, frames: Iterable[Frame], pace: Pace, gone: asyncio.Task[None]) -> None:
    clock = asyncio.get_running_loop().time
    for frame in frames:
        if (pause := pace.wait(frame.at, clock())) > 0 and (await asyncio.wait({gone}, timeout=pause))[0]:
            return
        await connection.send(frame.data, text=frame.text)  # waits while the client is behind


async def read_away(connection: ServerConnection) -> None:
    """Read what a client sends, and throw it away, until it leaves."""
    with suppress(ConnectionClosed):
        while True:
            await connection.recv(decode=False)
