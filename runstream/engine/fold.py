"""Folds whole streams synchronously: raw events in; states, signals and rejects out. No event loop, no threads."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias, TypedDict

import msgspec
from msgspec import Struct

from runstream.core.state import RunState
from runstream.dialects.base import Dialect
from runstream.dialects.registry import DialectLike, find_dialect
from runstream.engine.engine import Engine
from runstream.model.events import Event, Reject
from runstream.model.limits import Limits, Stats, check_limits
from runstream.model.raw import Answer
from runstream.model.raw_input import RawInput, check_items
from runstream.model.signals import Signal

__all__ = ["AnswerInput", "FoldOptions", "FoldSource", "Folded", "fold", "fold_sources"]


class FoldOptions(TypedDict, total=False):
    """The options of one stream of :func:`fold_sources`.

    Attributes:
        dialect: Its dialect, by name or factory, instead of that of the other streams.
        continues: The id of the run that it continues; see :meth:`RunStream.attach`.
        answers: What the server said about its run when it was asked after the stream; see :func:`fold`.
    """

    dialect: DialectLike
    continues: str | None
    answers: Iterable[AnswerInput]


AnswerInput: TypeAlias = Answer | bytes | str | Mapping[str, Any]
"""An answer of a server: with its HTTP status, or its body alone as JSON, or as a mapping."""

FoldSource: TypeAlias = tuple[str, Iterable[RawInput]] | tuple[str, Iterable[RawInput], FoldOptions]
"""One stream of :func:`fold_sources`: its name, its raw events, and options if it has some."""


class Folded(Struct, frozen=True, kw_only=True):
    """The result of a fold.

    Attributes:
        runs: The final state of each run, in order of first appearance.
        signals: All signals, in order.
        rejects: Input that could not be used.
        orphans: Events whose run was never seen, by the id (of the run, message or step) that they wait for.
        stats: The counts.
        dialects: The name of the dialect of each stream, by the name of the stream; of one whose dialect was not found,
            or has no name, there is none.
    """

    runs: tuple[RunState, ...]
    signals: tuple[Signal, ...]
    rejects: tuple[Reject, ...]
    orphans: Mapping[str, tuple[Event, ...]]
    stats: Stats
    dialects: Mapping[str, str]


def fold(
    raw_events: Iterable[RawInput],
    *,
    limits: Limits | None = None,
    dialect: DialectLike | Dialect | None = None,
    name: str = "stream",
    scope: str = "",
    clock: Callable[[], float] = time.time,
    progress: bool = True,
    answers: Iterable[AnswerInput] = (),
) -> Folded:
    """Process a whole stream of raw events.

    Args:
        raw_events: The stream: raw events, or JSON envelopes as bytes, text or mappings.
        limits: The bounds. All runs are kept until the end, so the bounds of finished runs are not used.
        dialect: The dialect: the name of a registered one, a factory, or a decoder; ``"auto"`` by default.
        name: The source's name, for signals and rejects.
        scope: The scope of its runs.
        clock: Returns the time in Unix seconds, for raw events without a time.
        progress: True to emit progress: texts, arguments and outputs as they grow.
        answers: What the server said about the run when it was asked after the stream, in order: the objects that a
            poll returned. Some protocols do not say on the stream how a run has ended.

    Raises:
        ValueError: The dialect is not registered.
        TypeError: The factory can't be called as a factory is, or an argument has another type: a text or a path is no
            stream, and :func:`~runstream.read_recording` reads a file.
    """
    options: FoldOptions = {"answers": answers}
    return _fold([(name, raw_events, options)], limits, dialect, scope, clock, progress)


def fold_sources(
    sources: Iterable[FoldSource],
    *,
    limits: Limits | None = None,
    dialect: DialectLike | None = None,
    scope: str = "",
    clock: Callable[[], float] = time.time,
    progress: bool = True,
) -> Folded:
    """:func:`fold` for several successive, named streams. A later stream may continue the open runs of an earlier one.

    ::

        fold_sources([("one.sse", asked), ("two.sse", answered, {"continues": "run_1"})])

    Args:
        sources: The name and the raw events of each stream, and maybe its options: ``dialect``, for this stream,
            ``continues``, the id of the run that it continues, and ``answers``, as for :func:`fold`.
        limits: The bounds, as for :func:`fold`.
        dialect: The dialect of each stream that has none of its own, by name or factory; ``"auto"`` by default.
        scope: The scope of the runs.
        clock: Returns the time in Unix seconds, for raw events without a time.
        progress: True to emit progress: texts, arguments and outputs as they grow.

    Raises:
        ValueError: A dialect is not registered, or a run that a stream is to continue has ended.
        TypeError: A factory can't be called as a factory is, an argument has another type, or a stream has an unknown
            option.
    """
    if dialect is not None:
        dialect = find_dialect(dialect)
    return _fold(sources, limits, dialect, scope, clock, progress)


def _fold(
    sources: Iterable[FoldSource],
    limits: Limits | None,
    dialect: DialectLike | Dialect | None,
    scope: str,
    clock: Callable[[], float],
    progress: bool,
) -> Folded:
    check_limits(limits)
    limits = msgspec.structs.replace(limits or Limits(), max_finished_runs=2**62, max_finished_age=float("inf"))
    engine = Engine(limits=limits, clock=clock, progress=progress)
    signals: list[Signal] = []
    rejects: list[Reject] = []
    engine.on_signal = signals.append
    engine.on_reject = rejects.append
    named: Counter[str] = Counter()
    taken: set[str] = set()
    dialects: dict[str, str] = {}
    for name, raw_events, *rest in sources:
        options: dict[str, Any] = dict(rest[0]) if rest else {}
        answers = [_make_answer(answer) for answer in options.pop("answers", ())]
        if options.get("dialect") is None:
            options["dialect"] = dialect
        named[name] += 1
        # The keys of a source's signals contain its name, so a second source of that name gets another one.
        unique = name
        while unique in taken:
            unique = f"{name}#{named[name]}"
            named[name] += unique in taken
        taken.add(unique)
        check_items(raw_events, "stream")
        intake = engine.intake(unique, scope=scope, **options)
        intake.feed_all(raw_events)
        intake.feed_all(answers)
        intake.end()
        if intake.dialect is not None:
            dialects[unique] = intake.dialect
    return Folded(
        runs=engine.states(),
        signals=tuple(signals),
        rejects=tuple(rejects),
        orphans=engine.orphans(),
        stats=engine.stats(),
        dialects=MappingProxyType(dialects),
    )


def _make_answer(answer: AnswerInput) -> Answer:
    if isinstance(answer, Answer):
        return answer
    if isinstance(answer, bytes | str):
        return Answer(data=answer.encode() if isinstance(answer, str) else answer)
    if isinstance(answer, Mapping):
        return Answer(data=msgspec.json.encode(dict(answer)))
    raise TypeError(f"an answer is an Answer, or its body as bytes, text or a mapping, not {type(answer).__name__}")
