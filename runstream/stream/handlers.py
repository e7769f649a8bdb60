"""The handlers of `RunStream.on`: functions, and methods of objects that are marked by `handles`."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, TypeVar, overload

from reactivex.disposable import Disposable

from runstream.core.run_filter import RunMatcher
from runstream.core.selection import Selector, signal_classes
from runstream.stream.buffers import Policy
from runstream.stream.consumers import Worker
from runstream.stream.subscriber_set import no_op

__all__ = ["Handler", "handles", "is_coroutine_function", "subscribe_methods"]

S = TypeVar("S")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

_MARK: Final = "__runstream_handles__"


class Handler:
    """One function that was passed to ``on``.

    Args:
        fn: The function.
        name: Its name, for logs.
        on_return: Called with the signal and the returned value, if that is not ``None``.

    Attributes:
        worker: Awaits the function's result, if it is awaitable.
        disconnect: Ends the subscription.
    """

    def __init__(self, fn: Callable[[Any], Any], name: str, on_return: Callable[[Any, object], None]) -> None:
        self.name = name
        self.worker: Worker[Any] | None = None
        self.disconnect: Callable[[], None] = no_op
        self._on_return = on_return
        self._fn = fn

    def call(self, signal: Any) -> None:
        """Call a plain function, while the signal is delivered."""
        value = self._fn(signal)
        if value is None:
            return
        if inspect.isawaitable(value):
            # A lambda that calls a coroutine function: the coroutine is awaited, in order, in a task.
            assert self.worker is not None
            self.worker.put((signal, value))
        else:
            self._on_return(signal, value)

    async def call_async(self, signal: Any) -> None:
        """Call a coroutine function, in its worker."""
        self._on_return(signal, await self._fn(signal))

    async def finish_call(self, item: tuple[Any, Awaitable[Any]]) -> None:
        """Await the result of a plain function, in its worker."""
        self._on_return(item[0], await item[1])


def is_coroutine_function(fn: object) -> bool:
    """True if calling it makes a coroutine: also for a partial, or an object with such a ``__call__``."""
    return inspect.iscoroutinefunction(fn) or inspect.iscoroutinefunction(getattr(fn, "__call__", None))  # noqa: B004


class _Mark(NamedTuple):
    kinds: frozenset[type]
    policy: Policy | None


@overload
def handles(
    kind: type[S], /, *, policy: Policy | None = None
) -> Callable[[Callable[[Any, S], R]], Callable[[Any, S], R]]: ...
@overload
def handles(*kinds: Selector, policy: Policy | None = None) -> Callable[[F], F]: ...
def handles(*kinds: Selector, policy: Policy | None = None) -> Callable[[F], F]:
    """Mark a method as the handler of some signals; ``stream.on(obj)`` subscribes all such methods of an object.

    ::

        class Agent:
            @runstream.handles(ActionRequired)
            async def answer(self, signal: ActionRequired) -> AsyncIterator[RawEvent]: ...

            @runstream.handles(RunCompleted, RunFailed)
            def bill(self, signal: RunCompleted | RunFailed) -> None: ...

        subscription = stream.on(Agent())

    A subclass that overrides the method need not repeat the mark; one that sets it to ``None`` removes it.

    Args:
        kinds: Signal classes, bases of some, unions, tuples or type strings, as for :meth:`RunStream.on`.
        policy: For coroutine methods, as for :meth:`RunStream.on`.

    Raises:
        ValueError: An unknown type string.
        TypeError: An argument that names no signal, or no argument.
    """
    mark = _Mark(signal_classes(kinds), policy)

    def marked(method: F) -> F:
        function = method.__func__ if isinstance(method, staticmethod | classmethod) else method
        if not callable(function):
            raise TypeError(f"handles() marks methods, not {type(method).__name__}")
        setattr(function, _MARK, mark)
        return method

    return marked


def subscribe_methods(
    on: Callable[..., Disposable], obj: object, match: RunMatcher, policy: Policy | None
) -> Disposable:
    """Subscribe the marked methods of an object, those of base classes first, in the order of their definition.

    Args:
        on: Subscribes one method.
        obj: The object.
        match: Selects the runs.
        policy: Must be ``None``: each method has its own.

    Returns:
        The disposable of all subscriptions.

    Raises:
        TypeError: The object is a class, or has no such method, or a policy was passed.
    """
    marks = {} if isinstance(obj, type) else _marks_of(obj)
    if not marks:
        what = f"the class {obj.__name__}: give an object" if isinstance(obj, type) else f"{type(obj).__name__}"
        raise TypeError(f"on() takes a signal class and a function, or an object with @handles methods, not {what}")
    if policy is not None:
        raise TypeError("the policies of an object's methods stand in @handles(..., policy=...)")
    subscriptions: list[Disposable] = []

    def dispose() -> None:
        for subscription in subscriptions:
            subscription.dispose()

    try:
        for name, mark in marks.items():
            subscriptions.append(on(mark.kinds, getattr(obj, name), match, mark.policy))
    except BaseException:
        dispose()  # all or none
        raise
    return Disposable(dispose)


def _marks_of(obj: object) -> dict[str, _Mark]:
    # Only the classes are inspected: attributes of the object may be properties, which would run.
    marks: dict[str, _Mark] = {}
    for base in reversed(type(obj).__mro__):
        for name, value in vars(base).items():
            function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
            mark = getattr(function, _MARK, None) if callable(function) else None
            if isinstance(mark, _Mark):
                marks[name] = mark
            elif value is None:
                marks.pop(name, None)
    return marks
