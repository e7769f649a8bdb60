"""The process of the server as the test uses it: start, ports, and the shared record of each case."""

from __future__ import annotations

import asyncio
import json
import mmap
import struct
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tests.faults.cases import Case
from tests.support.processes import server_process

__all__ = ["SLOTS", "Endpoint", "Server", "Slot", "Slots", "run_server"]

VICTIMS: Final = 4
_PATIENCE: Final = 20.0  # seconds


class Endpoint:
    """The endpoint of one case."""

    def __init__(self, port: int, number: int, slot: Slot, case: Case) -> None:
        self.slot = slot
        self._rest = f"127.0.0.1:{port}/{number}.{slot.use}/{quote(str(case), safe='')}"

    def url(self, scheme: str) -> str:
        """The URL of the case."""
        return f"{scheme}://{self._rest}"


class Server:
    """The running server.

    Args:
        ports: The common port, then the ports of the processes that may be killed.
        slots: The records of the cases.
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
    async def endpoint(self, case: Case) -> AsyncIterator[Endpoint]:
        """Reserve an endpoint for a case; a case that kills its process has a process of its own."""
        number = await self._free.get()
        slot = self._slots[number]
        slot.clear()
        kills = case.has("kill")
        port = await self._victims.get() if kills else self._port
        try:
            if kills:
                await _listens(port)
            yield Endpoint(port, number, slot, case)
        finally:
            self._free.put_nowait(number)
            if kills:
                self._victims.put_nowait(port)


async def _listens(port: int) -> None:
    """Wait until a killed server listens again."""
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
def run_server() -> Iterator[tuple[list[int], Slots]]:
    """Start the process; yields the arguments of :class:`Server`, for any number of event loops in succession."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "slots"
        slots = Slots(path, create=True)
        try:
            with server_process("tests.faults.server", path, VICTIMS, timeout=_PATIENCE) as (ports, _):
                yield json.loads(ports), slots
        finally:
            slots.close()


SLOTS: Final = 64
_NUMBER: Final = struct.Struct("<I")
_HEAD_BYTES: Final = 5 * _NUMBER.size
_EVENTS: Final = 4096
_SIZE: Final = _HEAD_BYTES + _EVENTS


class Slots:
    """The records of all cases that run at the same time: a memory map shared by both processes, which survives a kill.

    Args:
        path: The file.
        create: Whether to create it.
    """

    def __init__(self, path: Path, *, create: bool = False) -> None:
        if create:
            path.write_bytes(bytes(_SIZE * SLOTS))
        self._directory = path.parent
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _SIZE * SLOTS)

    def __getitem__(self, number: int) -> Slot:
        return Slot(self._memory, number * _SIZE, self._directory / f"recording{number}")

    def find(self, name: str) -> Slot:
        """The record with the number and the use that a URL names."""
        number, _, use = name.partition(".")
        return Slot(self._memory, int(number) * _SIZE, self._directory / f"recording{number}", int(use))

    def close(self) -> None:
        """Close the memory map."""
        self._memory.close()


class Slot:
    """The record of one case: what the server has done for it.

    Args:
        memory: The memory of all slots.
        start: The place of its part.
        file: A path for a file of the case.
        use: The use for which changes count: a connection of an earlier case may end late. ``None``: each one.

    Attributes:
        file: A path for a file of the case.
    """

    def __init__(self, memory: mmap.mmap, start: int, file: Path, use: int | None = None) -> None:
        self.file = file
        self._memory = memory
        self._start = start
        self._use = use

    def clear(self) -> None:
        """Reset the record for a new case."""
        use = self.use + 1
        self._memory[self._start : self._start + _SIZE] = bytes(_SIZE)
        self._set(4, use)

    @property
    def use(self) -> int:
        """Number of the case that uses it."""
        return self._get(4)

    def _get(self, endpoint: int) -> int:
        return int(_NUMBER.unpack_from(self._memory, self._start + endpoint * _NUMBER.size)[0])

    def _set(self, endpoint: int, value: int) -> None:
        if self._is_over:
            return
        _NUMBER.pack_into(self._memory, self._start + endpoint * _NUMBER.size, value)

    @property
    def connections(self) -> int:
        """Number of requests."""
        return self._get(0)

    @property
    def position(self) -> int:
        """The place after the last event sent."""
        return self._get(1)

    @position.setter
    def position(self, endpoint: int) -> None:
        self._set(1, endpoint)

    @property
    def executed_posts(self) -> int:
        """Number of POSTs that a client must consider as executed."""
        return self._get(2)

    @executed_posts.setter
    def executed_posts(self, count: int) -> None:
        self._set(2, count)

    @property
    def without_last_id(self) -> int:
        """Number of later connections that sent no last event id."""
        return self._get(3)

    @without_last_id.setter
    def without_last_id(self, count: int) -> None:
        self._set(3, count)

    @property
    def _is_over(self) -> bool:
        return self._use is not None and self._use != self.use

    def connect(self) -> int:
        """Count a new connection and return its number, from 0."""
        number = self.connections
        self._set(0, number + 1)
        return number

    def note(self, number: int) -> None:
        """Record that a complete event is being sent."""
        if not self._is_over:
            self._memory[self._start + _HEAD_BYTES + number] = 1

    def sent(self) -> frozenset[int]:
        """The numbers of the events that were sent completely; not all of them need to have arrived."""
        events = self._memory[self._start + _HEAD_BYTES : self._start + _SIZE]
        return frozenset(number for number, sent in enumerate(events) if sent)
