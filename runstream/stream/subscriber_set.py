"""Who listens to one channel: everybody's subscribers, and those of single runs, found by the run's id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

__all__ = ["Audience", "Subscriber", "name_of"]

T = TypeVar("T")


def _nothing(*_: Any) -> None:
    pass


class Subscriber(Generic[T]):
    """One observer of a channel.

    Args:
        on_next: Called with each value.
        on_completed: Called at the end.
        on_error: Called with the error, if the channel ends with one.
        name: What to call it in a log; by default the name of ``on_next``.
        progress: Whether it wants every growth of a text too.
        run_id: Only values of this run.
        scope: With ``run_id``: only in this scope, and then it ends with the run; in any scope by default.

    Attributes:
        active: Whether it still gets values; ``False`` takes effect within the dispatch that goes on.
    """

    __slots__ = ("active", "name", "on_completed", "on_error", "on_next", "progress", "run_id", "scope")

    def __init__(
        self,
        on_next: Callable[[T], object],
        on_completed: Callable[[], object] = _nothing,
        on_error: Callable[[Exception], object] = _nothing,
        *,
        name: str = "",
        progress: bool = True,
        run_id: str | None = None,
        scope: str | None = None,
    ) -> None:
        self.on_next = on_next
        self.on_completed = on_completed
        self.on_error = on_error
        self.name = name or name_of(on_next)
        self.progress = progress
        self.run_id = run_id
        self.scope = scope
        self.active = True


class Audience(Generic[T]):
    """The subscribers of a channel. Those of single runs cost a value one look-up, however many they are.

    Attributes:
        everybody: Those who get every value.
        by_run: Those who get the values of one run, by its id.
        progress: How many want every growth of a text.
    """

    # The tuples are replaced, never changed: each is a snapshot by itself.
    __slots__ = ("_count", "by_run", "everybody", "progress")

    def __init__(self) -> None:
        self.everybody: tuple[Subscriber[T], ...] = ()
        self.by_run: dict[str, tuple[Subscriber[T], ...]] = {}
        self.progress = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Subscriber[T]]:
        yield from self.everybody
        for group in tuple(self.by_run.values()):
            yield from group

    def of(self, value: Any) -> tuple[Subscriber[T], ...]:
        """Those who get this value."""
        group = self.by_run.get(getattr(value, "run_id", ""))
        if group is None:
            return self.everybody
        scope = value.scope
        for one in group:
            if one.scope is not None and one.scope != scope:
                group = tuple(one for one in group if one.scope is None or one.scope == scope)
                break
        return self.everybody + group if self.everybody else group

    def add(self, subscriber: Subscriber[T]) -> None:
        """Add a subscriber."""
        run_id = subscriber.run_id
        if run_id is None:
            self.everybody = (*self.everybody, subscriber)
        else:
            self.by_run[run_id] = (*self.by_run.get(run_id, ()), subscriber)
        self._count += 1
        self.progress += subscriber.progress

    def remove(self, subscriber: Subscriber[T]) -> bool:
        """Remove a subscriber; whether it was one."""
        run_id = subscriber.run_id
        held = self.everybody if run_id is None else self.by_run.get(run_id, ())
        left = tuple(one for one in held if one is not subscriber)
        if len(left) == len(held):
            return False
        if run_id is None:
            self.everybody = left
        elif left:
            self.by_run[run_id] = left
        else:
            del self.by_run[run_id]
        self._count -= 1
        self.progress -= subscriber.progress
        return True

    def take_run(self, scope: str, run_id: str) -> list[Subscriber[T]]:
        """Remove those who listen to this run in this scope alone, and return them."""
        gone = [one for one in self.by_run.get(run_id, ()) if one.scope == scope]
        for one in gone:
            self.remove(one)
        return gone

    def take_all(self) -> list[Subscriber[T]]:
        """Remove everybody, and return them."""
        gone = list(self)
        self.everybody = ()
        self.by_run = {}
        self._count = self.progress = 0
        return gone


def name_of(callback: object) -> str:
    """What to call a callback in a log."""
    name = getattr(callback, "__qualname__", None) or type(callback).__qualname__
    module = getattr(callback, "__module__", None)
    return f"{module}.{name}" if module else str(name)
