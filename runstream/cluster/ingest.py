"""An ingest: sources enter, packs of decoded events leave, with the place of each source in the same step."""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from msgspec import structs

from runstream.cluster.broker import Broker, Message, NoRoom, Outgoing, Refused, Unanswered
from runstream.cluster.ingest_handle import IngestHandle, IngestOptions
from runstream.cluster.ingest_receiver import IngestReceiver
from runstream.cluster.ingest_source import IngestPlace, IngestSource, read_place, write_place
from runstream.cluster.large import join_message, split_message
from runstream.cluster.operations import load_topology
from runstream.cluster.packs import Section, divide_sections
from runstream.cluster.topology import Topology, partition_of, token
from runstream.dialects.base import Dialect
from runstream.dialects.registry import DialectLike
from runstream.errors import ClusterError, SourceFailed
from runstream.logs import LOG
from runstream.model.events import Reject, RunEvent
from runstream.model.limits import Limits, Stats
from runstream.sources.adapters import Adaptable, adapt
from runstream.sources.base import Source

__all__ = ["Ingest"]

_MAX_SOURCES: Final = 400  # sources of one batch; with the packs it stays below 1,000 messages
_MAX_WAITING: Final = 100_000  # waiting runs that are remembered, for sources that continue them
_YIELD: Final = 256  # items until the loop may run other tasks
_RETRY: Final = 0.2  # seconds


