"""An event loop for programs that have none: it runs in the calling thread, while a call waits."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

__all__ = ["BlockingLoop"]

T = TypeVar("T")


class BlockingLoop:
    """An event loop that several blocking objects share.

    Args:
        owner: What the application enters, for the message where it is not entered.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._runner: asyncio.Runner | None = None

    @property
    def is_open(self) -> bool:
        """True between :meth:`open` and :meth:`close`."""
        return self._runner is not None

    def open(self) -> None:
        """Make the loop.

        Raises:
            RuntimeError: An event loop runs in this thread.
        """
        _refuse_running_loop()
        self._runner = asyncio.Runner()

    def close(self) -> None:
        """Cancel what is left, and close the loop."""
        runner, self._runner = self._runner, None
        if runner is not None:
            runner.close()

    def wait(self, awaited: Coroutine[Any, Any, T]) -> T:
        """Run the loop until a coroutine has returned, and return its value.

        Raises:
            RuntimeError: The loop is not open, or runs in another thread, or a loop runs in this one.
            KeyboardInterrupt: Ctrl-C; the coroutine was cancelled.
        """
        try:
            _refuse_running_loop()
            if self._runner is None:
                raise RuntimeError(f"a {self._owner} is used inside `with {self._owner}(...) as ...`")
            if self._runner.get_loop().is_running():
                raise RuntimeError(f"this {self._owner} is in use by another thread: use one for each thread")
        except RuntimeError:
            awaited.close()
            raise
        return self._runner.run(awaited, context=contextvars.copy_context())

    def call(self, function: Callable[[], T]) -> T:
        """Call a function that needs a running loop: in this loop, also from a handler that it has called.

        Raises:
            RuntimeError: See :meth:`wait`.
        """
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return self.wait(_call(function))
        if self._runner is not None and running is self._runner.get_loop():
            return function()
        return self.wait(_call(function))


async def _call(function: Callable[[], T]) -> T:
    return function()


def _refuse_running_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "an event loop runs in this thread already: use RunStream, or the client itself, and `await` there"
    )
