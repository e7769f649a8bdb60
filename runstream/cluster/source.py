"""A cluster as the source of a :class:`RunStream`: the decoded events of its ingests enter as they are published."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from runstream.cluster.broker import Broker, Unanswered
from runstream.cluster.event_codec import read_event
from runstream.cluster.operations import load_topology
from runstream.cluster.packs import CONNECTION, END, EVENTS, FAILURE, FRAGMENTS, Section, read_pack
from runstream.dialects.base import BaseDialect
from runstream.errors import ClusterError, SourceFailed
from runstream.logs import LOG
from runstream.model.events import TextAppend
from runstream.model.raw import RawEvent
from runstream.sources.base import Receiver

__all__ = ["ClusterSource"]

_POLL: Final = 0.05  # seconds between two looks for new packs


class ClusterSource:
    """The sources of all ingests of a cluster, each as a source of its own: ``RunStream(ClusterSource(url))``.

    The stream reduces them itself, so it has every text as it grows, and its signals have the keys of the facts. It
    needs no worker. With ``"new"`` it sees runs from the middle, as a late joiner of any source does.

    Args:
        url: The broker: ``nats://host:port``, several ones separated by commas.
        prefix: The prefix of the cluster.
        start: ``"new"`` for events from now on, ``"all"`` for all that the broker keeps.
        partitions: Only these partitions; all by default.
        options: Options of the connection (``nats.connect``).
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "runstream",
        start: Literal["new", "all"] = "new",
        partitions: tuple[int, ...] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = f"cluster {prefix}"
        self._broker = Broker(url, options=options)
        self._prefix = prefix
        self._start = start
        self._partitions = partitions
        self._attach: Callable[..., Any] | None = None
        self._lanes: dict[tuple[str, str], _LaneSource] = {}

    def bind(self, attach: Callable[..., Any]) -> None:
        """Take the function that adds a source to the stream; :meth:`RunStream.attach` calls this."""
        self._attach = attach

    async def run(self, receiver: Receiver) -> None:
        """Read packs until the task is cancelled.

        Raises:
            SourceFailed: The broker can't be reached, or a pack can't be read.
        """
        if self._attach is None:
            raise SourceFailed("a cluster is a source of a RunStream only")
        try:
            async with self._broker as broker:
                topology = await load_topology(broker, self._prefix)
                info = await broker.api(f"STREAM.INFO.{topology.events}")
                last = info["state"]["last_seq"] if self._start == "new" else 0
                receiver.connected()
                wanted = self._partitions
                subject = topology.pack(wanted[0]) if wanted and len(wanted) == 1 else f"{topology.prefix}.pack.*"
                while True:
                    try:
                        async for message in broker.read(topology.events, subject, last + 1, until=2**62):
                            last = message.seq
                            if wanted is None or int(message.subject.rpartition(".")[2]) in wanted:
                                for section in read_pack(message.data).sections:
                                    await self._feed(section)
                    except Unanswered:
                        LOG.debug("broker_awaited")
                    await asyncio.sleep(_POLL)
        except ClusterError as error:
            raise SourceFailed(str(error)) from None
        except ImportError as error:
            raise SourceFailed(str(error)) from None
        finally:
            for lane in self._lanes.values():
                lane.close()

    async def _feed(self, section: Section) -> None:
        key = (section.scope, section.source)
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _LaneSource(section)
            assert self._attach is not None
            self._attach(
                lane, scope=section.scope, name=section.source, continues=None, dialect=lambda lane=lane: lane.decoder
            )
        await lane.put(section)
        if lane.ended:
            del self._lanes[key]


class _Decoder(BaseDialect):
    """Returns the events of items that were decoded before."""

    __slots__ = ("decoded",)

    def __init__(self) -> None:
        super().__init__()
        self.decoded: deque[Any] = deque()

    def decode(self, item: Any) -> Any:
        return self.decoded.popleft() if isinstance(item, RawEvent) else ()


class _LaneSource:
    """One source of an ingest, as a source of the stream."""

    def __init__(self, section: Section) -> None:
        self.name = section.source
        self.snapshots = section.snapshots
        self.decoder = _Decoder()
        self.ended = False
        self._number = section.first - 1
        self._sections: asyncio.Queue[Section | None] = asyncio.Queue(64)
        self._closed = False

    async def put(self, section: Section) -> None:
        """Add a section; waits while many wait."""
        if section.entries and section.entries[-1][0] == END:
            self.ended = True
        if not self._closed:
            await self._sections.put(section)

    def close(self) -> None:
        """End the source without an end of its own."""
        self._closed = True
        if not self._sections.full():
            self._sections.put_nowait(None)

    async def run(self, receiver: Receiver) -> None:
        """Feed the sections."""
        connected = False
        try:
            while (section := await self._sections.get()) is not None:
                skip = self._number + 1 - section.first
                if skip >= section.count:
                    continue  # a pack that was published twice
                self._number = section.first + section.count - 1
                raws: list[RawEvent] = []
                for entry in section.entries:
                    kind = entry[0]
                    if kind == FRAGMENTS:
                        self._add_fragments(entry, raws)
                    elif kind == EVENTS:
                        if entry[3]:
                            raws.append(RawEvent(None, b"", None, None, entry[1]))
                            found = [read_event(each, entry[1]) for each in entry[3]]
                            self.decoder.decoded.append(found[0] if len(found) == 1 else found)
                    else:
                        await receiver.feed_all(raws)
                        raws = []
                        if kind == CONNECTION:
                            _, _, is_made, attempt, reason, server_message, _ = entry
                            if is_made:
                                receiver.connected(attempt)
                                connected = True
                            elif connected:
                                receiver.disconnected(reason, attempt, server_message)
                        elif kind == FAILURE:
                            failure = SourceFailed(entry[2], attempts=entry[3], server_message=entry[4])
                            raise failure
                        elif kind == END:
                            return
                await receiver.feed_all(raws)
        finally:
            self._closed = True

    def _add_fragments(self, entry: list[Any], raws: list[RawEvent]) -> None:
        _, object_id, target, index, run_id, name, texts, times, ids = entry
        for position, text in enumerate(texts):
            id = None if ids is None else ids[position]
            raws.append(RawEvent(None, b"", None, None, times[position]))
            self.decoder.decoded.append(TextAppend(object_id, target, index, text, id, run_id, name))
