"""One signal in, the words that tell it out: a style and what a person wants to know beyond its name."""

from __future__ import annotations

from runstream.cli.output import clip
from runstream.model.common import ErrorObject, LastError, Usage
from runstream.model.message import Message
from runstream.model.run import Run
from runstream.model.signals import (
    ActionRequired,
    AwaitedCall,
    MessageCompleted,
    MessageCreated,
    MessageIncomplete,
    RunCancelled,
    RunCompleted,
    RunCreated,
    RunExpired,
    RunFailed,
    RunIncomplete,
    RunInterrupted,
    RunPaused,
    RunStalled,
    RunStatusChanged,
    Signal,
    SourceError,
    SourceSignal,
    StepCancelled,
    StepCompleted,
    StepCreated,
    StepExpired,
    StepFailed,
    TextReplaced,
    ToolCallCompleted,
)
from runstream.model.step import RunStep

__all__ = ["describe", "run_facts", "style_of", "tokens"]

_STYLES: dict[type, str] = {
    RunCompleted: "good",
    RunFailed: "bad",
    RunCancelled: "warn",
    RunExpired: "warn",
    RunIncomplete: "warn",
    RunInterrupted: "warn",
    RunStalled: "warn",
    RunPaused: "ask",
    ActionRequired: "ask",
    StepFailed: "bad",
    MessageIncomplete: "warn",
    TextReplaced: "warn",
    SourceError: "bad",
}


def style_of(signal: Signal) -> str:
    """The style that its name is shown in; "" for none."""
    found = _STYLES.get(type(signal))
    if found is not None:
        return found
    return "bold" if isinstance(signal, RunCreated | RunStatusChanged) else "dim"


def _join(*facts: str | None) -> str:
    return " · ".join(fact for fact in facts if fact)


def _seconds(value: float) -> str:
    return f"{value:.1f}s" if value < 120 else f"{value / 60:.0f}min" if value < 7200 else f"{value / 3600:.1f}h"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def tokens(usage: Usage | None) -> str | None:
    """Token counts in words, ``None`` where nothing is known."""
    if usage is None or usage.total_tokens is None:
        return None
    told = _count(usage.total_tokens, "token")
    if usage.prompt_tokens is None or usage.completion_tokens is None:
        return told
    return f"{told} ({usage.prompt_tokens} in, {usage.completion_tokens} out)"


def _error(error: LastError | ErrorObject | None) -> str | None:
    if error is None:
        return None
    return ": ".join(clip(part, 160) for part in (error.code, error.message) if part) or None


def run_facts(run: Run, duration: float | None = None) -> str:
    """How a run ended: why, how long it took, what it cost."""
    reason = run.incomplete_details.reason if run.incomplete_details is not None else None
    return _join(
        _error(run.last_error),
        clip(reason) if reason else None,
        # A moment, as observed, is how fast a file was read.
        _seconds(duration) if duration is not None and duration >= 0.05 else None,
        tokens(run.usage),
    )


def _call(call: AwaitedCall) -> str:
    name = clip(call.name or "?", 40)
    arguments = clip(call.arguments or "", 60)
    shown = arguments if arguments.startswith("{") else f"({arguments})"
    return f"{name} {shown} as {clip(call.id, 40)}" if call.id else f"{name} {shown}"


def _awaited(signal: ActionRequired) -> str:
    kind = signal.action.type
    if not signal.calls:
        return f"asks for {clip(kind)}"
    head = "" if kind == "submit_tool_outputs" else f"{clip(kind)}: "
    return head + ", ".join(_call(call) for call in signal.calls)


def _message(message: Message) -> str:
    reason = message.incomplete_details.reason if message.incomplete_details is not None else None
    cited, images = len(message.annotations), len(message.image_file_ids)
    return _join(
        clip(reason) if reason else None,
        _count(len(message.text), "character"),
        _count(cited, "citation") if cited else None,
        _count(images, "image") if images else None,
        "a refusal" if message.refusal else None,
    )


def _step(step: RunStep) -> str:
    names = [clip(call.name or "?", 40) for call in step.tool_calls]
    kind = clip(step.type) if step.type else None
    return _join(kind, ", ".join(names), _error(step.last_error), tokens(step.usage))


def describe(signal: Signal) -> str:
    """What there is to know about a signal beyond its name and its run; safe to print."""
    match signal:
        case RunCreated(run=run):
            return _join(*(clip(fact, 60) for fact in (run.model, run.thread_id, run.assistant_id) if fact))
        case RunStatusChanged(before=before, after=after):
            return f"{clip(before.value, 40)} → {clip(after.value, 40)}" if before else clip(after.value, 40)
        case ActionRequired():
            return _awaited(signal)
        case RunCompleted() | RunFailed() | RunCancelled() | RunExpired() | RunIncomplete():
            return run_facts(signal.run, signal.duration)
        case RunPaused(run=run):
            return f"its stream ended; it waits for {_count(len(run.pending_tool_calls), 'call')}"
        case RunInterrupted(run=run, reason=reason):
            return f"left {clip(run.status.value, 40)}: {clip(reason, 160)}"
        case RunStalled(idle=idle, limit=limit):
            return f"nothing heard for {_seconds(idle)} ({clip(limit)})"
        case MessageCreated(message=message):
            return _join(*(clip(fact, 60) for fact in (message.role, message.id) if fact))
        case MessageCompleted(message=message) | MessageIncomplete(message=message):
            return _message(message)
        case StepCreated(step=step) | StepCompleted(step=step) | StepFailed(step=step):
            return _step(step)
        case StepCancelled(step=step) | StepExpired(step=step):
            return _step(step)
        case ToolCallCompleted(call=call):
            return _call(AwaitedCall(call.id, call.name, call.arguments, None, None, call))
        case SourceError(error=error) if error is not None:
            return _join(clip(signal.source, 60), _error(error) or clip(signal.reason, 160))
        case SourceSignal(source=source, reason=reason, attempt=attempt):
            return _join(
                clip(source, 60),
                clip(reason, 160) if reason else None,
                f"attempt {attempt}" if attempt else None,
            )
        case _:
            return ""  # what grows (text, arguments) is shown as it grows, by the view
