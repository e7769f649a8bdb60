"""The protocols between a source and the pipeline: a source feeds raw items to a receiver until it has no more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, runtime_checkable

from runstream.dialects.base import Dialect
from runstream.model.raw import RawItem

__all__ = ["Receiver", "Source"]


class Receiver(Protocol):
    """Receives the raw events of one source; the stream makes one receiver for each source."""

    def feed(self, item: RawItem) -> None:
        """Process one raw event through the whole pipeline, synchronously.

        All synchronous subscribers have run when this returns, so a slow subscriber slows the sender.
        """

    async def feed_all(self, items: Iterable[RawItem]) -> None:
        """Process several raw events, each as :meth:`feed` does, at less cost for each; return when more input is
        welcome.

        If an asynchronous subscriber that must not lose anything falls behind meanwhile, the remaining events are
        processed once it has caught up. The event loop runs other tasks in between.
        """

    async def ready(self) -> None:
        """Return when more input is welcome: at once, unless an asynchronous subscriber that must not lose
        anything is behind. Sources await it after events that they fed one by one.
        """

    def connected(self, attempt: int = 0) -> None:
        """Report that the source is connected, for the first time or again.

        Args:
            attempt: The number of the attempt since the last message; 0 for a first connection.
        """

    def disconnected(self, reason: str, attempt: int = 0, server_message: str = "") -> None:
        """Report that the connection was lost and will be tried again.

        Args:
            reason: The cause, in words of the source.
            attempt: The number of the next attempt since the last message.
            server_message: The server's words about the cause, "" if there are none.
        """

    def decoder(self) -> Dialect:
        """Return a new decoder of the source's dialect, for a source that must understand what it received."""

    @property
    def expects_idle(self) -> bool:
        """True while the dialect keeps an event back until a further one, or until a silence of the source.

        The source then feeds one :class:`~runstream.Idle` after its grace time.
        """

    def cursor(self, run_id: str | None = None) -> str | None:
        """The place from which the dialect asks its server to go on; ``None`` if it has none.

        Args:
            run_id: The run that is to go on; ``None`` for the last event of the source.
        """

    @property
    def live(self) -> bool:
        """True if a run of this source has not ended and does not wait for action.

        The end of the source would interrupt that run.
        """

    @property
    def continues(self) -> str | None:
        """The id of the run that the source continues, as the application said; ``None`` if it said nothing."""

    @property
    def progress(self) -> int:
        """A number that has grown since the last call if the state of a run of this source has advanced meanwhile.

        Input that repeats what is known, begins it again, or is of no run does not count.
        """

    @property
    def last_id(self) -> str | None:
        """The last event id received, for resuming."""


@runtime_checkable
class Source(Protocol):
    """Any producer of raw events.

    A source that emits nothing but whole objects, as polling does, declares it by an attribute ``snapshots = True``.
    A lost connection then loses nothing, and where a stream of the same run exists, growing text is left to the
    stream.

    A source of one protocol has an attribute ``dialect``, the name of its dialect.

    A source that brings further sources has a method ``bind(attach)``: the stream calls it with its
    :meth:`RunStream.attach`.
    """

    name: str

    async def run(self, receiver: Receiver) -> None:
        """Feed the receiver until there is no more.

        Returning means that the source ended by itself; raising :class:`~runstream.errors.SourceFailed` that it
        failed for good. Reconnecting is the source's own task, inside this call. Cancellation must close all
        resources of the source.
        """
