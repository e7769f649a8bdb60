"""The streams of a cluster: created, changed, shown."""

from __future__ import annotations

from typing import Any

from msgspec import Struct, structs

from runstream.cluster.broker import Broker
from runstream.cluster.stored import PartitionPlace, read_stored
from runstream.cluster.topology import GROUP, Retention, Topology
from runstream.errors import ClusterError

__all__ = ["ClusterStatus", "PartitionStatus", "init_cluster", "load_topology", "read_status"]

_EXISTS = 10058
_NOT_FOUND = (10059, 10014)


class PartitionStatus(Struct, frozen=True, kw_only=True):
    """One partition as it is now.

    Attributes:
        partition: Its number.
        owner: The worker that wrote last; "" for none.
        pinned: True if a worker has the pin now.
        unread: Packs that no worker has read.
        unsettled: Packs that were read, whose results are not stored.
        committed_at: The time of the last commit (Unix seconds); 0 for none.
    """

    partition: int
    owner: str
    pinned: bool
    unread: int
    unsettled: int
    committed_at: float

    @property
    def lag(self) -> int:
        """Packs whose results are not stored."""
        return self.unread + self.unsettled


class ClusterStatus(Struct, frozen=True, kw_only=True):
    """A cluster as it is now.

    Attributes:
        topology: Its names.
        version: The version of the server.
        streams: Messages and bytes of each stream, by name.
        partitions: Its partitions.
    """

    topology: Topology
    version: str
    streams: dict[str, tuple[int, int]]
    partitions: tuple[PartitionStatus, ...]


async def init_cluster(
    broker: Broker, topology: Topology, *, retention: Retention | None = None, pin_timeout: float = 5.0
) -> None:
    """Create the streams and consumers, or change those that exist to this retention.

    Args:
        broker: The broker.
        topology: The names, and the number of partitions, which can't be changed later.
        retention: How long and how much is kept.
        pin_timeout: Seconds after which a silent worker loses its partitions. A takeover lasts twice that at most.

    Raises:
        ClusterError: The cluster exists with another number of partitions, or the broker refuses.
    """
    retention = retention or Retention()
    for config in topology.stream_configs(retention):
        name = config["name"]
        found = await broker.api(f"STREAM.INFO.{name}")
        if "error" not in found:
            known = _partitions(found)
            if known is not None and known != topology.partitions:
                raise ClusterError(
                    f"the cluster {topology.prefix!r} has {known} partitions, and their number is fixed: use it with "
                    f"{known}, or another prefix"
                )
        verb = "CREATE" if "error" in found else "UPDATE"
        _check(await broker.api(f"STREAM.{verb}.{name}", config), f"the stream {name}")
    for partition in range(topology.partitions):
        name = topology.consumer(partition)
        body = {
            "stream_name": topology.events,
            "config": topology.consumer_config(partition, pin_timeout),
        }
        _check(await broker.api(f"CONSUMER.CREATE.{topology.events}.{name}", body), f"the consumer {name}")


async def load_topology(broker: Broker, prefix: str = "runstream") -> Topology:
    """The names of a cluster that exists.

    Args:
        broker: A connection to its broker.
        prefix: The first part of its names.

    Raises:
        ClusterError: There is none of this prefix.
    """
    topology = Topology(prefix=prefix)
    found = await broker.api(f"STREAM.INFO.{topology.events}")
    partitions = None if "error" in found else _partitions(found)
    if partitions is None:
        raise ClusterError(f"the broker has no cluster {prefix!r}: create it with runstream nats init")
    return structs.replace(topology, partitions=partitions)


async def load_ended_age(broker: Broker, topology: Topology) -> float:
    """Seconds for which the state of an ended run is kept."""
    found = await broker.api(f"STREAM.INFO.{topology.results}")
    metadata = found.get("config", {}).get("metadata") or {}
    return float(metadata.get("runstream.ended_age", Retention().ended_age))


async def read_status(broker: Broker, topology: Topology) -> ClusterStatus:
    """The state of a cluster.

    Args:
        broker: A connection to its broker.
        topology: Its names.

    Raises:
        ClusterError: A stream or consumer is missing.
    """
    streams = {}
    for name in (topology.events, topology.results):
        found = _check(await broker.api(f"STREAM.INFO.{name}"), f"the stream {name}")
        streams[name] = (found["state"]["messages"], found["state"]["bytes"])
    places = await broker.last_of(topology.results, [topology.place(each) for each in range(topology.partitions)])
    partitions = []
    for partition in range(topology.partitions):
        name = topology.consumer(partition)
        found = _check(await broker.api(f"CONSUMER.INFO.{topology.events}.{name}"), f"the consumer {name}")
        message = places.get(topology.place(partition))
        place = PartitionPlace() if message is None else read_stored(PartitionPlace, message.data)
        groups = found.get("priority_groups") or []
        partitions.append(
            PartitionStatus(
                partition=partition,
                owner=place.owner,
                pinned=any(each.get("group") == GROUP and each.get("pinned_client_id") for each in groups),
                unread=found["num_pending"],
                unsettled=found["num_ack_pending"],
                committed_at=place.at,
            )
        )
    version = broker._client.connected_server_version
    return ClusterStatus(
        topology=topology,
        version=f"{version.major}.{version.minor}.{version.patch}",
        streams=streams,
        partitions=tuple(partitions),
    )


def _partitions(found: dict[str, Any]) -> int | None:
    value = (found["config"].get("metadata") or {}).get("runstream.partitions", "")
    return int(value) if value.isdecimal() else None


def _check(answer: dict[str, Any], what: str) -> dict[str, Any]:
    error = answer.get("error")
    if error is not None:
        raise ClusterError(f"{what} can't be used: {error.get('description')} ({error.get('err_code')})")
    return answer
