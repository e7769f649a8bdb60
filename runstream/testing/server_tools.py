"""The tools that a scripted server executes itself: calls in, their outputs as text out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from runstream.testing.turns import ScriptedCall

__all__ = ["ServerTools"]


class ServerTools:
    """Functions by their names.

    Args:
        functions: Plain functions or coroutine functions, which take the arguments of a call by name.
    """

    def __init__(self, functions: Iterable[Callable[..., Any]] = ()) -> None:
        self._functions = {getattr(function, "__name__", ""): function for function in functions}

    async def output(self, call: ScriptedCall) -> str:
        """The output of a call: text as it is, anything else as JSON; ``done`` for a tool without a function."""
        function = self._functions.get(call.name)
        if function is None:
            return "done"
        value = function(**msgspec.json.decode(call.text, type=dict[str, Any]))
        if inspect.isawaitable(value):
            value = await value
        return value if isinstance(value, str) else msgspec.json.encode(value).decode()
