"""The logging sink: signals in, records of structlog or of the standard library out."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from runstream.logs import LOG
from runstream.model.escaping import escaped
from runstream.model.signals import (
    SIGNAL_TYPES,
    ActionRequired,
    ArgumentsDelta,
    MessageIncomplete,
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
    SourceSignal,
    StepCancelled,
    StepCompleted,
    StepCreated,
    StepExpired,
    StepFailed,
    TextDelta,
    TextReplaced,
    ToolCallCompleted,
)
from runstream.model.step import RunStep

if TYPE_CHECKING:
    from reactivex import Observable
    from reactivex import abc as rx_abc

__all__ = ["LEVELS", "Record", "log_record", "log_signals"]

_PROGRESS: Final = (TextDelta, ArgumentsDelta)
_MOST_ASSISTANTS: Final = 10_000  # runs whose assistant is remembered, for the signals that do not name it

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
}
"""The level of each signal; the others are info."""

Write = Callable[[str, str, dict[str, Any]], object]


def log_signals(
    signals: Observable[Signal] | Any,
    logger: Any = None,
    *,
    progress: bool = False,
    include_text: bool = False,
    include_arguments: bool = False,
) -> rx_abc.DisposableBase:
    """Log every signal, each at the level of its meaning.

    Failed runs and steps are errors; expired, incomplete, interrupted and stalled runs, and trouble with sources,
    are warnings; growing text is debug, and left out unless ``progress``; the rest is info. The event is the signal's
    type; ``run_id``, ``thread_id`` and ``assistant_id`` go with all that is told of a run. Nothing is configured here.

    Args:
        signals: A :class:`~runstream.RunStream`, or any Observable of signals. A stream does not even build the
            signals of growing text for this.
        logger: A structlog logger, or whatever has its methods; structlog's ``"runstream"`` by default. Or a
            ``logging.Logger``: then the message is the event with the fields as ``name=value``, and each field is an
            attribute of the record too, for formatters that write JSON.
        progress: Whether to log growing text and arguments: that and how much, not what.
        include_text: Whether message text and the words of errors may be logged.
        include_arguments: Whether the arguments of tool calls may be logged.

    Returns:
        A disposable that ends the logging.
    """
    from reactivex import Observable  # here: `log_record` alone loads no Rx

    write = _writer(logger)
    assistants: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def take(signal: Signal) -> None:
        if not progress and isinstance(signal, _PROGRESS):
            return
        level, event, fields = log_record(signal, include_text=include_text, include_arguments=include_arguments)
        if isinstance(signal, RunSignal):
            key = (signal.scope, signal.run_id)
            if (named := fields.get("assistant_id")) is not None:
                assistants[key] = named
                if len(assistants) > _MOST_ASSISTANTS:
                    assistants.popitem(last=False)
            elif (known := assistants.get(key)) is not None:
                fields["assistant_id"] = known
        write(level, event, fields)

    if isinstance(signals, Observable):
        return signals.subscribe(take)
    # A stream; not by its class, for sinks know of signals alone.
    kinds = tuple(kind for kind in SIGNAL_TYPES.values() if progress or kind not in _PROGRESS)
    handle: rx_abc.DisposableBase = signals.on(kinds, take)
    return handle


def _writer(logger: Any) -> Write:
    if isinstance(logger, logging.Logger | logging.LoggerAdapter):
        return _standard(logger)
    log = logger if logger is not None else LOG

    def write(level: str, event: str, fields: dict[str, Any]) -> None:
        getattr(log, level)(event, **fields)

    return write


def _standard(logger: logging.Logger | logging.LoggerAdapter[Any]) -> Write:
    """For a logger of the standard library, which knows of no fields."""
    levels = logging.getLevelNamesMapping()

    def write(level: str, event: str, fields: dict[str, Any]) -> None:
        number = levels[level.upper()]
        if not logger.isEnabledFor(number):
            return
        extra = {"event": event, **fields}
        if isinstance(logger, logging.LoggerAdapter):
            # By itself an adapter puts its own fields in the place of those that it is given.
            message, given = logger.process("%s%s", {"extra": extra})
            given["extra"] = {**extra, **(given.get("extra") or {})}
            logger.logger.log(number, message, event, _Pairs(fields), **given)
        else:
            logger.log(number, "%s%s", event, _Pairs(fields), extra=extra)

    return write


class _Pairs:
    """Fields as ``name=value``, made when a handler asks for them."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def __str__(self) -> str:
        return "".join(f" {name}={_value(value)}" for name, value in self._fields.items() if value is not None)


def _value(value: Any) -> str:
    """A value, quoted where it would not read as one."""
    if not isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False) if not value or set(' "=') & set(value) else value


