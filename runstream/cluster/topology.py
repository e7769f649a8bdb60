"""The names in the broker: streams, subjects, partitions. Pure: no broker is needed."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Any, Final

from msgspec import Struct

__all__ = ["Retention", "Topology", "partition_of", "token"]

_PREFIX: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLAIN: Final = re.compile(r"[A-Za-z0-9_:@+,~-]{1,160}")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_:@+,~-]")
_MAX_TOKEN: Final = 160
MAX_PARTITIONS: Final = 1024


def token(scope: str, id: str) -> str:
    """A scope and an id as one token of a subject: percent-encoded, a digest if it is long.

    Args:
        scope: The scope.
        id: The id of a run or the name of a source.
    """
    if not scope and _PLAIN.fullmatch(id):
        return id
    text = f"{_escape(scope)}={_escape(id)}"  # neither part has this character
    if len(text) <= _MAX_TOKEN:
        return text
    return "==" + blake2b(text.encode(), digest_size=20).hexdigest()


def _escape(text: str) -> str:
    return _UNSAFE.sub(_percent, text)


def _percent(found: re.Match[str]) -> str:
    return "".join([f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass")])


def partition_of(scope: str, id: str, partitions: int) -> int:
    """The partition of a source by its name, or of a run by its id; the same on every machine."""
    digest = blake2b(f"{scope}\0{id}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % partitions


class Retention(Struct, frozen=True, kw_only=True):
    """How long and how much the broker keeps.

    Attributes:
        packs_age: Seconds for which packs are kept: the longest outage of all workers that loses nothing.
        facts_age: Seconds for which facts are kept.
        ended_age: Seconds for which the state of an ended run is kept.
        max_bytes: Size of each stream (bytes); -1 for no bound. A full stream refuses further messages: ingests wait.
        replicas: The number of servers that keep each stream: 1, 3 or 5.
        storage: ``"file"`` or ``"memory"``.
    """

    packs_age: float = 24 * 3600.0
    facts_age: float = 7 * 24 * 3600.0
    ended_age: float = 24 * 3600.0
    max_bytes: int = -1
    replicas: int = 1
    storage: str = "file"


class Topology(Struct, frozen=True, kw_only=True):
    """The names of one cluster.

    Attributes:
        prefix: The prefix of its streams and subjects.
        partitions: The number of its partitions.

    Raises:
        ValueError: The prefix has other characters than letters, digits, ``_`` and ``-``, or the number is not within 1
            and 1024.
    """

    prefix: str = "runstream"
    partitions: int = 8

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError("the prefix has letters, digits, _ and - only, 64 at most")
        if not 1 <= self.partitions <= MAX_PARTITIONS:
            raise ValueError(f"the number of partitions is within 1 and {MAX_PARTITIONS}")

    @property
    def events(self) -> str:
        """The stream of packs and of the places of ingests."""
        return f"{self.prefix}_events"

    @property
    def results(self) -> str:
        """The stream of facts, states and places of workers."""
        return f"{self.prefix}_results"

    def pack(self, partition: int) -> str:
        """The subject of the packs of a partition."""
        return f"{self.prefix}.pack.{partition}"

    def ingest(self, scope: str, source: str) -> str:
        """The subject of the place of a source."""
        return f"{self.prefix}.ingest.{token(scope, source)}"

    def fact(self, partition: int, run: str) -> str:
        """The subject of the facts of a run, or of a source.

        Args:
            partition: Its partition.
            run: Its :func:`token`.
        """
        return f"{self.prefix}.fact.{partition}.{run}"

    def facts(self, partition: int | None = None) -> str:
        """The filter of the facts of a partition, or of all.

        Args:
            partition: The number of the partition, from 0; ``None`` for all.
        """
        return f"{self.prefix}.fact.{'*' if partition is None else partition}.>"

    def state(self, partition: int | str, run: str) -> str:
        """The subject of the state of a run; ``"*"`` as the partition makes a filter."""
        return f"{self.prefix}.state.{partition}.{run}"

    def source(self, partition: int | str, source: str) -> str:
        """The subject of a source as its worker sees it."""
        return f"{self.prefix}.source.{partition}.{source}"

    def place(self, partition: int | str) -> str:
        """The subject of the place of a partition."""
        return f"{self.prefix}.place.{partition}"

    def progress(self, partition: int | str, run: str) -> str:
        """The subject of the progress of a run."""
        return f"{self.prefix}.progress.{partition}.{run}"

    @property
    def workers(self) -> str:
        """The subject of the workers' signs of life."""
        return f"{self.prefix}.workers"

    def consumer(self, partition: int) -> str:
        """The durable consumer of the packs of a partition."""
        return f"worker_{partition}"

    def stream_configs(self, retention: Retention) -> list[dict[str, Any]]:
        """The configurations of both streams, as the broker's API takes them."""
        common: dict[str, Any] = {
            "retention": "limits",
            "discard": "new",
            "storage": retention.storage,
            "num_replicas": retention.replicas,
            "max_bytes": retention.max_bytes,
            "allow_direct": True,
            "allow_atomic": True,
            "allow_rollup_hdrs": True,
            "allow_msg_ttl": True,
            "description": f"runstream, {self.partitions} partitions",
            "metadata": {
                "runstream.partitions": str(self.partitions),
                "runstream.ended_age": f"{retention.ended_age:g}",
            },
        }
        prefix = self.prefix
        return [
            {
                **common,
                "name": self.events,
                "subjects": [f"{prefix}.pack.*", f"{prefix}.ingest.*"],
                "max_age": _nanoseconds(retention.packs_age),
            },
            {
                **common,
                "name": self.results,
                "subjects": [f"{prefix}.fact.*.*", f"{prefix}.state.*.*", f"{prefix}.source.*.*", f"{prefix}.place.*"],
                "max_age": _nanoseconds(retention.facts_age),
            },
        ]

    def consumer_config(self, partition: int, pin_timeout: float) -> dict[str, Any]:
        """The configuration of the durable consumer of a partition.

        Args:
            partition: The partition.
            pin_timeout: Seconds without a request after which the worker loses the partition.
        """
        return {
            "durable_name": self.consumer(partition),
            "filter_subject": self.pack(partition),
            "deliver_policy": "all",
            "ack_policy": "all",
            "ack_wait": _nanoseconds(3600.0),  # a takeover reads what was not acknowledged by itself, in order
            "max_deliver": -1,
            "max_ack_pending": -1,
            "priority_groups": [GROUP],
            "priority_policy": "pinned_client",
            "priority_timeout": _nanoseconds(pin_timeout),
        }


GROUP: Final = "workers"
"""The priority group of each consumer of packs."""


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
