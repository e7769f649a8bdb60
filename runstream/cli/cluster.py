"""``ingest``, ``worker`` and ``nats``: the processes of a cluster, and its streams."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from runstream.cli.exit_codes import ExitCode, UsageError
from runstream.cli.files import check, read
from runstream.cli.stdio import complain, escape
from runstream.cli.watch import live_source
from runstream.cluster.broker import Broker
from runstream.cluster.ingest import Ingest
from runstream.cluster.operations import ClusterStatus, init_cluster, load_topology, read_status
from runstream.cluster.recorded import RecordedItems
from runstream.cluster.topology import Retention, Topology
from runstream.cluster.worker import Worker
from runstream.engine.watchdogs import Watchdogs
from runstream.errors import ClusterError

__all__ = ["ingest", "nats", "worker"]


def ingest(args: argparse.Namespace) -> int:
    """Publish the events of sources."""
    if len(args.names) > len(args.sources):
        raise UsageError("more names than sources: give one --name for each SOURCE at most")
    check([source for source in args.sources if "://" not in source])
    sources = [_source(text, args) for text in args.sources]
    names = [*args.names, *[_name_of(text) for text in args.sources[len(args.names) :]]]
    if len(set(names)) < len(names):
        raise UsageError("two sources have one name: give each a --name of its own")
    return _run(_ingest(args, list(zip(names, sources, strict=True))))


async def _ingest(args: argparse.Namespace, sources: list[tuple[str, Any]]) -> int:
    async with Ingest(args.nats, prefix=args.prefix, options=_options(args)) as found:
        handles = [
            found.attach(source, name=name, scope=name if args.scope_by_name else args.scope, dialect=args.dialect)
            for name, source in sources
        ]
        joining = asyncio.create_task(found.join())
        stopping = asyncio.create_task(_until_signal())
        await asyncio.wait({joining, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if joining.done():
            joining.result()
        else:
            joining.cancel()
        complain(f"{found.published} items published, {found.counts.rejected} rejected")
    failures = [handle for handle in handles if handle.error is not None]
    for handle in failures:
        complain(f"{escape(handle.name)}: {escape(str(handle.error))}")
    return ExitCode.NOT_COMPLETED if failures else ExitCode.COMPLETED


def worker(args: argparse.Namespace) -> int:
    """Own partitions until SIGTERM or Ctrl-C."""
    watchdogs = Watchdogs(idle=args.idle, total=args.total) if args.idle or args.total else None
    found = Worker(
        args.nats,
        prefix=args.prefix,
        name=args.name,
        watchdogs=watchdogs,
        max_hot=args.max_hot,
        progress=not args.no_progress,
        options=_options(args),
    )
    return _run(_work(found))


async def _work(found: Worker) -> int:
    stopping = asyncio.create_task(_until_signal())
    stopping.add_done_callback(lambda task: found.stop())
    try:
        await found.run()
    finally:
        stopping.cancel()
    stats = found.stats
    complain(f"{stats.packs} packs, {stats.events} events, {stats.facts} facts, {stats.takeovers} takeovers")
    return ExitCode.COMPLETED


def nats(args: argparse.Namespace) -> int:
    """Create or show the streams."""
    return _run(_init(args) if args.action == "init" else _status(args))


async def _init(args: argparse.Namespace) -> int:
    retention = Retention(
        packs_age=args.packs_age,
        facts_age=args.facts_age,
        ended_age=args.ended_age,
        max_bytes=args.max_bytes,
        replicas=args.replicas,
        storage="memory" if args.memory else "file",
    )
    try:
        topology = Topology(prefix=args.prefix, partitions=args.partitions)
    except ValueError as error:
        raise UsageError(str(error)) from None
    async with Broker(args.nats, options=_options(args)) as broker:
        await init_cluster(broker, topology, retention=retention, pin_timeout=args.pin_timeout)
    print(f"{topology.events} and {topology.results}: {topology.partitions} partitions")
    return ExitCode.COMPLETED


async def _status(args: argparse.Namespace) -> int:
    async with Broker(args.nats, options=_options(args)) as broker:
        status = await read_status(broker, await load_topology(broker, args.prefix))
    print(_as_json(status) if args.json else _as_text(status))
    return ExitCode.COMPLETED


def _as_json(status: ClusterStatus) -> str:
    partitions = [
        {
            "partition": each.partition,
            "owner": each.owner,
            "pinned": each.pinned,
            "unread": each.unread,
            "unsettled": each.unsettled,
            "committed_at": each.committed_at,
        }
        for each in status.partitions
    ]
    streams = {name: {"messages": found[0], "bytes": found[1]} for name, found in status.streams.items()}
    return json.dumps({"server": status.version, "streams": streams, "partitions": partitions})


def _as_text(status: ClusterStatus) -> str:
    lines = [f"NATS server {status.version}"]
    lines += [f"{name}: {count} messages, {size / 2**20:.1f} MB" for name, (count, size) in status.streams.items()]
    lines.append("partition  unread  unsettled  last commit  owner")
    now = time.time()
    for each in status.partitions:
        age = f"{max(now - each.committed_at, 0):.0f} s ago" if each.committed_at else "never"
        owner = escape(each.owner) if each.pinned else f"none (was {escape(each.owner)})" if each.owner else "none"
        lines.append(f"{each.partition:9}  {each.unread:6}  {each.unsettled:9}  {age:>11}  {owner}")
    return "\n".join(lines)


def _run(command: Coroutine[Any, Any, int]) -> int:
    try:
        return asyncio.run(command)
    except ClusterError as error:
        complain(escape(str(error)))
        return ExitCode.NO_CONNECTION
    except ImportError as error:
        raise UsageError(str(error)) from None


async def _until_signal() -> None:
    """Return at SIGTERM or SIGINT: a process that is asked to end releases what it has."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    with suppress(NotImplementedError):  # Windows has no such handlers
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, asked.set)
    await asked.wait()


def _options(args: argparse.Namespace) -> dict[str, Any]:
    return {} if args.creds is None else {"user_credentials": args.creds}


def _source(text: str, args: argparse.Namespace) -> Any:
    if "://" not in text:
        return RecordedItems(list(read(text)), text, delay=args.pace)
    args.url = text
    return live_source(args)


def _name_of(text: str) -> str:
    """The name of a source: a URL without what may be a secret."""
    if "://" not in text:
        return text
    parts = urlsplit(text)
    return urlunsplit((parts.scheme, parts.hostname or "", parts.path, "", ""))
