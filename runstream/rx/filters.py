"""Operators that choose: by the kind of a signal, by what its run is like."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, TypeVar, Unpack, overload

import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from runstream.core.run_filter import Filters, RunMatcher
from runstream.core.selection import Selector, signal_classes
from runstream.core.state import RunState
from runstream.model.run import Run

__all__ = ["Dropping", "only", "where"]

S = TypeVar("S")
T = TypeVar("T")

_REMEMBERED: Final = 100_000  # runs, as many as a pipeline holds open by default


class Dropping(Protocol):
    """An operator that drops items and changes none: what goes in is what comes out, to a type checker too."""

    def __call__(self, source: Observable[T], /) -> Observable[T]:
        """Apply it, as ``pipe`` does."""


@overload
def only(kind: type[S], /) -> Callable[[Observable[Any]], Observable[S]]: ...
@overload
def only(*kinds: Selector) -> Callable[[Observable[Any]], Observable[Any]]: ...
def only(*kinds: Selector) -> Callable[[Observable[Any]], Observable[Any]]:
    """Signals of some kinds pass, others are dropped::

        stream.signals.pipe(only(RunCompleted), ops.map(lambda signal: signal.run.usage))

    Args:
        kinds: Signal classes, bases of some, unions, tuples or type strings, as for :meth:`RunStream.on`.

    Raises:
        ValueError: An unknown type string.
        TypeError: Something that names no signal, or nothing at all.
    """
    classes = signal_classes(kinds)
    return ops.filter(lambda signal: type(signal) in classes)


def where(*, known: Mapping[Any, RunState] | None = None, **filters: Unpack[Filters]) -> Dropping:
    """States, or signals, of runs that are as asked for pass; others are dropped, and so are a source's signals.

    ::

        stream.runs.pipe(where(assistant_id="asst_1", metadata={"customer": "42"}))
        stream.signals.pipe(where(assistant_id="asst_1", known=stream.latest))

    The growth of a text does not say whose assistant's it is: that is remembered of the states or signals before
    it. Whoever subscribes to the signals of a stream that is being read gives ``known``, else runs that it joins
    late are dropped until one of their signals has the run.

    Args:
        known: Where to look a run up, by (scope, run id) or, in scope "", by run id: ``stream.latest``. Without it,
            what each subscription has seen is remembered, of 100,000 runs at most.
        filters: As of :class:`Filters`: ``run_id``, ``scope``, ``thread_id``, ``assistant_id``, ``metadata``.

    Raises:
        TypeError: An unknown filter.
    """
    RunMatcher(filters, _unknown)  # a mistake is told here, not at the subscription

    def lift(source: Observable[T]) -> Observable[T]:
        def subscribed(_: object) -> Observable[T]:
            match = RunMatcher(filters, _unknown) if known is None else RunMatcher(filters, _look_up(known))
            wanted = _Remembering(match) if known is None and match.needs_run else match
            return source.pipe(ops.filter(wanted))

        return rx.defer(subscribed)

    return lift


def _unknown(run_id: str, scope: str) -> Run | None:
    return None


def _look_up(known: Mapping[Any, RunState]) -> Callable[[str, str], Run | None]:
    def run(run_id: str, scope: str) -> Run | None:
        state = known.get((scope, run_id)) or (known.get(run_id) if not scope else None)
        return state.run if state is not None else None

    return run


class _Remembering:
    """Asks a match, and remembers for signals without a run what came of it last."""

    def __init__(self, match: RunMatcher) -> None:
        self._match = match
        self._verdicts: OrderedDict[tuple[str, str], bool] = OrderedDict()

    def __call__(self, item: Any) -> bool:
        run_id = getattr(item, "run_id", None)
        if run_id is None:
            return False
        verdicts, key = self._verdicts, (item.scope, run_id)
        if getattr(item, "run", None) is None:
            return verdicts.get(key, False)
        verdict = verdicts[key] = self._match(item)
        verdicts.move_to_end(key)
        if len(verdicts) > _REMEMBERED:
            verdicts.popitem(last=False)
        return verdict
