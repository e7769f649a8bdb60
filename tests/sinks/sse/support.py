"""What the tests of the relay share: a client that puts runs together from events, as a page does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext, suppress
from typing import Any

import uvicorn

from runstream.testing import script

__all__ = ["Proxy", "Viewer", "answer", "parse", "serving"]

LIMIT = 20.0  # seconds, for what takes less than one


class Viewer:
    """A page's view of runs: it fails on a gap, an overlap, and a fact that comes twice.

    Attributes:
        last_id: The last id, as ``EventSource`` keeps it.
        texts: The texts of messages, by run.
        types: The types of the facts, in order.
        snapshots: The number of snapshots.
        comments: The number of heartbeats.
        end: The data of the last event.
    """

    def __init__(self) -> None:
        self.last_id = ""
        self.runs: dict[str, tuple[dict[str, str], set[str]]] = {}
        self.types: list[str] = []
        self.snapshots = self.comments = 0
        self.end: Any = None

    @property
    def texts(self) -> dict[str, str]:
        return {run: "".join(texts.values()) for run, (texts, _) in self.runs.items() if texts}

    def add(self, chunk: bytes) -> None:
        """Process the events of a chunk."""
        for id, name, data in parse(chunk):
            if id is not None:
                self.last_id = id
            if name == "":
                self.comments += 1
            elif name == "retry":
                continue
            elif name == "snapshot":
                self.snapshots += 1
                if data["whole"]:
                    self.runs.clear()
                for run in data["runs"]:
                    self.runs.pop(run["run_id"], None)
                    for signal in run["signals"]:
                        self._signal(signal)
            elif name == "end":
                assert self.end is None
                self.end = data
            else:
                self._signal(data)

    def _signal(self, signal: dict[str, Any]) -> None:
        texts, keys = self.runs.setdefault(signal.get("run_id", ""), ({}, set()))
        if signal["type"] == "message.text":
            place, _, offset = signal["key"].rpartition("/")
            assert len(texts.get(place, "")) == int(offset) == signal["offset"]
            texts[place] = texts.get(place, "") + signal["delta"]
        elif "delta" not in signal:
            assert signal["key"] not in keys, f"twice: {signal['key']}"
            keys.add(signal["key"])
            self.types.append(signal["type"])


def parse(chunk: bytes) -> list[tuple[str | None, str, Any]]:
    """The id, the name and the data of each event; the name of a comment is ""; the id is ``None`` if absent."""
    found: list[tuple[str | None, str, Any]] = []
    for block in chunk.decode().split("\n\n")[:-1]:
        fields = {
            name: value.removeprefix(" ") for name, _, value in (line.partition(":") for line in block.split("\n"))
        }
        if "" in fields:
            found.append((None, "", None))
        elif "retry" in fields:
            found.append((None, "retry", int(fields["retry"])))
        else:
            found.append((fields.get("id"), fields.get("event", "message"), json.loads(fields["data"])))
    return found


def answer(
    run_id: str = "run_1", text: str = "The answer is “forty-two” 🙂, as ever.", status: str = "completed"
) -> Any:
    """The raw events of a run with one message, a character an event."""
    return script(run_id).start().say(text, pieces=list(text)).end(status).raw_events()


@asynccontextmanager
async def serving(app: Any, **options: Any) -> AsyncIterator[tuple[str, uvicorn.Server]]:
    """Serve an application with uvicorn; yields its URL, and the server, which a test may stop itself."""
    config = uvicorn.Config(app, port=0, log_config=None, log_level="critical", **{"lifespan": "off", **options})
    server = uvicorn.Server(config)
    server.capture_signals = _no_signals  # type: ignore[method-assign]
    task = asyncio.create_task(server.serve())
    try:
        async with asyncio.timeout(LIMIT):
            while not server.started:
                await asyncio.sleep(0.005)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}", server
    finally:
        server.should_exit = True
        async with asyncio.timeout(LIMIT):
            await task


def _no_signals() -> Any:
    return nullcontext()  # the signals of the test's process stay its own


class Proxy:
    """A TCP proxy before a server, which can cut all connections, and counts them.

    Attributes:
        url: Its address.
        connections: The number of connections so far.
    """

    def __init__(self, port: int) -> None:
        self.connections = 0
        self.requests: list[str] = []
        self._port = port
        self._open: set[asyncio.StreamWriter] = set()
        self.url = ""

    @classmethod
    @asynccontextmanager
    async def before(cls, url: str) -> AsyncIterator[Proxy]:
        """A proxy before this address."""
        proxy = cls(int(url.rsplit(":", 1)[1]))
        server = await asyncio.start_server(proxy._relay, "127.0.0.1", 0)
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield proxy
        finally:
            server.close()
            proxy.cut()
            await server.wait_closed()

    def cut(self) -> None:
        """Abort all connections."""
        for writer in self._open:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        writers = {writer, far_writer}
        self._open |= writers
        try:
            copies = [
                asyncio.ensure_future(self._copy(reader, far_writer, note=True)),
                asyncio.ensure_future(self._copy(far_reader, writer)),
            ]
            await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
            for copy in copies:
                copy.cancel()
            await asyncio.gather(*copies, return_exceptions=True)
        finally:
            self._open -= writers
            for each in writers:
                each.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, note: bool = False) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if note:
                    self.requests += [line for line in data.decode("latin-1").split("\r\n") if line.startswith("GET ")]
                writer.write(data)
                await writer.drain()
