"""Tools and approvals of the runs of a cluster, executed in a group of processes."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from runstream import ResponsesClient, ToolContext
from runstream.cluster.broker import Broker
from runstream.cluster.cluster import Cluster
from runstream.cluster.embedded import EmbeddedBroker
from runstream.cluster.groups import HandlerGroup
from runstream.cluster.ingest import Ingest
from runstream.cluster.topology import Topology
from runstream.cluster.worker import Worker
from runstream.errors import ClusterError
from runstream.sources.responses import ResponsesSource
from runstream.testing import Turn, serve_script
from tests.cluster.waiting import fact_keys, working

TOPOLOGY = Topology(partitions=4)
TURNS = [Turn(calls={"get_weather": {"city": "Oslo"}}), "It is sunny."]


async def test_tools_run_in_a_group(server: EmbeddedBroker, broker: Broker) -> None:
    """Each call of runs of other processes is executed once by one of two processes, and its run goes on."""
    calls: list[str] = []

    def get_weather(city: str, context: ToolContext) -> str:
        """The weather of a city."""
        calls.append(context.call_key)
        return f"sunny in {city}"

    async with serve_script(TURNS) as api:
        clients = [ResponsesClient(api.url, tools=[get_weather]) for _ in range(2)]
        groups = [HandlerGroup(server.url, "tools", pin_timeout=1.0) for _ in clients]
        for group, client in zip(groups, clients, strict=True):
            group.answer(client, request={"model": "any"})
        tasks = [asyncio.create_task(each.run()) for each in groups]
        async with working(Worker(server.url)), Ingest(server.url) as ingest:
            for number in range(3):
                body = {"model": "any", "input": "How is the weather?"}
                ingest.attach(ResponsesSource(api.url, body), name=f"run {number}", dialect="responses")
            await _completed(broker, 3)
        for group in groups:
            group.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
        assert set(Counter(calls).values()) == {1}
        assert not any(each.failures for each in groups)
        for client in clients:
            await client.aclose()


async def test_an_answer_is_submitted_by_another_process(server: EmbeddedBroker, broker: Broker) -> None:
    """A call that no tool executes waits, until the application answers it by its id; a second answer is none."""
    async with serve_script(TURNS) as api, ResponsesClient(api.url) as client:
        group = HandlerGroup(server.url, "people", pin_timeout=1.0)
        with pytest.raises(ClusterError, match="does not run"):
            await group.submit(client, "run", {})
        group.answer(client)
        task = asyncio.create_task(group.run())
        async with working(Worker(server.url)), Ingest(server.url) as ingest:
            body = {"model": "any", "input": "How is the weather?"}
            ingest.attach(ResponsesSource(api.url, body), name="run", dialect="responses")
            async with asyncio.timeout(20):
                while not (keys := [key for key in await fact_keys(broker, TOPOLOGY) if "action_required" in key]):
                    await asyncio.sleep(0.05)
            run_id = keys[0].partition("/")[0]
            async with Cluster(server.url) as cluster:
                state = await cluster.state(run_id)
                assert state is not None
                (call,) = state.run.pending_tool_calls
                with pytest.raises(LookupError):
                    await group.submit(client, run_id, {"other": "x"}, request={"model": "any"})
                assert await group.submit(client, run_id, {call.id: "cloudy"}, request={"model": "any"})
                await _completed(broker, 1)
                assert not await group.submit(client, run_id, {call.id: "late"}, request={"model": "any"})
                with pytest.raises(LookupError):
                    await group.submit(client, "unknown", {})
        group.stop()
        await asyncio.wait_for(task, 20)
        assert [output for found in api.outputs.values() for output in found if "cloudy" in str(output)]


async def _completed(broker: Broker, count: int) -> None:
    """Wait until so many runs are completed."""
    async with asyncio.timeout(20):
        while True:
            keys = await fact_keys(broker, TOPOLOGY)
            if len([key for key in keys if key.endswith("/completed") and key.count("/") == 1]) >= count:
                return
            await asyncio.sleep(0.05)
