"""Kills, stops and restarts the processes of a cluster at random, and compares what it stored with the fold."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import statistics
import sys
import time
from collections import Counter
from typing import Any

import msgspec
from msgspec import Struct

from runstream.cluster.broker import Broker, Outgoing
from runstream.cluster.embedded import EmbeddedBroker
from runstream.cluster.large import is_part, join_message
from runstream.cluster.operations import init_cluster, read_status
from runstream.cluster.packs import read_pack
from runstream.cluster.stored import PartitionPlace, StoredRecord, read_stored, state_of
from runstream.cluster.topology import Topology, token
from runstream.core.state import RunState
from runstream.errors import ClusterError
from runstream.store.codec import encode_state
from tests.cluster.workload import expected, source_of


class Plan(Struct, kw_only=True):
    """What the harness does.

    Attributes:
        runs: The number of sources.
        partitions: The number of partitions.
        workers: The workers that run at a time.
        ingests: The ingests that run at a time.
        pin_timeout: The time-out of the pins (seconds).
        seconds: Bound of the whole (seconds).
        kills: Processes that are killed.
        stops: Workers that are stopped for longer than the pin's time-out, and wake.
        restarts: Restarts of the broker.
        duplicates: Packs that are published a second time.
        at_once: Sources that each ingest reads at once.
        delay: Seconds between two items of a source.
        seed: The seed of all choices.
    """

    runs: int = 2_000
    partitions: int = 8
    workers: int = 4
    ingests: int = 2
    pin_timeout: float = 2.0
    seconds: float = 300.0
    kills: int = 12
    stops: int = 3
    restarts: int = 2
    duplicates: int = 20
    at_once: int = 150
    delay: float = 0.12
    seed: int = 1


class Outcome(Struct, kw_only=True):
    """What came out.

    Attributes:
        events: The items of all sources.
        facts: The facts in the stream.
        repeated: Keys that stand in it more than once.
        missing: Keys that it lacks.
        unexpected: Keys that no fold has.
        different: Runs whose state is not that of the fold.
        lost: Runs without a state.
        marked: Runs that are as in the fold, and marked as possibly incomplete: their ingest was killed, and nothing
            proves that the server resumed without a gap.
        kills: Processes that were killed, by kind.
        packs: What the packs of sources with a fault have, for up to five of them.
        takeovers: Seconds from a kill or stop of a worker until others had committed for each of its partitions.
        seconds: The time of the whole.
    """

    events: int = 0
    facts: int = 0
    repeated: list[str] = []
    missing: list[str] = []
    unexpected: list[str] = []
    different: list[str] = []
    lost: list[str] = []
    marked: int = 0
    kills: dict[str, int] = {}
    packs: list[str] = []
    takeovers: list[float] = []
    seconds: float = 0.0

    @property
    def clean(self) -> bool:
        """True if nothing was lost, repeated or different."""
        return not (self.repeated or self.missing or self.unexpected or self.different or self.lost)

    def report(self) -> str:
        """The outcome as text."""
        takeovers = sorted(self.takeovers)
        lines = [
            f"{self.events} events, {self.facts} facts in {self.seconds:.0f} s",
            f"repeated {len(self.repeated)}, missing {len(self.missing)}, unexpected {len(self.unexpected)}, "
            f"different states {len(self.different)}, lost runs {len(self.lost)}",
            f"runs marked partial after the kill of an ingest: {self.marked}",
            "kills: " + ", ".join(f"{count} {kind}" for kind, count in self.kills.items()),
        ]
        if takeovers:
            lines.append(
                f"takeovers: {len(takeovers)}, median {statistics.median(takeovers):.1f} s, worst {takeovers[-1]:.1f} s"
            )
        for name in ("repeated", "missing", "unexpected", "different", "lost"):
            lines += [f"  {name}: {each}" for each in getattr(self, name)[:5]]
        lines += [f"  packs: {each}" for each in self.packs]
        return "\n".join(lines)


class Harness:
    """One run of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.random = random.Random(plan.seed)
        self.server = EmbeddedBroker()
        self.topology = Topology(partitions=plan.partitions)
        self.workers: dict[str, asyncio.subprocess.Process] = {}
        self.ingests: dict[int, asyncio.subprocess.Process] = {}
        self.kills: Counter[str] = Counter()
        self.takeovers: list[float] = []
        self._number = 0
        self._watches: list[asyncio.Task[None]] = []
        self.last_status: Any = None

    async def run(self) -> Outcome:
        started = time.monotonic()
        async with self.server:
            try:
                async with asyncio.timeout(self.plan.seconds):
                    async with Broker(self.server.url) as broker:
                        await init_cluster(broker, self.topology, pin_timeout=self.plan.pin_timeout)
                        for _ in range(self.plan.workers):
                            await self._start_worker()
                        for number in range(self.plan.ingests):
                            await self._start_ingest(number)
                        chaos = asyncio.create_task(self._chaos(broker))
                        await self._wait_for_ingests()
                        chaos.cancel()
                        await asyncio.gather(chaos, return_exceptions=True)
                        while len(self.workers) < 1:
                            await self._start_worker()
                        await self._wait_for_workers(broker)
                        for task in self._watches:
                            task.cancel()
                        await self._end(self.workers)  # type: ignore[arg-type]
                        outcome = await self._compare(broker)
            except TimeoutError:
                print(
                    "not at its end:",
                    self.last_status,
                    {name: each.returncode for name, each in {**self.workers, **self.ingests}.items()},
                )
                raise
            finally:
                for process in (*self.workers.values(), *self.ingests.values()):
                    if process.returncode is None:
                        process.kill()
                        await process.wait()
        outcome.kills, outcome.takeovers = dict(self.kills), self.takeovers
        outcome.seconds = time.monotonic() - started
        return outcome

    # processes

    async def _start(self, *args: str) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *args,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=None if os.environ.get("HARNESS_LOG") else asyncio.subprocess.DEVNULL,
        )

    async def _start_worker(self) -> None:
        self._number += 1
        name = f"worker-{self._number}"
        program = [os.environ["HARNESS_WORKER"]] if "HARNESS_WORKER" in os.environ else ["-m", "runstream"]
        self.workers[name] = await self._start(*program, "worker", "--nats", self.server.url, "--name", name)

    async def _start_ingest(self, number: int) -> None:
        plan = self.plan
        size = -(-plan.runs // plan.ingests)
        first, last = number * size, min(plan.runs, (number + 1) * size)
        self.ingests[number] = await self._start(
            "-m",
            "tests.cluster.ingest_process",
            self.server.url,
            str(first),
            str(last),
            str(plan.at_once),
            str(plan.delay),
        )

    async def _start_again(self) -> None:
        """Start the workers again that found no broker when they started, as a service manager does."""
        for name, process in tuple(self.workers.items()):
            if process.returncode is not None:
                assert process.returncode == 5, f"{name} ended with {process.returncode}"
                del self.workers[name]
                await self._start_worker()

    @staticmethod
    async def _end(processes: dict[Any, asyncio.subprocess.Process]) -> None:
        """End processes as a service manager does."""
        for process in processes.values():
            if process.returncode is None:
                process.terminate()
        for process in processes.values():
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()

    # faults

    async def _chaos(self, broker: Broker) -> None:
        plan, random = self.plan, self.random
        faults = ["worker"] * (plan.kills - plan.kills // 3) + ["ingest"] * (plan.kills // 3)
        faults += ["stop"] * plan.stops + ["broker"] * plan.restarts
        random.shuffle(faults)
        while not (await read_status(broker, self.topology)).streams[self.topology.results][0] > plan.partitions:
            await asyncio.sleep(0.1)  # before the first facts, nothing can be lost
        duplicating = asyncio.create_task(self._duplicate(broker))
        try:
            for fault in faults:
                await asyncio.sleep(random.uniform(0.3, 1.2) * plan.pin_timeout)
                await getattr(self, f"_fault_{fault}")(broker)
        finally:
            duplicating.cancel()

    async def _fault_worker(self, broker: Broker) -> None:
        name = self.random.choice(sorted(self.workers))
        process = self.workers.pop(name)
        await self._watch(broker, name)
        process.kill()
        await process.wait()
        self.kills["workers killed"] += 1
        await self._start_worker()

    async def _fault_ingest(self, broker: Broker) -> None:
        number = self.random.choice(sorted(self.ingests))
        process = self.ingests[number]
        if process.returncode is not None:
            return
        process.kill()
        await process.wait()
        self.kills["ingests killed"] += 1
        if self.random.random() < 0.5:
            await asyncio.sleep(self.random.uniform(0, 1))
        await self._start_ingest(number)

    async def _fault_stop(self, broker: Broker) -> None:
        """A worker that stops for longer than its pin, and wakes while another one owns its partitions."""
        name = self.random.choice(sorted(self.workers))
        process = self.workers[name]
        await self._watch(broker, name)
        process.send_signal(signal.SIGSTOP)
        self.kills["workers stopped"] += 1
        await asyncio.sleep(2.5 * self.plan.pin_timeout)
        process.send_signal(signal.SIGCONT)

    async def _fault_broker(self, broker: Broker) -> None:
        for task in self._watches:
            task.cancel()  # their partitions wait for the broker
        await self.server.stop(kill=self.random.random() < 0.5)
        self.kills["broker restarts"] += 1
        await asyncio.sleep(self.random.uniform(0.2, 1.0))
        await self.server.start()

    async def _duplicate(self, broker: Broker) -> None:
        """Publish packs a second time, as a client does that did not get its answer."""
        for _ in range(self.plan.duplicates):
            await asyncio.sleep(0.3)
            try:
                partition = self.random.randrange(self.plan.partitions)
                message = await broker.last(self.topology.events, self.topology.pack(partition))
                if message is not None:
                    await broker.write([Outgoing(message.subject, message.data)])
                    self.kills["packs duplicated"] += 1
            except ClusterError:
                continue  # the broker is being restarted

    async def _watch(self, broker: Broker, name: str) -> None:
        """Measure how long the partitions of a worker are without a commit of another one."""
        try:
            owned = [
                each.partition for each in (await read_status(broker, self.topology)).partitions if each.owner == name
            ]
        except ClusterError:
            return
        for partition in owned:
            self._watches.append(asyncio.create_task(self._measure(broker, name, partition)))

    async def _measure(self, broker: Broker, name: str, partition: int) -> None:
        started = time.monotonic()
        while True:
            await asyncio.sleep(0.1)
            try:
                message = await broker.last(self.topology.results, self.topology.place(partition))
            except ClusterError:
                continue
            if message is not None and read_stored(PartitionPlace, message.data).owner != name:
                self.takeovers.append(time.monotonic() - started)
                return

    # the end

    async def _wait_for_ingests(self) -> None:
        while any(process.returncode != 0 for process in self.ingests.values()):
            await asyncio.sleep(0.2)
            await self._start_again()
            for number, process in self.ingests.items():
                if process.returncode is not None and process.returncode > 0:
                    raise AssertionError(f"ingest {number} ended with {process.returncode}")

    async def _wait_for_workers(self, broker: Broker) -> None:
        quiet = 0
        while quiet < 3:
            await asyncio.sleep(0.2)
            await self._start_again()
            try:
                status = await read_status(broker, self.topology)
            except ClusterError:
                continue
            quiet = quiet + 1 if not any(each.lag for each in status.partitions) else 0
            self.last_status = status

    async def _compare(self, broker: Broker) -> Outcome:
        outcome = Outcome()
        stream, topology = self.topology.results, self.topology
        keys: Counter[str] = Counter()
        async for message in broker.read(stream, topology.facts(), 1, until=2**60):
            for fact in msgspec.json.decode(message.data):
                if not fact["type"].startswith("source."):
                    keys[fact["key"]] += 1
        states: dict[str, RunState] = {}
        async for message in broker.read(stream, topology.state("*", "*"), 1, until=2**60):
            if is_part(message.subject):
                continue
            data = await join_message(broker, stream, message)
            states[message.subject.rpartition(".")[2]] = state_of(read_stored(StoredRecord, data))
        wanted: Counter[str] = Counter()
        for number in range(self.plan.runs):
            scope, name, items = source_of(number)
            outcome.events += len(items)
            runs, facts = expected(number)
            wanted.update(facts)
            for run_id, state in runs.items():
                found = states.get(token(scope, run_id))
                if found is None:
                    outcome.lost.append(f"{scope}:{run_id}")
                elif not _equal(found, state):
                    one, other = _without_marks(found), _without_marks(state)
                    if one == other and self.kills["ingests killed"]:
                        outcome.marked += 1
                    else:
                        fields = {
                            key: (one.get(key), other.get(key))
                            for key in {**one, **other}
                            if one.get(key) != other.get(key)
                        }
                        outcome.different.append(f"{scope}:{run_id} ({name}): {str(fields)[:300]}")
        outcome.facts = keys.total()
        outcome.repeated = [key for key, count in keys.items() if count > max(wanted[key], 1)]
        outcome.missing = sorted(wanted.keys() - keys.keys())
        outcome.unexpected = sorted(keys.keys() - wanted.keys())
        faults = [*outcome.repeated, *outcome.missing, *outcome.unexpected, *outcome.different, *outcome.lost]
        scopes = [*dict.fromkeys(each.partition(":")[0] for each in faults)][:5]
        outcome.packs = [await self._show_packs(broker, scope) for scope in scopes]
        return outcome

    async def _show_packs(self, broker: Broker, scope: str) -> str:
        """What the packs of a source have, in order: it shows whether its ingest or its worker lost something."""
        found, number = [], 0
        async for message in broker.read(self.topology.events, "runstream.pack.*", 1, until=2**60):
            for section in read_pack(message.data).sections:
                if section.scope == scope:
                    mark = "" if section.first == number + 1 else f" (expected {number + 1})"
                    number = section.first + section.count - 1
                    found.append(
                        f"\n    {message.seq} {message.subject} {section.first}..{number}{mark} {section.entries}"
                    )
        return f"{scope} {source_of(int(scope[1:]))[1]}{''.join(found)}"


def _equal(found: RunState, state: RunState) -> bool:
    """True if two states are equal but for their scope."""
    head = msgspec.structs.replace(state._head, scope=found.scope)
    return bool(found == msgspec.structs.replace(state, _head=head))


def _without_marks(state: RunState) -> dict[str, Any]:
    """A state without its scope, and without the marks of what may be missing.

    An ingest that goes on makes another connection. Where the ids of a source prove nothing, no consumer can know that
    the server has resumed exactly: open objects are then partial, in a cluster as in one process.
    """
    found: dict[str, Any] = msgspec.json.decode(encode_state(state))
    found["scope"] = ""
    found["event"] = ""
    for each in found["objects"]:
        each[2] = False
    for each in found.get("documents", ()):
        each[1] = False
    for each in found.get("activities", ()):
        each[4] = False
    found.pop("missing", None)
    return found
