"""A worker: owns partitions by pinned consumers, reduces and derives, and writes what changed in atomic batches."""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec
from msgspec import Struct, structs

from runstream.cluster.broker import Broker, Message, NoRoom, Outgoing, Refused, Unanswered
from runstream.cluster.commits import Commit, Needs
from runstream.cluster.facts import fit_facts
from runstream.cluster.large import is_part, join_message, join_messages, split_message
from runstream.cluster.members import LifeSign, Members
from runstream.cluster.operations import load_ended_age, load_topology
from runstream.cluster.packs import Pack, read_pack, write_pack
from runstream.cluster.partition import MAX_MESSAGES, Partition
from runstream.cluster.pulls import PinnedReader
from runstream.cluster.stored import PartitionPlace, StoredLane, read_stored, write_stored
from runstream.cluster.topology import Topology, token
from runstream.engine.watchdogs import Watchdogs, WatchdogTimer, check_watchdogs
from runstream.errors import ClusterError
from runstream.logs import LOG
from runstream.model.limits import Limits, check_limits

__all__ = ["Worker", "WorkerStats"]

_PACKS_AT_ONCE: Final = 64  # packs between two commits, at most
_BYTES_AT_ONCE: Final = 2**20  # size of the packs whose sources and runs are loaded at a time, roughly
_IDLE_WAIT: Final = 0.25  # seconds
_PAUSE: Final = 1.0  # seconds without a pack after which everything is stored
_EMPTY_PACK: Final = write_pack([])


class WorkerStats(Struct, kw_only=True):
    """Counts of a worker.

    Attributes:
        packs: Packs that were reduced.
        events: Events in them.
        facts: Facts that were stored.
        commits: Atomic batches that were stored.
        takeovers: Partitions that it got.
        refused: Number of commits that were refused, because another worker had the partition.
        lost_items: Items that were removed from the broker before they were read.
        rejected: Events that could not be used, or are beyond a bound.
        partitions: The partitions that it owns now.
        runs: The runs in its memory now.
    """

    packs: int = 0
    events: int = 0
    facts: int = 0
    commits: int = 0
    takeovers: int = 0
    refused: int = 0
    lost_items: int = 0
    rejected: int = 0
    partitions: tuple[int, ...] = ()
    runs: int = 0


