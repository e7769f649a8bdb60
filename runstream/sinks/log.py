"""The logging sink: signals in, records of structlog or of the standard library out."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from runstream.logs import LOG, standard_writer
from runstream.model.common import error_summary, is_code
from runstream.model.escaping import escape_unprintable
from runstream.model.progress_signals import PROGRESS
from runstream.model.run import RunKey
from runstream.model.signals import (
    SIGNAL_TYPES,
    ActionRequired,
    ActivityChanged,
    ArgumentsDelta,
    CustomReceived,
    DocumentChanged,
    MessageCompleted,
    MessageCreated,
    MessageIncomplete,
    ReasoningDelta,
    RefusalDelta,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunExpired,
    RunFailed,
    RunIncomplete,
    RunInterrupted,
    RunPaused,
    RunSignal,
    RunStalled,
    RunStatusChanged,
    Signal,
    SourceDisconnected,
    SourceError,
    StepCancelled,
    StepCompleted,
    StepCreated,
    StepExpired,
    StepFailed,
    TextDelta,
    TextReplaced,
    ToolCallCompleted,
    ToolCallOutputDelta,
    ToolCallResult,
)
from runstream.sinks.facts import facts

if TYPE_CHECKING:
    from reactivex import Observable
    from reactivex import abc as rx_abc

__all__ = ["LEVELS", "Record", "log_record", "log_signals"]

_PROGRESS: Final = tuple(PROGRESS)
_MAX_ASSISTANTS: Final = 10_000  # runs whose assistant is stored, for signals that do not name it

_METHODS: Final = ("debug", "info", "warning", "error")

# Level, event name, fields.
Record: TypeAlias = tuple[str, str, dict[str, Any]]

LEVELS: Final[dict[type, str]] = {
    RunFailed: "error",
    StepFailed: "error",
    RunExpired: "warning",
    StepExpired: "warning",
    RunIncomplete: "warning",
    RunInterrupted: "warning",
    RunStalled: "warning",
    MessageIncomplete: "warning",
    SourceError: "warning",
    SourceDisconnected: "warning",
    TextDelta: "debug",
    TextReplaced: "debug",
    ArgumentsDelta: "debug",
    RefusalDelta: "debug",
    ReasoningDelta: "debug",
    ToolCallOutputDelta: "debug",
}
"""The level of each signal; the others are info."""

_USAGE: Final = ("prompt_tokens", "completion_tokens", "total_tokens")
_ERROR: Final = ("error_code", "error_message")
_RUN_END: Final = ("duration", "model", *_USAGE, *_ERROR, "incomplete_reason")
_STEP_END: Final = ("step_id", "step_type", "duration", *_USAGE, *_ERROR)

_OWN_FIELDS: Final[dict[type, tuple[str, ...]]] = {
    RunCreated: ("model", "status"),
    RunStatusChanged: ("before", "after"),
    ActionRequired: ("action", "calls", "tools", "kinds", "arguments"),
    RunCompleted: _RUN_END,
    RunFailed: _RUN_END,
    RunCancelled: _RUN_END,
    RunExpired: _RUN_END,
    RunIncomplete: _RUN_END,
    RunPaused: ("round",),
    RunInterrupted: ("reason", "last_event_id", "attempts", "server_message"),
    RunStalled: ("idle", "limit"),
    MessageCreated: ("message_id",),
    MessageCompleted: ("message_id",),
    MessageIncomplete: ("message_id", "incomplete_reason"),
    TextDelta: ("message_id", "part", "offset", "characters", "text"),
    TextReplaced: ("message_id", "part", "characters", "text"),
    StepCreated: ("step_id", "step_type"),
    StepCompleted: _STEP_END,
    StepFailed: _STEP_END,
    StepCancelled: _STEP_END,
    StepExpired: _STEP_END,
    ArgumentsDelta: ("call_id", "offset", "characters", "arguments"),
    ToolCallCompleted: ("call_id", "tool", "arguments"),
    RefusalDelta: ("message_id", "part", "offset", "characters", "text"),
    ReasoningDelta: ("step_id", "kind", "part", "offset", "characters", "text"),
    ToolCallOutputDelta: ("call_id", "offset", "characters", "output"),
    ToolCallResult: ("call_id", "tool", "characters", "output"),
    DocumentChanged: ("version", "operations", "size", "partial"),
    ActivityChanged: ("activity_id", "kind", "version", "operations", "size", "partial"),
    CustomReceived: ("name", "n"),
    SourceError: ("error_type", *_ERROR),
}
"""The facts of each signal that are logged, besides those that all signals of a run or of a source have."""

_FIELDS: Final[dict[type, tuple[str, ...]]] = {
    kind: (
        ("key", "run_id", "thread_id", "assistant_id", "scope", "path", *_OWN_FIELDS.get(kind, ()))
        if issubclass(kind, RunSignal)
        else ("key", "source", "run_id", "reason", "attempt", "scope", "server_message", *_OWN_FIELDS.get(kind, ()))
    )
    for kind in SIGNAL_TYPES.values()
}
"""The names of all fields of a record, in their order."""

_PRIVATE: Final = {
    (text, arguments): frozenset(
        (() if text else ("text", "error_message", "server_message")) + (() if arguments else ("arguments", "output"))
    )
    for text in (False, True)
    for arguments in (False, True)
}
"""The facts that are not logged, by the options `include_text` and `include_arguments`."""

_CODES: Final = ("error_code", "error_type", "incomplete_reason")
"""The facts that are logged without `include_text` only if they are short names."""

Write = Callable[[str, str, dict[str, Any]], object]


def log_signals(
    signals: Observable[Signal] | Any,
    logger: Any = None,
    *,
    progress: bool = False,
    include_text: bool = False,
    include_arguments: bool = False,
) -> rx_abc.DisposableBase:
    """Log every signal, at a level that depends on its type.

    Failed runs and steps are errors; expired, incomplete, interrupted and stalled runs, and errors of sources,
    are warnings; growing text is debug, and logged only with ``progress``; the rest is info. The event is the signal's
    type; every signal of a run has ``run_id``, ``thread_id`` and ``assistant_id``. This configures no logging.

    Args:
        signals: A :class:`~runstream.RunStream`, or any Observable of signals. Without ``progress``, a stream does not
            build the signals of growing text for this.
        logger: A structlog logger, or an object with its methods; by default structlog's ``"runstream"`` where
            structlog is configured, else the standard library's. Or a ``logging.Logger``: then the message is the event
            with the fields as ``name=value``, and each field is an attribute of the record too, for formatters that
            write JSON.
        progress: True to log the growth of texts, arguments and outputs: the number of characters, not the characters.
        include_text: True if message text, reasoning and the server's messages about errors may be logged.
        include_arguments: True if the arguments and outputs of tool calls may be logged.

    Returns:
        A disposable that ends the logging.

    Raises:
        TypeError: The signals or the logger have another type.
    """
    from reactivex import Observable  # here: `log_record` alone loads no Rx

    if not isinstance(signals, Observable) and not callable(getattr(signals, "on", None)):
        raise TypeError(f"signals must be a RunStream or an Observable of signals, not a {type(signals).__name__}")
    write = _writer(logger)
    assistants: OrderedDict[RunKey, Any] = OrderedDict()

    def log(signal: Signal) -> None:
        if not progress and isinstance(signal, _PROGRESS):
            return
        level, event, fields = log_record(signal, include_text=include_text, include_arguments=include_arguments)
        if isinstance(signal, RunSignal):
            key = (signal.scope, signal.run_id)
            if (assistant_id := fields.get("assistant_id")) is not None:
                assistants[key] = assistant_id
                if len(assistants) > _MAX_ASSISTANTS:
                    assistants.popitem(last=False)
            elif (known := assistants.get(key)) is not None:
                fields["assistant_id"] = known
        write(level, event, fields)

    if isinstance(signals, Observable):
        return signals.subscribe(log)
    # A stream: recognised by its method, because this module does not import streams.
    kinds = tuple(kind for kind in SIGNAL_TYPES.values() if progress or kind not in _PROGRESS)
    subscription: rx_abc.DisposableBase = signals.on(kinds, log)
    return subscription


def _writer(logger: Any) -> Write:
    if isinstance(logger, logging.Logger | logging.LoggerAdapter):
        return standard_writer(logger)
    log = logger if logger is not None else LOG
    # A lazy logger makes its methods when they are first used, which may fix its configuration: it is not asked.
    if not hasattr(type(log), "__getattr__") and not all(callable(getattr(log, level, None)) for level in _METHODS):
        right = f"a structlog logger, a logging.Logger, or an object with the methods {', '.join(_METHODS)}"
        raise TypeError(f"logger must be {right}, not a {type(log).__name__}")

    def write(level: str, event: str, fields: dict[str, Any]) -> None:
        getattr(log, level)(event, **fields)

    return write


def log_record(signal: Signal, *, include_text: bool = False, include_arguments: bool = False) -> Record:
    """The record of a signal: level, event name (the signal's type) and fields.

    The names of the fields are stable. Every run signal has ``run_id``, ``thread_id``, ``scope`` and ``key``,
    ``assistant_id`` where it is known to the signal, and ``path`` where it is about a subagent or subgraph; times are
    in seconds. Of documents and activities the fields have names and sizes, never values. Control characters in strings
    are escaped, because not every renderer does that.

    Args:
        signal: The signal.
        include_text: True if the fields may contain message text, reasoning and the server's messages about errors.
        include_arguments: True if the fields may contain the arguments and outputs of tool calls.
    """
    found = facts(signal)
    private = _PRIVATE[include_text, include_arguments]
    if not include_text:
        if isinstance(signal, SourceError) and signal.error is not None:
            found["reason"] = error_summary(signal.error)  # the signal's reason is the server's message
        for name in _CODES:
            if isinstance(found.get(name), str) and not is_code(found[name]):
                del found[name]
    fields = {name: _plain(found[name]) for name in _FIELDS[type(signal)] if name in found and name not in private}
    return LEVELS.get(type(signal), "info"), signal.type, fields


def _plain(value: Any) -> Any:
    """The value in a form that every renderer can write; text from the wire must not forge a log line."""
    if isinstance(value, str):
        return escape_unprintable(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    # A field of an unexpected type is kept as received, and may contain anything.
    return value if value is None or isinstance(value, int | float) else f"({type(value).__name__})"
