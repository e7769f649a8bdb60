"""The server's process, seen from the test: started once, its ports, its memory of each case."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import quote

from tests.faults.cases import Case
from tests.faults.slots import SLOTS, Slot, Slots

__all__ = ["Place", "Server", "serving_faults"]

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
