"""Awaiting a coroutine step by step, so that one that blocks the loop can be named."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from time import monotonic
from typing import Any, Generic, TypeVar

__all__ = ["Timed"]

T = TypeVar("T")


class Timed(Generic[T]):
    """Awaits a coroutine as ``await`` would, and looks how long each of its steps keeps the loop to itself.

    A step goes from one suspension to the next: time that the coroutine spends waiting is nobody's loss.

    Args:
        coroutine: What to await, once.
        limit: Seconds of one step that are told.
        slow: Told how many they were.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T], limit: float, slow: Callable[[float], None]) -> None:
        self._coroutine = coroutine
        self._limit = limit
        self._slow = slow

    def __await__(self) -> Generator[Any, Any, T]:
        # PEP 380's `yield from`, with a clock.
        coroutine = self._coroutine
        value: Any = None
        error: BaseException | None = None
        while True:
            before = monotonic()
            try:
                waits_for = coroutine.send(value) if error is None else coroutine.throw(error)
            except StopIteration as stop:
                return stop.value  # type: ignore[no-any-return]
            finally:
                seconds = monotonic() - before
                if seconds > self._limit:
                    self._slow(seconds)
            value = error = None
            try:
                value = yield waits_for
            except GeneratorExit:
                coroutine.close()
                raise
            except BaseException as thrown:
                error = thrown
