"""A proxy in front of a server, which can be killed: its connections break off, and none is accepted for a while."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

__all__ = ["KillableProxy", "killable_proxy"]


class KillableProxy:
    """The proxy.

    Args:
        upstream: The URL of the server.

    Attributes:
        kills: How often it was killed.
    """

    def __init__(self, upstream: str) -> None:
        parts = urlsplit(upstream)
        self._place = (parts.hostname, parts.port)
        self._writers: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None
        self._port = 0
        self._restart: asyncio.Task[None] | None = None
        self.kills = 0
        self._trap: tuple[bytes, float] | None = None
        self._sprung: float | None = None  # the request was forwarded; the answer kills

    def url(self, upstream: str) -> str:
        """A URL of the server as that of the proxy."""
        return urlsplit(upstream)._replace(netloc=f"127.0.0.1:{self._port}").geturl()

    async def listen(self) -> None:
        """Accept connections, at the port of before."""
        self._listener = await asyncio.start_server(self._connected, "127.0.0.1", self._port)
        self._port = self._listener.sockets[0].getsockname()[1]

    def kill(self, down: float = 0.05) -> None:
        """Break all connections off, and accept none for some seconds."""
        self.kills += 1
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for writer in list(self._writers):
            writer.transport.abort()
        self._restart = asyncio.create_task(self._listen_later(down))

    def kill_after_request(self, words: str, down: float = 0.05) -> None:
        """Kill it once the server answers the next request whose bytes contain some words."""
        self._trap = (words.encode(), down)

    async def close(self) -> None:
        """Close everything."""
        if self._restart is not None:
            self._restart.cancel()
        if self._listener is not None:
            self._listener.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _listen_later(self, down: float) -> None:
        await asyncio.sleep(down)
        await self.listen()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there_reader, there_writer = await asyncio.open_connection(*self._place)
        self._writers |= {writer, there_writer}
        try:
            tasks = [
                asyncio.create_task(self._copy(reader, there_writer, is_request=True)),
                asyncio.create_task(self._copy(there_reader, writer, is_request=False)),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            for each in (writer, there_writer):
                self._writers.discard(each)
                each.transport.abort() if self._listener is None else each.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_request: bool) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                if self._sprung is not None and not is_request:
                    down, self._sprung = self._sprung, None
                    self.kill(down)
                    return
                if is_request and self._trap is not None and self._trap[0] in data:
                    self._sprung, self._trap = self._trap[1], None
                writer.write(data)
                await writer.drain()


@asynccontextmanager
async def killable_proxy(upstream: str) -> AsyncIterator[KillableProxy]:
    """Run a proxy on a free port of loopback."""
    proxy = KillableProxy(upstream)
    await proxy.listen()
    try:
        yield proxy
    finally:
        await proxy.close()
