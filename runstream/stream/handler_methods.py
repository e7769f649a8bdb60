"""Methods of objects as handlers: `handles` marks them, and `subscribe_methods` subscribes those of one object."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, overload

from msgspec.structs import replace
from reactivex.disposable import Disposable

from runstream.core.run_filter import RunMatcher
from runstream.core.selection import Selector, SignalName, SignalTuple, signal_classes
from runstream.model.signal_base import BaseSignal
from runstream.stream.buffers import Policy
from runstream.stream.handler_options import HandlerOptions, Retry

if TYPE_CHECKING:
    from typing_extensions import TypeForm

__all__ = ["handles", "subscribe_methods"]

S = TypeVar("S", bound=BaseSignal)
S2 = TypeVar("S2", bound=BaseSignal)
S3 = TypeVar("S3", bound=BaseSignal)
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])

_MARK: Final = "__runstream_handles__"


class _Mark(NamedTuple):
    kinds: frozenset[type]
    options: HandlerOptions


@overload
def handles(  # type: ignore[overload-overlap]
    kind: type[S],
    /,
    *,
    policy: Policy | None = None,
    concurrency: int | None = None,
    retry: Retry | int | None = None,
    timeout: float | None = None,
) -> Callable[[Callable[[Any, S], R]], Callable[[Any, S], R]]: ...
@overload
def handles(  # type: ignore[overload-overlap]
    kind: type[S],
    kind_2: type[S2],
    /,
    *,
    policy: Policy | None = None,
    concurrency: int | None = None,
    retry: Retry | int | None = None,
    timeout: float | None = None,
) -> Callable[[Callable[[Any, S | S2], R]], Callable[[Any, S | S2], R]]: ...
@overload
def handles(  # type: ignore[overload-overlap]
    kind: type[S],
    kind_2: type[S2],
    kind_3: type[S3],
    /,
    *,
    policy: Policy | None = None,
    concurrency: int | None = None,
    retry: Retry | int | None = None,
    timeout: float | None = None,
) -> Callable[[Callable[[Any, S | S2 | S3], R]], Callable[[Any, S | S2 | S3], R]]: ...
@overload
def handles(
    *kinds: type[BaseSignal] | SignalName | SignalTuple,
    policy: Policy | None = None,
    concurrency: int | None = None,
    retry: Retry | int | None = None,
    timeout: float | None = None,
) -> Callable[[F], F]: ...
@overload
def handles(
    kind: TypeForm[S],
    /,
    *,
    policy: Policy | None = None,
    concurrency: int | None = None,
    retry: Retry | int | None = None,
    timeout: float | None = None,
) -> Callable[[Callable[[Any, S], R]], Callable[[Any, S], R]]: ...
def handles(
    *kinds: Selector,
    policy: Policy | None = None,
    concurrency: int | None = None,
    retry: Retry | int | None = None,
    timeout: float | None = None,
) -> Callable[[F], F]:
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
        concurrency: For coroutine methods: how many calls are made at a time, each for another run; 64 by default.
        retry: For coroutine methods: how many times a call that raised is repeated, or a :class:`Retry`.
        timeout: For coroutine methods: seconds after which a call is cancelled.

    Raises:
        ValueError: An unknown type string.
        TypeError: An argument that names no signal, or no argument.
    """
    mark = _Mark(signal_classes(kinds), HandlerOptions(policy, concurrency, retry, timeout))

    def marked(method: F) -> F:
        function = method.__func__ if isinstance(method, staticmethod | classmethod) else method
        if not callable(function):
            raise TypeError(f"handles() marks methods, not {type(method).__name__}")
        setattr(function, _MARK, mark)
        return method

    return marked


def subscribe_methods(
    on: Callable[..., Disposable], obj: object, match: RunMatcher, options: HandlerOptions
) -> Disposable:
    """Subscribe the marked methods of an object, those of base classes first, in the order of their definition.

    Args:
        on: Subscribes one method.
        obj: The object.
        match: Selects the runs.
        options: May have ``on_failed``, for all methods. Each method has the other options of its own.

    Returns:
        The disposable of all subscriptions.

    Raises:
        TypeError: The object is a class, or has no such method, or another option was passed.
    """
    marks = {} if isinstance(obj, type) else _marks_of(obj)
    if not marks:
        what = f"the class {obj.__name__}: give an object" if isinstance(obj, type) else f"{type(obj).__name__}"
        raise TypeError(f"on() takes a signal class and a function, or an object with @handles methods, not {what}")
    if options != HandlerOptions(on_failed=options.on_failed):
        raise TypeError("the options of an object's methods, but on_failed, stand in @handles(..., policy=...)")
    subscriptions: list[Disposable] = []

    def dispose() -> None:
        for subscription in subscriptions:
            subscription.dispose()

    try:
        for name, mark in marks.items():
            own = replace(mark.options, on_failed=options.on_failed)
            subscriptions.append(on(mark.kinds, getattr(obj, name), match, own))
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
