"""The last signals of a stream, shared by all clients. Pure; each operation costs the same for any size.

The entries are linked: those of the stream, and those of each run. A client keeps the entry that it received last, and
follows the links at its own pace. An entry that leaves the log cuts the link to itself, so that a slow client keeps no
memory, and notices that it has missed something.
"""

from __future__ import annotations

from collections import deque
from typing import Any
from weakref import WeakValueDictionary

from runstream.model.run import RunKey
from runstream.sinks.sse.frames import event_id, run_of

__all__ = ["Chain", "Entry", "History"]


class Chain:
    """The entries of one run, or of the whole stream.

    Attributes:
        run: The run; ``None`` for the stream.
        tail: The last entry; at first one without an item.
        removed: The entry that left the log last.
        ended: True if no further entry follows.
    """

    __slots__ = ("__weakref__", "ended", "removed", "run", "tail")

    def __init__(self, run: RunKey | None) -> None:
        self.run = run
        self.tail = Entry(None, "", ())
        self.removed = self.tail
        self.ended = False


class Entry:
    """A signal or snapshot in the log.

    Attributes:
        item: It.
        id: The id of its event; "" for none.
        frame: The event as bytes, once it was sent to a client.
        chains: The chains that it belongs to.
        next: The next entry of each, by chain.
    """

    __slots__ = ("chains", "frame", "id", "item", "next")

    def __init__(self, item: Any, id: str, chains: tuple[Chain, ...]) -> None:
        self.item = item
        self.id = id
        self.frame: bytes | None = None
        self.chains = chains
        self.next: dict[Chain, Entry] = {}


class History:
    """The log.

    Args:
        size: The highest number of entries.
        max_bytes: The highest number of bytes of their frames.

    Attributes:
        all: The chain of the stream.
    """

    def __init__(self, size: int, max_bytes: int) -> None:
        self.all = Chain(None)
        self._size = size
        self._max_bytes = max_bytes
        self._bytes = 0
        self._entries: deque[Entry] = deque()
        self._by_id: dict[str, Entry] = {}
        # A chain exists as long as an entry or a client refers to it.
        self._chains: WeakValueDictionary[RunKey, Chain] = WeakValueDictionary()

    def chain(self, run: RunKey | None) -> Chain:
        """The chain of a run, seen or not; that of the stream for ``None``."""
        if run is None:
            return self.all
        found = self._chains.get(run)
        if found is None:
            found = self._chains[run] = Chain(run)
        return found

    def append(self, item: Any) -> Entry:
        """Add a signal or a snapshot; the oldest entry leaves a full log."""
        run, key = run_of(item), getattr(item, "key", "")
        chains = (self.all,) if run is None else (self.all, self.chain(run))
        entry = Entry(item, event_id(key) if key else "", chains)
        for chain in chains:
            chain.tail.next[chain] = entry
            chain.tail = entry
        if entry.id:
            self._by_id[entry.id] = entry
        self._entries.append(entry)
        if len(self._entries) > self._size:
            self._remove(self._entries.popleft())
        return entry

    def set_frame(self, entry: Entry, frame: bytes) -> None:
        """Keep the event of an entry as bytes; the oldest entries leave a log with too many bytes."""
        entry.frame = frame
        self._bytes += len(frame)
        while self._bytes > self._max_bytes and self._entries:
            self._remove(self._entries.popleft())

    def find(self, chain: Chain, id: str) -> Entry | None:
        """The entry with an id, if the log and the chain have it."""
        entry = self._by_id.get(id)
        return entry if entry is not None and chain in entry.chains else None

    def _remove(self, entry: Entry) -> None:
        self._bytes -= len(entry.frame or b"")
        if self._by_id.get(entry.id) is entry:
            del self._by_id[entry.id]
        for chain in entry.chains:
            chain.removed.next.pop(chain, None)
            chain.removed = entry