class Ingest:
    """Reads sources and publishes their events in packs.

    ::

        async with Ingest("nats://broker:4222") as ingest:
            ingest.attach(WebSocketSource("wss://gateway.example/runs"), name="gateway")
            await ingest.join()

    A source has one ingest at a time. Where another one attaches a source of the same name and scope, this one loses
    it: its next pack is refused, and its source stops.

    Args:
        url: The broker: ``nats://host:port``, several ones separated by commas.
        prefix: The prefix of the cluster.
        name: Its name in the places of its sources.
        limits: The bounds of the decoders.
        packs: The bounds of packs.
        clock: The time in Unix seconds, for items without a time.
        on_reject: Called with input that can't be used; it is counted and marked in the states in any case.
        options: Options of the connection (``nats.connect``).
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "runstream",
        name: str | None = None,
        limits: Limits | None = None,
        packs: IngestOptions | None = None,
        clock: Callable[[], float] = time.time,
        on_reject: Callable[[Reject], None] | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = name or f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:6]}"
        self.counts = Stats()
        self.published = 0
        self.topology = Topology(prefix=prefix)
        self._broker = Broker(url, options=options)
        self._prefix = prefix
        self._limits = limits or Limits()
        self._packs = packs or IngestOptions()
        self._clock = clock
        self._on_reject = on_reject
        self._handles: dict[tuple[str, str], IngestHandle] = {}
        self._dirty: dict[IngestHandle, None] = {}
        self._items = 0  # of all sources that wait for a pack, roughly
        self._wanted = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._waiting_runs: OrderedDict[tuple[str, str], tuple[str, int]] = OrderedDict()
        self._flusher: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        await self._broker.open()
        try:
            self.topology = await load_topology(self._broker, self._prefix)
        except BaseException:
            await self._broker.close()
            raise
        self._flusher = asyncio.create_task(self._flush_always())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop all sources, publish what was read, and release the sources for another ingest."""
        if self._closed:
            return
        self._closed = True
        tasks = [handle._task for handle in self._handles.values() if handle._task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._flusher is not None:
            self._flusher.cancel()
            await asyncio.gather(self._flusher, return_exceptions=True)
            try:
                async with asyncio.timeout(10):
                    await self._flush(release=True)
            except (ClusterError, TimeoutError):
                LOG.warning("ingest_not_released", ingest=self.name)
        await self._broker.close()

    def attach(
        self,
        source: Adaptable,
        *,
        name: str | None = None,
        scope: str = "",
        dialect: DialectLike | Dialect | None = None,
        continues: str | None = None,
        take: bool = True,
    ) -> IngestHandle:
        """Read a source from where the last ingest of this name and scope was.

        Args:
            source: A source, or an iterable, async iterable or Observable of raw events.
            name: Its name: the same at each start. The source's own by default.
            scope: The scope of its runs.
            dialect: Its dialect; the source's own, else ``"auto"``.
            continues: The id of the run that it continues.
            take: True to take the source from an ingest that has it; False to leave it there: the handle has a
                :class:`ClusterError`.

        Raises:
            ValueError: This ingest has a source of this name and scope already.
        """
        adapted = adapt(source, name)
        key = (scope, name or adapted.name)
        known = self._handles.get(key)
        if known is not None and not known.done.is_set():
            raise ValueError(f"this ingest has a source {key[1]!r} already: give each source a name of its own")
        handle = self._handles[key] = IngestHandle(key[1], scope)
        dialect = dialect if dialect is not None else getattr(adapted, "dialect", None)
        handle._task = asyncio.create_task(self._run(handle, adapted, dialect, continues, take))
        return handle

    async def join(self) -> None:
        """Return when all sources have ended and their last items are stored.

        Raises:
            ClusterError: The broker refused a pack for good.
        """
        while waiting := [handle for handle in self._handles.values() if not handle.done.is_set()]:
            done = asyncio.create_task(waiting[0].done.wait())
            flusher: Any = self._flusher
            await asyncio.wait({done, flusher}, return_when=asyncio.FIRST_COMPLETED)
            if flusher.done() and not done.done():
                done.cancel()
                raise self._failure or ClusterError("the ingest was closed")
            await done

    # sources

    async def _run(self, handle: IngestHandle, source: Source, dialect: Any, continues: str | None, take: bool) -> None:
        try:
            entry = await self._acquire(handle, source, dialect, continues, take)
        except ClusterError as error:
            handle.error = error
            LOG.error("source_not_acquired", source=handle.name, scope=handle.scope, reason=str(error))
            handle.done.set()
            return
        reason, attempts, clean, said = "the stream ended", 0, True, ""
        try:
            note = partial(self._note, handle)
            await source.run(IngestReceiver(entry, note, self._count, self._room))
        except asyncio.CancelledError:
            self._note(handle)
            if not self._closed:
                handle.done.set()
            return  # the source is not at its end: another ingest may go on
        except Exception as error:
            failure = (
                error if isinstance(error, SourceFailed) else SourceFailed(f"{type(error).__name__} in the source")
            )
            handle.error, clean = failure, False
            reason, attempts, said = failure.summary, failure.attempts, failure.server_message
            LOG.error("source_failed", source=handle.name, scope=handle.scope, reason=failure.summary)
            entry.failed(reason, attempts, said)
        entry.end(reason, attempts=attempts, clean=clean, server_message=said)
        self._note(handle)

    async def _acquire(
        self, handle: IngestHandle, source: Source, dialect: Any, continues: str | None, take: bool
    ) -> IngestSource:
        """Write the place of the source as its new owner: an earlier one is refused from now on."""
        subject = self.topology.ingest(handle.scope, handle.name)
        while True:
            try:
                message = await self._broker.last(self.topology.events, subject)
                place = IngestPlace() if message is None else await self._read_place(message)
                if not take and place.owner not in ("", self.name):
                    raise ClusterError(
                        f"another ingest ({place.owner}) has the source {handle.name!r}; take=True takes it from there"
                    )
                claimed = structs.replace(place, owner=self.name, ended=False)
                expect = 0 if message is None else message.seq
                written = split_message(self._place_message(handle, claimed, expect), self._broker.max_payload)
                handle._seq = await self._broker.write(written)
                continues = continues if continues is not None else place.continues
                if place.partition < 0 and continues is not None:
                    place = structs.replace(place, partition=await self._partition_of_run(handle.scope, continues))
                break
            except Refused:
                continue  # a third one was faster: read its place
            except (Unanswered, NoRoom):
                await asyncio.sleep(_RETRY)
        entry = IngestSource(
            handle.name,
            handle.scope,
            dialect=dialect,
            place=place,
            continues=continues,
            snapshots=getattr(source, "snapshots", False) is True,
            limits=self._limits,
            counts=self.counts,
            clock=self._clock,
            find_run=partial(self._find_run, handle.scope),
            on_run=self._note_run,
            on_reject=self._on_reject,
        )
        handle._source = entry
        return entry

    async def _partition_of_run(self, scope: str, run_id: str) -> int:
        """The partition of a run that a source continues: where its state is, else that of its id."""
        known = self._waiting_runs.get((scope, run_id))
        if known is not None:
            return known[1]
        subject = self.topology.state("*", token(scope, run_id))
        message = await self._broker.last(self.topology.results, subject)
        if message is not None:
            return int(message.subject.split(".")[2])
        return partition_of(scope, run_id, self.topology.partitions)

    def _find_run(self, scope: str, id: str) -> str | None:
        found = self._waiting_runs.get((scope, id))
        return None if found is None else found[0]

    def _note_run(self, source: IngestSource, event: RunEvent) -> None:
        """Remember the runs that wait for action, for the sources that continue them."""
        run = event.data
        if source.partition < 0:
            known = self._waiting_runs.get((source.scope, run.id))
            if known is not None:
                source.partition = known[1]
            else:
                source.partition = partition_of(source.scope, source.name, self.topology.partitions)
        ids = {run.id, event.piece, *[call.id for call in run.pending_tool_calls]} - {None, ""}
        for id in ids:
            if run.requires_action:
                self._waiting_runs[source.scope, str(id)] = run.id, source.partition
        while len(self._waiting_runs) > _MAX_WAITING:
            self._waiting_runs.popitem(last=False)

    def _note(self, handle: IngestHandle) -> None:
        """Note that a source has items for a pack."""
        if not self._dirty:
            self._wanted.set()
        self._dirty[handle] = None

    def _count(self, items: int) -> None:
        self._items += items
        if self._items >= self._packs.max_items:
            self._room.clear()
            self._wanted.set()

    # packs

    async def _flush_always(self) -> None:
        try:
            while True:
                await self._wanted.wait()
                if self._items < self._packs.max_items:
                    await asyncio.sleep(self._packs.max_delay)
                self._wanted.clear()
                await self._flush()
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._failure = error
            LOG.error("ingest_failed", ingest=self.name, reason=type(error).__name__)
            raise

    async def _flush(self, *, release: bool = False) -> None:
        """Publish what waits."""
        handles = [handle for handle in self._dirty if not handle._lost]
        self._dirty.clear()
        self._items = 0
        if release:
            known = dict.fromkeys(handles)
            handles += [
                each for each in self._handles.values() if each not in known and each._source and not each._lost
            ]
        for at in range(0, len(handles), _MAX_SOURCES):
            # Cut in one go: the place of a source is that behind its section.
            taken = []
            for handle in handles[at : at + _MAX_SOURCES]:
                source: Any = handle._source
                if source is None:
                    continue
                section = source.take_section()
                if section is not None or release:
                    if source.partition < 0:
                        source.partition = partition_of(source.scope, source.name, self.topology.partitions)
                    owner = "" if release or source.ended else self.name
                    taken.append((handle, section, source.place(owner), source.partition))
            self._room.set()
            await self._publish(taken)
            for handle, _, place, _ in taken:
                if place.ended:
                    handle.done.set()
                    self._handles.pop((handle.scope, handle.name), None)

    async def _publish(self, taken: list[tuple[IngestHandle, Section | None, IngestPlace, int]]) -> None:
        """Store sections and places in one step, however long the broker is gone, without the lost sources."""
        while taken:
            messages = [
                Outgoing(self.topology.pack(partition), data)
                for partition, data in self._write_packs([(section, number) for _, section, _, number in taken])
            ]
            places = []
            for handle, _, place, _ in taken:
                *parts, head = split_message(self._place_message(handle, place, handle._seq), self._broker.max_payload)
                messages += parts
                places.append(head)
            try:
                last = await self._broker.write([*messages, *places])
            except Unanswered:
                await asyncio.sleep(_RETRY)
                if await self._is_stored(taken):
                    return
                continue
            except Refused:
                taken = await self._without_lost(taken)
                continue
            except NoRoom as error:
                LOG.warning("packs_refused", ingest=self.name, reason=str(error))
                await asyncio.sleep(1.0)  # a full stream: the sources wait
                continue
            for number, (handle, section, _, _) in enumerate(taken):
                handle._seq = last - len(taken) + 1 + number
                self.published += section.count if section is not None else 0
            return

    def _write_packs(self, sections: Iterable[tuple[Section | None, int]]) -> list[tuple[int, bytes]]:
        """The packs of each partition, each within the bound."""
        by_partition: dict[int, list[Section]] = {}
        for section, partition in sections:
            if section is not None:
                by_partition.setdefault(partition, []).append(section)
        packs = []
        for partition, found in by_partition.items():
            limit = self._broker.max_payload - 4096  # room for the headers
            packs += [(partition, data) for data in divide_sections(found, min(self._packs.max_bytes, limit), limit)]
        return packs

    def _place_message(self, handle: IngestHandle, place: IngestPlace, expect: int) -> Outgoing:
        return Outgoing(self.topology.ingest(handle.scope, handle.name), write_place(place), expect, True, 0)

    async def _read_place(self, message: Message) -> IngestPlace:
        return read_place(await join_message(self._broker, self.topology.events, message))

    async def _places(self, taken: list[Any]) -> dict[str, Any]:
        subjects = [self.topology.ingest(handle.scope, handle.name) for handle, *_ in taken]
        while True:
            try:
                return await self._broker.last_of(self.topology.events, subjects)
            except Unanswered:
                await asyncio.sleep(_RETRY)

    async def _is_stored(self, taken: list[tuple[IngestHandle, Section | None, IngestPlace, int]]) -> bool:
        """True if a batch without an answer was stored: a batch is stored as a whole, so one place decides."""
        found = await self._places(taken)
        for handle, _, place, _ in taken:
            message = found.get(self.topology.ingest(handle.scope, handle.name))
            if message is not None and message.seq != handle._seq:
                stored = await self._read_place(message)
                if stored.owner == place.owner and stored.number == place.number:
                    for each, *_ in taken:
                        subject = self.topology.ingest(each.scope, each.name)
                        if subject in found:
                            each._seq = found[subject].seq
                    self.published += sum([each[1].count for each in taken if each[1] is not None])
                    return True
        return False

    @staticmethod
    def _is_own(taken: tuple[IngestHandle, Section | None, IngestPlace, int], stored: IngestPlace) -> bool:
        """True if a stored place is the one that this ingest has sent with this section."""
        place = taken[2]
        return (stored.owner, stored.number, stored.taken) == (place.owner, place.number, place.taken)

    async def _without_lost(self, taken: list[Any]) -> list[Any]:
        """The sources that are still this ingest's; those of others stop."""
        found = await self._places(taken)
        kept = []
        for each in taken:
            handle = each[0]
            message = found.get(self.topology.ingest(handle.scope, handle.name))
            if message is not None and message.seq == handle._seq:
                kept.append(each)
                continue
            if message is not None and self._is_own(each, await self._read_place(message)):
                # A batch without an answer that was stored late: as a whole, so each of its places is there.
                handle._seq = message.seq
                continue
            handle._lost = True
            handle.error = ClusterError(f"another ingest has the source {handle.name!r} now")
            LOG.warning("source_taken", source=handle.name, scope=handle.scope, ingest=self.name)
            handle.remove()
            handle.done.set()
        if len(kept) == len(taken) and taken:
            raise ClusterError("the broker refuses a batch whose places are as expected")
        return kept
