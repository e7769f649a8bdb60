"""The server of recordings: raw events in, WebSocket messages out, to each client from the beginning."""

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
from runstream.recordings.jsonl import replace_surrogates
from runstream.recordings.pacing import Pace

__all__ = [
    "Frame",
    "RecordingServer",
    "discard_messages",
    "encode_frames",
    "serve_recording",
    "server_address",
    "stop_server",
]

_CLOSE_TIMEOUT: Final = 1.0  # seconds for clients to close their connections when the server stops


class Frame(Struct, frozen=True):
    """One WebSocket message.

    Attributes:
        data: The bytes to send.
        at: When it was recorded (Unix seconds), if known.
        text: True if it is sent as text (RFC 6455, section 5.6: UTF-8), False if as binary.
    """

    data: bytes
    at: float | None = None
    text: bool = True


class RecordingServer(Struct, frozen=True):
    """A running server.

    Attributes:
        url: The URL for WebSocket clients (``ws://``).
    """

    url: str


def encode_frames(items: Iterable[Any]) -> list[Frame]:
    """Encode raw events as envelopes ``{"event": ..., "data": ..., "id"?: ...}``; the JSON text of the data is kept.

    An event without a name is sent as it is: its data is an envelope already. Data that is not JSON becomes a JSON
    string. Items other than raw events (the unusable parts of a damaged file) are skipped.
    """
    frames = []
    for item in items:
        if isinstance(item, RawEvent):
            data = item.data if item.event is None else _encode_envelope(item.event, item)
            frames.append(Frame(data, item.at, _is_utf8(data)))
    return frames


def _encode_envelope(name: str, item: RawEvent) -> bytes:
    envelope: dict[str, Any] = {"event": replace_surrogates(name), "data": msgspec.Raw(_json_or_string(item.data))}
    if item.id is not None:
        envelope["id"] = replace_surrogates(item.id)
    return msgspec.json.encode(envelope)


def _json_or_string(data: bytes) -> bytes:
    try:
        msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return msgspec.json.encode(data.decode(errors="replace"))
    return data


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

    A slow client slows only its own messages, and there is no time limit. Messages of clients are discarded.

    Args:
        items: The recording.
        host: The host name or address to listen at.
        port: The number of the TCP port; 0 for a free one.
        speed: Factor by which it is faster than recorded; 0 for as fast as the client receives it.
        gap: Seconds between two events without a time of arrival, before ``speed``.

    Raises:
        OSError: The address is not available.
        ValueError: ``speed`` or ``gap`` is negative.
    """
    Pace(speed, gap=gap)  # wrong values are reported at once, not to the first client
    frames = encode_frames(items)
    clients: set[ServerConnection] = set()

    async def client(connection: ServerConnection) -> None:
        clients.add(connection)
        # Reading also detects a client that leaves, or the stop of the server, during a long pause.
        left = asyncio.create_task(discard_messages(connection))
        try:
            with suppress(ConnectionClosed):
                await _send_frames(connection, frames, Pace(speed, gap=gap), left)
                await connection.close()
        finally:
            left.cancel()
            clients.discard(connection)

    # Neither pings nor a limit on closing: a client may be blocked by its reader (a pager, a debugger) for minutes,
    # and the messages that it has not read yet would be lost. Compressing costs more than loopback does.
    server = await serve(client, host, port, ping_interval=None, close_timeout=None, compression=None)
    try:
        yield RecordingServer(f"ws://{server_address(server)}")
    finally:
        await stop_server(server, clients)


async def stop_server(server: Server, clients: Collection[ServerConnection]) -> None:
    """Close a server and its clients (1001) within little more than a second, including clients that do not read."""
    server.close()
    try:
        async with asyncio.timeout(_CLOSE_TIMEOUT):
            await asyncio.shield(server.wait_closed())
    except TimeoutError:
        for connection in clients:
            connection.transport.abort()
        await server.wait_closed()


def server_address(server: Server) -> str:
    """Return the address at which a server listens, as ``host:port`` for a URL."""
    host, port = next(iter(server.sockets)).getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _send_frames(
    connection: ServerConnection, frames: Iterable[Frame], pace: Pace, left: asyncio.Task[None]
) -> None:
    clock = asyncio.get_running_loop().time
    for frame in frames:
        if (pause := pace.delay(frame.at, clock())) > 0 and (await asyncio.wait({left}, timeout=pause))[0]:
            return
        await connection.send(frame.data, text=frame.text)  # waits while the client is behind


async def discard_messages(connection: ServerConnection) -> None:
    """Receive the messages of a client and discard them, until it leaves."""
    with suppress(ConnectionClosed):
        while True:
            await connection.recv(decode=False)
