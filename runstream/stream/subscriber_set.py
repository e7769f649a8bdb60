"""The subscribers of one channel: those of all runs, and those of single runs by the run's id."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

__all__ = ["Subscriber", "SubscriberSet", "name_of", "no_op"]

T = TypeVar("T")


def no_op(*_: Any) -> None:
    """A callback without effect."""


class Subscriber(Generic[T]):
    """One subscriber of a channel.

    Args:
        on_next: Called with each value.
        on_completed: Called at the end.
        on_error: Called with the error, if the channel ends with one.
        name: Its name in logs; the name of ``on_next`` by default.
        progress: True if it wants the growth of texts too.
        run_id: Only values of this run.
        scope: With ``run_id``: only values of this scope, and the subscription ends with the run. By default any
            scope.

    Attributes:
        active: False after `deactivate`.
    """

    __slots__ = ("active", "name", "on_completed", "on_error", "on_next", "progress", "run_id", "scope")

    def __init__(
        self,
        on_next: Callable[[T], object],
        on_completed: Callable[[], object] = no_op,
        on_error: Callable[[Exception], object] = no_op,
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

    def deactivate(self) -> None:
        """Receive no further value, not even the one in delivery."""
        self.active = False
        self.on_next = no_op  # so that delivering a value needs no check


class SubscriberSet(Generic[T]):
    """The subscribers of a channel. Those of single runs, together, cost one look-up a value.

    Attributes:
        unfiltered: The subscribers of all runs.
        by_run: The subscribers of single runs, by the run's id.
        progress: The number of subscribers that want the growth of texts.
    """

    # The tuples are replaced, never changed: each is a snapshot.
    __slots__ = ("_count", "by_run", "progress", "unfiltered")

    def __init__(self) -> None:
        self.unfiltered: tuple[Subscriber[T], ...] = ()
        self.by_run: dict[str, tuple[Subscriber[T], ...]] = {}
        self.progress = 0
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Subscriber[T]]:
        yield from self.unfiltered
        for group in tuple(self.by_run.values()):
            yield from group

    def matching(self, value: Any) -> tuple[Subscriber[T], ...]:
        """The subscribers of this value."""
        group = self.by_run.get(getattr(value, "run_id", ""))
        if group is None:
            return self.unfiltered
        scope = value.scope
        for one in group:
            if one.scope is not None and one.scope != scope:
                group = tuple(one for one in group if one.scope is None or one.scope == scope)
                break
        return self.unfiltered + group if self.unfiltered else group

    def add(self, subscriber: Subscriber[T]) -> None:
        """Add a subscriber."""
        run_id = subscriber.run_id
        if run_id is None:
            self.unfiltered = (*self.unfiltered, subscriber)
        else:
            self.by_run[run_id] = (*self.by_run.get(run_id, ()), subscriber)
        self._count += 1
        self.progress += subscriber.progress

    def remove(self, subscriber: Subscriber[T]) -> bool:
        """Remove a subscriber.

        Returns:
            True if it was in the set.
        """
        run_id = subscriber.run_id
        group = self.unfiltered if run_id is None else self.by_run.get(run_id, ())
        left = tuple(one for one in group if one is not subscriber)
        if len(left) == len(group):
            return False
        if run_id is None:
            self.unfiltered = left
        elif left:
            self.by_run[run_id] = left
        else:
            del self.by_run[run_id]
        self._count -= 1
        self.progress -= subscriber.progress
        return True

    def remove_run(self, scope: str, run_id: str) -> list[Subscriber[T]]:
        """Remove and return the subscribers of this run in this scope alone."""
        removed = [one for one in self.by_run.get(run_id, ()) if one.scope == scope]
        for one in removed:
            self.remove(one)
        return removed

    def remove_all(self) -> list[Subscriber[T]]:
        """Remove and return all subscribers."""
        removed = list(self)
        self.unfiltered = ()
        self.by_run = {}
        self._count = self.progress = 0
        return removed


def name_of(callback: object) -> str:
    """The name of a callback in logs: module and qualified name of a function, or of the class of an object."""
    name = getattr(callback, "__qualname__", None) or type(callback).__qualname__
    module = getattr(callback, "__module__", None)
    return f"{module}.{name}" if module else str(name)
