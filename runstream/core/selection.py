"""Resolves a selector (a class, a base class, a union, a tuple or a type string) into signal classes."""

from __future__ import annotations

from types import UnionType
from typing import Any, Final, Literal, TypeAlias, Union, get_args, get_origin

from msgspec import Struct

from runstream.model.progress_signals import PROGRESS
from runstream.model.signal_base import BaseSignal
from runstream.model.signals import (
    SIGNAL_TYPES,
    RunCancelled,
    RunCompleted,
    RunExpired,
    RunFailed,
    RunIncomplete,
)

__all__ = ["PROGRESS", "RUN_ENDS", "RUN_LEVEL", "TERMINAL", "Selector", "SignalName", "SignalTuple", "signal_classes"]

Selector: TypeAlias = Any
"""A class, a name, a tuple of selectors or a union, at run time. The signatures of public functions are overloads: for
a class, a name, a tuple, and a union (``TypeForm``)."""

SignalName: TypeAlias = Literal[
    "run.created",
    "run.status_changed",
    "run.action_required",
    "run.completed",
    "run.failed",
    "run.cancelled",
    "run.expired",
    "run.incomplete",
    "run.paused",
    "run.interrupted",
    "run.stalled",
    "message.created",
    "message.completed",
    "message.incomplete",
    "message.text",
    "message.text_replaced",
    "message.refusal",
    "reasoning.text",
    "step.created",
    "step.completed",
    "step.failed",
    "step.cancelled",
    "step.expired",
    "tool_call.arguments",
    "tool_call.completed",
    "tool_call.output",
    "tool_call.result",
    "document.changed",
    "activity.changed",
    "custom",
    "source.connected",
    "source.disconnected",
    "source.resumed",
    "source.ended",
    "source.error",
]
"""The type strings of the signals: the keys of ``SIGNAL_TYPES``. A test compares the two."""

SignalTuple: TypeAlias = tuple[type[BaseSignal] | UnionType | SignalName, ...]
"""Several selectors."""

RUN_ENDS: Final = (RunCompleted, RunFailed, RunCancelled, RunExpired, RunIncomplete)
"""Signals of a run's end, for ``isinstance`` and as a selector."""

TERMINAL: Final[frozenset[type]] = frozenset(RUN_ENDS)
"""The same classes, for comparison with the class of a signal."""

RUN_LEVEL: Final[frozenset[type]] = frozenset(kind for name, kind in SIGNAL_TYPES.items() if name.startswith("run."))
"""Signals that concern the run itself, not its messages, steps and calls."""

_UNIONS: Final[tuple[Any, ...]] = (UnionType, Union)
_TOO_WIDE: Final[tuple[Any, ...]] = (object, Struct)
_CLASSES: Final[tuple[type, ...]] = tuple(SIGNAL_TYPES.values())


def signal_classes(selector: Selector) -> frozenset[type]:
    """Resolve a selector.

    Args:
        selector: A signal class (``RunCompleted``), a base class of signals (``RunSignal``), a type string
            (``"run.completed"``), a tuple of selectors, or a union (``RunCompleted | RunFailed``, ``Signal``).

    Returns:
        The signal classes; at least one.

    Raises:
        ValueError: The type string is unknown; the message lists the known ones.
        TypeError: The selector selects no signal for another reason.
    """
    if isinstance(selector, str):
        if selector not in SIGNAL_TYPES:
            raise ValueError(f"{selector!r} is no signal type; known are {', '.join(SIGNAL_TYPES)}")
        return frozenset({SIGNAL_TYPES[selector]})
    if get_origin(selector) in _UNIONS:
        selector = get_args(selector)
    if isinstance(selector, tuple | list | set | frozenset):
        found = frozenset(kind for one in selector for kind in signal_classes(one))
    elif isinstance(selector, type) and selector not in _TOO_WIDE:
        found = frozenset(kind for kind in _CLASSES if issubclass(kind, selector))
    else:
        found = frozenset()
    if not found:
        raise TypeError(
            f"{selector!r} names no signal: give a signal class, a union or tuple of them, or a type string"
        )
    return found
