"""The workers that are alive, by their signs of life: how many partitions each may own.

No leader and no agreement: the pins and the fence decide, and this only spreads the partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

import msgspec
from msgspec import Struct

__all__ = ["LifeSign", "Members"]


class LifeSign(Struct, frozen=True):
    """The sign of life of a worker.

    Attributes:
        name: Its name.
        partitions: The partitions that it owns.
        leaving: True for its last sign.
    """

    name: str
    partitions: list[int]
    leaving: bool = False


_decode = msgspec.json.Decoder(LifeSign).decode


class Members:
    """The workers of a cluster, as one of them sees them.

    Args:
        name: The name of this worker.
        partitions: The number of partitions.
        timeout: Seconds without a sign after which a worker counts as gone; also those after which a partition without
            an owner is free for every worker, whatever the shares are.
        clock: A clock in seconds.
    """

    def __init__(self, name: str, partitions: int, timeout: float, clock: Callable[[], float]) -> None:
        self._name = name
        self._partitions = partitions
        self._timeout = timeout
        self._clock = clock
        self._seen: dict[str, tuple[float, list[int]]] = {}
        self._free: dict[int, float] = {}  # since when each partition is without an owner

    def receive(self, data: bytes) -> None:
        """Note a sign of life; one that can't be read is ignored."""
        try:
            sign = _decode(data)
        except (msgspec.MsgspecError, UnicodeError):
            return
        if sign.name == self._name:
            return
        if sign.leaving:
            self._seen.pop(sign.name, None)
        else:
            self._seen[sign.name] = self._clock(), sign.partitions

    def others(self) -> dict[str, list[int]]:
        """The partitions of each other worker that is alive."""
        since = self._clock() - self._timeout
        self._seen = {name: found for name, found in self._seen.items() if found[0] >= since}
        return {name: partitions for name, (_, partitions) in self._seen.items()}

    def resume(self) -> None:
        """Count the others as alive: this worker was stopped or cut off, and has not received their signs."""
        now = self._clock()
        self._seen = {name: (now, partitions) for name, (_, partitions) in self._seen.items()}
        self._free.clear()

    def claimable(self, own: Collection[int]) -> list[int]:
        """The partitions that this worker may try to get: those without an owner, up to its share.

        The shares count every worker that is alive, also one that ends before it uses its own. So those that are
        without an owner for long are beyond all shares.
        """
        others, now = self.others(), self._clock()
        owned = {each for partitions in others.values() for each in partitions}
        free = [each for each in range(self._partitions) if each not in owned and each not in own]
        self._free = {each: self._free.get(each, now) for each in free}
        room = max(self._share(len(others) + 1) - len(own), 0)
        # Each worker begins at another place, so that two of them rarely try the same one.
        start = sum(self._name.encode()) % self._partitions
        free.sort(key=lambda each: (each - start) % self._partitions)
        return free[:room] + [each for each in free[room:] if now - self._free[each] >= self._timeout]

    def surplus(self, own: Collection[int]) -> int | None:
        """A partition that this worker has to release for others; ``None`` if its share is fair."""
        others = self.others()
        if not own or not others:
            return None
        fewest = min([len(partitions) for partitions in others.values()])
        if len(own) > self._share(len(others) + 1) or len(own) >= fewest + 2:
            return max(own)
        return None

    def _share(self, workers: int) -> int:
        return -(-self._partitions // workers)
