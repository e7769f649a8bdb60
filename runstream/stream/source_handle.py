"""What `RunStream.attach` gives: one attached source, to look at and to remove."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from runstream.engine.intake import Intake
from runstream.errors import SourceFailed
from runstream.sources.base import Source
from runstream.stream.receiver import SourceReceiver

if TYPE_CHECKING:
    from runstream.stream.source_runner import SourceRunner

__all__ = ["SourceHandle"]


class SourceHandle:
    """One attached source.

    Attributes:
        name: Its name in this stream, as its signals and rejects give it.
        error: Why it failed, if it did.
    """

    def __init__(self, source: Source, intake: Intake, receiver: SourceReceiver, pump: SourceRunner) -> None:
        self.name = intake.name
        self.error: SourceFailed | None = None
        self._source = source
        self._intake = intake
        self._receiver = receiver
        self._pump = pump
        self._task: asyncio.Task[None] | None = None
        self._removed: str | None = None
        self._failure: SourceFailed | None = None

    @property
    def scope(self) -> str:
        """The scope of its runs."""
        return self._intake.scope

    @property
    def done(self) -> bool:
        """Whether it has ended, or was removed."""
        return self._intake.ended

    @property
    def fed(self) -> bool:
        """Whether it has given anything."""
        return self._receiver.fed

    @property
    def waiting(self) -> bool:
        """Whether it waits until another source ends, because as many are read as may be."""
        return self._pump.waits(self)

    def remove(self) -> None:
        """Stop reading it; its runs that have not ended are interrupted (or paused). Without effect when done."""
        self._pump.remove(self, "the source was removed")

    def __repr__(self) -> str:
        return f"SourceHandle({self.name!r}, scope={self.scope!r}, done={self.done})"
