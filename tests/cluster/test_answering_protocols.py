"""Groups answer the runs of each protocol, also where a process of the group is killed in the middle of a tool."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from runstream.cluster.broker import Broker
from runstream.cluster.cluster import Cluster
from runstream.cluster.embedded import EmbeddedBroker
from runstream.cluster.groups import HandlerGroup
from runstream.cluster.ingest import Ingest
from runstream.cluster.topology import Topology
from runstream.cluster.worker import Worker
from runstream.testing import Turn, serve_script
from tests.cluster.protocols import PROTOCOLS, Functions
from tests.cluster.waiting import fact_keys, until, working

TOPOLOGY = Topology(partitions=4)


async def completed(broker: Broker, count: int) -> list[str]:
    """Wait until so many runs are completed; return their ids."""
    async with asyncio.timeout(40):
        while True:
            ends = {key for key in await fact_keys(broker, TOPOLOGY) if key.endswith("/completed")}
            runs = sorted(key.partition("/")[0] for key in ends if key.count("/") == 1)
            if len(runs) >= count:
                return runs
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("kind", ["assistants", "ag-ui", "langgraph"])
async def test_each_protocol_is_answered(kind: str, server: EmbeddedBroker, broker: Broker) -> None:
    """Two rounds of three runs: each call is executed once, and each answer is sent once, by one of two processes."""
    protocol, keys = PROTOCOLS[kind], list[str]()
    turns = [protocol.asks("Oslo"), protocol.asks("Rome"), Turn(text="It is sunny.")]
    async with serve_script(turns) as api:
        url = protocol.url(api)
        clients = [protocol.client(url, Functions(keys.append)) for _ in range(2)]
        groups = [HandlerGroup(server.url, "tools", pin_timeout=1.0) for _ in clients]
        for group, client in zip(groups, clients, strict=True):
            group.answer(client, request=protocol.request)
        tasks = [asyncio.create_task(group.run()) for group in groups]
        async with working(Worker(server.url)), Ingest(server.url) as ingest, Cluster(server.url) as cluster:
            for number in range(3):
                ingest.attach(protocol.source(url, number), name=f"run {number}", dialect=kind)
            states = [await cluster.state(run_id) for run_id in await completed(broker, 3)]
        for group in groups:
            group.stop()
        await asyncio.wait_for(asyncio.gather(*tasks), 20)
        for client in clients:
            await client.aclose()
        assert [state is not None and state.text.endswith("It is sunny.") for state in states] == [True] * 3
        assert (len(keys), set(Counter(keys).values())) == (6, {1})
        assert [len(answers) for answers in api.outputs.values()] == [1] * 6
        assert not any(group.failures for group in groups)


@asynccontextmanager
async def group_process(*args: object) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process of the group, which is killed at the end."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.cluster.group_process", *map(str, args)),
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parents[2],
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 40) == b"ready\n"
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("kind", PROTOCOLS)
async def test_a_process_is_killed_in_a_tool(kind: str, server: EmbeddedBroker, broker: Broker, tmp_path: Path) -> None:
    """The call is executed again by another process, with an equal key, and not before the first one is killed."""
    protocol, log = PROTOCOLS[kind], tmp_path / "log"
    log.touch()
    async with serve_script([protocol.asks("Oslo"), Turn(text="It is sunny.")]) as api:
        url = protocol.url(api)
        place = (server.url, kind, url, log)
        async with (
            working(Worker(server.url)),
            Ingest(server.url) as ingest,
            group_process(*place, "hangs") as first,
        ):
            ingest.attach(protocol.source(url, 0), name="run", dialect=kind)
            await until(lambda: "begins" in log.read_text(encoding="utf-8"), 40)
            async with group_process(*place, "returns"):
                await asyncio.sleep(1.5)  # longer than the pin's time-out: the second process could begin
                assert len(log.read_text(encoding="utf-8").splitlines()) == 1
                os.kill(first.pid, signal.SIGKILL)
                await completed(broker, 1)
        noted = [line.split() for line in log.read_text(encoding="utf-8").splitlines()]
        assert [word for word, _ in noted] == ["begins", "begins", "ends"]
        assert len({key for _, key in noted}) == 1
        assert [len(answers) for answers in api.outputs.values()] == [1]
