"""Groups of handlers: any number of processes that share the facts of a cluster."""

from __future__ import annotations

import asyncio
import os
import socket
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, Literal, TypeAlias

import msgspec

from runstream.cluster.answering import Answering, AnsweringClient
from runstream.cluster.broker import Broker, Message, Unanswered
from runstream.cluster.facts import read_facts, write_facts
from runstream.cluster.ingest import Ingest
from runstream.cluster.members import LifeSign, Members
from runstream.cluster.operations import load_topology
from runstream.cluster.pulls import PinnedReader
from runstream.cluster.topology import Topology
from runstream.core.selection import Selector, signal_classes
from runstream.errors import ClusterError
from runstream.logs import LOG
from runstream.model.callables import is_coroutine_function
from runstream.model.signals import ActionRequired, Signal
from runstream.sources.user_calls import call_in_thread

__all__ = ["HandlerGroup"]

Handler: TypeAlias = Callable[[Any], Awaitable[object] | object]

_AT_ONCE: Final = 64
_WAKE: Final = "=wake"  # no run has this token


class HandlerGroup:
    """Calls handlers with the facts of a cluster, in any number of processes that share the work.

    ::

        group = HandlerGroup("nats://broker:4222", "billing")
        group.on(RunCompleted, bill)
        group.answer(AssistantsClient(url, api_key=key, tools=[get_weather]))
        await group.run()

    Each fact is delivered at least once to each group. The facts of one run are processed one after another, in order,
    and those of several runs at the same time. A fact is acknowledged when its handlers have returned. Where a process
    ends before that, another one of the group calls them again, with an equal ``key``: a handler that must not act
    twice compares keys.

    Args:
        url: The broker.
        name: The group's name: letters, digits, ``_`` and ``-``. Its place in the facts is kept under this name.
        prefix: The prefix of the cluster.
        start: ``"all"`` or ``"new"``: where a new group begins. One that exists goes on where it was.
        concurrency: The number of runs whose facts are processed at once, for each partition.
        retries: How often a handler that raised is called again for one fact.
        retry_delay: Seconds before that, doubled each time.
        pin_timeout: Seconds after which a silent process of the group loses its partitions.
        options: Options of the connection (``nats.connect``).
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        prefix: str = "runstream",
        start: Literal["all", "new"] = "all",
        concurrency: int = 16,
        retries: int = 3,
        retry_delay: float = 0.5,
        pin_timeout: float = 5.0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        Topology(prefix=name)  # the same characters
        self.name = name
        self.failures = 0
        self._url, self._prefix, self._options = url, prefix, options
        self._start = start
        self._concurrency = concurrency
        self._retries, self._retry_delay = retries, retry_delay
        self._pin_timeout = pin_timeout
        self._member = f"{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:6]}"
        self._handlers: list[tuple[frozenset[type], Handler]] = []
        self._stopping = asyncio.Event()
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._owned: set[int] = set()
        self._released: set[int] = set()
        self._broker = Broker(url, options=options)
        self._topology = Topology(prefix=prefix)
        self._topology_loaded = False
        self._answers = False  # True if clients answer runs
        self._answering: Answering | None = None
        self._ingest: Ingest | None = None
        self._calls: dict[str, asyncio.Lock] = {}  # by the key of the request: one answer at a time

    def on(self, kind: Selector, handler: Handler) -> None:
        """Call a function with each fact of a kind. A plain function runs in a thread of its own.

        Args:
            kind: A signal class, a type string, or a tuple or union of them, as for :meth:`RunStream.on`.
            handler: The function.

        Raises:
            TypeError: ``kind`` names no signal.
            ValueError: An unknown type string.
        """
        if not is_coroutine_function(handler):
            handler = partial(call_in_thread, handler, name="runstream handler")
        self._handlers.append((frozenset(signal_classes(kind)), handler))

    def answer(
        self,
        client: AnsweringClient,
        *,
        request: Mapping[str, Any] | Callable[[ActionRequired], Mapping[str, Any]] | None = None,
    ) -> None:
        """Answer the runs that wait: the client executes its tools and decides by its ``approve``.

        The answers are submitted by this process, which reads the stream that follows into the cluster. A call is
        executed again where a process ends before the answer is stored; its key is the same.

        Args:
            client: A client of the protocol of these runs.
            request: Fields of the further request that its protocol needs again, such as ``model`` (Responses), or
                ``messages`` (AG-UI); or a function that returns those of a run.
        """

        async def handle(signal: ActionRequired) -> None:
            await self._answer(client, signal, request, None)

        self._answers = True
        self.on(ActionRequired, handle)

    async def submit(
        self,
        client: AnsweringClient,
        run_id: str,
        answers: Mapping[str, Any],
        *,
        scope: str = "",
        request: Mapping[str, Any] | None = None,
    ) -> bool:
        """Answer a run with what the application knows, such as the decision of a person; while :meth:`run` runs.

        Calls that are not among the answers are answered as by :meth:`answer`. Returns when the stream that follows has
        ended.

        Args:
            client: A client of the run's protocol.
            run_id: The id of the run.
            answers: By the ids (or keys) of the calls; see :meth:`BaseClient.answer`.
            scope: The scope of the run.
            request: See :meth:`answer`.

        Returns:
            False if an answer is missing, or the run does not wait for it any more.

        Raises:
            LookupError: The run does not wait, or not for such a call.
            ClusterError: The group does not run, or the answer failed.
        """
        if self._answering is None and self._topology_loaded:
            await self._open_answering()
        if self._answering is None:
            raise ClusterError("the group does not run: answers are read by run()")
        signal = await self._answering.find_request(run_id, scope)
        return await self._answer(client, signal, request, answers)

    async def _answer(
        self, client: AnsweringClient, signal: ActionRequired, request: Any, answers: Mapping[str, Any] | None
    ) -> bool:
        answering = self._answering
        assert answering is not None
        fields = request(signal) if callable(request) else request
        async with self._calls.setdefault(signal.key, asyncio.Lock()):
            try:
                return await answering.answer(client, signal, answers=answers, request=fields)
            finally:
                self._calls.pop(signal.key, None)

    async def _open_answering(self) -> None:
        self._ingest = ingest = Ingest(self._url, prefix=self._prefix, options=self._options)
        await ingest.__aenter__()
        self._answering = Answering(self._broker, self._topology, ingest)

    def stop(self) -> None:
        """End :meth:`run` when the facts that are being processed are done."""
        self._stopping.set()

    async def run(self) -> None:
        """Process facts until :meth:`stop` is called, or the task is cancelled.

        Raises:
            ClusterError: The broker can't be reached at the start, or has no such cluster.
        """
        async with self._broker as broker:
            self._topology = topology = await load_topology(broker, self._prefix)
            self._topology_loaded = True
            if self._answers:
                await self._open_answering()
            subject = f"{self._prefix}.groups.{self.name}"
            members = Members(self._member, topology.partitions, 0.6 * self._pin_timeout, time.monotonic)

            async def receive(message: Any) -> None:
                members.receive(message.data)

            subscription = await broker.subscribe(subject, receive)
            try:
                for partition in range(topology.partitions):
                    await self._create_consumer(partition)
                while not self._stopping.is_set():
                    with suppress(Unanswered):
                        await broker.publish(subject, msgspec.json.encode(LifeSign(self._member, sorted(self._owned))))
                    surplus = members.surplus(self._owned)
                    if surplus is not None:
                        self._released.add(surplus)
                    else:
                        for partition in members.claimable(self._tasks):
                            self._tasks[partition] = asyncio.create_task(self._serve(partition))
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._pin_timeout / 8):
                            await self._stopping.wait()
            finally:
                self._stopping.set()
                await asyncio.gather(*self._tasks.values(), return_exceptions=True)
                self._answering = None
                if self._ingest is not None:
                    await self._ingest.aclose()
                with suppress(Exception):
                    sign = LifeSign(self._member, [], True)
                    await broker.publish(subject, msgspec.json.encode(sign))
                    await subscription.unsubscribe()

    def _consumer(self, partition: int) -> str:
        return f"group_{self.name}_{partition}"

    async def _create_consumer(self, partition: int) -> None:
        topology, name = self._topology, self._consumer(partition)
        found = await self._broker.api(f"CONSUMER.INFO.{topology.results}.{name}")
        if "error" not in found:
            return
        config = {
            **topology.consumer_config(partition, self._pin_timeout),
            "durable_name": name,
            "filter_subject": topology.facts(partition),
            "deliver_policy": self._start,
        }
        body = {"stream_name": topology.results, "config": config}
        answer = await self._broker.api(f"CONSUMER.CREATE.{topology.results}.{name}", body)
        if "error" in answer:
            raise ClusterError(f"the group {self.name!r} can't be created: {answer['error'].get('description')}")

    async def _serve(self, partition: int) -> None:
        topology, name = self._topology, self._consumer(partition)
        reader = PinnedReader(self._broker, topology.results, name, topology.facts(partition), self._pin_timeout)
        clean = False
        try:
            await reader.open()
            if not await self._is_pinned(reader, name, partition):
                return
            self._owned.add(partition)
            info = await self._broker.api(f"CONSUMER.INFO.{topology.results}.{name}")
            reader.position = info["ack_floor"]["stream_seq"]
            await self._process(partition, reader)
            clean = True
        except Unanswered as error:
            LOG.info("group_partition_dropped", group=self.name, partition=partition, reason=str(error))
        except Exception as error:
            LOG.error("group_partition_failed", group=self.name, partition=partition, error=type(error).__name__)
        finally:
            self._owned.discard(partition)
            self._released.discard(partition)
            await reader.close(unpin=clean)
            self._tasks.pop(partition, None)

    async def _is_pinned(self, reader: PinnedReader, name: str, partition: int) -> bool:
        """Wait for facts, or for news that an earlier process has left some unprocessed."""
        while not self._stopping.is_set():
            if await reader.wait(self._pin_timeout / 4):
                return True
            if reader.lost:
                return False
            info = await self._broker.api(f"CONSUMER.INFO.{self._topology.results}.{name}")
            if info.get("num_ack_pending"):
                # Facts that an earlier process did not finish. The pin comes with a message, so one is needed.
                await self._wake(partition)
        return False

    async def _wake(self, partition: int) -> None:
        """Store a message without facts; of all processes that do it, one for each period is stored."""
        period = int(time.time() / (self._pin_timeout / 4))
        headers = {"Nats-Msg-Id": f"wake-{self.name}-{partition}-{period}", "Nats-TTL": "60s"}
        await self._broker.request(self._topology.fact(partition, _WAKE), write_facts([]), headers)

    async def _process(self, partition: int, reader: PinnedReader) -> None:
        """Call the handlers: the messages of a run one after another, and acknowledge the finished beginning."""
        slots = asyncio.Semaphore(self._concurrency)
        last: dict[str, asyncio.Task[None]] = {}  # the last message of each run
        running: dict[int, asyncio.Task[None]] = {}  # by sequence, in order
        settled = reader.position

        async def handle(message: Message, before: asyncio.Task[None] | None) -> None:
            if before is not None:
                await asyncio.wait([before])
            async with slots:
                for signal in read_facts(message.data):
                    await self._call(signal)

        try:
            while not (self._stopping.is_set() or partition in self._released or reader.lost):
                if len(running) < 4 * self._concurrency and await reader.wait(0.05 if running else 0.25):
                    for message in await reader.take(_AT_ONCE):
                        task = asyncio.create_task(handle(message, last.get(message.subject)))
                        last[message.subject] = running[message.seq] = task
                elif running:
                    await asyncio.wait([next(iter(running.values()))], timeout=0.05)
                settled = self._finished(running, last, settled)
                await reader.settle(settled)
            if not reader.lost and running:
                await asyncio.wait(running.values())
                await reader.settle(self._finished(running, last, settled))
        finally:
            for task in running.values():
                task.cancel()
            await asyncio.gather(*running.values(), return_exceptions=True)

    @staticmethod
    def _finished(running: dict[int, asyncio.Task[None]], last: dict[str, asyncio.Task[None]], settled: int) -> int:
        """Remove the finished beginning; return the sequence up to which all is done."""
        for seq, task in tuple(running.items()):
            if not task.done():
                break
            task.result()  # a fact that can't be read ends the group here
            settled = seq
            del running[seq]
        for subject, task in tuple(last.items()):
            if task.done():
                del last[subject]
        return settled

    async def _call(self, signal: Signal) -> None:
        for kinds, handler in self._handlers:
            if type(signal) not in kinds:
                continue
            delay = self._retry_delay
            for attempt in range(self._retries + 1):
                try:
                    result: Any = handler(signal)
                    await result
                    break
                except Exception as error:
                    if attempt == self._retries:
                        self.failures += 1
                        LOG.error("group_handler_failed", group=self.name, key=signal.key, error=type(error).__name__)
                    else:
                        await asyncio.sleep(delay)
                        delay *= 2
