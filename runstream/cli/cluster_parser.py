"""The grammar of the commands for clusters: ``ingest``, ``worker`` and ``nats``."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Final

__all__ = ["CLUSTER_COMMANDS", "add_cluster_arguments"]

_EXTRA: Final = "Needs the extra: pip install 'runstream[jetstream]'."
_EXITS: Final = (
    "exit codes:\n  0    ended as asked\n  1    a source failed, or the data is of a newer release\n  2    usage\n"
    "  5    the broker could not be reached, is too old, or has no such cluster\n  130  ended by Ctrl-C"
)

CLUSTER_COMMANDS: Final[dict[str, tuple[str, str, str]]] = {
    "ingest": (
        "publish the events of sources to a cluster",
        "Read streams, decode them, and publish their events in packs. Each source goes on where its last ingest\n"
        f"was, on whatever machine. {_EXTRA}",
        "examples:\n  runstream ingest wss://host/runs --nats nats://broker:4222 --name gateway\n"
        "  runstream ingest part1.sse part2.sse --nats nats://broker:4222\n\n" + _EXITS,
    ),
    "worker": (
        "reduce the runs of a cluster",
        "Own a fair share of the partitions of a cluster: reduce the runs, and store their states and facts. Start\n"
        f"any number of workers; kill any of them. {_EXTRA}",
        "examples:\n  runstream worker --nats nats://broker:4222\n"
        "  runstream worker --nats nats://broker:4222 --idle 60 --max-hot 50000\n\n" + _EXITS,
    ),
    "nats": (
        "create the streams of a cluster, or show them",
        f"init creates the streams and consumers, or changes what they keep; status shows them, the owners and\n"
        f"the lag of each partition. {_EXTRA}",
        "examples:\n  runstream nats init --nats nats://broker:4222 --partitions 32 --replicas 3\n"
        "  runstream nats status --nats nats://broker:4222 --json\n\n" + _EXITS,
    ),
}
"""For each command: a line for the list of commands, its description, and examples."""


def add_cluster_arguments(
    subparsers: dict[str, argparse.ArgumentParser],
    *,
    header: Callable[[str], Any],
    dialect: Callable[[str], Any],
    seconds: Callable[[str], float],
) -> None:
    """Add the arguments of the commands.

    Args:
        subparsers: The parsers by the name of the command.
        header: Reads a header.
        dialect: Reads the name of a dialect.
        seconds: Reads a number of seconds.
    """
    for name in CLUSTER_COMMANDS:
        subparsers[name].add_argument(
            "--nats",
            required=True,
            metavar="URL",
            help="the broker: nats://HOST:PORT, several ones separated by commas",
        )
        subparsers[name].add_argument(
            "--prefix", default="runstream", help="the prefix of the cluster's streams (default: %(default)s)"
        )
        subparsers[name].add_argument("--creds", metavar="FILE", help="a file with the credentials for the broker")
    ingest = subparsers["ingest"]
    ingest.add_argument("sources", nargs="+", metavar="SOURCE", help="a URL as for watch, or a recording")
    ingest.add_argument(
        "-H",
        "--header",
        action="append",
        type=header,
        default=[],
        metavar="'NAME: VALUE'",
        help="a header for each request to a URL; may be given several times",
    )
    ingest.add_argument("-d", "--data", metavar="BODY", help="send a POST with this body; @FILE reads a file")
    ingest.add_argument("--dialect", type=dialect, metavar="NAME", help="the protocol of the events (default: auto)")
    ingest.add_argument(
        "--name",
        action="append",
        default=[],
        dest="names",
        metavar="NAME",
        help="the name of a SOURCE, in order; the same at each start (default: the URL without its query, or the path)",
    )
    ingest.add_argument("--scope", default="", help="the scope of the runs (default: none)")
    ingest.add_argument("--scope-by-name", action="store_true", help="the scope of a source is its name")
    ingest.add_argument(
        "--pace", type=seconds, default=0.0, metavar="SECONDS", help="seconds between two events of a recording"
    )
    subparsers["demo"].add_argument(
        "--cluster",
        action="store_true",
        help=f"a cluster on this machine: a broker, two ingests, three workers; one of each is killed. {_EXTRA}",
    )
    worker = subparsers["worker"]
    worker.add_argument("--name", metavar="NAME", help="its name in the status (default: host, process, random)")
    worker.add_argument(
        "--idle", type=seconds, metavar="SECONDS", help="report runs without an event for so long as stalled"
    )
    worker.add_argument(
        "--total", type=seconds, metavar="SECONDS", help="report runs that have not ended within so long as stalled"
    )
    worker.add_argument(
        "--max-hot",
        type=_count,
        default=20_000,
        metavar="N",
        help="runs of one partition in memory; all others are in the broker (default: %(default)s)",
    )
    worker.add_argument("--no-progress", action="store_true", help="publish no text as it grows")
    nats = subparsers["nats"]
    nats.add_argument("action", choices=("init", "status"), help="create or change the streams; show them")
    nats.add_argument("--json", action="store_true", help="status as JSON")
    nats.add_argument(
        "--partitions", type=_count, default=8, metavar="N", help="their number, fixed for good (default: %(default)s)"
    )
    nats.add_argument("--replicas", type=_count, default=1, metavar="N", help="servers that keep each stream: 1, 3, 5")
    nats.add_argument(
        "--packs-age", type=seconds, default=86_400.0, metavar="SECONDS", help="packs are kept so long (default: a day)"
    )
    nats.add_argument(
        "--facts-age", type=seconds, default=604_800.0, metavar="SECONDS", help="facts are kept so long (a week)"
    )
    nats.add_argument(
        "--ended-age",
        type=seconds,
        default=86_400.0,
        metavar="SECONDS",
        help="the state of an ended run is kept so long (a day)",
    )
    nats.add_argument("--max-bytes", type=int, default=-1, metavar="N", help="size of each stream (default: no bound)")
    nats.add_argument("--memory", action="store_true", help="keep the streams in memory, not in files")
    nats.add_argument(
        "--pin-timeout",
        type=seconds,
        default=5.0,
        metavar="SECONDS",
        help="a silent worker loses its partitions after so long (default: %(default)s)",
    )


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return int(text)
