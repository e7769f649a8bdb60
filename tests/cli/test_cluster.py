"""The commands of clusters: streams, ingests, workers, their errors, the demo, and `watch` of a cluster."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from runstream import demo
from runstream.cluster.broker import Broker
from runstream.cluster.embedded import EmbeddedBroker
from runstream.cluster.topology import Topology
from tests.cli.support import run_cli
from tests.cluster.conftest import program, server
from tests.cluster.waiting import fact_keys, settled
from tests.support.ports import free_port

__all__ = ["program", "server"]


async def run(*args: str) -> tuple[int, str, str]:
    """A command in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "runstream", *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def test_streams_ingest_and_worker(server: EmbeddedBroker, tmp_path: Path) -> None:
    """Recordings go through the commands into facts; the status shows owner and lag; SIGTERM hands over."""
    path = tmp_path / "text.sse"
    path.write_bytes(demo.load("text.sse"))
    code, out, _ = await run("nats", "init", "--nats", server.url, "--partitions", "4", "--pin-timeout", "1")
    assert (code, out) == (0, "runstream_events and runstream_results: 4 partitions\n")
    code, _, err = await run("nats", "init", "--nats", server.url, "--partitions", "5")
    assert code == 5
    assert "has 4 partitions" in err
    code, _, err = await run("ingest", str(path), "--name", "text", "--nats", server.url)
    assert code == 0
    assert "items published" in err
    worker = subprocess.Popen(  # noqa: ASYNC220 - it starts at once
        [sys.executable, "-m", "runstream", "worker", "--nats", server.url, "--name", "w"],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        async with Broker(server.url) as broker:
            await settled(broker, Topology(partitions=4))
            assert "run_demo_text_0001/completed" in await fact_keys(broker, Topology(partitions=4))
        code, out, _ = await run("nats", "status", "--nats", server.url, "--json")
        assert code == 0
        status = json.loads(out)
        assert [each["unread"] + each["unsettled"] for each in status["partitions"]] == [0, 0, 0, 0]
        assert "w" in {each["owner"] for each in status["partitions"]}
        code, out, _ = await run("nats", "status", "--nats", server.url)
        assert out.splitlines()[3].split() == ["partition", "unread", "unsettled", "last", "commit", "owner"]
    finally:
        worker.send_signal(signal.SIGTERM)
        _, said = worker.communicate(timeout=30)
    assert worker.returncode == 0
    assert "facts" in said


async def test_errors_say_what_to_do(program: str, server: EmbeddedBroker) -> None:
    """No broker, no cluster of this prefix, an address that is none: exit code 5, and one line."""
    for args, said in [
        (("worker", "--nats", f"nats://127.0.0.1:{free_port()}"), "no NATS server answers"),
        (("worker", "--nats", server.url, "--prefix", "other"), "runstream nats init"),
        (("nats", "status", "--nats", "http://x"), "the address of a NATS server"),
    ]:
        code, _, err = await run(*args)
        assert code == 5
        assert said in err
        assert len(err.splitlines()) == 1
    code, _, err = await run("ingest", "no-such-file.sse", "--nats", server.url)
    assert code == 2
    assert "there is no such file" in err


@pytest.mark.slow
def test_the_demo_loses_and_repeats_nothing(program: str) -> None:
    """`demo --cluster` kills an ingest and a worker, compares, and ends with 0."""
    found = run_cli("demo", "--cluster")
    assert found.returncode == 0, found
    assert ": 0 lost, 0 repeated" in found.stdout
    assert "differ from a fold in one process: 0" in found.stdout
    assert "killed an ingest" in found.stdout
    assert "killed worker-" in found.stdout


def test_two_sources_of_one_name(cli: Callable, tmp_path: Path) -> None:
    """Names identify sources, so two equal ones are refused before anything is read."""
    path = tmp_path / "a.sse"
    path.write_bytes(b"event: done\ndata: [DONE]\n\n")
    found = cli("ingest", str(path), str(path), "--nats", "nats://127.0.0.1:1")
    assert found.code == 2
    assert "two sources have one name" in found.err


async def test_watch_a_cluster(server: EmbeddedBroker, tmp_path: Path) -> None:
    """`watch nats://` shows the signals of all ingests until it is ended."""
    path = tmp_path / "text.sse"
    path.write_bytes(demo.load("text.sse"))
    watching = subprocess.Popen(  # noqa: ASYNC220 - it starts at once
        [sys.executable, "-m", "runstream", "watch", "--json", server.url], stdout=subprocess.PIPE, text=True
    )
    try:
        assert watching.stdout is not None
        assert json.loads(watching.stdout.readline())["type"] == "source.connected"
        code, _, _ = await run("ingest", str(path), "--name", "text", "--nats", server.url)
        assert code == 0
        types = []
        for line in watching.stdout:
            types.append(json.loads(line)["type"])
            if types[-1] == "run.completed":
                break
        assert "message.text" in types
    finally:
        watching.send_signal(signal.SIGINT)
        watching.communicate(timeout=20)
