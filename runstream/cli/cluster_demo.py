"""``demo --cluster``: a broker, two ingests and three workers on this machine; one of each kind is killed."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from runstream.cli.exit_codes import ExitCode, UsageError
from runstream.cli.stdio import complain
from runstream.cluster.broker import Broker
from runstream.cluster.cluster import Cluster
from runstream.cluster.embedded import EmbeddedBroker
from runstream.cluster.operations import ClusterStatus, init_cluster, read_status
from runstream.cluster.topology import Topology
from runstream.engine.fold import fold
from runstream.errors import ClusterError
from runstream.model.progress_signals import PROGRESS
from runstream.model.raw import RawEvent
from runstream.recordings import demo as recordings
from runstream.recordings.reader import read_recording

__all__ = ["cluster_demo"]

_PIN_TIMEOUT: Final = 2.0
_COPIES: Final = 6  # of each recording
_DEADLINE: Final = 35.0  # seconds
_PACE: Final = 0.05  # seconds between two events of a source


def cluster_demo() -> int:
    """Show that a cluster loses and repeats nothing; the exit code is 0 if so."""
    try:
        return asyncio.run(_demo())
    except ImportError as error:
        raise UsageError(str(error)) from None
    except ClusterError as error:
        raise UsageError(str(error)) from None


async def _demo() -> int:
    names = [scene.files[0] for act in recordings.SCRIPT for scene in act]
    topology = Topology(partitions=4)
    processes: list[asyncio.subprocess.Process] = []
    with TemporaryDirectory(prefix="runstream-demo-") as directory:
        files = _write(names, Path(directory))
        async with EmbeddedBroker() as server:
            try:
                async with asyncio.timeout(_DEADLINE):
                    async with Broker(server.url) as broker:
                        _say("a broker from the wheel, 4 partitions")
                        await init_cluster(broker, topology, pin_timeout=_PIN_TIMEOUT)
                        workers = {f"worker-{n}": await _worker(server.url, f"worker-{n}") for n in (1, 2, 3)}
                        half = len(files) // 2
                        parts = (files[:half], files[half:])
                        ingests = [await _ingest(server.url, part) for part in parts]
                        processes += [*workers.values(), *ingests]
                        _say(f"3 workers; 2 ingests with {len(files)} recorded runs, as they come from a server")
                        await _until_facts(broker, topology, 30)
                        victim = ingests[0]
                        victim.kill()
                        await victim.wait()
                        _say("killed an ingest in the middle; it is started again")
                        ingests[0] = await _ingest(server.url, parts[0])
                        processes.append(ingests[0])
                        await _until_facts(broker, topology, 60)
                        name = next(
                            each.owner for each in (await read_status(broker, topology)).partitions if each.owner
                        )
                        workers[name].kill()
                        await workers[name].wait()
                        killed = time.monotonic()
                        owned = sum(each.owner == name for each in (await read_status(broker, topology)).partitions)
                        _say(f"killed {name}, the owner of {owned} partitions")
                        await _until(
                            broker, topology, lambda status: all(each.owner != name for each in status.partitions)
                        )
                        _say(f"the others have its partitions after {time.monotonic() - killed:.1f} s")
                        for process in ingests:
                            await process.wait()
                        await _until(broker, topology, lambda status: not any(each.lag for each in status.partitions))
                        return await _compare(server.url, broker, topology, names)
            except TimeoutError:
                complain(f"the demo did not end within {_DEADLINE:g} s")
                return ExitCode.NOT_COMPLETED
            finally:
                for process in processes:
                    if process.returncode is None:
                        process.kill()
                        await process.wait()


def _write(names: Sequence[str], directory: Path) -> list[Path]:
    """The recordings as files, several copies of each: a run is identified by its scope too."""
    files = []
    for copy in range(_COPIES):
        for name in names:
            path = directory / f"{copy}-{name}"
            path.write_bytes(recordings.load(name))
            files.append(path)
    return files


async def _start(*args: str) -> asyncio.subprocess.Process:
    quiet = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(sys.executable, "-m", "runstream", *args, stdout=quiet, stderr=quiet)


async def _worker(url: str, name: str) -> asyncio.subprocess.Process:
    return await _start("worker", "--nats", url, "--name", name)


async def _ingest(url: str, files: Sequence[Path]) -> asyncio.subprocess.Process:
    names = [option for path in files for option in ("--name", path.name)]
    return await _start("ingest", *map(str, files), *names, "--nats", url, "--scope-by-name", "--pace", str(_PACE))


async def _until_facts(broker: Broker, topology: Topology, count: int) -> None:
    await _until(broker, topology, lambda status: status.streams[topology.results][0] >= count)


async def _until(broker: Broker, topology: Topology, is_true: Callable[[ClusterStatus], bool]) -> None:
    while not is_true(await read_status(broker, topology)):  # noqa: ASYNC110 - the broker sends no event of it
        await asyncio.sleep(0.05)


async def _compare(url: str, broker: Broker, topology: Topology, names: Sequence[str]) -> int:
    """Compare what is stored with the recordings, folded in this process."""
    found: Counter[str] = Counter()
    async for message in broker.read(topology.results, topology.facts(), 1, until=2**62):
        found.update(
            fact["key"] for fact in msgspec.json.decode(message.data) if not fact["type"].startswith("source.")
        )
    wanted: Counter[str] = Counter()
    different = 0
    async with Cluster(url) as cluster:
        for copy in range(_COPIES):
            for name in names:
                scope = f"{copy}-{name}"
                items = read_recording(recordings.load(name), format="sse")
                folded = fold([each for each in items if isinstance(each, RawEvent)], scope=scope, name=scope)
                wanted.update(
                    each.key
                    for each in folded.signals
                    if type(each) not in PROGRESS and not each.type.startswith("source.")
                )
                for state in folded.runs:
                    stored = await cluster.state(state.run_id, scope)
                    same = stored is not None and (stored.run, stored.messages, stored.steps) == (
                        state.run,
                        state.messages,
                        state.steps,
                    )
                    different += not same
    lost = (wanted - found).total()
    repeated = (found - wanted).total()
    _say(f"{found.total()} facts of {_COPIES * len(names)} runs: {lost} lost, {repeated} repeated")
    _say(f"states that differ from a fold in one process: {different}")
    return ExitCode.COMPLETED if not (lost or repeated or different) else ExitCode.NOT_COMPLETED


def _say(text: str) -> None:
    print(text, flush=True)
