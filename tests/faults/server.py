"""The server: ``python -m tests.faults.server SLOTS VICTIMS``. It serves until its standard input is closed.

It prints its ports as one line of JSON. The first port serves cases concurrently. Each other port serves one case at a
time, which may kill the process (SIGKILL); it is then restarted on the same port.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path
from urllib.parse import unquote

from tests.faults.cases import Case
from tests.faults.connection import Connection, reply
from tests.faults.process import Slots

__all__: list[str] = []


async def _serve(listener: socket.socket, slots: Slots) -> None:
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await _answer(reader, writer, slots)
        except (OSError, EOFError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # the client closed the connection
        finally:
            tasks.discard(task)
            writer.transport.abort() if not writer.is_closing() else None

    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(sys.stdin.fileno(), over.set)
    async with await asyncio.start_server(connected, sock=listener, limit=2**20, backlog=512):
        await over.wait()
        for task in tasks:
            task.cancel()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, slots: Slots) -> None:
    head = await reader.readuntil(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n") if b": " in line)
    body = await reader.readexactly(int(fields.get(b"content-length", b"0")))  # unread, it would cause a reset
    _, slot, line, *path = head.split(b" ", 2)[1].decode().split("/", 3)
    case = Case.parse(unquote(line))
    if path and "/stream" not in path[0]:
        writer.write(reply(case, slots.find(slot), path[0]))
        await writer.drain()
        writer.close()
        return
    await Connection(case, slots.find(slot), head, body, reader, writer).serve()


def _reserved() -> socket.socket:
    """A port that stays reserved while no process listens on it."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    return listener


def _guard(port: int, slots: Slots) -> None:
    """Keep a server running on a port until it ends by itself."""
    status = int(signal.SIGKILL)
    while os.WIFSIGNALED(status):
        child = os.fork()
        if child == 0:
            asyncio.run(_serve(_listening(port), slots))
            os._exit(0)
        _, status = os.waitpid(child, 0)
    os._exit(0)


def main(path: str, victims: int) -> None:
    """Start all processes and serve."""
    slots = Slots(Path(path))
    reserved = [_reserved() for _ in range(victims + 1)]
    ports = [port.getsockname()[1] for port in reserved]
    for port in ports[1:]:
        if os.fork() == 0:
            _guard(port, slots)
    listener = _listening(ports[0])
    listener.listen(512)
    print(json.dumps(ports), flush=True)
    asyncio.run(_serve(listener, slots))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
