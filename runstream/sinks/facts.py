"""The facts of a signal as names and values: logs and the command line select from them and format them.

Values are as the signal contains them: not escaped, not shortened, and of any type where a server sent another one.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from runstream.model.common import ErrorObject, LastError, Usage
from runstream.model.message import Message
from runstream.model.run import Run
from runstream.model.signals import (
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
from runstream.model.step import RunStep

__all__ = ["Facts", "facts", "run_end_facts"]

Facts: TypeAlias = dict[str, Any]


def facts(signal: Signal) -> Facts:
    """The facts of a signal.

    Every run signal has ``key``, ``run_id``, ``thread_id`` and ``scope``, ``path`` where it is about a subagent or
    subgraph, and ``assistant_id`` where the signal has an object that names it; a source's signal has ``key``,
    ``source``, ``reason``, ``attempt`` and ``scope``, and ``server_message`` where the server said something. The rest
    depends on the type. Token counts, an error and the reason of an incomplete end are present only where the server
    sent them. Times are in seconds, sizes of texts in characters, those of documents and activities in bytes of JSON;
    ``operations`` is the number of operations of a patch, ``None`` for a whole value.
    """
    found: Facts = {"key": signal.key}
    if isinstance(signal, RunSignal):
        found["run_id"] = signal.run_id
        found["thread_id"] = signal.thread_id
        if (assistant_id := _assistant_id(signal)) is not None:
            found["assistant_id"] = assistant_id
    else:
        found["source"] = signal.source
        if isinstance(signal, SourceError) and signal.run_id is not None:
            found["run_id"] = signal.run_id
        found["reason"] = signal.reason
        found["attempt"] = signal.attempt
    found["scope"] = signal.scope
    if isinstance(signal, RunSignal) and signal.path:
        found["path"] = [*signal.path]
    if not isinstance(signal, RunSignal) and signal.server_message:
        found["server_message"] = signal.server_message
    found.update(_own(signal))
    return found


def run_end_facts(run: Run, duration: float | None) -> Facts:
    """The facts of a run's end.

    Args:
        run: The run as it ended.
        duration: Seconds from its creation to its end; ``None`` where unknown.
    """
    found = {"duration": duration, "model": run.model, **_usage(run.usage), **_error(run.last_error)}
    if run.incomplete_details is not None:
        found["incomplete_reason"] = run.incomplete_details.reason
    return found


def _own(signal: Signal) -> Facts:
    """The facts that depend on the type."""
    match signal:
        case TextDelta(message_id=id, part=part, offset=offset, delta=delta):
            return {"message_id": id, "part": part, "offset": offset, "characters": len(delta), "text": delta}
        case ArgumentsDelta(call_id=id, offset=offset, delta=delta):
            return {"call_id": id, "offset": offset, "characters": len(delta), "arguments": delta}
        case ToolCallOutputDelta(call_id=id, offset=offset, delta=delta):
            return {"call_id": id, "offset": offset, "characters": len(delta), "output": delta}
        case RefusalDelta(message_id=id, part=part, offset=offset, delta=delta):
            return {"message_id": id, "part": part, "offset": offset, "characters": len(delta), "text": delta}
        case ReasoningDelta(step_id=id, part=part, offset=offset, delta=delta, kind=kind):
            place = {"step_id": id, "kind": kind, "part": part, "offset": offset}
            return {**place, "characters": len(delta), "text": delta}
        case TextReplaced(message_id=id, part=part, text=text):
            return {"message_id": id, "part": part, "characters": len(text), "text": text}
        case RunCreated(run=run):
            return {"model": run.model, "status": run.status.value}
        case RunStatusChanged(before=before, after=after):
            return {"before": before.value if before is not None else None, "after": after.value}
        case ActionRequired(action=action, calls=calls):
            return {
                "action": action.type,
                "calls": len(calls),
                "tools": [call.name for call in calls],
                "kinds": [call.kind for call in calls],
                "arguments": [call.arguments for call in calls],
                "call_ids": [call.id for call in calls],
            }
        case RunCompleted() | RunFailed() | RunCancelled() | RunExpired() | RunIncomplete():
            return run_end_facts(signal.run, signal.duration)
        case RunPaused(run=run, round=round):
            return {"round": round, "pending_calls": len(run.pending_tool_calls)}
        case RunInterrupted(run=run, reason=reason, last_event_id=last, attempts=attempts, server_message=said):
            found = {"reason": reason, "last_event_id": last, "attempts": attempts, "status": run.status.value}
            return {**found, "server_message": said} if said else found
        case RunStalled(idle=idle, limit=limit):
            return {"idle": idle, "limit": limit}
        case MessageCreated(message=message):
            return {"message_id": message.id, "role": message.role}
        case MessageCompleted(message=message) | MessageIncomplete(message=message):
            return _message(message)
        case StepCreated(step=step) | StepCompleted(step=step) | StepFailed(step=step):
            return _step(step)
        case StepCancelled(step=step) | StepExpired(step=step):
            return _step(step)
        case ToolCallCompleted(call_id=id, call=call):
            return {"call_id": id, "tool": call.name, "arguments": call.arguments}
        case ToolCallResult(call_id=id, call=call, output=output):
            return {"call_id": id, "tool": call.name, "characters": len(output), "output": output}
        case DocumentChanged(version=version, operations=operations, size=size, partial=partial):
            count = len(operations) if operations is not None else None
            return {"version": version, "operations": count, "size": size, "partial": partial}
        case ActivityChanged(activity_id=id, kind=kind, operations=operations, size=size, partial=partial):
            count = len(operations) if operations is not None else None
            found = {"activity_id": id, "kind": kind, "version": signal.version}
            return {**found, "operations": count, "size": size, "partial": partial}
        case CustomReceived(name=name, value=value, n=n):
            return {"name": name, "n": n, "value": value}
        case SourceError(error=error) if error is not None:
            return {"error_type": error.type, **_error(error)}
    return {}


def _assistant_id(signal: Any) -> Any:
    for name in ("run", "message", "step"):
        item = getattr(signal, name, None)
        if item is not None:
            return item.assistant_id
    return None


def _message(message: Message) -> Facts:
    details = message.incomplete_details
    return {
        "message_id": message.id,
        "incomplete_reason": details.reason if details is not None else None,
        "characters": len(message.text),
        "citations": len(message.annotations),
        "images": len(message.image_file_ids),
        "refused": bool(message.refusal),
    }


def _step(step: RunStep) -> Facts:
    found: Facts = {"step_id": step.id, "step_type": step.type, "duration": _step_duration(step)}
    return {**found, **_usage(step.usage), **_error(step.last_error), "tools": [call.name for call in step.tool_calls]}


def _step_duration(step: RunStep) -> float | None:
    """Seconds from its creation to its end, by the server's clock."""
    end = step.completed_at or step.failed_at or step.cancelled_at or step.expired_at
    if end is None or step.created_at is None or end < step.created_at:
        return None
    return float(end - step.created_at)


def _usage(usage: Usage | None) -> Facts:
    if usage is None:
        return {}
    return {name: getattr(usage, name) for name in ("prompt_tokens", "completion_tokens", "total_tokens")}


def _error(error: LastError | ErrorObject | None) -> Facts:
    return {} if error is None else {"error_code": error.code, "error_message": error.message}