def log_record(signal: Signal, *, include_text: bool = False, include_arguments: bool = False) -> Record:
    """What a signal is in a log: level, event name (the signal's type) and fields.

    The names of the fields are stable. Every run signal has ``run_id``, ``thread_id``, ``scope`` and ``key``, and
    ``assistant_id`` where it is known to the signal; times are in seconds. Strings have their control characters
    escaped, for not every renderer does that.

    Args:
        signal: The signal.
        include_text: Whether message text and the words of errors may stand in the fields.
        include_arguments: Whether the arguments of tool calls may.
    """
    kind: Any = type(signal)
    fields: dict[str, Any] = {"key": signal.key}
    if isinstance(signal, RunSignal):
        fields |= {"run_id": signal.run_id, "thread_id": signal.thread_id}
        assistant_id = _assistant_id(signal)
        if assistant_id is not None:
            fields["assistant_id"] = assistant_id
    elif isinstance(signal, SourceSignal):
        fields |= {"source": signal.source, "reason": signal.reason, "attempt": signal.attempt}
    fields["scope"] = signal.scope
    fields |= _details(signal, include_text, include_arguments)
    return LEVELS.get(kind, "info"), signal.type, {name: _plain(value) for name, value in fields.items()}


def _assistant_id(signal: Any) -> Any:
    for name in ("run", "message", "step"):
        item = getattr(signal, name, None)
        if item is not None:
            return item.assistant_id
    return None


def _details(signal: Any, text: bool, arguments: bool) -> dict[str, Any]:
    match signal:
        case RunCreated(run=run):
            return {"model": run.model, "status": run.status.value}
        case RunStatusChanged(before=before, after=after):
            return {"before": before.value if before is not None else None, "after": after.value}
        case ActionRequired(action=action, calls=calls):
            found: dict[str, Any] = {
                "action": action.type,
                "calls": len(calls),
                "tools": [call.name for call in calls],
            }
            return found | ({"arguments": [call.arguments for call in calls]} if arguments else {})
        case RunCompleted() | RunFailed() | RunCancelled() | RunExpired() | RunIncomplete():
            return _ending(signal, text)
        case RunPaused(round=rounds):
            return {"round": rounds}
        case RunInterrupted(reason=reason, last_event_id=last, attempts=attempts):
            return {"reason": reason, "last_event_id": last, "attempts": attempts}
        case RunStalled(idle=idle, limit=limit):
            return {"idle": idle, "limit": limit}
        case StepCreated(step=step):
            return {"step_id": step.id, "step_type": step.type}
        case StepCompleted(step=step) | StepFailed(step=step) | StepCancelled(step=step) | StepExpired(step=step):
            found = {"step_id": step.id, "step_type": step.type, "duration": _step_duration(step)}
            return found | _usage(step.usage) | _error(step.last_error, text)
        case MessageIncomplete(message=message):
            details = message.incomplete_details
            return {"message_id": message.id, "incomplete_reason": details.reason if details is not None else None}
        case TextDelta(message_id=id, part=part, offset=offset, delta=delta):
            shown = {"message_id": id, "part": part, "offset": offset, "characters": len(delta)}
            return shown | ({"text": delta} if text else {})
        case TextReplaced(message_id=id, part=part, text=whole):
            return {"message_id": id, "part": part, "characters": len(whole)} | ({"text": whole} if text else {})
        case ArgumentsDelta(call_id=id, offset=offset, delta=delta):
            shown = {"call_id": id, "offset": offset, "characters": len(delta)}
            return shown | ({"arguments": delta} if arguments else {})
        case ToolCallCompleted(call_id=id, call=call):
            return {"call_id": id, "tool": call.name} | ({"arguments": call.arguments} if arguments else {})
        case SourceError(error=error) if error is not None:
            # The words of the server's error are its own, and may quote the conversation.
            said = {"error_type": error.type, "reason": "the server sent an error"}
            return said | _error(error, text)
    for name in ("step", "message"):
        item = getattr(signal, name, None)
        if item is not None:
            return {f"{name}_id": item.id}
    return {}


def _ending(signal: Any, text: bool) -> dict[str, Any]:
    run = signal.run
    found: dict[str, Any] = {"duration": signal.duration, "model": run.model}
    found |= _usage(run.usage) | _error(run.last_error, text)
    if run.incomplete_details is not None:
        found["incomplete_reason"] = run.incomplete_details.reason
    return found


def _usage(usage: Any) -> dict[str, Any]:
    if usage is None:
        return {}
    return {name: getattr(usage, name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}


def _step_duration(step: RunStep) -> float | None:
    """Seconds from its creation to its end, by the server's clock."""
    end = step.completed_at or step.failed_at or step.cancelled_at or step.expired_at
    if end is None or step.created_at is None or end < step.created_at:
        return None
    return float(end - step.created_at)


def _error(error: Any, text: bool) -> dict[str, Any]:
    if error is None:
        return {}
    return {"error_code": error.code} | ({"error_message": error.message} if text else {})


def _plain(value: Any) -> Any:
    """The value as every renderer can show it: what came over the wire must not forge a log line."""
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    # A field of an unexpected type is kept as it came; there may be anything in it.
    return value if value is None or isinstance(value, int | float) else f"({type(value).__name__})"
