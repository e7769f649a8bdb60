"""Functions that an application passes: plain ones, and coroutine functions."""

from __future__ import annotations

import inspect

__all__ = ["is_coroutine_function"]


def is_coroutine_function(fn: object) -> bool:
    """True if calling it makes a coroutine: also for a partial, or an object with such a ``__call__``."""
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004