class Worker:
    """Owns a fair share of the partitions of a cluster until it is stopped.

    ::

        await Worker("nats://broker:4222").run()

    Any number of workers may run, and may be killed at any time: the others take over within twice the pin's time-out.

    Args:
        url: The broker: ``nats://host:port``, several ones separated by commas.
        prefix: The prefix of the cluster.
        name: Its name in the status; by default the host, the process and a random part. Two workers at a time must not
            have one name.
        limits: The bounds of one run.
        watchdogs: Which runs count as stalled. Their ends are facts too.
        max_hot: The number of runs of one partition in memory; all others are in the broker.
        checkpoint: The number of packs that a takeover has to read again, roughly.
        delay: Seconds for which facts may wait for further ones.
        progress: True to publish text as it grows, as plain messages.
        options: Options of the connection (``nats.connect``).
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str = "runstream",
        name: str | None = None,
        limits: Limits | None = None,
        watchdogs: Watchdogs | None = None,
        max_hot: int = 20_000,
        checkpoint: int = 256,
        delay: float = 0.01,
        progress: bool = True,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        check_limits(limits)
        check_watchdogs(watchdogs)
        self.name = name or f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:6]}"
        self.stats = WorkerStats()
        self._broker = Broker(url, options=options)
        self._prefix = prefix
        self._limits = limits
        self._watchdogs = watchdogs
        self._max_hot = max_hot
        self._checkpoint = checkpoint
        self._delay = delay
        self._progress = progress
        self._stopping = asyncio.Event()
        self._owned: dict[int, _Owner] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._members: Members | None = None
        self.topology = Topology(prefix=prefix)
        self._pin_timeout = 5.0
        self._ended_age = 0.0
        self._failure: BaseException | None = None

    def stop(self) -> None:
        """Release the partitions and end :meth:`run`."""
        self._stopping.set()
        for owner in self._owned.values():
            owner.reader.wake()

    async def run(self) -> None:
        """Work until :meth:`stop` is called, or the task is cancelled.

        Raises:
            ClusterError: The broker can't be reached at the start, has no such cluster, is too old, or has data of a
                newer release.
            ImportError: The extra is missing.
        """
        async with self._broker:
            await self._prepare()
            subscription = await self._broker.subscribe(self.topology.workers, self._on_life_sign)
            if self._members is not None:
                self._broker.on_reconnect.add(self._members.resume)
            try:
                await self._live()
            finally:
                for owner in self._owned.values():
                    owner.reader.wake()
                self._stopping.set()
                await asyncio.gather(*self._tasks.values(), return_exceptions=True)
                await _ignoring(self._show_life(leaving=True))
                await _ignoring(subscription.unsubscribe())
        if self._failure is not None:
            raise self._failure

    async def _prepare(self) -> None:
        self.topology = await load_topology(self._broker, self._prefix)
        self._ended_age = await load_ended_age(self._broker, self.topology)
        found = await self._broker.api(f"CONSUMER.INFO.{self.topology.events}.{self.topology.consumer(0)}")
        if "error" in found:
            raise ClusterError(f"the cluster {self._prefix!r} has no consumers: run runstream nats init again")
        self._pin_timeout = found["config"].get("priority_timeout", 5e9) / 1e9
        # Shorter than the time-out of the pin, so that a worker tries when the broker releases the pin.
        self._members = Members(self.name, self.topology.partitions, 0.6 * self._pin_timeout, time.monotonic)

    async def _on_life_sign(self, message: Any) -> None:
        if self._members is not None:
            self._members.receive(message.data)

    async def _live(self) -> None:
        """Show signs of life, and try to own a fair share of the partitions."""
        members = self._members
        assert members is not None
        interval = self._pin_timeout / 8
        await _ignoring(self._show_life())
        await self._sleep(2 * interval)  # the signs of the others arrive
        last = time.monotonic()
        while not self._stopping.is_set() and self._failure is None:
            now = time.monotonic()
            if now - last > 4 * interval:
                members.resume()
            last = now
            await _ignoring(self._show_life())
            surplus = members.surplus(self._owned)
            if surplus is not None and (owner := self._owned.get(surplus)) is not None:
                owner.release()
            else:
                for partition in members.claimable(self._tasks):
                    self._tasks[partition] = asyncio.create_task(self._serve(partition))
            await self._sleep(interval)

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    async def _show_life(self, *, leaving: bool = False) -> None:
        sign = LifeSign(self.name, sorted(self._owned), leaving)
        await self._broker.publish(self.topology.workers, msgspec.json.encode(sign))

    async def _serve(self, partition: int) -> None:
        """Try to get one partition, and own it until it is lost or released."""
        topology = self.topology
        reader = PinnedReader(
            self._broker, topology.events, topology.consumer(partition), topology.pack(partition), self._pin_timeout
        )
        release = False
        try:
            await reader.open()
            # The pin comes with the first pack, so an idle partition needs one. Of all workers that send it, the broker
            # stores one message for each period.
            for _ in range(8):
                await self._wake(partition)
                if await reader.wait(self._pin_timeout / 8) or self._stopping.is_set():
                    break
            if not reader.waiting or self._stopping.is_set():
                return
            owner = _Owner(self, partition, reader)
            self._owned[partition] = owner
            self.stats.takeovers += 1
            LOG.info("partition_taken", partition=partition, worker=self.name)
            self.stats.partitions = tuple(sorted(self._owned))
            await _ignoring(self._show_life())
            release = await owner.run()
        except Refused:
            self.stats.refused += 1
            LOG.info("partition_lost", partition=partition, worker=self.name)
        except (Unanswered, NoRoom) as error:
            LOG.warning("partition_dropped", partition=partition, worker=self.name, reason=str(error))
        except ClusterError as error:
            LOG.error("partition_failed", partition=partition, worker=self.name, reason=str(error))
            self._failure = error
            self._stopping.set()
        except Exception as error:
            LOG.error("partition_failed", partition=partition, worker=self.name, reason=type(error).__name__)
            self._failure = error
            self._stopping.set()
        finally:
            self._owned.pop(partition, None)
            self._tasks.pop(partition, None)
            self.stats.partitions = tuple(sorted(self._owned))
            await reader.close(unpin=release)
            if release:
                await _ignoring(self._show_life())

    async def _wake(self, partition: int) -> None:
        period = int(time.time() / (self._pin_timeout / 8))
        headers = {"Nats-Msg-Id": f"wake-{partition}-{period}", "Nats-TTL": "60s"}
        await self._broker.publish(self.topology.pack(partition), _EMPTY_PACK, headers=headers)  # tried again anyway


class _Owner:
    """One partition that this worker owns."""

    def __init__(self, worker: Worker, partition: int, reader: PinnedReader) -> None:
        self.reader = reader
        self._worker = worker
        self._broker = worker._broker
        self._topology = worker.topology
        self._number = partition
        self._released = False
        self._place = PartitionPlace()
        self._place_seq = 0
        self._partition = Partition()
        self._watchdog: WatchdogTimer | None = None
        self._busy = True
        self._last_pack = 0.0

    def release(self) -> None:
        """Store everything, and release the partition."""
        self._released = True
        self.reader.wake()

    async def run(self) -> bool:
        """Own the partition; True if it was released.

        Raises:
            Refused: Another worker has it.
            Unanswered: The broker does not answer; another worker may have it.
        """
        await self._claim()
        worker = self._worker
        scanning: asyncio.Task[None] | None = None
        try:
            if self._start_watchdog():
                scanning = asyncio.create_task(self._scan_deadlines())
            while True:
                if self.reader.lost:
                    raise Refused("the pin was lost")
                leaving = self._released or worker._stopping.is_set()
                if leaving:
                    await self._commit(everything=True)
                    await self._settle()
                    return True
                if not await self.reader.wait(worker._delay if self._partition.has_facts else _IDLE_WAIT):
                    self._busy = False
                    if needs := self._partition.due(time.time()):
                        while needs:
                            needs = await self._load(needs)
                    if not self._broker.connected:
                        raise Unanswered("the connection was lost")
                    if self._partition.has_facts:
                        await self._commit()
                    elif self.reader.unsettled and time.monotonic() - self._last_pack >= _PAUSE:
                        await self._commit(everything=True)  # a takeover has nothing to read again
                    continue
                self._busy = True
                self._last_pack = time.monotonic()
                for group in _groups(await self.reader.take(_PACKS_AT_ONCE)):
                    await self._feed([(message.seq, read_pack(message.data)) for message in group])
        finally:
            if self._watchdog is not None:
                self._watchdog.stop()
            if scanning is not None:
                scanning.cancel()
                await asyncio.gather(scanning, return_exceptions=True)

    def _start_watchdog(self) -> bool:
        if self._worker._watchdogs is None:
            return False
        from reactivex.scheduler.eventloop import AsyncIOScheduler

        scheduler = AsyncIOScheduler(asyncio.get_running_loop())
        self._watchdog = WatchdogTimer(
            self._partition.engine, self._worker._watchdogs, scheduler, blocked=lambda: self._busy
        )
        self._partition.watchdog = self._watchdog
        self._watchdog.start()
        return True

    async def _scan_deadlines(self) -> None:
        """Find the sources that the watchdogs have to see, though no event of them arrives here."""
        topology, last = self._topology, self._place_seq
        sources = topology.source(self._number, "*")
        async for message in self._broker.read(topology.results, sources, 1, until=last):
            if is_part(message.subject):
                continue
            found = read_stored(StoredLane, await join_message(self._broker, topology.results, message))
            if found.deadline is not None and not found.ended:
                self._partition.add_deadline(found.deadline, (found.scope, found.name))

    async def _claim(self) -> None:
        """Write the place as the new owner, so that every earlier owner is refused, and read what it left."""
        worker, stream = self._worker, self._topology.results
        message = await self._broker.last(stream, self._topology.place(self._number))
        if message is not None:
            self._place, self._place_seq = read_stored(PartitionPlace, message.data), message.seq
        self._place = structs.replace(self._place, owner=worker.name, epoch=self._place.epoch + 1, at=time.time())
        self._place_seq = await self._broker.write([self._place_message()])
        self._partition = Partition(
            replay=self._place.replay,
            limits=worker._limits,
            max_hot=worker._max_hot,
            checkpoint=worker._checkpoint,
            progress=worker._progress,
            on_lost=self._on_lost,
        )
        self.reader.position = self._place.replay - 1

    def _on_lost(self, scope: str, source: str, count: int) -> None:
        self._worker.stats.lost_items += count
        LOG.warning("items_lost", source=source, scope=scope, count=count, partition=self._number)

    def _place_message(self) -> Outgoing:
        subject = self._topology.place(self._number)
        return Outgoing(subject, write_stored(self._place), self._place_seq, True, 0)

    async def _feed(self, packs: list[tuple[int, Pack]]) -> None:
        partition, stats = self._partition, self._worker.stats
        before, rejected = partition.events, partition.engine.counts.rejected
        needs = partition.needs([pack for _, pack in packs])
        while needs:
            needs = await self._load(needs)
        for seq, pack in packs:
            for _ in partition.feed(seq, pack):
                await self._commit()
            stats.packs += 1
            await asyncio.sleep(0)  # requests keep the pin meanwhile
        stats.events += partition.events - before
        stats.rejected += partition.engine.counts.rejected - rejected
        registry = partition.engine.registry
        stats.runs = registry.open + registry.finished
        for run, data in partition.take_progress(self._broker.max_payload):
            await self._broker.publish(self._topology.progress(self._number, run), data)
        if partition.needs_checkpoint or (partition.has_facts and not self.reader.waiting):
            await self._commit()
        partition.unload_cold()

    async def _load(self, needs: Needs) -> Needs:
        topology, number = self._topology, self._number
        lanes = {topology.source(number, token(*key)): key for key in needs.lanes}
        runs = {topology.state(number, token(*key)): key for key in needs.runs}
        found = await self._broker.last_of(topology.results, [*lanes, *runs])
        data = await join_messages(self._broker, topology.results, found)
        return self._partition.load(
            [(key, data.get(subject)) for subject, key in lanes.items()],
            [(key, data.get(subject)) for subject, key in runs.items()],
        )

    async def _commit(self, *, everything: bool = False) -> None:
        """Store what changed, in one batch, and acknowledge what it covers."""
        while await self._commit_once(everything=everything):
            pass

    async def _commit_once(self, *, everything: bool) -> bool:
        """Store a part that one batch takes; True if more is left."""
        commit = self._partition.take_commit(everything=everything)
        limit = self._broker.max_payload
        groups = [split_message(message, limit) for message in self._messages(commit)]
        # Of one source with very many runs: its states alone may be ahead of it, and a takeover skips the items that
        # they contain. Facts and the source itself are in the last batch.
        prefix = self._topology.state(self._number, "")
        while sum(map(len, groups)) > MAX_MESSAGES - 1:
            part, rest = _fitting(groups, prefix, MAX_MESSAGES - 1)
            if not part:
                raise ClusterError("a commit has more facts and sources than one atomic batch takes")
            groups = rest
            self._place_seq = await self._broker.write([*part, self._place_message()])
        messages = [message for group in groups for message in group]
        self._place = structs.replace(self._place, done=commit.done, replay=commit.replay, at=time.time())
        self._place_seq = await self._broker.write([*messages, self._place_message()])
        self._worker.stats.commits += 1
        self._worker.stats.facts += commit.facts
        await self._settle()
        return commit.more

    def _messages(self, commit: Commit) -> list[Outgoing]:
        topology, number = self._topology, self._number
        found = []
        for message in commit.messages:
            if message.kind == "fact":
                subject = topology.fact(number, message.token)
                found += [Outgoing(subject, data) for data in fit_facts(message.data, self._broker.max_payload)]
            elif message.kind == "state":
                age = self._worker._ended_age if message.ended else 0
                found.append(Outgoing(topology.state(number, message.token), message.data, None, True, age))
            else:
                found.append(Outgoing(topology.source(number, message.token), message.data, None, True, 0))
        return found

    async def _settle(self) -> None:
        """Acknowledge the packs that no takeover needs."""
        await self.reader.settle(self._place.replay - 1)


def _groups(messages: Sequence[Message]) -> Iterator[list[Message]]:
    """Messages in groups of a bounded size: all that a group needs is in memory at a time."""
    group, size = list[Message](), 0
    for message in messages:
        if group and size + len(message.data) > _BYTES_AT_ONCE:
            yield group
            group, size = [], 0
        group.append(message)
        size += len(message.data)
    if group:
        yield group


def _fitting(groups: list[list[Outgoing]], prefix: str, room: int) -> tuple[list[Outgoing], list[list[Outgoing]]]:
    """The messages of as many groups with a prefix of their subjects as there is room for, and the other groups."""
    part: list[Outgoing] = []
    rest = []
    for group in groups:
        if group[0].subject.startswith(prefix) and len(part) + len(group) <= room:
            part += group
        else:
            rest.append(group)
    return part, rest


async def _ignoring(awaitable: Any) -> None:
    """Await something whose failure changes nothing: it is tried again, or the connection is lost anyway."""
    try:
        await awaitable
    except Exception as error:
        LOG.debug("request_failed", error=type(error).__name__)
