"""What the server has done for each case: a file in memory that both processes see, and that outlives a kill."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path
from typing import Final

__all__ = ["SLOTS", "Slot", "Slots"]

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
