"""The public handle of one attached source, which `RunStream.attach` returns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from runstream.engine.intake import Intake
from runstream.errors import SourceFailed
from runstream.sources.base import Source
from runstream.stream.receiver import SourceReceiver

__all__ = ["SourceHandle"]


class SourceHandle:
    """One attached source.

    Attributes:
        name: Its name in this stream, as in its signals and rejects.
        error: Why it failed, if it did.
    """

    def __init__(
        self,
        source: Source,
        intake: Intake,
        receiver: SourceReceiver,
        remove: Callable[[SourceHandle, str], None],
        is_waiting: Callable[[SourceHandle], bool],
    ) -> None:
        self.name = intake.name
        self.error: SourceFailed | None = None
        self._source = source
        self._intake = intake
        self._receiver = receiver
        self._remove = remove
        self._is_waiting = is_waiting
        self._task: asyncio.Task[None] | None = None
        self._removed: str | None = None
        self._failure: SourceFailed | None = None

    @property
    def scope(self) -> str:
        """The scope of its runs."""
        return self._intake.scope

    @property
    def continues(self) -> str | None:
        """The id of the run that it continues, as the application said; ``None`` if it said nothing."""
        return self._intake.continues

    @property
    def dialect(self) -> str | None:
        """The name of its dialect. With ``"auto"``, ``None`` until an event has decided; a factory has no name."""
        return self._intake.dialect

    @property
    def done(self) -> bool:
        """True if it has ended or was removed."""
        return self._intake.ended

    @property
    def fed(self) -> bool:
        """True if it has delivered anything."""
        return self._receiver.fed

    @property
    def waiting(self) -> bool:
        """True if it waits for the end of another source, because the number of sources read at once is limited."""
        return self._is_waiting(self)

    def remove(self, reason: str = "the source was removed") -> None:
        """Stop reading it. Its open runs are interrupted (or paused). Without effect when it is done.

        Args:
            reason: The reason in the signals.
        """
        self._remove(self, reason)

    def __repr__(self) -> str:
        return f"SourceHandle({self.name!r}, scope={self.scope!r}, done={self.done})"
