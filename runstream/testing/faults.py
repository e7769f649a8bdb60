"""The faults of a scripted server that hit a request before it is processed."""

from __future__ import annotations

from runstream.testing.asgi import ConnectionCut, Reply, error_reply
from runstream.testing.turns import Turn

__all__ = ["refusal_of"]


def refusal_of(turn: Turn) -> Reply | None:
    """The response that refuses a request; ``None`` if the request is accepted.

    Raises:
        ConnectionCut: The connection breaks off before the request is processed.
    """
    if turn.drop:
        raise ConnectionCut
    return None if turn.refuse is None else error_reply(turn.refuse, "The request was refused.")
