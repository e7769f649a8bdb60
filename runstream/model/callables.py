"""Functions that an application passes: plain ones, and coroutine functions."""

from __future__ import annotations

import inspect
from types import FunctionType, MethodType
from typing import Any

__all__ = ["check_call", "is_coroutine_function"]


def is_coroutine_function(fn: object) -> bool:
    """True if calling it makes a coroutine: also for a partial, or an object with such a ``__call__``."""
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


def check_call(fn: Any, what: str, *arguments: str) -> None:
    """Check that a function can be called with the arguments that it will get.

    Args:
        fn: The function, or another object that can be called.
        what: What it is, for the message: "a handler".
        arguments: The names of the arguments, by position.

    Raises:
        TypeError: It takes fewer arguments, or needs more.
    """
    plain, bound = (fn.__func__, 1) if type(fn) is MethodType else (fn, 0)
    if type(plain) is FunctionType:  # without a signature object: handlers of single runs are many
        code = plain.__code__
        if code.co_argcount == len(arguments) + bound and not code.co_kwonlyargcount:
            return
    try:
        # A decorator may pass further arguments itself: the wrapper is what is called.
        signature = inspect.signature(fn, follow_wrapped=False)
    except (TypeError, ValueError):
        return  # of a library in C: it has no signature
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise TypeError(f"{what} is called with {' and '.join(arguments)}, and nothing else: {error}") from None
