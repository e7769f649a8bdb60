"""A broker of this machine for the tests that need one; without its program or client they are skipped."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from runstream.cluster.broker import Broker, client_library
from runstream.cluster.embedded import EmbeddedBroker, server_program
from runstream.cluster.operations import init_cluster
from runstream.cluster.topology import Topology
from runstream.errors import ClusterError


@pytest.fixture
def program() -> str:
    """The server program."""
    try:
        client_library()
        return server_program()
    except (ImportError, ClusterError) as error:
        pytest.skip(f"{error}")


@pytest.fixture
async def server(program: str) -> AsyncIterator[EmbeddedBroker]:
    """A server with a cluster of four partitions, whose pins time out after a second."""
    async with EmbeddedBroker() as found:
        async with Broker(found.url) as broker:
            await init_cluster(broker, Topology(partitions=4), pin_timeout=1.0)
        yield found


@pytest.fixture
async def broker(server: EmbeddedBroker) -> AsyncIterator[Broker]:
    """A connection to it."""
    async with Broker(server.url) as found:
        yield found
