"""The server's process, seen from the test: started once, its ports, its memory of each case."""

from __future__ import annotations

import asyncio
import json
import mmap
import struct
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tests.faults.cases import Case

__all__ = ["SLOTS", "Place", "Server", "Slot", "Slots", "serving_faults"]

VICTIMS: Final = 4
_PATIENCE: Final = 20.0  # seconds


class Place:
    """Where one case is served."""

    def __init__(self, port: int, number: int, slot: Slot, case: Case) -> None:
        self.slot = slot
        self._rest = f"127.0.0.1:{port}/{number}/{quote(str(case), safe='')}"

    def url(self, scheme: str) -> str:
        """The URL to ask."""
        return f"{scheme}://{self._rest}"


class Server:
    """The running server.

    Args:
        ports: The common port, then those of the victims.
        slots: Its memory.
    """

    def __init__(self, ports: list[int], slots: Slots) -> None:
        self._port = ports[0]
        self._victims: asyncio.Queue[int] = asyncio.Queue()
        self._free: asyncio.Queue[int] = asyncio.Queue()
        self._slots = slots
        for port in ports[1:]:
            self._victims.put_nowait(port)
        for number in range(SLOTS):
            self._free.put_nowait(number)

    @asynccontextmanager
    async def place(self, case: Case) -> AsyncIterator[Place]:
        """A place for a case; what may be killed is its own."""
        number = await self._free.get()
        slot = self._slots[number]
        slot.clear()
        kills = case.has("kill")
        port = await self._victims.get() if kills else self._port
        try:
            if kills:
                await _listens(port)
            yield Place(port, number, slot, case)
        finally:
            self._free.put_nowait(number)
            if kills:
                self._victims.put_nowait(port)


async def _listens(port: int) -> None:
    """Wait until a server that was killed is there again."""
    async with asyncio.timeout(_PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.005)
            else:
                writer.close()
                await writer.wait_closed()
                return


@contextmanager
def serving_faults() -> Iterator[tuple[list[int], Slots]]:
    """Start the process; gives what :class:`Server` needs, in any number of loops one after another."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "slots"
        slots = Slots(path, create=True)
        with subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server", str(path), str(VICTIMS)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        ) as process:
            try:
                assert process.stdout is not None
                yield json.loads(process.stdout.readline()), slots
            finally:
                try:
                    process.communicate(timeout=_PATIENCE)
                finally:
                    process.kill()
                    slots.close()


SLOTS: Final = 64
_NUMBER: Final = struct.Struct("<I")
_HEAD_BYTES: Final = 4 * _NUMBER.size
_EVENTS: Final = 4096
_SIZE: Final = _HEAD_BYTES + _EVENTS


class Slots:
    """All slots.

    Args:
        path: The file.
        create: Whether to make it.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if create:
            path.write_bytes(bytes(_SIZE * SLOTS))
        self._directory = path.parent
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SIZE * SLOTS)

    def __getitem__(self, number: int) -> Slot:
        return Slot(self._memory, number * _SIZE, self._directory / f"recording{number}")

    def close(self) -> None:
        """Let go of the memory."""
        self._memory.close()


class Slot:
    """What the server has done for one case.

    Args:
        memory: That of all slots.
        start: Where its own begins.
        file: A name for a file of its own.
    """

    def __init__(self, memory: mmap.mmap, start: int, file: Path) -> None:
        self.file = file
        self._memory = memory
        self._start = start

    def clear(self) -> None:
        """Begin a new case."""
        self._memory[self._start : self._start + _SIZE] = bytes(_SIZE)

    def _get(self, place: int) -> int:
        return int(_NUMBER.unpack_from(self._memory, self._start + place * _NUMBER.size)[0])

    def _set(self, place: int, value: int) -> None:
        _NUMBER.pack_into(self._memory, self._start + place * _NUMBER.size, value)

    @property
    def connections(self) -> int:
        """How many requests came."""
        return self._get(0)

    @property
    def position(self) -> int:
        """How far the last connection came in its order."""
        return self._get(1)

    @position.setter
    def position(self, place: int) -> None:
        self._set(1, place)

    @property
    def carried_out(self) -> int:
        """How many POSTs came of which the client may not think that nothing was done."""
        return self._get(2)

    @carried_out.setter
    def carried_out(self, count: int) -> None:
        self._set(2, count)

    @property
    def nameless(self) -> int:
        """How many connections came, after events with ids, that named none of them."""
        return self._get(3)

    @nameless.setter
    def nameless(self, count: int) -> None:
        self._set(3, count)

    def connect(self) -> int:
        """The number of a new connection, from 0."""
        number = self.connections
        self._set(0, number + 1)
        return number

    def note(self, number: int) -> None:
        """Say that an event is being sent, whole."""
        self._memory[self._start + _HEAD_BYTES + number] = 1

    def sent(self) -> frozenset[int]:
        """The events that were ever sent, whole; not all need have arrived."""
        events = self._memory[self._start + _HEAD_BYTES : self._start + _SIZE]
        return frozenset(number for number, sent in enumerate(events) if sent)
