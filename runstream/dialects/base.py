"""The contract of a dialect: the decoder of one protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from runstream.model.events import Event, Reject
from runstream.model.raw import RawEvent

__all__ = ["BaseDialect", "Dialect"]


class Dialect(Protocol):
    """The decoder of one protocol; it keeps state, and each source has one of its own.

    The engine passes every raw event of the source to :meth:`decode`, so that a dialect that wraps another one sees
    them all. :class:`BaseDialect` has the other methods, for a dialect that needs none of them.

    Attributes:
        connection: The number of the source's connection, from 0; the engine increments it.
    """

    connection: int

    def decode(self, raw: RawEvent) -> Event | Reject | Sequence[Event | Reject]:
        """Decode one raw event. Never raises on input.

        All events of one raw event have the same ``id``: they are kept, or skipped as a duplicate, together. A fragment
        that is appended to one text is best returned as a :class:`~runstream.TextAppend`.
        """

    def end(self, clean: bool) -> Sequence[Event]:
        """The last events, when the source ends; before its open runs are paused or interrupted.

        Args:
            clean: True if the source ended by itself, False if it failed or was removed.
        """

    def forget(self, run_id: str) -> None:
        """Note that a run was evicted: nothing of it needs to be remembered."""

    def cursor(self) -> str | None:
        """The place from which a server is asked to go on, if it is another one than the transport's last event id."""


class BaseDialect:
    """A dialect without last events, memory of runs, and cursor of its own: a base for other dialects."""

    __slots__ = ("connection",)

    def __init__(self) -> None:
        self.connection = 0

    def end(self, clean: bool) -> Sequence[Event]:
        """No last events."""
        return ()

    def forget(self, run_id: str) -> None:
        """Nothing is remembered of runs."""

    def cursor(self) -> str | None:
        """The last event id of the transport is the place."""
        return None
