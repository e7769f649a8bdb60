"""Calls of user functions, sync or async, without blocking the loop; and the classification of their exceptions."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from runstream.errors import RequestFailed, SourceFailed
from runstream.model.callables import is_coroutine_function
from runstream.sources.http_errors import ConnectFailed, is_lost, requested_wait

__all__ = ["UserCallback", "call_in_thread", "classify_error"]

# Mistakes in the program. Any other exception of a client names its status, or has its cause in the network.
_MISTAKES: Final = (TypeError, AttributeError, NameError, LookupError, AssertionError, NotImplementedError, ImportError)


class UserCallback:
    """Calls one function repeatedly, never twice at a time.

    A plain function runs in a thread of its own, so that the loop runs on while the function waits for its server. The
    thread is a daemon: it can block neither the loop's shutdown nor the program's. A call that takes too long is not
    stopped; the next call waits for it instead of starting another.

    Args:
        fn: The function, sync or async; a plain one may return an awaitable.
        name: The name of its threads.
    """

    def __init__(self, fn: Callable[..., Any], name: str) -> None:
        self._fn = fn
        self._name = name
        self._is_async = is_coroutine_function(fn)
        self._unfinished: asyncio.Future[Any] | None = None

    async def __call__(self, *args: Any, within: float | None = None) -> Any:
        """Call the function and return its result.

        Args:
            args: Arguments of the function.
            within: The longest wait (seconds).

        Raises:
            TimeoutError: It took longer.
            ConnectionError: It was cancelled, but not by the caller.
            Exception: The exception that the function raised.
        """
        if self._is_async:
            return await _wait(asyncio.ensure_future(self._fn(*args)), within, cancel=True)
        call = self._unfinished
        if call is None or call.done():
            call = call_in_thread(self._fn, *args, name=f"runstream {self._name}")
        self._unfinished = call
        result = await _wait(call, within, cancel=False)
        self._unfinished = None
        if inspect.isawaitable(result):
            result = await _wait(asyncio.ensure_future(result), within, cancel=True)
        return result


def call_in_thread(fn: Callable[..., Any], *args: Any, name: str) -> asyncio.Future[Any]:
    """Call a plain function in a daemon thread of its own, in the context of the caller.

    Args:
        fn: The function.
        args: Its arguments.
        name: The name of the thread.

    Returns:
        The future of its result. An exit of the program that the function raises is a ``RuntimeError`` there.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = contextvars.copy_context()

    def finish(value: Any, error: Exception | None) -> None:
        if not future.done():
            if error is None:
                future.set_result(value)
            else:
                future.set_exception(error)
                future.exception()  # after a time-out no caller retrieves it

    def call() -> None:
        value: Any = None
        error: Exception | None = None
        try:
            value = context.run(fn, *args)
        except Exception as raised:
            error = raised
        except BaseException as raised:  # SystemExit and the like: they mean this thread, not the loop
            error = RuntimeError(f"the function raised {type(raised).__name__}")
            error.__cause__ = raised
        if isinstance(error, StopIteration):  # a future can't store it
            error = RuntimeError("the function raised StopIteration")
        with suppress(RuntimeError):  # the loop is closed: no caller waits
            loop.call_soon_threadsafe(finish, value, error)

    threading.Thread(target=call, name=name, daemon=True).start()
    return future


async def _wait(call: asyncio.Future[Any], within: float | None, *, cancel: bool) -> Any:
    try:
        done, _ = await asyncio.wait({call}, timeout=within)
        if not done:
            raise TimeoutError
        if call.cancelled():
            raise ConnectionError("the call was cancelled")
        return call.result()
    finally:
        if cancel and not call.done():
            call.cancel()
            await asyncio.wait({call}, timeout=1)


def classify_error(caller: str, error: BaseException) -> ConnectFailed:
    """Classify an exception of a client: the reason, and whether to try again.

    The exception's message is not used, because it may contain secrets: only its class, and the HTTP status in an
    attribute of it or of its response (``status_code``, ``status``, ``code``). 408, 425, 429, 5xx and the other
    statuses of gateways are tried again, others are not. An exception without a status counts as a network error and is
    tried again, unless it is a mistake in the program, such as a ``TypeError``.

    Args:
        caller: The caller's name, for the reason.
        error: The exception.
    """
    if isinstance(error, ConnectFailed):
        return ConnectFailed(
            f"{caller}: HTTP {error.status}",
            status=error.status,
            retry=_is_retried(error.status),
            wait=error.wait,
            server_message=error.server_message,
        )
    if isinstance(error, SourceFailed):
        return ConnectFailed(error.summary, server_message=error.server_message)
    if isinstance(error, RequestFailed):  # of a client of this library, in its words
        return ConnectFailed(
            f"{caller}: {error.reason}",
            status=error.status,
            retry=error.status is None or is_lost(error.status),
            wait=error.retry_after,
            server_message=error.server_message,
        )
    kind = type(error).__name__
    response = getattr(error, "response", None)
    status = _find_status(error) or _find_status(response)
    headers = getattr(response, "headers", None) or getattr(error, "headers", None)
    if status is not None:
        wait = requested_wait(headers) if hasattr(headers, "get") else None
        return ConnectFailed(f"{caller}: HTTP {status} ({kind})", status=status, retry=_is_retried(status), wait=wait)
    if isinstance(error, TimeoutError):
        return ConnectFailed(f"{caller}: no answer in time", retry=True)
    return ConnectFailed(f"{caller}: {kind}", retry=not isinstance(error, _MISTAKES) and isinstance(error, Exception))


def _is_retried(status: int | None) -> bool:
    return status is not None and is_lost(status)


def _find_status(owner: Any) -> int | None:
    for name in ("status_code", "status", "code"):
        value = getattr(owner, name, None)
        if isinstance(value, int) and not isinstance(value, bool) and 300 <= value < 1000:
            return int(value)
    return None
