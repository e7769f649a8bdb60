"""The consumers' side of a cluster: facts as a stream, states by id, and progress."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias

from runstream.cluster.broker import Broker, Message, Unanswered
from runstream.cluster.facts import read_facts
from runstream.cluster.large import join_message
from runstream.cluster.operations import load_topology
from runstream.cluster.stored import StoredRecord, read_stored, state_of
from runstream.cluster.topology import Topology, token
from runstream.core.state import RunState
from runstream.logs import LOG
from runstream.model.signals import Signal

__all__ = ["Cluster", "Start"]

Start: TypeAlias = Literal["all", "new"] | int
"""Where facts begin: with the first one that is kept, with the next one, or behind a sequence of the results stream."""

_POLL: Final = 0.1  # seconds between two looks for new facts


class Cluster:
    """Reads what the workers of a cluster have stored. A context.

    ::

        async with Cluster("nats://broker:4222") as cluster:
            state = await cluster.state("run_1")
            async for signal in cluster.facts():
                ...

    Args:
        url: The broker: ``nats://host:port``, several ones separated by commas.
        prefix: The prefix of the cluster.
        options: Options of the connection (``nats.connect``).

    Attributes:
        topology: Its names.
        position: The sequence of the last message of :meth:`facts` that was returned in full; ``start=position`` goes
            on there.
    """

    def __init__(self, url: str, *, prefix: str = "runstream", options: Mapping[str, Any] | None = None) -> None:
        self.topology = Topology(prefix=prefix)
        self.position = 0
        self._broker = Broker(url, options=options)
        self._prefix = prefix

    async def __aenter__(self) -> Self:
        await self._broker.open()
        try:
            self.topology = await load_topology(self._broker, self._prefix)
        except BaseException:
            await self._broker.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._broker.close()

    async def state(self, run_id: str, scope: str = "") -> RunState | None:
        """The state of a run as its worker has stored it: at its last fact, or pause.

        Args:
            run_id: Its id.
            scope: Its scope.

        Returns:
            ``None`` if there is none, or the run ended too long ago.

        Raises:
            ClusterError: The broker does not answer.
        """
        topology = self.topology
        message = await self._broker.last(topology.results, topology.state("*", token(scope, run_id)))
        if message is None:
            return None
        return state_of(read_stored(StoredRecord, await join_message(self._broker, topology.results, message)))

    async def facts(self, start: Start = "new", *, partition: int | None = None) -> AsyncIterator[Signal]:
        """The facts as they are stored, for ever: all of one run in order.

        A connection that is lost is made again, and nothing is left out.

        Args:
            start: ``"all"``, ``"new"``, or the sequence behind which they begin (:attr:`position`).
            partition: The number of one partition, from 0; all by default.

        Raises:
            ClusterError: A fact can't be read.
        """
        async for message in self._messages(self.topology.facts(partition), start):
            for signal in read_facts(message.data):
                yield signal
            self.position = message.seq

    async def _messages(self, subject: str, start: Start) -> AsyncIterator[Message]:
        stream = self.topology.results
        if start == "new":
            info = await self._broker.api(f"STREAM.INFO.{stream}")
            seq = info["state"]["last_seq"]
        else:
            seq = 0 if start == "all" else int(start)
        while True:
            try:
                async for message in self._broker.read(stream, subject, seq + 1, until=2**62):
                    seq = message.seq
                    yield message
            except Unanswered:
                LOG.debug("broker_awaited")
            await asyncio.sleep(_POLL)

    async def progress(self, run_id: str | None = None, scope: str = "") -> AsyncIterator[Signal]:
        """The texts, arguments and outputs as they grow, from now on, at most once: a slow consumer misses some.

        The offsets show what is missing, and the state has the whole text.

        Args:
            run_id: One run; all by default.
            scope: Its scope.
        """
        run = "*" if run_id is None else token(scope, run_id)
        messages = asyncio.Queue[bytes](4_096)

        async def receive(message: Any) -> None:
            if not messages.full():
                messages.put_nowait(message.data)

        subscription = await self._broker.subscribe(self.topology.progress("*", run), receive)
        try:
            while True:
                for signal in read_facts(await messages.get()):
                    yield signal
        finally:
            with suppress(Exception):
                await subscription.unsubscribe()
