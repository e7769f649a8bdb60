"""Operators that filter signals and states: by the kind of a signal, or by attributes of its run."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar, Unpack, overload

import reactivex as rx
from reactivex import Observable
from reactivex import operators as ops

from runstream.core.run_filter import Filters, RunMatcher
from runstream.core.selection import Selector, SignalName, SignalTuple, signal_classes
from runstream.core.state import RunState
from runstream.model.run import Run
from runstream.model.signal_base import BaseSignal
from runstream.model.signals import Signal

if TYPE_CHECKING:
    from typing_extensions import TypeForm

__all__ = ["FilterOperator", "only", "where"]

S = TypeVar("S", bound=BaseSignal)
S2 = TypeVar("S2", bound=BaseSignal)
S3 = TypeVar("S3", bound=BaseSignal)
T = TypeVar("T")

_MAX_CACHED: Final = 100_000  # runs; the default of `Limits.max_open_runs`


class FilterOperator(Protocol):
    """An operator that drops items and changes none: the types of its input and output are the same."""

    def __call__(self, source: Observable[T], /) -> Observable[T]:
        """Apply the operator, as ``pipe`` does."""


@overload
def only(kind: type[S], /) -> Callable[[Observable[Any]], Observable[S]]: ...  # type: ignore[overload-overlap]
@overload
def only(kind: type[S], kind_2: type[S2], /) -> Callable[[Observable[Any]], Observable[S | S2]]: ...  # type: ignore[overload-overlap]
@overload
def only(  # type: ignore[overload-overlap]
    kind: type[S], kind_2: type[S2], kind_3: type[S3], /
) -> Callable[[Observable[Any]], Observable[S | S2 | S3]]: ...
@overload
def only(*kinds: type[BaseSignal] | SignalName | SignalTuple) -> Callable[[Observable[Any]], Observable[Signal]]: ...
@overload
def only(kind: TypeForm[S], /) -> Callable[[Observable[Any]], Observable[S]]: ...
def only(*kinds: Selector) -> Callable[[Observable[Any]], Observable[Any]]:
    """Pass signals of the given kinds and drop others::

        stream.signals.pipe(only(RunCompleted), ops.map(lambda signal: signal.run.usage))

    Args:
        kinds: Signal classes, base classes, unions, tuples or type strings, as for :meth:`RunStream.on`.

    Raises:
        ValueError: A type string is unknown.
        TypeError: An argument is not a kind of signal, or there is none.
    """
    classes = signal_classes(kinds)
    return ops.filter(lambda signal: type(signal) in classes)


def where(*, known: Mapping[Any, RunState] | None = None, **filters: Unpack[Filters]) -> FilterOperator:
    """Pass states or signals of runs that match all filters; drop others, and signals of sources that name no run.

    ::

        stream.runs.pipe(where(assistant_id="asst_1", metadata={"customer": "42"}))
        stream.signals.pipe(where(assistant_id="asst_1", known=stream.latest))

    A text delta does not contain the assistant of its run: the operator remembers the result of earlier states or
    signals of the run. A subscription to the signals of a stream that is being read already needs ``known``:
    otherwise the signals of a run that began earlier are dropped until one of them contains the run.

    Args:
        known: A mapping with the known runs, by (scope, run id) or, in scope "", by run id, such as
            ``stream.latest``. Without it each subscription remembers the results of 100,000 runs at most.
        filters: See :class:`Filters`: ``run_id``, ``scope``, ``thread_id``, ``assistant_id``, ``metadata``,
            ``path``.

    Raises:
        TypeError: A filter is unknown.
    """
    RunMatcher(filters, _no_run)  # an error is raised here, not at the subscription

    def lift(source: Observable[T]) -> Observable[T]:
        def subscribed(_: object) -> Observable[T]:
            match = RunMatcher(filters, _no_run) if known is None else RunMatcher(filters, _run_lookup(known))
            wanted = _CachedMatch(match) if known is None and match.needs_run else match
            return source.pipe(ops.filter(wanted))

        return rx.defer(subscribed)

    return lift


def _no_run(run_id: str, scope: str) -> Run | None:
    return None


def _run_lookup(known: Mapping[Any, RunState]) -> Callable[[str, str], Run | None]:
    def run(run_id: str, scope: str) -> Run | None:
        state = known.get((scope, run_id)) or (known.get(run_id) if not scope else None)
        return state.run if state is not None else None

    return run


class _CachedMatch:
    """A match that stores its last result per run, for signals that do not contain the run."""

    def __init__(self, match: RunMatcher) -> None:
        self._match = match
        self._results: OrderedDict[tuple[str, str], bool] = OrderedDict()

    def __call__(self, item: Any) -> bool:
        run_id = getattr(item, "run_id", None)
        if run_id is None:
            return False
        results, key = self._results, (item.scope, run_id)
        if getattr(item, "run", None) is None:
            return results.get(key, False) and self._match.matches_path(item)
        result = results[key] = self._match.matches_run_of(item)
        results.move_to_end(key)
        if len(results) > _MAX_CACHED:
            results.popitem(last=False)
        return result and self._match.matches_path(item)
