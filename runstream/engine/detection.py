"""The search for the dialect of one source: its first items are kept, and fed again once a dialect recognises one."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from runstream.dialects.auto import AutoDialect
from runstream.dialects.base import Dialect
from runstream.engine.outputs import Outputs
from runstream.model.raw import RawEvent, RawItem
from runstream.model.raw_input import RawInput, raw_item

__all__ = ["Detection"]


class _Feeder(Protocol):
    """The parts of :class:`~runstream.engine.feed.Feeder` that are used here."""

    dialect: Dialect
    detection: Any

    def feed(self, item: RawInput) -> None: ...
    def route(self, decoded: Any, id: str | None, at: float) -> None: ...
    def take_other(self, item: RawItem) -> None: ...
    def decode_other(self, item: RawItem) -> None: ...


class Detection:
    """Keeps the items of a source until its dialect is known.

    Args:
        dialect: Finds the dialect.
        feeder: Takes the items afterwards.
        outputs: The outputs of the engine.
        on_found: Called once, before the first item is decoded.
    """

    def __init__(
        self, dialect: AutoDialect, feeder: _Feeder, outputs: Outputs, on_found: Callable[[AutoDialect], None]
    ) -> None:
        self._dialect = dialect
        self._feeder = feeder
        self._outputs = outputs
        self._on_found = on_found

    def take(self, items: Iterable[RawInput]) -> Iterable[RawInput]:
        """Keep items until one decides.

        Returns:
            The items after it.
        """
        iterator = iter(items)
        for each in iterator:
            item = raw_item(each)
            if isinstance(item, RawEvent):
                self.keep(item)
            else:
                self._feeder.take_other(item)
            if self._feeder.detection is None:
                return iterator
        return ()

    def keep(self, item: RawItem) -> None:
        """Keep an item; if it decides, feed all that were kept."""
        feeder = self._feeder
        at = self._outputs.clock() if type(item) is RawEvent and item.at is None else None
        for found in self._dialect.keep(item, at):
            feeder.route(found, item.id if isinstance(item, RawEvent) else None, 0.0)  # neither needs a time
        if (dialect := self._dialect.dialect) is None:
            return
        feeder.dialect, feeder.detection = dialect, None
        self._on_found(self._dialect)
        for kept in self._dialect.kept():
            dialect.connection = kept.connection
            if not isinstance(kept.item, RawEvent):
                feeder.decode_other(kept.item)
            elif kept.at is None:
                feeder.feed(kept.item)
            else:
                self._feed_at(kept.item, kept.at)

    def _feed_at(self, item: RawEvent, at: float) -> None:
        """Feed a kept item without a time of its own; the time of its arrival is past."""
        outputs = self._outputs
        clock = outputs.clock

        def arrival() -> float:
            outputs.clock = clock
            return at

        outputs.clock = arrival
        try:
            self._feeder.feed(item)
        finally:
            outputs.clock = clock
