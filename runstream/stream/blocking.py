"""`BlockingStream`: a stream for programs without an event loop, with plain ``for`` loops and plain calls."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, overload

from runstream.core.selection import Selector, SignalName, SignalTuple
from runstream.model.run import Run
from runstream.model.signal_base import BaseSignal
from runstream.model.signals import Signal
from runstream.stream.blocking_loop import BlockingLoop
from runstream.stream.consumers import StreamIterator
from runstream.stream.run_stream import RunStream

if TYPE_CHECKING:
    from typing_extensions import TypeForm

__all__ = ["BlockingStream"]

S = TypeVar("S", bound=BaseSignal)
S2 = TypeVar("S2", bound=BaseSignal)
S3 = TypeVar("S3", bound=BaseSignal)
T = TypeVar("T")


class BlockingStream:
    """A :class:`RunStream` in a synchronous program: a script, a worker, a notebook cell, a test.

    ::

        with BlockingStream(runstream.connect(url)) as blocking:
            blocking.stream.on(ActionRequired, answer)  # functions and coroutine functions alike
            for signal in blocking:
                print(signal.type)
            run = blocking.result()

    It owns an event loop and runs it **in the calling thread, while it waits** for the next item or the result, and
    only then. There is no other thread: handlers are called in yours, no lock is needed, and the waiting call raises
    exceptions and Ctrl-C. Your code between two steps slows the sender, as a synchronous handler does, and has to
    take less time than the peer's ping time-out (20 seconds for most); slower code belongs into a thread or process
    of its own.

    Leaving the context closes the stream as ``async with`` does: handlers process their values within
    ``close_timeout``; after Ctrl-C they are cancelled. Then the loop is closed.

    Args:
        stream: The stream, not yet started.
        loop: The loop of a :class:`BlockingClient`; by default one of its own, which it makes and closes.

    Attributes:
        stream: The stream, for everything that does not wait, such as ``on``, ``attach``, ``latest``.
    """

    def __init__(self, stream: RunStream, *, loop: BlockingLoop | None = None) -> None:
        self.stream = stream
        self._is_shared = loop is not None
        self._loop = loop if loop is not None else BlockingLoop("BlockingStream")
        self._is_entered = False

    def __enter__(self) -> BlockingStream:
        if not self._is_shared:
            self._loop.open()
        self._is_entered = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._is_entered or not self._loop.is_open:
            return
        self._is_entered = False
        try:
            self.wait(self.stream.__aexit__(kind, error, traceback))
        finally:
            if not self._is_shared:
                self._loop.close()

    def start(self) -> None:
        """Begin to read: :meth:`RunStream.start`.

        Of several streams of a :class:`BlockingClient`, those that have begun go on while any of them is waited for.
        """
        self._loop.call(self.stream.start)

    def __iter__(self) -> Generator[Signal]:
        return self.each(self.stream)

    def each(self, items: AsyncIterable[T]) -> Generator[T]:
        """Step through an asynchronous iterable of this stream, subscribed from this call on::

            for state in blocking.each(blocking.stream.iter("runs")): ...
            for signal in blocking.each(blocking.stream.run("run_1")): ...

        Leaving the loop ends the subscription.
        """
        return self._iterate(aiter(items))

    def result(self, run_id: str | None = None, *, scope: str = "") -> Run:
        """Wait until a run has ended: :meth:`RunStream.result`.

        Raises:
            SeveralRuns: No id was given and the stream has several runs.
            IncompleteStream: The stream ended first.
        """
        return self.wait(self.stream.result(run_id, scope=scope))

    def results(self) -> tuple[Run, ...]:
        """Wait until the stream has ended: :meth:`RunStream.results`.

        Raises:
            IncompleteStream: A run was left open, or none was seen.
        """
        return self.wait(self.stream.results())

    @overload
    def when(
        self,
        kind: type[S],
        *,
        run_id: str | None = None,
        scope: str | None = None,
        predicate: Callable[[S], bool] | None = None,
        timeout: float | None = None,
    ) -> S: ...
    @overload
    def when(
        self,
        kind: SignalName,
        *,
        run_id: str | None = None,
        scope: str | None = None,
        predicate: Callable[[Any], bool] | None = None,
        timeout: float | None = None,
    ) -> Signal: ...
    @overload
    def when(  # type: ignore[overload-overlap]
        self,
        kind: tuple[type[S], type[S2]],
        *,
        run_id: str | None = None,
        scope: str | None = None,
        predicate: Callable[[S | S2], bool] | None = None,
        timeout: float | None = None,
    ) -> S | S2: ...
    @overload
    def when(  # type: ignore[overload-overlap]
        self,
        kind: tuple[type[S], type[S2], type[S3]],
        *,
        run_id: str | None = None,
        scope: str | None = None,
        predicate: Callable[[S | S2 | S3], bool] | None = None,
        timeout: float | None = None,
    ) -> S | S2 | S3: ...
    @overload
    def when(
        self,
        kind: SignalTuple,
        *,
        run_id: str | None = None,
        scope: str | None = None,
        predicate: Callable[[Any], bool] | None = None,
        timeout: float | None = None,
    ) -> Signal: ...
    @overload
    def when(
        self,
        kind: TypeForm[S],
        *,
        run_id: str | None = None,
        scope: str | None = None,
        predicate: Callable[[S], bool] | None = None,
        timeout: float | None = None,
    ) -> S: ...
    def when(
        self,
        kind: Selector,
        *,
        run_id: str | None = None,
        scope: str | None = None,
        predicate: Callable[[Any], bool] | None = None,
        timeout: float | None = None,
    ) -> Any:
        """Wait for the first signal of a kind; return at once if one is true already: :meth:`RunStream.when`.

        Args:
            kind: A signal class or a base of some, a type string, a tuple of these, or a union.
            run_id: Only signals of the run with this id.
            scope: Only signals of this scope.
            predicate: Only signals for which it returns true.
            timeout: How long to wait, in seconds; ``None``: any time.

        Raises:
            TimeoutError: There was none within ``timeout`` seconds.
            IncompleteStream: The stream or the run ended without it.
        """
        return self.wait(self.stream.when(kind, run_id=run_id, scope=scope, predicate=predicate, timeout=timeout))

    def wait(self, awaited: Coroutine[Any, Any, T]) -> T:
        """Run the loop until a coroutine has returned, and return its value.

        Raises:
            RuntimeError: Outside ``with``, or inside a running event loop (of a handler, of a notebook).
            KeyboardInterrupt: Ctrl-C; the coroutine was cancelled.
        """
        return self._loop.wait(awaited)

    def _iterate(self, iterator: AsyncIterator[T]) -> Generator[T]:
        try:
            while True:
                try:
                    item = self.wait(_next(iterator))
                except StopAsyncIteration:
                    return
                yield item
        finally:
            if isinstance(iterator, StreamIterator):
                iterator.dispose()


async def _next(iterator: AsyncIterator[T]) -> T:
    return await anext(iterator)
