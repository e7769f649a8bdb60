"""Calling what the application gave, sync or async, without blocking the loop; and what its exceptions are worth."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from runstream.errors import SourceFailed
from runstream.sources.http_errors import RETRIED, ConnectFailed, retry_after

__all__ = ["UserCallback", "asked_wait", "header_number", "trouble"]

# What a client raises that is no mistake of the program's tells its status, or comes of the network. These do not.
_MISTAKES: Final = (TypeError, AttributeError, NameError, LookupError, AssertionError, NotImplementedError, ImportError)


class UserCallback:
    """Calls one function, again and again, never twice at a time.

    A plain function runs in a thread of its own, so that the loop goes on while it waits for its server. The thread is
    a daemon: it can neither hold the loop's shutdown nor the program's. A call that takes too long is left alone,
    and the next one waits for it instead of starting another.

    Args:
        fn: The function, sync or async; a plain one may return an awaitable.
        name: Of its threads.
    """

    def __init__(self, fn: Callable[..., Any], name: str) -> None:
        self._fn = fn
        self._name = name
        self._is_async = inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004
        self._left: asyncio.Future[Any] | None = None

    async def __call__(self, *args: Any, within: float | None = None) -> Any:
        """What the function gives.

        Args:
            args: For the function.
            within: How long to wait at most (seconds).

        Raises:
            TimeoutError: It took longer.
            ConnectionError: It was cancelled, but not by us.
            Exception: What the function raised.
        """
        if self._is_async:
            return await _settled(asyncio.ensure_future(self._fn(*args)), within, cancel=True)
        call = self._left if self._left is not None and not self._left.done() else self._in_thread(*args)
        self._left = call
        given = await _settled(call, within, cancel=False)
        self._left = None
        if inspect.isawaitable(given):
            given = await _settled(asyncio.ensure_future(given), within, cancel=True)
        return given

    def _in_thread(self, *args: Any) -> asyncio.Future[Any]:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def settle(value: Any, error: Exception | None) -> None:
            if not future.done():
                if error is None:
                    future.set_result(value)
                else:
                    future.set_exception(error)
                    future.exception()  # it may have been left: then nobody asks

        def call() -> None:
            value: Any = None
            error: Exception | None = None
            try:
                value = context.run(self._fn, *args)
            except Exception as raised:
                error = raised
            except BaseException as raised:  # SystemExit and the like: they mean this thread, not the loop
                error = RuntimeError(f"the function raised {type(raised).__name__}")
                error.__cause__ = raised
            if isinstance(error, StopIteration):  # which no future can hold
                error = RuntimeError("the function raised StopIteration")
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(settle, value, error)

        threading.Thread(target=call, name=f"runstream {self._name}", daemon=True).start()
        return future


async def _settled(call: asyncio.Future[Any], within: float | None, *, cancel: bool) -> Any:
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


def trouble(what: str, error: BaseException) -> ConnectFailed:
    """What an exception of a client is worth: why, and whether to try again.

    Of its words nothing is told, they may hold secrets: its class, and the HTTP status that it or its response names
    (``status_code``, ``status``, ``code``). 408, 425, 429 and 5xx are tried again, other statuses are not. Without a
    status it is the network's, and tried again, unless it is a mistake of the program's, like a ``TypeError``.

    Args:
        what: Who called, for the reason.
        error: The exception.
    """
    if isinstance(error, ConnectFailed):
        return ConnectFailed(
            f"{what}: HTTP {error.status}", status=error.status, retry=_again(error.status), wait=error.wait
        )
    if isinstance(error, SourceFailed):
        return ConnectFailed(error.reason)
    kind = type(error).__name__
    response = getattr(error, "response", None)
    status = _status(error) or _status(response)
    headers = getattr(response, "headers", None) or getattr(error, "headers", None)
    if status is not None:
        wait = asked_wait(headers) if hasattr(headers, "get") else None
        return ConnectFailed(f"{what}: HTTP {status} ({kind})", status=status, retry=_again(status), wait=wait)
    if isinstance(error, TimeoutError):
        return ConnectFailed(f"{what}: no answer in time", retry=True)
    return ConnectFailed(f"{what}: {kind}", retry=not isinstance(error, _MISTAKES) and isinstance(error, Exception))


def _again(status: int | None) -> bool:
    return status is not None and (status in RETRIED or status >= 500)


def _status(holder: Any) -> int | None:
    for name in ("status_code", "status", "code"):
        found = getattr(holder, name, None)
        if isinstance(found, int) and not isinstance(found, bool) and 300 <= found < 600:
            return int(found)
    return None


def header_number(headers: Any, name: str) -> float | None:
    """The whole number that a header says, ``None`` for anything else."""
    try:
        value = str(headers.get(name) or headers.get(name.title()) or "").strip()
    except LookupError:  # several values
        return None
    return float(value) if value.isascii() and value.isdigit() and len(value) < 10 else None


def asked_wait(headers: Any) -> float | None:
    """Seconds for which a server wants to be left alone: ``retry-after-ms``, or ``Retry-After`` (RFC 9110, 10.2.3)."""
    milliseconds = header_number(headers, "retry-after-ms")
    if milliseconds is not None:
        return milliseconds / 1000
    try:
        value = headers.get("Retry-After") or headers.get("retry-after") or ""
    except LookupError:
        return None
    return retry_after(str(value), time.time())
