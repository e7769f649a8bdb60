"""How a handler is called: with which concurrency, time-out and retries, and what is called after a failure."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from runstream.errors import SubscriberFailed
from runstream.model.callables import check_call
from runstream.model.validation import check_counts, check_numbers
from runstream.stream.buffers import Policy

__all__ = ["CONCURRENCY", "HandlerOptions", "Retry"]

CONCURRENCY: Final = 64
"""How many calls of a coroutine handler are made at a time by default, each for another run."""

_ASYNC_OPTIONS: Final = ("policy", "concurrency", "retry", "timeout")


class Retry(Struct, frozen=True, kw_only=True):
    """When a coroutine handler that raised is called again with the same signal.

    ::

        stream.on(ActionRequired, answer, retry=Retry(retries=5, exceptions=(OSError,)))

    Further signals of the run wait meanwhile, those of other runs do not.

    Attributes:
        retries: How many further calls are made for a signal.
        initial: The delay before the first one (seconds).
        factor: The factor by which the delay grows from call to call; 1 or more.
        maximum: The longest delay (seconds).
        exceptions: The exceptions after which the handler is called again; a time-out is a :class:`TimeoutError`.

    Raises:
        ValueError: A value is outside its range.
        TypeError: A value is no number, or ``exceptions`` is no tuple of exception classes.
    """

    retries: int = 3
    initial: float = 0.1
    factor: float = 2.0
    maximum: float = 30.0
    exceptions: tuple[type[Exception], ...] = (Exception,)

    def __post_init__(self) -> None:
        check_numbers(retries=self.retries, initial=self.initial, factor=self.factor, maximum=self.maximum)
        if not self.retries >= 0:
            raise ValueError("retries must not be negative")
        # `not (a <= b)`, so that NaN is refused too.
        if not 0 <= self.initial <= self.maximum < math.inf:
            raise ValueError("initial and maximum must be numbers of seconds, and maximum not less than initial")
        if not 1 <= self.factor < math.inf:
            raise ValueError("factor must be a number, 1 or more")
        if not isinstance(self.exceptions, tuple) or not all(
            isinstance(one, type) and issubclass(one, Exception) for one in self.exceptions
        ):
            raise TypeError("exceptions must be a tuple of exception classes")

    def delay(self, attempt: int) -> float:
        """The seconds to wait after call number ``attempt`` (from 1) has failed."""
        if not self.initial or math.log(self.initial) + (attempt - 1) * math.log(self.factor) >= math.log(self.maximum):
            return self.maximum if self.initial else 0.0
        return self.initial * self.factor ** (attempt - 1)


class HandlerOptions(Struct, frozen=True):
    """How a handler is called; the keyword arguments of :meth:`RunStream.on`."""

    policy: Policy | None = None
    concurrency: int | None = None
    retry: Retry | int | None = None
    timeout: float | None = None
    on_failed: Callable[[SubscriberFailed], object] | None = None

    def check(self, *, is_async: bool) -> None:
        """Check the options for a function.

        Raises:
            TypeError: An option for coroutine functions is given for a plain one, or has another type.
            ValueError: A number is outside its range.
        """
        if not is_async:
            names = [name for name in _ASYNC_OPTIONS if getattr(self, name) is not None]
            if names:
                raise TypeError(
                    f"a {names[0]} is for coroutine functions: a plain function is called as the signal happens"
                )
        if self.concurrency is not None:
            check_counts(concurrency=self.concurrency)
        check_numbers("a number of seconds", timeout=self.timeout)
        if self.timeout is not None and not 0 < self.timeout < math.inf:
            raise ValueError("timeout must be a positive number of seconds")
        if isinstance(self.retry, int):
            check_counts(0, retry=self.retry)
        elif not isinstance(self.retry, Retry | None):
            raise TypeError(f"retry is a number of retries or a Retry, not a {type(self.retry).__name__}")
        if self.on_failed is not None and not callable(self.on_failed):
            raise TypeError(f"on_failed is a function, not a {type(self.on_failed).__name__}")
        if self.on_failed is not None:
            check_call(self.on_failed, "on_failed", "the failure")
