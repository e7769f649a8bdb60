"""A handler of `RunStream.on`: signals enter, and are passed to its function; returned values and failures leave."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from runstream.errors import SlowConsumer, SubscriberFailed
from runstream.stream.error_reports import SUBSCRIBER_ERRORS, ErrorReports
from runstream.stream.handler_options import HandlerOptions, Retry
from runstream.stream.subscriber_set import name_of, no_op
from runstream.stream.worker import Worker

__all__ = ["Handler"]


class Handler:
    """One function that was passed to ``on``.

    Args:
        fn: The function.
        name: Its name, for logs.
        options: How it is called.
        reports: Receives its failures.
        on_return: Called with the signal and the returned value, if that is not ``None``. It raises ``TypeError`` for
            a value that the handler may not return.

    Attributes:
        worker: Awaits the function's result, if it is awaitable.
        disconnect: Ends the subscription.
    """

    def __init__(
        self,
        fn: Callable[[Any], Any],
        name: str,
        options: HandlerOptions,
        reports: ErrorReports,
        on_return: Callable[[Any, object], None],
    ) -> None:
        self.name = name
        self.worker: Worker[Any] | None = None
        self.disconnect: Callable[[], None] = no_op
        self._on_return = on_return
        self._fn = fn
        self._reports = reports
        self._timeout = options.timeout
        self._retry = Retry(retries=options.retry) if isinstance(options.retry, int) else options.retry
        self._on_failed = options.on_failed

    def call(self, signal: Any) -> None:
        """Call a plain function, while the signal is delivered."""
        try:
            value = self._fn(signal)
            if value is None:
                return
            if not inspect.isawaitable(value):
                self._on_return(signal, value)
                return
        except SUBSCRIBER_ERRORS as error:
            if self._on_failed is None:
                raise  # the channel reports it
            self._fail_now(self._failure(signal, error, 1))
            return
        # A lambda that calls a coroutine function: the coroutine is awaited, in order, in a task.
        assert self.worker is not None
        self.worker.put((signal, value))

    async def call_async(self, signal: Any) -> None:
        """Call a coroutine function, in its worker, until it returns or no further call is made."""
        attempt = 0
        while True:
            attempt += 1
            try:
                value = await self._call_within(signal)
                break
            except SUBSCRIBER_ERRORS as error:
                _raise_if_cancelled(error)
                if not self._is_retried(error, attempt):
                    await self._fail(self._failure(signal, error, attempt))
                    return
            assert self._retry is not None
            await asyncio.sleep(self._retry.delay(attempt))
        await self._return(signal, value, attempt)

    async def finish_call(
        self, item: tuple[Any, Awaitable[Any]] | tuple[Any, Awaitable[Any], SubscriberFailed]
    ) -> None:
        """Await the result of a plain function, or of its ``on_failed``, in its worker."""
        signal, awaitable, *failures = item
        if failures:
            await self._finish_failure(failures[0], awaitable)
            return
        try:
            value = await awaitable
        except SUBSCRIBER_ERRORS as error:
            _raise_if_cancelled(error)
            await self._fail(self._failure(signal, error, 1))
            return
        await self._return(signal, value, 1)

    def end_slow(self, error: SlowConsumer, buffered: int) -> None:
        """Report that the subscription was ended because the handler is slow."""
        failure = SubscriberFailed(self.name, "signals", None, error)
        handled = False
        if self._on_failed is not None:
            try:
                value = self._on_failed(failure)
                handled = True
            except SUBSCRIBER_ERRORS as second:
                self._reports.report("signals", name_of(self._on_failed), None, second)
            else:
                if inspect.isawaitable(value):
                    assert self.worker is not None
                    self.worker.start(self._finish_slow(value))
        self._reports.report_ended(failure, buffered=buffered, handled=handled)

    async def _finish_slow(self, value: Awaitable[object]) -> None:
        try:
            await value
        except SUBSCRIBER_ERRORS as error:
            _raise_if_cancelled(error)
            self._reports.report("signals", name_of(self._on_failed), None, error)

    async def _call_within(self, signal: Any) -> Any:
        if self._timeout is None:
            return await self._fn(signal)
        try:
            async with asyncio.timeout(self._timeout) as limit:
                return await self._fn(signal)
        except TimeoutError as error:
            if limit.expired():
                raise TimeoutError(f"it did not return within {self._timeout:g} s") from error
            raise

    def _is_retried(self, error: BaseException, attempt: int) -> bool:
        retry = self._retry
        return retry is not None and attempt <= retry.retries and isinstance(error, retry.exceptions)

    async def _return(self, signal: Any, value: object, attempts: int) -> None:
        """Process the returned value. A wrong one is a failure, but no reason to call the handler again."""
        if value is None:
            return
        try:
            self._on_return(signal, value)
        except SUBSCRIBER_ERRORS as error:
            await self._fail(self._failure(signal, error, attempts))

    def _failure(self, signal: Any, error: BaseException, attempts: int) -> SubscriberFailed:
        return self._reports.failure("signals", self.name, signal, error, attempts=attempts)

    def _fail_now(self, failure: SubscriberFailed) -> None:
        """Process the failure of a plain function, while the signal is delivered."""
        assert self._on_failed is not None
        handled = False
        try:
            value = self._on_failed(failure)
            if inspect.isawaitable(value):
                assert self.worker is not None
                self.worker.put((failure.value, value, failure))
                return
            if value is not None:
                self._on_return(failure.value, value)
            handled = True
        except SUBSCRIBER_ERRORS as second:
            self._reports.report("signals", name_of(self._on_failed), failure.value, second)
        self._reports.report_failure(failure, handled=handled)

    async def _fail(self, failure: SubscriberFailed) -> None:
        """Process a failure in the worker."""
        if self._on_failed is None:
            self._reports.report_failure(failure)
            return
        await self._finish_failure(failure, None)

    async def _finish_failure(self, failure: SubscriberFailed, awaitable: Awaitable[object] | None) -> None:
        """Call ``on_failed``, or await its result; it may return what the handler may return."""
        assert self._on_failed is not None
        handled = False
        try:
            value = self._on_failed(failure) if awaitable is None else await awaitable
            if awaitable is None and inspect.isawaitable(value):
                value = await value
            if value is not None:
                self._on_return(failure.value, value)
            handled = True
        except SUBSCRIBER_ERRORS as second:
            _raise_if_cancelled(second)
            self._reports.report("signals", name_of(self._on_failed), failure.value, second)
        self._reports.report_failure(failure, handled=handled)


def _raise_if_cancelled(error: BaseException) -> None:
    """Raise the error if the current task is being cancelled, and not something that the handler awaited."""
    task = asyncio.current_task()
    if isinstance(error, asyncio.CancelledError) and (task is None or task.cancelling()):
        raise error
