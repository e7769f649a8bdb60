"""One signal in, what a log says of it out: level, event, fields. What a run says stays out unless it is asked for."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from runstream.model.escaping import escape_unprintable
from runstream.model.signals import (
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

__all__ = ["LEVELS", "Record", "log_record"]

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
        return escape_unprintable(value)
    if isinstance(value, list):
        return [_plain(item) for item in value]
    # A field of an unexpected type is kept as it came; there may be anything in it.
    return value if value is None or isinstance(value, int | float) else f"({type(value).__name__})"
