"""A function that was given to `RunStream.on`: called, awaited, and what it returned passed on."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from runstream.stream.consumers import Worker

__all__ = ["Handler", "is_coroutine_function"]


class Handler:
    """One function given to ``on``.

    Args:
        fn: The function.
        name: Its name, for logs.
        returned: Told what it returned for which signal, if that is not ``None``.

    Attributes:
        worker: Where awaitables are awaited.
        disconnect: Ends the subscription.
    """

    def __init__(self, fn: Callable[[Any], Any], name: str, returned: Callable[[Any, object], None]) -> None:
        self.name = name
        self.worker: Worker[Any] | None = None
        self.disconnect: Callable[[], None] = lambda: None
        self._returned = returned
        self._fn = fn

    def call(self, signal: Any) -> None:
        """Call a plain function, in the pump."""
        outcome = self._fn(signal)
        if outcome is None:
            return
        if inspect.isawaitable(outcome):
            # A lambda that calls a coroutine function: what it returned is awaited, in order, in a task.
            assert self.worker is not None
            self.worker.put((signal, outcome))
        else:
            self._returned(signal, outcome)

    async def call_async(self, signal: Any) -> None:
        """Call a coroutine function, in its worker."""
        self._returned(signal, await self._fn(signal))

    async def finish_call(self, item: tuple[Any, Awaitable[Any]]) -> None:
        """Await what a plain function returned, in its worker."""
        self._returned(item[0], await item[1])


def is_coroutine_function(fn: object) -> bool:
    """Whether calling it makes a coroutine: also of a partial, or of an object with such a call."""
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004
