"""What every source is: something that gives raw events to a receiver until it has no more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from runstream.model.raw import RawItem

__all__ = ["Receiver", "Source"]


class Receiver(Protocol):
    """Where a source puts what it receives; the stream gives one to each source."""

    def feed(self, item: RawItem) -> None:
        """Take one raw event through the whole pipeline, synchronously: synchronous subscribers have seen it
        when this returns, which is what makes a slow one slow the sender.
        """

    async def feed_all(self, items: Iterable[RawItem]) -> None:
        """Take many raw events, each as :meth:`feed` does, at less cost for each; return when more input is welcome.

        Where an asynchronous subscriber that must not lose anything falls behind meanwhile, the rest is taken when
        it has caught up. The loop gets its turn in between.
        """

    async def ready(self) -> None:
        """Return when more input is welcome: at once, unless an asynchronous subscriber that must not lose
        anything is behind. Sources await it after what they fed one by one.
        """

    def connected(self, attempt: int = 0) -> None:
        """Say that the source is connected: for the first time, or again (then ``attempt`` counts the tries)."""

    def disconnected(self, reason: str, attempt: int = 0) -> None:
        """Say that the connection was lost and will be tried again."""

    @property
    def live(self) -> bool:
        """Whether a run of this source is neither ended nor waiting for action: the source's end would cut it."""

    @property
    def last_id(self) -> str | None:
        """The last event id that came in, for resuming."""


@runtime_checkable
class Source(Protocol):
    """Anything that gives raw events.

    One that tells nothing but whole objects, as polling does, says so by an attribute ``snapshots = True``: a lost
    connection loses nothing of it, and beside a stream of the same run it leaves growing text to that.
    """

    name: str

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until there is no more.

        Returning says that the source ended by itself; raising :class:`~runstream.errors.SourceFailed` that it is
        gone for good. Reconnecting is the source's own business, inside this call. Cancellation must close
        whatever the source holds.
        """
