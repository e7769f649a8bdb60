"""Ports that stay free until somebody listens on them."""

from __future__ import annotations

import random
import socket

__all__ = ["free_port"]


def free_port() -> int:
    """A port on loopback, of those that systems do not give by themselves: no other test, or client, has it by chance.

    For a server that is to come back on the same port; any other takes port 0.
    """
    for port in random.Random().sample(range(20_000, 30_000), 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError("no port is free")
