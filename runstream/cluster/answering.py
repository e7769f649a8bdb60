"""Answers to runs that wait, from a group: a client executes the tools, an ingest reads what the server sends then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from runstream.cluster.broker import Broker
from runstream.cluster.facts import read_facts
from runstream.cluster.ingest import Ingest
from runstream.cluster.large import join_message
from runstream.cluster.stored import StoredRecord, read_stored, state_of
from runstream.cluster.topology import Topology, token
from runstream.core.state import RunState
from runstream.errors import ClusterError
from runstream.model.signals import ActionRequired
from runstream.sources.base import Source

__all__ = ["Answering", "AnsweringClient"]


class AnsweringClient(Protocol):
    """What a group needs of a client; all clients of this library have it."""

    dialect: Any

    async def make_answer(
        self,
        signal: ActionRequired,
        state: RunState,
        *,
        answers: Mapping[str, Any] | None = None,
        request: Mapping[str, Any] | None = None,
    ) -> Source | None:
        """The source that submits the answers and reads what follows; ``None`` if one is missing."""


class Answering:
    """Answers runs of a cluster.

    Args:
        broker: The broker.
        topology: The names of the cluster.
        ingest: Reads the answers of the server.
    """

    def __init__(self, broker: Broker, topology: Topology, ingest: Ingest) -> None:
        self._broker = broker
        self._topology = topology
        self._ingest = ingest

    async def answer(
        self,
        client: AnsweringClient,
        signal: ActionRequired,
        *,
        answers: Mapping[str, Any] | None = None,
        request: Mapping[str, Any] | None = None,
    ) -> bool:
        """Answer a request, and return when the stream that follows it has ended.

        Args:
            client: Executes the tools, decides about approvals, and submits the answers.
            signal: The request.
            answers: Answers of the application, by the ids or keys of the calls.
            request: See :meth:`HandlerGroup.answer`.

        Returns:
            False if an answer is missing, or the run does not wait for it any more.

        Raises:
            ClusterError: The source of the answer failed.
        """
        state = await self._state(signal)
        if state is None or not state.run.requires_action or _calls(state.run) != _calls(signal.run):
            return False  # it was answered before
        source = await client.make_answer(signal, state, answers=answers, request=request)
        if source is None:
            return False
        # The same at each attempt: where another process attached it before, this one takes it from there.
        handle = self._ingest.attach(
            source, name=f"answer {signal.key}", scope=signal.scope, dialect=client.dialect, continues=signal.run_id
        )
        await handle.done.wait()
        if handle.error is not None:
            raise ClusterError(f"the answer to {signal.key} failed: {handle.error}") from handle.error
        return True

    async def find_request(self, run_id: str, scope: str) -> ActionRequired:
        """The last request of a run.

        Raises:
            LookupError: The run has none.
        """
        subject = f"{self._topology.prefix}.fact.*.{token(scope, run_id)}"
        found: ActionRequired | None = None
        async for message in self._broker.read(self._topology.results, subject, 1, until=2**62):
            for signal in read_facts(message.data):
                if isinstance(signal, ActionRequired):
                    found = signal
        if found is None:
            raise LookupError(f"run {run_id} does not wait for an answer")
        return found

    async def _state(self, signal: ActionRequired) -> RunState | None:
        topology = self._topology
        subject = topology.state("*", token(signal.scope, signal.run_id))
        message = await self._broker.last(topology.results, subject)
        if message is None:
            return None
        return state_of(read_stored(StoredRecord, await join_message(self._broker, topology.results, message)))


def _calls(run: Any) -> list[str]:
    return [call.id for call in run.pending_tool_calls]
