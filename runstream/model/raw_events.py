"""Raw events that arrived together: they are kept in one piece, and become objects when they are read one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, Final, Generic, TypeVar, cast, overload

from runstream.model.raw import RawEvent

__all__ = ["SEPARATOR", "RawEvents", "RawItems"]

SEPARATOR: Final = b"\r"
"""A byte that no line of an event stream contains, since it ends lines (WHATWG HTML 9.2.5)."""

_ONLY_EVENTS: Final = frozenset({RawEvent})

T = TypeVar("T")


class RawEvents(Sequence[RawEvent]):
    """Consecutive raw events of one name that are read together.

    Args:
        event: The name of each; see :class:`RawEvent`.
        data: The data of each.
        last_id: The last event id after the last one.
        at: Time of arrival of all (Unix seconds), ``None`` if it is unknown, or not one time.
        line: Line number (from 1) at which the first one starts.
        step: The number of lines of each.
        items: The raw events, if they are objects already.
    """

    __slots__ = ("at", "data", "event", "items", "last_id", "line", "step")

    def __init__(
        self,
        event: str | None,
        data: Sequence[bytes],
        last_id: str | None = None,
        at: float | None = None,
        line: int = 1,
        step: int = 3,
        *,
        items: Sequence[RawEvent] | None = None,
    ) -> None:
        self.event = event
        self.data = data
        self.last_id = last_id
        self.at = at
        self.line = line
        self.step = step
        self.items = items

    @classmethod
    def of(cls, items: Sequence[Any]) -> RawEvents | None:
        """Raw events that are objects already; ``None`` if these are other items, or have several names.

        Args:
            items: The items; at least one.
        """
        if set(map(type, items)) != _ONLY_EVENTS:
            return None
        event = items[0].event
        if [item.event for item in items].count(event) != len(items):
            return None
        return cls(event, [item.data for item in items], items[-1].last_id, items=items)

    def ids(self, first: int) -> list[str] | None:
        """The ids of the events from an index on; ``None`` if they have none.

        An event without an id among others has the id "", which no event has.
        """
        if self.items is None:
            return None
        ids = [item.id for item in self.items[first:]]
        return None if ids.count(None) == len(ids) else [id or "" for id in ids]

    def times(self, first: int, count: int) -> list[float | None]:
        """The times of arrival of some events (Unix seconds).

        Args:
            first: The index of the first one.
            count: Their number.
        """
        if self.items is None:
            return [self.at] * count
        return [item.at for item in self.items[first : first + count]]

    def __len__(self) -> int:
        return len(self.data)

    def __iter__(self) -> Iterator[RawEvent]:
        if self.items is not None:
            return iter(self.items)
        lines = range(self.line, self.line + self.step * len(self.data), self.step)
        return map(RawEvent, repeat(self.event), self.data, repeat(None), repeat(self.last_id), repeat(self.at), lines)

    @overload
    def __getitem__(self, index: int) -> RawEvent: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[RawEvent]: ...
    def __getitem__(self, index: int | slice) -> RawEvent | Sequence[RawEvent]:
        if self.items is not None:
            return self.items[index]
        if isinstance(index, slice):
            return list(self)[index]
        place = index if index >= 0 else index + len(self.data)
        line = self.line + self.step * place
        return RawEvent(self.event, self.data[index], None, self.last_id, self.at, line)


class RawItems(Sequence[T], Generic[T]):
    """Items in the order of their arrival, some of them in one piece; read one by one it is like a list of all.

    Args:
        parts: Single items, and :class:`RawEvents`.
    """

    __slots__ = ("_all", "parts")

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts: Sequence[Any] = parts
        self._all: list[T] | None = None

    def __len__(self) -> int:
        return sum(len(part) if type(part) is RawEvents else 1 for part in self.parts)

    def __bool__(self) -> bool:
        return bool(self.parts)

    def __iter__(self) -> Iterator[T]:
        return iter(self._read())

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        return self._read()[index]

    def __eq__(self, other: object) -> bool:
        return self._read() == list(other) if isinstance(other, RawItems | list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __add__(self, other: Iterable[T]) -> list[T]:
        return [*self, *other]

    def __radd__(self, other: Iterable[T]) -> list[T]:
        return [*other, *self]

    def __repr__(self) -> str:
        return repr(self._read())

    def _read(self) -> list[T]:
        if self._all is None:
            found: list[T] = []
            for part in self.parts:
                if type(part) is RawEvents:
                    found += cast(Iterable[T], part)
                else:
                    found.append(part)
            self._all = found
        return self._all
